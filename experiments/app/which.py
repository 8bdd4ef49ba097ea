"""The tab Which upscaler?: what a gallery says of pictures, as HTML, JSON and a page to keep."""

import functools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.app import markup, uploads
from experiments.gallery import identify
from experiments.report import page
from jaxfleet import photos
from jaxfleet.errors import InputError
from jaxsr.datasets.crops import tile_starts
from jaxsr.gallery import state as states
from jaxsr.gallery.answer import Identification
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.rehearsal import rehearse

MOST_TILES_ACROSS = 6
TOP = 5  # networks and families that are listed
_COLOURS = {"network": "yes", "interpolation": "yes", "original": "no", None: "unsure"}
_QUESTIONS = {  # key of `Identification.answers` -> as it is asked
    "is_enlarged": "Was it enlarged?",
    "group": "By what?",
    "scale": "By how much?",
    "family": "By a network of which family?",
    "network": "By which network?",
}


@dataclass(frozen=True)
class Answer:
    """What was found of one picture.

    Attributes:
        name: of the file.
        pixels: [H, W, 3] uint8.
        found: what the gallery says.
        notes: what weakens the answer.
        record: all of it, JSON-able.
    """

    name: str
    pixels: np.ndarray
    found: Identification
    notes: str
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A file that cannot be used.

    Attributes:
        name: of the file.
        error: why, in a sentence.
    """

    name: str
    error: str


@functools.lru_cache(maxsize=4)
def open_gallery(path: str = "") -> Gallery:
    """Open a gallery once; "" is the one that comes with jaxsr."""
    return Gallery.open(path or None)


def examine(gallery: Gallery, path: str | Path) -> Answer | Refused:
    """Identify a dropped file, or say why it cannot be used."""
    path = Path(path)
    try:
        uploads.check(path)
        pixels, notes, data = identify.open_picture(path)
        found = gallery.identify(pixels, states.of_file(data, pixels))
    except InputError as error:
        return Refused(path.name, _without_folder(error, path))
    return Answer(path.name, pixels, found, notes, identify.json_of(path.name, data, found))


def _without_folder(error: InputError, path: Path) -> str:
    """Return what is wrong with a file, without where the server keeps it."""
    return str(error).replace(str(path), path.name)


def heat_map(gallery: Gallery, answer: Answer) -> Iterator[tuple[int, int, float]]:
    """Yield top, left and the probability of a network's work, by single tiles of a picture."""
    pixels = answer.pixels
    tops, lefts = (_some(list(tile_starts(size, gallery.crop_px))) for size in pixels.shape[:2])
    for top in tops:
        for left in lefts:
            tile = pixels[top : top + gallery.crop_px, left : left + gallery.crop_px]
            try:
                found = gallery.identify(tile, answer.found.state)
            except InputError:  # a flat or grey place
                continue
            yield top, left, found.super_resolved_probability


def _some(starts: list[int]) -> list[int]:
    chosen = np.linspace(0, len(starts) - 1, min(len(starts), MOST_TILES_ACROSS))
    return [starts[i] for i in np.unique(chosen.round().astype(int))]


def show_heat_map(pixels: np.ndarray, tiles: Sequence[tuple[int, int, float]], side: int) -> str:
    """Return the picture with its tiles over it, coloured by their probability."""
    height, width = pixels.shape[:2]
    squares = "".join(
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" class="tile" '
        f'style="fill-opacity:{0.5 * share:.2f}"><title>{share:.0%}</title></rect>'
        for top, left, share in tiles
    )
    for_it = sum(share > 0.5 for *_, share in tiles)
    said = f"{for_it} of {len(tiles)} tiles speak for a network when they are asked alone."
    return (
        f'<figure class="heat"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
        f'<image href="{markup.data_uri(pixels)}" width="{width}" height="{height}"/>{squares}'
        f"</svg><figcaption>Where the evidence lies: {said} The stronger the colour, the more "
        "probable.</figcaption></figure>"
    )


def show(
    gallery: Gallery, answer: Answer | Refused, more: str = "", *, is_open: bool = True
) -> str:
    """Return an answer as HTML that opens and closes, with `more` at its end."""
    if isinstance(answer, Refused):
        return f'<div class="answer">{markup.error(answer.error)}</div>'
    found, (height, width) = answer.found, answer.pixels.shape[:2]
    verdict = found.verdict[0].upper() + found.verdict[1:]
    file = {
        "size": f"{width} x {height} pixels",
        "what happened to it": found.state,
        "SHA-256": answer.record["sha256"],
    }
    note = f'<p class="note">{markup.text(answer.notes)}</p>' if answer.notes else ""
    tables = (
        markup.table("Answers", ("question", "answer", "probability", "errors"), _answers(found)),
        markup.table("Families of networks", ("family", "probability"), _shares(found.families)),
        markup.table("Nearest networks", ("network", "probability"), _shares(found.ranking)),
    )
    return (
        f'<details class="answer" {"open" if is_open else ""}><summary><span class="verdict '
        f'{_COLOURS[found.group]}">{markup.text(verdict)}</span> <span class="file">'
        f"{markup.text(answer.name)}</span></summary>{note}"
        f'<div class="columns">{markup.picture(answer.pixels, answer.name)}'
        f"{markup.facts(file)}{''.join(tables)}</div>{more}</details>"
    )


