"""The parts of a report's page as HTML: tiles, pictures, plots, tables, settings, style.

A page is one file that needs nothing else: pictures and style are inside. It follows the reader's
light or dark theme, and prints. Functions return HTML; names and values that come from outside
are escaped here, headings and captions are ours and may hold tags.
"""

import base64
import html
import io
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from PIL import Image

from experiments.report import figures
from jaxfleet import storage
from jaxfleet.results.showing import counted

MAX_ROWS = 200  # of a table on the page
MAX_SIDE_PX = 512
WIDE_IN = 7  # inches above which a figure has a row of its own
FEW_PHOTOGRAPHS = 10  # below which a page says that they are too few


class Drawing(NamedTuple):
    """A figure to be: its file name without ending, what stands around it, and what draws it."""

    name: str
    heading: str
    caption: str
    draw: Callable[[], Figure]


def write(
    run_dir: pathlib.Path, title: str, values: Mapping[str, str], sections: Mapping[str, str]
) -> pathlib.Path:
    """Leaves a page as `report.html`.

    Args:
        run_dir: the folder it goes to.
        title: of the page.
        values: of its tiles, by what stands under them.
        sections: heading -> HTML; those without content are left out.

    Returns:
        Where it is.
    """
    return write_to(run_dir / "report.html", title, values, sections)


def write_to(
    path: pathlib.Path, title: str, values: Mapping[str, str], sections: Mapping[str, str]
) -> pathlib.Path:
    """Write a page under a name of its own; arguments as of `write`."""
    text = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        tiles=_tiles(values),
        sections="".join(
            f'<section class="{slug(heading)}"><h2>{heading}</h2>{body}</section>'
            for heading, body in sections.items()
            if body
        ),
    )
    storage.write_atomically(path, text.encode())
    return path


def small(photo: np.ndarray) -> Image.Image:
    """Shrink an image to at most `MAX_SIDE_PX` on its longer side."""
    image = Image.fromarray(photo)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return image


def strip(images: Mapping[str, Image.Image], gap_px: int = 8) -> bytes:
    """PNG of images of one size side by side."""
    width, height = next(iter(images.values())).size
    joined = Image.new("RGB", (len(images) * (width + gap_px) - gap_px, height), "white")
    for i, image in enumerate(images.values()):
        joined.paste(image, (i * (width + gap_px), 0))
    buffer = io.BytesIO()
    joined.save(buffer, "PNG")
    return buffer.getvalue()


def cell(image: Image.Image, caption: str, alt: str, *, lossless: bool = False) -> str:
    """Return an image with its caption; small images are enlarged without smoothing."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85, lossless=lossless)
    kind = ' class="tiny"' if max(image.size) < MAX_SIDE_PX // 3 else ""
    return (
        f'<figure><img{kind} alt="{alt}" src="{_data_uri(buffer.getvalue(), "webp")}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def sizes(
    folder: pathlib.Path, name: str, labelled: Mapping[str, Image.Image], photo: np.ndarray
) -> str:
    """Return the cells of a photograph as networks store it, then itself; write them as a strip.

    Args:
        folder: of `sizes_NAME.png`.
        name: of the photograph.
        labelled: captions in HTML and pictures.
        photo: [H, W, 3] uint8.
    """
    original = f"<strong>original</strong> <span>{html.escape(name)}</span>"
    labelled = {**labelled, original: small(photo)}
    storage.write_atomically(folder / f"sizes_{slug(name)}.png", strip(labelled))
    cells = "".join(
        cell(image, label, re.sub("<[^>]*>", " ", label)) for label, image in labelled.items()
    )
    return f'<div class="grid sizes">{cells}</div>'


def plots(run_dir: pathlib.Path, drawings: Iterable[Drawing]) -> str:
    """Draw figures, write them as PNG to `figures/` and return them for the page."""
    folder = figures_folder(run_dir)
    return "".join(plot(folder, drawing) for drawing in drawings)


def figures_folder(run_dir: pathlib.Path) -> pathlib.Path:
    """Return the folder of a run's figures, which is created if necessary."""
    folder = run_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plot(folder: pathlib.Path, drawing: Drawing) -> str:
    """Draw a figure, write its PNG to the folder and return it for the page."""
    png = figures.to_png(drawing.draw)
    storage.write_atomically(folder / f"{drawing.name}.png", png)
    is_wide = Image.open(io.BytesIO(png)).width > WIDE_IN * figures.DPI
    return (
        f'<figure class="plot{" wide" if is_wide else ""}"><h3>{drawing.heading}</h3>'
        f'<img alt="{drawing.heading}" src="{_data_uri(png, "png")}">'
        f"<figcaption>{drawing.caption}</figcaption></figure>"
    )


