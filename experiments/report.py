"""The page that a run of SIREN fits leaves behind: one HTML file that needs nothing else.

`write_report` is the only entry. The page carries its pictures, figures and style inside, follows
the reader's light or dark theme, and prints. Averages leave diverged fits out, and a mean PSNR is
the mean of decibels.

Letters: M fits (one fitted network each).
"""

import base64
import html
import io
import numbers
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from PIL import Image

from experiments import figures

MAX_PHOTOS = 6
MAX_SIZES = 5
MAX_ROWS = 200  # of a table on the page
MAX_SIDE_PX = 512
ERROR_GAIN = 4
MAX_HISTORIES = 2000
RECORDS = 40  # of progress in the throughput figure

# Settings whose effect is shown where they vary; with the photograph they make a design, of which
# fits that differ only in the seed are repeats.
AXES = {
    "w0_initial": "ω₀ of the first layer",
    "layer_size": "width (units per layer)",
    "num_layers": "depth (sine layers)",
    "w0": "ω₀ of the other layers",
    "learning_rate": "learning rate",
    "num_iters": "iterations",
}

Render = Callable[[pd.Series], np.ndarray]


class Drawing(NamedTuple):
    """A figure to be: its file name without ending, what stands around it, and what draws it."""

    name: str
    heading: str
    caption: str
    draw: Callable[[], Figure]


def write_report(
    run_dir: pathlib.Path,
    table: pd.DataFrame,
    photos: Mapping[str, np.ndarray],
    render: Render,
    *,
    title: str,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]],
) -> pathlib.Path:
    """Writes `report.html` and `figures/*.png` of a run; sections without content are left out.

    Args:
        run_dir: folder of the run; made if absent.
        table: one row per fit, with the columns of the store. `psnr_8bit_db` and the PSNR of a
            diverged fit may be NaN.
        photos: image_id -> [H, W, 3] uint8; photographs that are absent get no pictures.
        render: row -> [H, W, 3] float, the picture that the kept weights make; called for a
            dozen rows at most.
        title: the question the run answers, or its name.
        settings: name -> value, shown as given. Of these `device`, `wall_seconds` and
            `pixel_steps` head the page; the last two are estimated where absent.
        progress: records of wall `seconds`, `fits` and `pixel_steps` so far; a resumed run may
            count its seconds from zero again.

    Returns:
        Path of the page.
    """
    folder = run_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    table = table.reset_index(drop=True)
    fitted = table[(table["status"] != "diverged") & np.isfinite(table["best_psnr_db"])]
    best = _best(fitted, "image_id").sort_values("best_psnr_db")
    shown = _spread(best[best["image_id"].isin(list(photos))], MAX_PHOTOS)
    sections = {
        "Photographs and their best networks": _pictures(folder, shown, photos, render),
        "One photograph, small to large networks": _sizes(folder, fitted, shown, photos, render),
        "Measurements": "".join(
            _plot(folder, drawing) for drawing in _drawings(fitted, shown, photos, progress)
        ),
        "Best network of each photograph": _table(best.iloc[::-1], _BEST_COLUMNS),
        "Diverged fits": _table(table[table["status"] == "diverged"], _DIVERGED_COLUMNS),
        "Settings": _definitions(settings),
        "The table behind this page": _READING,
    }
    page = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        tiles=_tiles(headline(table, fitted, settings, progress)),
        sections="".join(
            f'<section class="{_slug(name)}"><h2>{name}</h2>{body}</section>'
            for name, body in sections.items()
            if body
        ),
    )
    path = run_dir / "report.html"
    _write(path, page.encode())
    return path


