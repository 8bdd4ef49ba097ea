"""The tab Which upscaler?: what a gallery says of pictures, as HTML, JSON and a page to keep."""

import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.app import markup, uploads
from experiments.gallery import exhibit, identify
from experiments.report import figures, page
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxsr.gallery import state as states
from jaxsr.gallery.answer import GROUPS, Identification
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.heat_map import Cell, heat_map
from jaxsr.gallery.rehearsal import rehearse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Which upscaler made these pictures?"
TOP = 5  # networks and families that are listed
_COLOURS = {"network": "yes", "interpolation": "yes", "original": "no", None: "unsure"}
_STYLE = Path(__file__).with_name("style.css")
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
        size: H, W.
        image: address of the picture, small.
        found: what the gallery says.
        notes: what weakens the answer.
        record: all of it, JSON-able.
        cells: where in the picture the evidence lies.
        sheets: pages of the report; none before the evidence is drawn.
    """

    name: str
    size: tuple[int, int]
    image: str
    found: Identification
    notes: str
    record: Mapping[str, Any]
    cells: tuple[Cell, ...] = ()
    sheets: "tuple[Figure, ...]" = ()


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


def examine(gallery: Gallery, path: Path) -> tuple[Answer, np.ndarray]:
    """Identify a dropped file.

    Returns:
        The answer, and the pixels of the picture, [H, W, 3] uint8.

    Raises:
        InputError: if it cannot be used.
    """
    uploads.check(path)
    pixels, notes, data = identify.open_picture(path)
    found = gallery.identify(pixels, states.of_file(data, pixels))
    record = identify.json_of(path.name, data, found)
    height, width = pixels.shape[:2]
    image = markup.data_uri(pixels)
    return Answer(path.name, (height, width), image, found, notes, record), pixels


def _without_folder(error: InputError, path: Path) -> str:
    """Return what is wrong with a file, without where the server keeps it."""
    return str(error).replace(str(path), path.name)


def show_heat_map(answer: Answer) -> str:
    """Return the picture with its cells over it, coloured by their probability."""
    height, width = answer.size
    squares = "".join(
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" class="tile" '
        f'fill="#ff7f0e" fill-opacity="{0.6 * share:.2f}"><title>{share:.0%}</title></rect>'
        for top, left, bottom, right, share in answer.cells
    )
    said = exhibit.cells_in_words(answer.cells)
    return (
        f'<figure class="heat"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
        f'<image href="{answer.image}" width="{width}" height="{height}"/>'
        f"{squares}</svg><figcaption>Where the evidence lies: {said} The stronger the colour, the "
        "more probable.</figcaption></figure>"
    )


def show(answer: Answer, more: str = "", *, is_open: bool = True) -> str:
    """Return an answer as HTML that opens and closes, with `more` at its end."""
    found, (height, width) = answer.found, answer.size
    verdict = found.verdict[0].upper() + found.verdict[1:]
    file = {
        "size": f"{width} x {height} pixels",
        "what happened to it": found.state,
        "SHA-256": answer.record["sha256"],
    }
    asked = found.group in (None, "network")  # whether a network may have made it
    families, ranking = (_shares(x if asked else ()) for x in (found.families, found.ranking))
    note = f'<p class="note">{markup.text(answer.notes)}</p>' if answer.notes else ""
    tables = (
        markup.table("Answers", ("question", "answer", "probability", "errors"), _answers(found)),
        markup.table("Families, if a network made it", ("family", "probability"), families),
        markup.table("Classes, if one of them made it", ("class", "probability"), ranking),
    )
    return (
        f'<details class="answer" {"open" if is_open else ""}><summary><span class="verdict '
        f'{_COLOURS[found.group]}">{markup.text(verdict)}</span> <span class="file">'
        f"{markup.text(answer.name)}</span></summary>{note}"
        f'<div class="columns">{markup.image(answer.image, max(answer.size), answer.name)}'
        f"{markup.facts(file)}{''.join(tables)}</div>{more}</details>"
    )


def _answers(found: Identification) -> list[tuple[str, str, str, str]]:
    """Return a row for each question: answer, its probability, and how often it is wrong."""
    chances = {"scale": found.scale and found.scale[1]}
    if found.groups and found.is_enlarged is not None:
        share = found.groups[GROUPS[0]]
        chances["is_enlarged"] = 1 - share if found.is_enlarged else share
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


def show_evidence(gallery: Gallery, answer: Answer, pixels: np.ndarray) -> str:
    """Return the heat map, and the figure of the residual's spectrum with what to look for."""
    found, sha256 = answer.found, answer.record["sha256"]
    said = exhibit.paragraph(answer.name, sha256, found) if gallery.judge else identify.CAPTION
    drawing = page.figure(
        lambda: identify.figure(gallery, found, pixels, answer.name, sha256, words=False),
        said,
    )
    return show_heat_map(answer) + drawing


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
        try:
            answer, pixels = examine(gallery, Path(path))
        except InputError as error:
            answers.append(Refused(Path(path).name, _without_folder(error, Path(path))))
            continue
        answers.append(answer)
        is_open = not shown
        shown.append(show(answer, is_open=is_open))
        yield now(f"Drawing the evidence of picture {number}", (number - 0.5) / len(paths))
        cells: list[Cell] = []
        for cell in heat_map(gallery, pixels, answer.found.state):
            if stop.is_set():
                break
            cells.append(cell)
        answer = replace(answer, cells=tuple(cells))
        shown[-1] = show(answer, show_evidence(gallery, answer, pixels), is_open=is_open)
        answers[-1] = replace(answer, sheets=_sheets(gallery, answer, pixels))
    count = len(shown)
    ended = "Cancelled" if stop.is_set() else "Done"
    yield now(f"{ended}: {count} of {len(paths)} pictures answered.")


