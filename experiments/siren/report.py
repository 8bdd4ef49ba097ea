"""What a run of SIREN fits leaves to look at: `report.html`, and its figures as files.

Averages leave diverged fits out, and a mean PSNR is the mean of decibels over the fits that are not
exact (`jaxfleet.decibels`); tiles and tables say which are.
"""

import html
import numbers
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.report import figures, page
from experiments.report.page import Drawing
from jaxfleet import codecs, decibels, storage
from jaxfleet.pixels import to_uint8

MAX_PHOTOS = 6
MAX_SIZES = 5
ERROR_GAIN = 4
MAX_HISTORIES = 2000
MAX_CELLS = 12  # rows or columns of a heat map
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
    # Of runs of several kinds of networks.
    "network": "kind of network",
    "first_bias_scale": "scale of the first biases (FINER)",
    "sigma": "σ (Gauss, ReLU on Fourier features)",
    "omega0": "ω₀ (WIRE)",
    "s0": "s₀ (WIRE)",
    "num_frequencies": "random frequencies (ReLU on Fourier features)",
}

NOT_AT_HAND = (
    "<p>The photographs are not at hand, so pictures and the curve of JPEG are left out. "
    "<code>launch/report.py --run_dir=... --photos=...</code> makes this page again with those "
    "that it finds.</p>"
)

Render = Callable[[pd.Series], np.ndarray]


def write_report(
    run_dir: pathlib.Path,
    table: pd.DataFrame,
    photos: Mapping[str, np.ndarray],
    render: Render,
    *,
    title: str,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]],
    no_pictures: str = NOT_AT_HAND,
) -> pathlib.Path:
    """Write `report.html` and `figures/*.png` of a run; leave out sections without content.

    Args:
        run_dir: folder of the run; made if absent.
        table: one row per fit, with the columns of the store. `psnr_8bit_db` and the PSNR of a
            diverged fit may be NaN, and the histories of some or all rows None.
        photos: image_id -> [H, W, 3] uint8; photographs that are absent get no pictures, and where
            all are the page says so.
        render: row -> [H, W, 3] float, the picture that the kept weights make; called for a
            dozen rows at most.
        title: the question the run answers, or its name.
        settings: name -> value, shown as given. Of these `device`, `wall_seconds` and
            `pixel_steps` head the page; the last two are estimated where absent.
        progress: records of wall `seconds`, `fits` and `pixel_steps` so far; a resumed run may
            count its seconds from zero again.
        no_pictures: what stands in their place where there are none.

    Returns:
        Path of the page.
    """
    folder = run_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    table = table.reset_index(drop=True)
    fitted = table[(table["status"] != "diverged") & table["best_psnr_db"].notna()]
    best = _best(fitted, "image_id").sort_values("best_psnr_db")
    shown = _spread(best[best["image_id"].isin(list(photos))], MAX_PHOTOS)
    sampled = list((shown if len(shown) else _spread(best, MAX_PHOTOS))["image_id"])
    kinds = {"kind": ("network", "{}")} if _has_kinds(table) else {}
    pictures = _pictures(folder, shown, photos, render)
    sections = {
        "Photographs and their best networks": pictures or (no_pictures if len(best) else ""),
        "One photograph, small to large networks": _sizes(folder, fitted, shown, photos, render),
        "Measurements": _exact(fitted)
        + "".join(
            page.plot(folder, drawing) for drawing in _drawings(fitted, sampled, photos, progress)
        ),
        "Networks that no smaller one matches": _pareto_table(fitted, sampled, kinds),
        "Diverged fits": page.table(
            table[table["status"] == "diverged"], page.DIVERGED_COLUMNS | kinds, leading=2
        ),
        "Settings": page.definitions(settings),
        "The table behind this page": page.READING,
    }
    return page.write(run_dir, title, headline(table, fitted, settings, progress), sections)


def headline(
    table: pd.DataFrame,
    fitted: pd.DataFrame,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]],
) -> dict[str, str]:
    """Return the figures at the top of the page: name -> value with its unit."""
    # A resumed run may know only its last stretch from either source, hence the larger of the two.
    wall_s = max(_number(settings, "wall_seconds"), figures.rates(progress)[0].max(initial=0.0))
    pixel_steps = max(_number(settings, "pixel_steps"), float(_pixel_steps(table).sum()))
    diverged = int((table["status"] == "diverged").sum())
    tiles = {
        "networks fitted": f"{len(table):,}" + (f" ({diverged:,} diverged)" if diverged else ""),
        "photographs": f"{table['image_id'].nunique():,}",
    }
    if len(fitted):
        tiles["mean PSNR"] = str(decibels.mean(fitted["best_psnr_db"]))
        tiles["best PSNR"] = decibels.text(fitted["best_psnr_db"].max())
    if wall_s > 0:
        tiles["fits per second"] = f"{len(table) / wall_s:.3g}"
        tiles["pixel-steps per second"] = page.si(pixel_steps / wall_s)
        tiles["wall time"] = page.duration(wall_s)
    if "device" in settings:
        tiles["device"] = str(settings["device"])
    return tiles