def headline(
    table: pd.DataFrame,
    fitted: pd.DataFrame,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]],
) -> dict[str, str]:
    """The figures that head the page: name -> value with its unit."""
    # A resumed run may know only its last stretch from either source, hence the larger of the two.
    wall_s = max(_number(settings, "wall_seconds"), figures.rates(progress)[0].max(initial=0.0))
    pixel_steps = max(_number(settings, "pixel_steps"), float(_pixel_steps(table).sum()))
    diverged = int((table["status"] == "diverged").sum())
    tiles = {
        "networks fitted": f"{len(table):,}" + (f" ({diverged:,} diverged)" if diverged else ""),
        "photographs": f"{table['image_id'].nunique():,}",
    }
    if len(fitted):
        tiles["mean PSNR"] = f"{fitted['best_psnr_db'].mean():.2f} dB"
        tiles["best PSNR"] = f"{fitted['best_psnr_db'].max():.2f} dB"
    if wall_s > 0:
        tiles["fits per second"] = f"{len(table) / wall_s:.3g}"
        tiles["pixel-steps per second"] = _si(pixel_steps / wall_s)
        tiles["wall time"] = _duration(wall_s)
    if "device" in settings:
        tiles["device"] = str(settings["device"])
    return tiles


# ------------------------------------------------------------------------------- measurements


def _drawings(
    fitted: pd.DataFrame,
    shown: pd.DataFrame,
    photos: Mapping[str, np.ndarray],
    progress: Sequence[Mapping[str, float]],
) -> Iterator[Drawing]:
    """Every figure that has content."""
    if fitted["hp_bpp"].nunique() > 1:
        yield _rate_distortion(fitted, shown, photos)
    if drawing := _histories(fitted):
        yield drawing
    for axis, name in AXES.items():
        if fitted[axis].nunique() > 1:
            yield _effect(fitted, axis, name)
    design = fitted.groupby(["image_id", *AXES])
    repeats = design["best_psnr_db"].agg(["std", "count"]).reset_index().query("count > 1")
    if len(repeats):
        levels, spread_db = repeats["layer_size"].to_numpy(), repeats["std"].to_numpy()
        yield Drawing(
            "seeds",
            "Spread over seeds",
            "Standard deviation of PSNR over fits that differ only in their seed, by width.",
            lambda: figures.boxes(
                levels, spread_db, x_label=AXES["layer_size"], y_label="sd over seeds (dB)"
            ),
        )
    if progress:
        wall_s, rates = figures.rates(_thinned(progress))
        if np.isfinite(list(rates.values())).any():
            yield Drawing(
                "throughput",
                "Throughput",
                "Mean rates between records of progress; a gap where the run was resumed.",
                lambda: figures.throughput(wall_s[1:], rates),
            )


def _rate_distortion(
    fitted: pd.DataFrame, shown: pd.DataFrame, photos: Mapping[str, np.ndarray]
) -> Drawing:
    by_photo = fitted["image_id"].nunique() <= MAX_PHOTOS
    rows = fitted.sort_values("image_id" if by_photo else "num_layers")
    bits, psnr_db = (rows[name].to_numpy() for name in ("hp_bpp", "best_psnr_db"))
    groups = list(rows["image_id"] if by_photo else [f"{n} layers" for n in rows["num_layers"]])
    best, jpeg = {}, {}
    if len(shown):
        names = list(shown["image_id"])
        whose = f"mean of {len(names)} photographs" if len(names) > 1 else names[0]
        of_photo = [(rows["image_id"] == name).to_numpy() for name in names]
        limits = (float(bits.min()), float(bits.max()))
        best[f"best SIREN, {whose}"] = figures.mean_curve(
            [figures.best_curve(bits[mine], psnr_db[mine]) for mine in of_photo], limits
        )
        jpeg[f"JPEG, {whose}"] = figures.mean_curve(
            [figures.jpeg_curve(photos[name]) for name in names], limits
        )
    return Drawing(
        "rate_distortion",
        "PSNR against size",
        "Every point is a fit. Solid: the best network up to that size. Dashed: JPEG of the same "
        "photographs, the whole file counted. Weights are counted at 16 bits each; the "
        "PSNR is that of the float32 weights.",
        lambda: figures.rate_distortion(bits, psnr_db, groups, best, jpeg, ordered=not by_photo),
    )