def save(folder: Path, gallery_path: str, examined: Examined) -> tuple[Path, Path, Path]:
    """Write what was found as JSON, as a page that needs no other file, and as PDF.

    Returns:
        The paths of the three.
    """
    gallery = open_gallery(gallery_path)
    settings = dict(gallery.settings)
    refused = {one.name: one.error for one in examined.answers if isinstance(one, Refused)}
    pictures = [
        {"file": one.name, "error": one.error} if isinstance(one, Refused) else one.record
        for one in examined.answers
    ]
    as_json, as_pdf = folder / "found.json", folder / "report.pdf"
    as_json.write_text(json.dumps({"settings": settings, "pictures": pictures}, indent=1))
    as_page = page.write(
        folder,
        TITLE,
        {
            "pictures": str(len(pictures)),
            "files not used": str(len(refused)),
            "classes of the gallery": str(settings["classes"]),
            "version of jaxsr": str(settings["jaxsr"]),
        },
        {
            "Files that cannot be used": page.definitions(refused),
            "Pictures": f"<style>{_STYLE.read_text()}</style>{''.join(examined.shown)}",
            "Gallery": page.definitions(settings),
        },
    )
    drawn = [sheet for one in examined.answers if isinstance(one, Answer) for sheet in one.sheets]
    last = figures.styled(functools.partial(exhibit.colophon, TITLE, refused, settings))
    as_pdf.write_bytes(figures.to_pdf([*drawn, last]))
    return as_json, as_page, as_pdf


def _sheets(gallery: Gallery, answer: Answer, pixels: np.ndarray) -> "tuple[Figure, ...]":
    """Draw the pages of a report about a picture, which take less memory than its pixels."""
    name, found, sha256 = answer.name, answer.found, answer.record["sha256"]
    lines = identify.summary(gallery, found, TOP)
    draws: tuple[Callable[[], Figure], ...] = (
        lambda: exhibit.sheet(name, sha256, pixels, found, answer.cells, lines),
        lambda: identify.figure(gallery, found, pixels, name, sha256),
    )
    return tuple(figures.styled(draw) for draw in draws)


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