# ------------------------------------------------------------------------------- measurements


def _drawings(
    fitted: pd.DataFrame,
    sampled: Sequence[str],
    photos: Mapping[str, np.ndarray],
    progress: Sequence[Mapping[str, float]],
) -> Iterator[Drawing]:
    """Draw every figure that has content; exact fits are in none of them."""
    fitted = fitted[np.isfinite(fitted["best_psnr_db"])]
    if fitted["hp_bpp"].nunique() > 1:
        yield _rate_distortion(fitted, sampled, photos)
    if drawing := _histories(fitted):
        yield drawing
    for axis in _axes(fitted):
        if fitted[axis].nunique() > 1:
            yield _effect(fitted, axis, AXES[axis])
    if drawing := _depth_by_width(fitted):
        yield drawing
    design = fitted.groupby(["image_id", *_axes(fitted)], dropna=False)
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
    fitted: pd.DataFrame, sampled: Sequence[str], photos: Mapping[str, np.ndarray]
) -> Drawing:
    """Every fit, with curves of the sampled photographs, of JPEG too where they are at hand."""
    present = list(fitted["image_id"].unique())
    sampled = [name for name in sampled if name in present] or present[:MAX_PHOTOS]
    by_photo = fitted["image_id"].nunique() <= MAX_PHOTOS
    rows = fitted.sort_values("image_id" if by_photo else "num_layers")
    bits, psnr_db = (rows[name].to_numpy() for name in ("hp_bpp", "best_psnr_db"))
    groups = list(rows["image_id"] if by_photo else [f"{n} layers" for n in rows["num_layers"]])
    whose = f"mean of {len(sampled)} photographs" if len(sampled) > 1 else sampled[0]
    of_photo = [(rows["image_id"] == name).to_numpy() for name in sampled]
    limits = (float(bits.min()), float(bits.max()))
    curves = [figures.best_curve(bits[mine], psnr_db[mine]) for mine in of_photo]
    best = {f"best SIREN, {whose}": figures.mean_curve(curves, limits)}
    jpeg = {}
    if all(name in photos for name in sampled):
        curves = [codecs.rate_distortion(photos[name], codecs.JPEG) for name in sampled]
        jpeg[f"JPEG, {whose}"] = figures.mean_curve(curves, limits)
    dashed = "Dashed: JPEG of the same photographs, the whole file counted. " if jpeg else ""
    return Drawing(
        "rate_distortion",
        "PSNR against size",
        f"Every point is a fit. Solid: the best network up to that size. {dashed}Weights are "
        "counted at 16 bits each; the PSNR is that of the float32 weights.",
        lambda: figures.rate_distortion(bits, psnr_db, groups, best, jpeg, ordered=not by_photo),
    )


def _histories(fitted: pd.DataFrame) -> Drawing | None:
    known = fitted[fitted["iteration_history"].notna()]
    ranked = _spread(known.sort_values("best_psnr_db", ascending=False), MAX_HISTORIES)
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
    fitted = fitted[fitted[axis].notna()]  # other kinds of networks do not have the setting
    others = [other for other in _axes(fitted) if other != axis]
    matched = fitted.groupby(["image_id", *others], dropna=False)
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


def _depth_by_width(fitted: pd.DataFrame) -> Drawing | None:
    """Return the mean PSNR of each depth and width, of a grid that has as many fits of each."""
    cells = fitted.groupby(["num_layers", "layer_size"])["best_psnr_db"].agg(["mean", "count"])
    means = cells["mean"].unstack()
    few = 1 < len(means) <= MAX_CELLS and 1 < len(means.columns) <= MAX_CELLS
    if not few or means.isna().any(axis=None) or cells["count"].nunique() > 1:
        return None
    return Drawing(
        "depth_by_width",
        "Depth and width together",
        f"Mean PSNR (dB) of the {cells['count'].iloc[0]:,} fits of each depth and width, over all "
        "photographs and other settings. Along a diagonal sizes are similar.",
        lambda: figures.heat_map(
            means.to_numpy(),
            list(means.index),
            list(means.columns),
            x_label=AXES["layer_size"],
            y_label=AXES["num_layers"],
        ),
    )