def _histories(fitted: pd.DataFrame) -> Drawing | None:
    ranked = _spread(fitted.sort_values("best_psnr_db", ascending=False), MAX_HISTORIES)
    iterations, psnr_db, labels = [], [], []
    for _, row in ranked.iterrows():
        steps = np.asarray(row["iteration_history"], dtype=float)
        values = np.asarray(row["psnr_history"], dtype=float)
        valid = np.isfinite(values) & (steps > 0)
        if valid.sum() > 1:
            iterations.append(steps[valid])
            psnr_db.append(values[valid])
            labels.append(f"{row['image_id']}, {_architecture(row)}")
    if not labels:
        return None
    ranks = np.quantile(np.arange(len(labels)), (0.1, 0.35, 0.65, 0.9)).round().astype(int)
    examples = {labels[i]: int(i) for i in np.unique(ranks)}
    return Drawing(
        "iterations",
        "PSNR during training",
        "Single fits from the upper to the lower end, named by photograph and depth × width; "
        "where there are many, median and spread over those that reached the iteration.",
        lambda: figures.histories(iterations, psnr_db, examples),
    )


def _effect(fitted: pd.DataFrame, axis: str, name: str) -> Drawing:
    """Distribution of PSNR at each value of one setting, freed of the other settings' share."""
    matched = fitted.groupby(["image_id", *(other for other in AXES if other != axis)])
    has_pair = matched[axis].transform("nunique") > 1
    rows, peers = fitted, fitted.groupby("image_id")
    what = "its photograph's mean"
    if has_pair.mean() > 0.5:  # a grid; in a random sample nothing else is ever equal
        rows, peers = fitted[has_pair], matched
        what = "the mean of the fits that share its photograph and all other settings"
    relative_db = (fitted["best_psnr_db"] - peers["best_psnr_db"].transform("mean"))[rows.index]
    levels = rows[axis].to_numpy()
    return Drawing(
        f"effect_{axis}",
        f"Effect of {name.split(' (')[0]}",
        f"PSNR of each fit minus {what}. Boxes: quartiles; whiskers: 5 to 95 %.",
        lambda: figures.boxes(
            levels, relative_db.to_numpy(), x_label=name, y_label="relative PSNR (dB)"
        ),
    )


