"""Pieces of HTML that the tabs are made of. All text that comes from outside is escaped here."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

INTRODUCTION = """<header><h1>jaxfleet</h1><p>Which network enlarged a picture, and what networks
that store pictures can reach. Everything is computed on the machine that serves this page, and
what you drop here is removed after an hour.</p></header>"""
NO_RUNS = """<p>No run directory was named when the page was started. With
<code>python launch/app.py --runs=runs</code> it shows the runs in the folder <code>runs</code>.
</p>"""
MOST_PX = 1024  # of a shown picture's longer side


def text(value: object) -> str:
    """Return a value as HTML."""
    return html.escape(str(value))


def error(sentence: str) -> str:
    """Return a sentence that says what was wrong, and that screen readers say at once."""
    return f'<p class="error" role="alert">{text(sentence)}</p>'


def status(sentence: str, done: float | None = None) -> str:
    """Return what is going on, which screen readers say when they are idle.

    Args:
        sentence: what is going on.
        done: share that is done, 0 to 1; None where nothing is going on.
    """
    bar = ""
    if done is not None:
        bar = f'<progress max="1" value="{done:.3f}" aria-label="progress"></progress>'
    return f'<div class="status" role="status" aria-live="polite">{bar}{text(sentence)}</div>'


def picture(pixels: np.ndarray, alt: str) -> str:
    """Return an image, shrunk to at most `MOST_PX`.

    Args:
        pixels: [H, W, 3] uint8.
        alt: what it shows, for those who do not see it.
    """
    return image(data_uri(pixels), max(pixels.shape), alt)


def image(address: str, longer_side: int, alt: str) -> str:
    """Return the image of an address; `longer_side` is that of the picture, in pixels."""
    tiny = ' class="tiny"' if longer_side < 256 else ""  # shown larger, pixel by pixel
    return f'<img{tiny} alt="{text(alt)}" src="{address}">'


def captioned(pixels: np.ndarray, caption: str) -> str:
    """Return an image with its caption; [H, W, 3] uint8."""
    return f"<figure>{picture(pixels, caption)}<figcaption>{text(caption)}</figcaption></figure>"


def comparison(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str], start: int = 50
) -> str:
    """Return two images of one size, one over the other, with a slider between them.

    Where the slider stands is kept outside of what is drawn anew when an image changes.

    Args:
        first: [H, W, 3] uint8, to the left of the slider.
        second: [H, W, 3] uint8, to its right.
        names: of both.
        start: where the slider stands at first, in percent; sliders side by side differ in it.
    """
    left, right = (picture(one, name) for one, name in zip((first, second), names, strict=True))
    move = f"this.closest('.prose').style.setProperty('--at{start}',this.value+'%')"
    return (
        f'<figure class="comparison"><div style="--at:var(--at{start},{start}%)">{left}{right}'
        f'<input type="range" min="0" max="100" value="{start}" aria-label="Share of the picture '
        f'that shows the {text(names[0])}" oninput="{move}"></div><figcaption>Left of the slider: '
        f"{text(names[0])}; right: {text(names[1])}.</figcaption></figure>"
    )


def data_uri(pixels: np.ndarray) -> str:
    """Return the address of an image that is its own content; [H, W, 3] uint8."""
    rough = max(1, max(pixels.shape) // (4 * MOST_PX))  # of huge ones some rows and columns do
    shown = Image.fromarray(np.ascontiguousarray(pixels[::rough, ::rough]))
    shown.thumbnail((MOST_PX, MOST_PX), Image.Resampling.LANCZOS)
    buffer, is_small = io.BytesIO(), max(shown.size) <= 256
    if is_small:
        shown.save(buffer, "WEBP", lossless=True, method=2)
    else:  # WebP takes ten times as long
        shown.save(buffer, "JPEG", quality=90)
    kind = "webp" if is_small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def facts(values: Mapping[str, object]) -> str:
    """Return names and values."""
    rows = (f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in values.items())
    return f'<dl class="facts">{"".join(rows)}</dl>'


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table, of which the first cell of a row names it; nothing if it has no rows."""
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{text(one)}</th>' for one in head)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>{"".join(f"<td>{text(x)}</td>" for x in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