def _answers(found: Identification) -> list[tuple[str, str, str, str]]:
    """Return a row for each question: answer, its probability, and how often it is wrong."""
    chances = {"scale": found.scale and found.scale[1]}
    for name, shares in (
        ("group", found.groups),
        ("family", dict(found.families)),
        ("network", dict(found.ranking)),
    ):
        chances[name] = shares.get(found.answers[name])
    words = {None: "cannot tell", True: "yes", False: "no"}
    rows = []
    for name, question in _QUESTIONS.items():
        answer, chance = found.answers[name], chances.get(name)
        said = words[answer] if answer is None or isinstance(answer, bool) else f"{answer}"
        rate = found.error_rates.get(name)
        sure = "–" if chance is None else f"{chance:.1%}"
        rows.append((question, said, sure, "–" if rate is None else str(rate)))
    return rows


def _shares(pairs: Sequence[tuple[str, float]]) -> list[tuple[str, str]]:
    return [(name, f"{chance:.1%}") for name, chance in pairs[:TOP]]


def show_spectra(gallery: Gallery, answer: Answer) -> str:
    """Return the figure of the residual's spectrum beside those of the nearest networks."""
    said = (
        "Spectrum of the residual of this picture beside those of the nearest networks; below, how "
        "each differs from the mean of all. Bright points and lines at the same places speak for "
        "the same network."
    )
    return page.figure(lambda: identify.draw(gallery, answer.found, answer.pixels), said)


@dataclass(frozen=True)
class Examined:
    """How far a lot of pictures is.

    Attributes:
        status: what is going on, as HTML.
        errors: of files that cannot be used, as HTML.
        shown: an entry of HTML for each picture that was answered.
        answers: of all files so far.
    """

    status: str
    errors: str
    shown: tuple[str, ...]
    answers: tuple[Answer | Refused, ...]


def examine_all(
    gallery_path: str, paths: Sequence[str], stop: threading.Event
) -> Iterator[Examined]:
    """Answer for dropped files one after the other, first in words, then with figures.

    Args:
        gallery_path: see `open_gallery`.
        paths: of the files; those beyond `uploads.MAX_FILES` are refused.
        stop: set by another thread, ends the work after the file at hand.
    """
    gallery = open_gallery(gallery_path)
    answers: list[Answer | Refused] = []
    shown: list[str] = []

    def now(said: str, done: float | None = None) -> Examined:
        errors = "".join(markup.error(one.error) for one in answers if isinstance(one, Refused))
        return Examined(markup.status(said, done), errors, tuple(shown), tuple(answers))

    for path in paths[uploads.MAX_FILES :]:
        sentence = f"Only {uploads.MAX_FILES} pictures are answered at a time."
        answers.append(Refused(Path(path).name, sentence))
    paths = paths[: uploads.MAX_FILES]
    for number, path in enumerate(paths, 1):
        if stop.is_set():
            break
        yield now(f"Looking at picture {number} of {len(paths)}", (number - 1) / len(paths))
        answer = examine(gallery, path)
        answers.append(answer)
        if isinstance(answer, Refused):
            continue
        is_open = not shown
        shown.append(show(gallery, answer, is_open=is_open))
        yield now(f"Drawing the evidence of picture {number}", (number - 0.5) / len(paths))
        tiles: list[tuple[int, int, float]] = []
        for tile in heat_map(gallery, answer):
            if stop.is_set():
                break
            tiles.append(tile)
        more = show_heat_map(answer.pixels, tiles, gallery.crop_px) + show_spectra(gallery, answer)
        shown[-1] = show(gallery, answer, more, is_open=is_open)
    count = len(shown)
    ended = "Cancelled" if stop.is_set() else "Done"
    yield now(f"{ended}: {count} of {len(paths)} pictures answered.")


def save(folder: Path, gallery_path: str, examined: Examined) -> tuple[Path, Path]:
    """Write what was found as JSON and as a page that needs no other file; return both paths."""
    settings = dict(open_gallery(gallery_path).settings)
    pictures = [
        {"file": one.name, "error": one.error} if isinstance(one, Refused) else one.record
        for one in examined.answers
    ]
    text = folder / "found.json"
    text.write_text(json.dumps({"settings": settings, "pictures": pictures}, indent=1))
    return text, page.write(
        folder,
        "Which upscaler made these pictures?",
        {"pictures": str(len(pictures)), "networks compared": str(settings["classes"])},
        {
            "Files that cannot be used": examined.errors,
            "Pictures": "".join(examined.shown),
            "Gallery": page.definitions(settings),
        },
    )


def enrol(
    gallery_path: str, name: str, paths: Sequence[str], target: Path
) -> Iterator[tuple[str, float]]:
    """Add a network to a gallery by pictures of it, if a rehearsal shows that this does no harm.

    Yields:
        What is going on, and the share that is done; the last one is the result.

    Raises:
        InputError: as `Gallery.add`, naming a picture that cannot be used, or if it would do harm.
    """
    gallery, pictures = open_gallery(gallery_path), []
    for number, path in enumerate(paths, 1):
        yield f"Reading picture {number} of {len(paths)}", 0.3 * number / len(paths)
        try:
            pictures.append(identify.read_picture(uploads.check(path))[0])
        except InputError as error:
            raise InputError(_without_folder(error, Path(path))) from None
    yield "Learning from all pictures", 0.4
    larger = gallery.add(name, pictures)
    yield "Trying it on pictures left out, and on photographs", 0.6
    plain = [photo.pixels for photo in photos.load("packaged")]
    rehearsal = rehearse(gallery, name, pictures, plain)
    if rehearsal.is_harmful:
        raise InputError(f"{name} is not added, since in a test {rehearsal}. Give more pictures.")
    larger.save(target)
    yield f"{name} is added. In a test {rehearsal}.", 1.0