def _pareto(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the fits of a photograph that none of at most their size equals or beats, by size."""
    rows = fits.sort_values(["hp_bpp", "best_psnr_db"], ascending=[True, False])
    before = rows["best_psnr_db"].cummax().shift()
    return rows[before.isna() | (rows["best_psnr_db"] > before)]


def _pareto_table(
    fitted: pd.DataFrame, sampled: Sequence[str], kinds: Mapping[str, tuple[str, str]]
) -> str:
    """Return the Pareto set of each sampled photograph, with what the rows are."""
    sets = [_pareto(fitted[fitted["image_id"] == name]) for name in sampled]
    if not sets:
        return ""
    said = (
        "<p>Of each photograph above, every network that is better than all of at most its size. "
        "The largest is the best where more weights always help; how much each step buys is what "
        "the rows show.</p>"
    )
    return said + page.table(pd.concat(sets), page.BEST_COLUMNS | dict(kinds))


def _axes(table: pd.DataFrame) -> list[str]:
    """Return the axes that a run has; older runs have fewer."""
    return [name for name in AXES if name in table]


def _has_kinds(table: pd.DataFrame) -> bool:
    """Return whether there are other networks than SIRENs."""
    return "network" in table and bool((table["network"].dropna() != "siren").any())


def _thinned(progress: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return about `RECORDS` of the records: evenly chosen, and both sides of every resumption."""
    seconds = np.asarray([record["seconds"] for record in progress])
    back = np.diff(seconds) < 0
    keep = np.arange(len(seconds)) % -(-len(seconds) // RECORDS) == 0
    keep |= np.r_[back, True] | np.r_[False, back]
    return [record for record, kept in zip(progress, keep, strict=True) if kept]


def _best(fitted: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the row of highest PSNR for each value of a column."""
    return fitted.loc[fitted.groupby(by)["best_psnr_db"].idxmax()]


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return at most `count` rows, the first, the last and evenly in between."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
    return rows.iloc[chosen[: len(rows)]]


def _pixel_steps(table: pd.DataFrame) -> pd.Series:
    """Pixels times iterations of each fit; one that stopped early counts to its last record."""
    last = table["iteration_history"].map(lambda steps: max(steps, default=0), na_action="ignore")
    run = table["num_iters"].where(table["status"] == "done", last.astype(float))
    run = run.fillna(table["best_iteration"])
    return table["image_height"] * table["image_width"] * run


# ------------------------------------------------------------------------------------- pictures


def _pictures(
    folder: pathlib.Path, shown: pd.DataFrame, photos: Mapping[str, np.ndarray], render: Render
) -> str:
    """Return original, reconstruction and error of the best network of each shown photograph."""
    parts = []
    for number, (_, row) in enumerate(shown.iterrows(), 1):
        photo = photos[row["image_id"]]
        decoded = render(row)
        error = ERROR_GAIN * np.abs(decoded - photo / 255.0)
        labelled = {
            "original": page.small(photo),
            "reconstruction": page.small(to_uint8(decoded)),
            f"error × {ERROR_GAIN}": page.small(to_uint8(error)),
        }
        storage.write_atomically(
            folder / f"pictures_{number}_{page.slug(row['image_id'])}.png", page.strip(labelled)
        )
        cells = "".join(page.cell(image, label, label) for label, image in labelled.items())
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
    """Show one photograph as networks of increasing size store it, and the original."""
    sizes = fitted[fitted["image_id"].isin(shown["image_id"])].groupby("image_id")["hp_bpp"]
    if not len(shown) or sizes.nunique().max() < 2:
        return ""
    name = sizes.nunique().idxmax()
    ladder = _spread(_pareto(fitted[fitted["image_id"] == name]), MAX_SIZES)
    labelled = {
        f"<strong>{row['hp_bpp']:.3g} bpp</strong>{_facts(row, bits=False)}": page.small(
            to_uint8(render(row))
        )
        for _, row in ladder.iterrows()
    }
    labelled[f"<strong>original</strong> <span>{html.escape(name)}</span>"] = page.small(
        photos[name]
    )
    storage.write_atomically(folder / f"sizes_{page.slug(name)}.png", page.strip(labelled))
    cells = "".join(
        page.cell(image, label, re.sub("<[^>]*>", " ", label)) for label, image in labelled.items()
    )
    return f'<div class="grid sizes">{cells}</div>'


def _facts(row: pd.Series, *, bits: bool = True) -> str:
    """Return the architecture, size, PSNR and SSIM of a fit, as spans."""
    facts = [
        f"{_architecture(row)}, ω₀ {row['w0_initial']:g}"
        if pd.notna(row["w0_initial"])
        else _architecture(row),
        *([str(row["network"])] if row.get("network", "siren") != "siren" else []),
        *([f"{row['hp_bpp']:.3g} bpp"] if bits else []),
        decibels.text(row["best_psnr_db"]),
        *([f"SSIM {row['ssim']:.3f}"] if pd.notna(row["ssim"]) else []),
    ]
    return "".join(f" <span>{fact}</span>" for fact in facts)


def _exact(fitted: pd.DataFrame) -> str:
    """Return a line on the fits that the figures leave out, if there are any."""
    count = int(np.isposinf(fitted["best_psnr_db"]).sum())
    if not count:
        return ""
    return f"<p>{count:,} of {len(fitted):,} fits are exact, so the figures leave them out.</p>"


def _architecture(row: pd.Series) -> str:
    """Return the depth and width as the reader of a SIREN paper writes them, such as `10 × 28`."""
    return f"{row['num_layers']} × {row['layer_size']}"


def _number(settings: Mapping[str, object], name: str) -> float:
    value = settings.get(name)
    return float(value) if isinstance(value, numbers.Real) else 0.0