def figure(draw: Callable[[], Figure], caption: str) -> str:
    """Return a figure with its caption, for a page that has no folder."""
    png = _data_uri(figures.to_png(draw), "png")
    alt = html.escape(caption)
    return (
        f'<figure class="plot"><img alt="{alt}" src="{png}"><figcaption>{alt}</figcaption></figure>'
    )


BEST_COLUMNS = {
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
    "at iteration": ("best_iteration", "{:,.0f}"),
    "time (s)": ("seconds", "{:.3g}"),
}
DIVERGED_COLUMNS = {
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


Columns = dict[str, tuple[str, str]]  # heading -> column of the rows, format


def table(rows: pd.DataFrame, columns: Mapping[str, tuple[str, str]], *, leading: int = 1) -> str:
    """Return an HTML table.

    Args:
        rows: at most `MAX_ROWS` are shown.
        columns: heading -> column of `rows`, and its format.
        leading: how many of the columns are names, which stand to the left: 0 to 3.
    """
    if not len(rows):
        return ""
    head = "".join(f"<th>{heading}</th>" for heading in columns)
    body = "".join(
        f"<tr>{''.join(_value(row[name], form) for name, form in columns.values())}</tr>"
        for _, row in rows.head(MAX_ROWS).iterrows()
    )
    more = f"<p>The first {MAX_ROWS} of {len(rows):,}.</p>" if len(rows) > MAX_ROWS else ""
    return (
        f'<div class="scroll"><table class="names-{leading}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _value(value: object, form: str) -> str:
    """Format a cell: – for unknown, and what `decibels` calls exact for inf."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"<td>{'exact' if value > 0 else '–'}</td>"
    return f"<td>{'–' if pd.isna(value) else html.escape(form.format(value))}</td>"


def few(photographs: int) -> str:
    """Say that numbers of few photographs are no results; nothing of more, or of none."""
    if not 0 < photographs < FEW_PHOTOGRAPHS:
        return ""
    return (
        f"<p>All numbers here are of {counted(photographs, 'photograph')}. "
        "That shows that everything runs, and hardly which network or method is better: other "
        "photographs may change the order.</p>"
    )


def leaders(means: pd.Series, said: Callable[..., str] = str) -> str:
    """Name what has the largest mean, and all else that has the same.

    Args:
        means: finite, at least one.
        said: an entry of the index, of several levels each of them, in words.
    """
    best = means[np.isclose(means, means.max(), rtol=0.0, atol=1e-9)].index
    names = [said(*one) if isinstance(one, tuple) else said(one) for one in best]
    if len(names) > 3:
        return f"{len(names)} of {len(means)} alike"
    return names[0] if len(names) == 1 else f"{' and '.join(names)} alike"


def with_deviation(mean: float, deviation: float = math.nan, digits: int = 1) -> str | None:
    """Return `95.4 ± 0.7`, or `95.4` where no deviation is known; None of no mean."""
    if not math.isfinite(mean):
        return None
    text = f"{mean:.{digits}f}"
    return f"{text} ± {deviation:.{digits}f}" if math.isfinite(deviation) else text


def definitions(settings: Mapping[str, object]) -> str:
    """Return an HTML list of names and values, without `dry_run`: no dry run leaves a page."""
    rows = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(_shown(value))}</dd></div>"
        for name, value in settings.items()
        if name != "dry_run"
    )
    return f"<dl>{''.join(rows)}</dl>" if settings else ""


def _tiles(values: Mapping[str, str]) -> str:
    tiles = (
        f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in values.items()
    )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(entry)}" for name, entry in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def si(value: float) -> str:
    """Format a number with an SI prefix, such as 8.7 M."""
    return EngFormatter(places=1, sep="\N{NO-BREAK SPACE}")(value)


def duration(seconds: float) -> str:
    """Time in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.3g} s"


def slug(name: str) -> str:
    """Return the name without characters that file names or style sheets cannot have."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60].lower()


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


READING = """<pre>import pandas

table = pandas.read_parquet("parts")</pre>
<p>run in the folder of this page, reads one row per fit. PSNR is over the pixels and channels of
one photograph at peak 1, of the kept weights and on raw output; “8-bit” is the same after rounding
to an 8-bit image. A mean is a mean of decibels over fits; diverged ones and exact ones, which have
no error at all, are left out. Bits per pixel (bpp) count 16 bits for each weight. Networks are
named depth × width, in sine layers and units; the linear output layer comes on top.</p>"""

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
  .plot img { filter: invert(.91) hue-rotate(180deg) }
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
.tiles { display: flex; flex-wrap: wrap; gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden }
.tiles div { background: var(--card); padding: .8rem 1rem; flex: 1 0 22% }
.tiles dt { font-size: .85rem } .tiles dd { font-size: 1.2rem; font-weight: 600 }
article + article { margin-top: 1.75rem }
article p { display: flex; flex-wrap: wrap; gap: 0 1.1rem; max-width: none; margin: 0 0 .5rem }
article span, figcaption span { color: var(--quiet); white-space: nowrap;
  font-variant-numeric: tabular-nums }
figcaption strong { color: var(--ink) }
figcaption :is(strong, span) { display: inline-block; margin-right: .6em }
.grid { display: grid; grid-template-columns: repeat(3, 1fr); gap: .75rem }
.crops { grid-template-columns: repeat(6, 1fr); gap: .5rem }
:is(article, .grid) + h3 { margin-top: 2.25rem }
section:has(> .plot) { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr));
  gap: 1.25rem }
section:has(> .plot) > :not(.plot) { grid-column: 1 / -1; margin-bottom: 0 }
.plot.wide { grid-column: 1 / -1 }
section > .plot:only-of-type:not(.wide) { grid-column: 1 / -1; max-width: 46rem }
.plot, .scroll, pre, dl:not(.tiles) { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 1rem }
.scroll { overflow: auto; max-height: 32rem; padding: 0 }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .4rem .55rem; text-align: right; white-space: nowrap }
th { position: sticky; top: 0; background: var(--card); color: var(--quiet); font-weight: 500;
  white-space: normal; vertical-align: bottom }
td { border-top: 1px solid var(--line) }
.names-3 :is(th, td):nth-child(-n+3), .names-2 :is(th, td):nth-child(-n+2),
.names-1 :is(th, td):first-child { text-align: left }
dl:not(.tiles) { columns: 20rem; column-gap: 2.5rem; font-size: .875rem }
dl:not(.tiles) div { display: flex; gap: 1rem; justify-content: space-between;
  padding: .2rem 0; break-inside: avoid } dl:not(.tiles) dd { text-align: right }
pre { overflow: auto; margin: 0; font-size: .9rem }
@media (max-width: 44rem) {
  body { padding: 1.25rem .9rem 3rem } h1 { font-size: 1.4rem } h2 { margin-top: 2.25rem }
  .tiles div { flex-basis: 40% } .tiles dd { font-size: 1.05rem }
  section:has(> .plot) { grid-template-columns: minmax(0, 1fr) } .plot { padding: .75rem }
  .crops { grid-template-columns: repeat(3, 1fr) }
  .grid { gap: .35rem } .grid.sizes { grid-template-columns: 1fr 1fr; gap: .75rem }
}
@media print {
  :root { --page: #fff } body { padding: 0 } .scroll { max-height: none; overflow: visible }
  article, figure, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .measurements { break-before: page }
  table { font-size: .65rem } th, td { padding: .2rem .3rem }
}
"""
