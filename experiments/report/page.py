"""The parts of a report's page as HTML: tiles, pictures, plots, tables, settings, style.

A page is one file that needs nothing else: pictures and style are inside. It follows the reader's
light or dark theme, and prints. Functions return HTML; names and values that come from outside
are escaped here, headings and captions are ours and may hold tags.
"""

import base64
import dataclasses
import html
import io
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from PIL import Image

from experiments.report import figures
from experiments.report.style import PAGE, STYLE
from jaxfleet import rundir, storage
from jaxfleet.results.showing import counted

MAX_ROWS = 200  # of a table on the page
TABLE_CHARACTERS = 118  # that stand side by side in a table, with the padding of its columns
PADDING_CHARACTERS = 2  # of a column
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
    text = PAGE.format(
        title=html.escape(title),
        style=STYLE,
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
    """Return an HTML table; one that is wider than the page as several, each with the names.

    Args:
        rows: at most `MAX_ROWS` are shown.
        columns: heading -> column of `rows`, and its format.
        leading: how many of the columns are names, which stand to the left: 0 to 3.
    """
    if not len(rows):
        return ""
    few = rows.head(MAX_ROWS)
    cells = {
        heading: [_value(value, form) for value in few[name]]
        for heading, (name, form) in columns.items()
    }
    more = f"<p>The first {MAX_ROWS} of {len(rows):,}.</p>" if len(rows) > MAX_ROWS else ""
    return "".join(_table(part, leading) for part in _parts(cells, leading)) + more


def _table(cells: Mapping[str, Sequence[str]], leading: int) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in cells)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for row in zip(*cells.values(), strict=True)
    )
    return (
        f'<div class="scroll"><table class="names-{leading}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _parts(cells: Mapping[str, Sequence[str]], leading: int) -> list[dict[str, Sequence[str]]]:
    """Divide the columns of a table into those that fit on a page, names first in each."""
    names = dict(list(cells.items())[:leading])
    width = {
        heading: PADDING_CHARACTERS
        + max(map(len, [*heading.split(), *(" ".join(own).split() if heading in names else own)]))
        for heading, own in cells.items()
    }
    room = TABLE_CHARACTERS - sum(width[heading] for heading in names)
    parts, taken = [names], 0
    for heading, own in list(cells.items())[leading:]:
        if taken and taken + width[heading] > room:
            parts.append(dict(names))
            taken = 0
        parts[-1] = {**parts[-1], heading: own}
        taken += width[heading]
    return parts


def _value(value: object, form: str) -> str:
    """Format a cell: – for unknown, and what `decibels` calls exact for inf."""
    if isinstance(value, float) and not math.isfinite(value):
        return "exact" if value > 0 else "–"
    return "–" if pd.isna(value) else form.format(value)


def captioned(caption: str, content: str) -> str:
    """Return HTML below its caption; nothing without content."""
    return caption + content if content else ""


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


def settings(config: Any, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags of a run, a dataclass, and on what and by which version it was begun."""
    flags = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return flags | rundir.provenance(manifest)


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