def _thinned(progress: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """About `RECORDS` of the records: evenly chosen, and both sides of every resumption."""
    seconds = np.asarray([record["seconds"] for record in progress])
    back = np.diff(seconds) < 0
    keep = np.arange(len(seconds)) % -(-len(seconds) // RECORDS) == 0
    keep |= np.r_[back, True] | np.r_[False, back]
    return [record for record, kept in zip(progress, keep, strict=True) if kept]


def _best(fitted: pd.DataFrame, by: str) -> pd.DataFrame:
    """The row of highest PSNR for each value of a column."""
    return fitted.loc[fitted.groupby(by)["best_psnr_db"].idxmax()]


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, the first, the last and evenly in between."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
    return rows.iloc[chosen[: len(rows)]]


def _pixel_steps(table: pd.DataFrame) -> pd.Series:
    """Pixels times iterations of each fit; one that stopped early counts to its last record."""
    last = pd.Series([max(steps, default=0) for steps in table["iteration_history"]], dtype=float)
    run = table["num_iters"].where(table["status"] == "done", last)
    return table["image_height"] * table["image_width"] * run


# ------------------------------------------------------------------------------------- pictures


def _pictures(
    folder: pathlib.Path, shown: pd.DataFrame, photos: Mapping[str, np.ndarray], render: Render
) -> str:
    """Original, reconstruction and error of the best network of each shown photograph."""
    parts = []
    for number, (_, row) in enumerate(shown.iterrows(), 1):
        photo = photos[row["image_id"]]
        decoded = render(row)
        error = ERROR_GAIN * np.abs(decoded - photo / 255.0)
        labelled = {
            "original": _small(photo),
            "reconstruction": _small(_to_8bit(decoded)),
            f"error × {ERROR_GAIN}": _small(_to_8bit(error)),
        }
        _write(folder / f"pictures_{number}_{_slug(row['image_id'])}.png", _strip(labelled))
        cells = "".join(_cell(image, label, label) for label, image in labelled.items())
        size = f"{row['image_width']} × {row['image_height']} px"
        parts.append(
            f"<article><p><strong>{html.escape(row['image_id'])}</strong> <span>{size}</span>"
            f'{_facts(row)}</p><div class="grid">{cells}</div></article>'
        )
    return "".join(parts)


def _sizes(
    folder: pathlib.Path,
    fitted: pd.DataFrame,
    shown: pd.DataFrame,
    photos: Mapping[str, np.ndarray],
    render: Render,
) -> str:
    """One photograph as networks of rising size see it, and as it is."""
    sizes = fitted[fitted["image_id"].isin(shown["image_id"])].groupby("image_id")["hp_bpp"]
    if not len(shown) or sizes.nunique().max() < 2:
        return ""
    name = sizes.nunique().idxmax()
    ladder = _spread(_best(fitted[fitted["image_id"] == name], "hp_bpp"), MAX_SIZES)
    labelled = {
        f"<strong>{row['hp_bpp']:.3g} bpp</strong>{_facts(row, bits=False)}": _small(
            _to_8bit(render(row))
        )
        for _, row in ladder.iterrows()
    }
    labelled[f"<strong>original</strong> <span>{html.escape(name)}</span>"] = _small(photos[name])
    _write(folder / f"sizes_{_slug(name)}.png", _strip(labelled))
    cells = "".join(
        _cell(image, label, re.sub("<[^>]*>", " ", label)) for label, image in labelled.items()
    )
    return f'<div class="grid sizes">{cells}</div>'


def _facts(row: pd.Series, *, bits: bool = True) -> str:
    """Architecture, size, PSNR and SSIM of a fit, as spans."""
    facts = [
        f"{_architecture(row)}, ω₀ {row['w0_initial']:g}",
        *([f"{row['hp_bpp']:.3g} bpp"] if bits else []),
        f"{row['best_psnr_db']:.2f} dB",
        *([f"SSIM {row['ssim']:.3f}"] if pd.notna(row["ssim"]) else []),
    ]
    return "".join(f" <span>{fact}</span>" for fact in facts)


def _architecture(row: pd.Series) -> str:
    """Depth and width as the reader of a SIREN paper writes them, such as `10 × 28`."""
    return f"{row['num_layers']} × {row['layer_size']}"


def _to_8bit(image: np.ndarray) -> np.ndarray:
    return np.rint(255.0 * np.clip(np.nan_to_num(image), 0.0, 1.0)).astype(np.uint8)


def _small(photo: np.ndarray) -> Image.Image:
    """The picture, at most `MAX_SIDE_PX` on its longer side."""
    image = Image.fromarray(photo)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return image


def _strip(images: Mapping[str, Image.Image], gap_px: int = 8) -> bytes:
    """PNG of images of one size side by side."""
    width, height = next(iter(images.values())).size
    strip = Image.new("RGB", (len(images) * (width + gap_px) - gap_px, height), "white")
    for i, image in enumerate(images.values()):
        strip.paste(image, (i * (width + gap_px), 0))
    buffer = io.BytesIO()
    strip.save(buffer, "PNG")
    return buffer.getvalue()


def _cell(image: Image.Image, caption: str, alt: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    kind = ' class="tiny"' if max(image.size) < MAX_SIDE_PX // 3 else ""
    return (
        f'<figure><img{kind} alt="{alt}" src="{_data_uri(buffer.getvalue(), "webp")}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


# ----------------------------------------------------------------------------------------- HTML


def _plot(folder: pathlib.Path, drawing: Drawing) -> str:
    """Draws a figure, leaves its PNG in the folder, and returns it for the page."""
    light, dark = (figures.to_png(drawing.draw, theme) for theme in ("light", "dark"))
    _write(folder / f"{drawing.name}.png", light)
    return (
        f'<figure class="plot"><h3>{drawing.heading}</h3><picture>'
        f'<source media="screen and (prefers-color-scheme: dark)" '
        f'srcset="{_data_uri(dark, "png")}">'
        f'<img alt="{drawing.heading}" src="{_data_uri(light, "png")}"></picture>'
        f"<figcaption>{drawing.caption}</figcaption></figure>"
    )


_BEST_COLUMNS = {
    "photograph": ("image_id", "{}"),
    "height": ("image_height", "{}"),
    "width": ("image_width", "{}"),
    "layers": ("num_layers", "{}"),
    "units": ("layer_size", "{}"),
    "ω₀ first": ("w0_initial", "{:g}"),
    "seed": ("seed", "{}"),
    "weights": ("parameters", "{:,}"),
    "bpp": ("hp_bpp", "{:.3g}"),
    "PSNR (dB)": ("best_psnr_db", "{:.2f}"),
    "8-bit (dB)": ("psnr_8bit_db", "{:.2f}"),
    "SSIM": ("ssim", "{:.3f}"),
    "at iteration": ("best_iteration", "{:,}"),
    "time (s)": ("seconds", "{:.3g}"),
}
_DIVERGED_COLUMNS = {
    "trial": ("trial_id", "{}"),
    "photograph": ("image_id", "{}"),
    "layers": ("num_layers", "{}"),
    "units": ("layer_size", "{}"),
    "ω₀ first": ("w0_initial", "{:g}"),
    "ω₀": ("w0", "{:g}"),
    "learning rate": ("learning_rate", "{:g}"),
    "seed": ("seed", "{}"),
    "best PSNR before (dB)": ("best_psnr_db", "{:.2f}"),
}


def _table(rows: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> str:
    """An HTML table of columns: heading -> (column of `rows`, format); names lead."""
    if not len(rows):
        return ""
    head = "".join(f"<th>{heading}</th>" for heading in columns)
    body = "".join(
        f"<tr>{''.join(_value(row[name], form) for name, form in columns.values())}</tr>"
        for _, row in rows.head(MAX_ROWS).iterrows()
    )
    names = sum(name.endswith("_id") for name, _ in columns.values())
    more = f"<p>The first {MAX_ROWS} of {len(rows):,}.</p>" if len(rows) > MAX_ROWS else ""
    return (
        f'<div class="scroll"><table class="names-{names}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _value(value: object, form: str) -> str:
    return f"<td>{'–' if pd.isna(value) else html.escape(form.format(value))}</td>"


def _definitions(settings: Mapping[str, object]) -> str:
    rows = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(_shown(value))}</dd></div>"
        for name, value in settings.items()
    )
    return f"<dl>{''.join(rows)}</dl>" if settings else ""


def _tiles(values: Mapping[str, str]) -> str:
    tiles = (
        f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in values.items()
    )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _number(settings: Mapping[str, object], name: str) -> float:
    value = settings.get(name)
    return float(value) if isinstance(value, numbers.Real) else 0.0


def _si(value: float) -> str:
    return EngFormatter(places=1, sep="\N{NO-BREAK SPACE}")(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.3g} s"


def _slug(name: str) -> str:
    """The name with nothing that a file name or a style sheet minds."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60].lower()


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _write(path: pathlib.Path, data: bytes) -> None:
    """Writes a file that is either absent, or old, or whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


_READING = """<pre>table = pandas.read_parquet("parts")</pre>
<p>run in the folder of this page, reads one row per fit. PSNR is over the pixels and channels of
one photograph at peak 1, of the kept weights and on raw output; “8-bit” is the same after rounding
to an 8-bit image. A mean is a mean of decibels over fits, diverged ones left out. Bits per pixel
(bpp) count 16 bits for each weight. Networks are named depth × width, in sine layers and units;
the linear output layer comes on top.</p>"""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title><style>{style}</style></head>
<body><header><h1>{title}</h1>{tiles}</header><main>{sections}</main></body></html>
"""

_STYLE = """
:root { --ink: #22262b; --quiet: #646c76; --line: #d9dde2; --card: #fff; --page: #f5f6f8 }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #dfe3e8; --quiet: #98a1ac; --line: #2d333a; --card: #171a1e; --page: #0e1013 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 1.5rem; text-wrap: balance }
h2 { font-size: 1.25rem; margin: 3rem 0 1rem }
h3 { font-size: 1rem; margin: 0 0 .6rem }
p { margin: .6rem 0; max-width: 46rem }
figure { margin: 0; min-width: 0 }
img { display: block; width: 100%; height: auto; border-radius: 4px }
img.tiny { image-rendering: pixelated }
figcaption { color: var(--quiet); font-size: .85rem; line-height: 1.4; margin-top: .4rem }
dl { margin: 0 } dd { margin: 0; overflow-wrap: anywhere } dt { color: var(--quiet) }
.tiles { display: grid; gap: 1px; background: var(--line); border: 1px solid var(--line);
  border-radius: 8px; overflow: hidden; grid-template-columns: repeat(4, 1fr) }
.tiles div { background: var(--card); padding: .8rem 1rem }
.tiles dt { font-size: .85rem } .tiles dd { font-size: 1.2rem; font-weight: 600 }
article + article { margin-top: 1.75rem }
article p { display: flex; flex-wrap: wrap; gap: 0 1.1rem; max-width: none; margin: 0 0 .5rem }
article span, figcaption span { color: var(--quiet); white-space: nowrap;
  font-variant-numeric: tabular-nums }
figcaption strong { color: var(--ink) }
figcaption :is(strong, span) { display: inline-block; margin-right: .6em }
.grid { display: grid; grid-template-columns: repeat(3, 1fr); gap: .75rem }
.measurements { display: grid; grid-template-columns: 1fr 1fr; gap: 1.25rem }
.measurements h2 { grid-column: 1 / -1; margin-bottom: 0 }
.plot, .scroll, pre, dl:not(.tiles) { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 1rem }
.scroll { overflow: auto; max-height: 32rem; padding: 0 }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .4rem .7rem; text-align: right; white-space: nowrap }
th { position: sticky; top: 0; background: var(--card); color: var(--quiet); font-weight: 500 }
td { border-top: 1px solid var(--line) }
.names-2 :is(th, td):nth-child(-n+2), .names-1 :is(th, td):first-child { text-align: left }
dl:not(.tiles) { columns: 20rem; column-gap: 2.5rem; font-size: .875rem }
dl:not(.tiles) div { display: flex; gap: 1rem; justify-content: space-between;
  padding: .2rem 0; break-inside: avoid } dl:not(.tiles) dd { text-align: right }
pre { overflow: auto; margin: 0; font-size: .9rem }
@media (max-width: 44rem) {
  body { padding: 1.25rem .9rem 3rem } h1 { font-size: 1.4rem } h2 { margin-top: 2.25rem }
  .tiles { grid-template-columns: 1fr 1fr } .tiles dd { font-size: 1.05rem }
  .measurements { grid-template-columns: minmax(0, 1fr) } .plot { padding: .75rem }
  .grid { gap: .35rem } .grid.sizes { grid-template-columns: 1fr 1fr; gap: .75rem }
}
@media print {
  :root { --page: #fff } body { padding: 0 } .scroll { max-height: none; overflow: visible }
  article, figure, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .measurements { break-before: page }
  table { font-size: .65rem } th, td { padding: .2rem .3rem }
}
"""
