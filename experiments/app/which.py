"""The tab Which upscaler?: what a gallery says of pictures, as HTML, JSON and a page to keep."""

import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.app import markup, uploads
from experiments.gallery import exhibit, identify
from experiments.report import figures, page
from jaxfleet.errors import InputError
from jaxsr.gallery import state as states
from jaxsr.gallery.answer import GROUPS, Identification
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.heat_map import Cell, heat_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Which upscaler made these pictures?"
TOP = 5  # networks and families that are listed
_COLOURS = {"network": "yes", "interpolation": "yes", "original": "no", None: "unsure"}
_STYLE = Path(__file__).with_name("style.css")
_QUESTIONS = {  # key of `Identification.answers` -> as it is asked
    "is_cropped": "Was it cut out of a larger picture?",
    "is_sharpened": "Was it sharpened?",
    "is_enlarged": "Was it enlarged?",
    "group": "By what?",
    "scale": "By how much?",
    "is_resized": "Was it made smaller afterwards?",
    "family": "By a network of which family?",
    "network": "By which network?",
}


@dataclass(frozen=True)
class Finding:
    """What was found of one picture.

    Attributes:
        name: of the file.
        number: of the picture among those of a desk.
        size: H, W.
        image: address of the picture, small.
        found: what the gallery says.
        notes: what weakens the answer.
        record: all of it, JSON-able.
        cells: where in the picture the evidence lies.
        evidence: as HTML; empty before it is drawn.
        sheets: pages of the report; none before the evidence is drawn.
    """

    name: str
    number: int
    size: tuple[int, int]
    image: str
    found: Identification
    notes: str
    record: Mapping[str, Any]
    cells: tuple[Cell, ...] = ()
    evidence: str = ""
    sheets: "tuple[Figure, ...]" = ()


@functools.lru_cache(maxsize=4)
def open_gallery(path: str = "") -> Gallery:
    """Open a gallery once; "" is the one that comes with jaxsr."""
    return Gallery.open(path or None)


def examine(gallery: Gallery, path: Path, number: int = 0) -> tuple[Finding, np.ndarray]:
    """Identify a dropped file, which is the `number`-th.

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
    return Finding(path.name, number, (height, width), image, found, notes, record), pixels


def _without_folder(error: InputError, path: Path) -> str:
    """Return what is wrong with a file, without where the server keeps it."""
    return str(error).replace(str(path), path.name)


def show_heat_map(answer: Finding) -> str:
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


def show(answer: Finding, *, is_open: bool = True) -> str:
    """Return an answer as HTML that opens and closes."""
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
        f"{markup.facts(file)}{''.join(tables)}</div>{answer.evidence}</details>"
    )


def _answers(found: Identification) -> list[tuple[str, str, str, str]]:
    """Return a row for each question: answer, its probability, and how often it is wrong."""
    done = {"is_sharpened": found.sharpened, "is_resized": found.resized}
    chances = {"scale": found.scale and found.scale[1], **done}
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


def show_evidence(gallery: Gallery, answer: Finding, pixels: np.ndarray) -> str:
    """Return the heat map, and the figure of the residual's spectrum with what to look for."""
    found, sha256 = answer.found, answer.record["sha256"]
    said = exhibit.paragraph(answer.name, sha256, found) if gallery.judge else identify.CAPTION
    drawing = page.figure(
        lambda: identify.figure(gallery, found, pixels, answer.name, sha256, words=False),
        said,
    )
    broad = '<div class="broad" tabindex="0" role="region" aria-label="Fine detail and spectra">'
    return f"{show_heat_map(answer)}{broad}{drawing}</div>"


@dataclass
class Desk:
    """The pictures of one visitor; threads share it.

    Attributes:
        gallery: that answered, see `open_gallery`.
        answers: by the path of the file, in the order of dropping.
        refused: why files of the last dropping cannot be used, by their path.
        waiting: paths of files that are yet to be answered.
        numbers: of all paths that were ever looked at.
        opened: number of the answer that is shown open.
    """

    gallery: str = ""
    answers: dict[str, Finding] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    opened: int = 0

    def take(self, gallery: str, paths: Sequence[str]) -> None:
        """Let dropped files wait, but for those that are answered or waiting, or too many.

        Answers by another gallery go: they could not stand in one report with the new ones.
        """
        if gallery != self.gallery:
            self.gallery, self.answers = gallery, {}
        self.refused, self.opened = {}, 0
        new = [one for one in dict.fromkeys(paths) if one not in {*self.answers, *self.waiting}]
        room = max(0, uploads.MAX_FILES - len(self.answers) - len(self.waiting))
        self.waiting += new[:room]
        for path in new[room:]:
            self.refused[path] = f"Only {uploads.MAX_FILES} pictures are answered at a time."

    def remove(self, number: int) -> None:
        """Remove an answer, if it is there."""
        for path, answer in list(self.answers.items()):
            if answer.number == number:
                self.answers.pop(path, None)

    def show(self) -> str:
        """Return all answers as HTML, each with a button that removes it."""
        return "".join(
            f'<div class="held">{show(one, is_open=one.number == self.opened)}<button '
            f'type="button" class="remove" data-number="{one.number}" aria-label="Remove the '
            f'answer for {markup.text(one.name)}" title="Remove this answer">×</button></div>'
            for one in list(self.answers.values())
        )

    def show_errors(self) -> str:
        """Return what is wrong with files, as HTML."""
        return "".join(map(markup.error, dict.fromkeys(self.refused.values())))


def examine_all(desk: Desk, stop: threading.Event) -> Iterator[str]:
    """Answer for the files that wait at a desk one after the other, first without evidence.

    Args:
        desk: gets what is found.
        stop: set by another thread, ends the work after the file at hand.

    Yields:
        What is going on, as HTML.
    """
    gallery = open_gallery(desk.gallery)
    done, answered, total = 0, 0, len(desk.waiting)
    while desk.waiting and not stop.is_set():
        path, total = desk.waiting[0], done + len(desk.waiting)
        yield markup.status(f"Looking at picture {done + 1} of {total}", done / total)
        try:
            number = desk.numbers.setdefault(path, len(desk.numbers) + 1)
            answer, pixels = examine(gallery, Path(path), number)
            desk.answers[path], desk.opened = answer, desk.opened or number
            answered += 1
            said = f"Drawing the evidence of picture {done + 1}"
            yield markup.status(said, (done + 0.5) / total)
            cells: list[Cell] = []
            for cell in heat_map(gallery, pixels, answer.found.state):
                if stop.is_set():
                    break
                cells.append(cell)
            answer = replace(answer, cells=tuple(cells))
            answer = replace(
                answer,
                evidence=show_evidence(gallery, answer, pixels),
                sheets=_sheets(gallery, answer, pixels),
            )
            if path in desk.answers:  # not removed in the meantime
                desk.answers[path] = answer
        except InputError as error:
            desk.refused[path] = _without_folder(error, Path(path))
        done += 1
        if path in desk.waiting:
            desk.waiting.remove(path)
    ended = "Cancelled" if stop.is_set() else "Done"
    yield markup.status(f"{ended}: {answered} of {total} pictures answered.")


def save(
    folder: Path, desk: Desk, stop: threading.Event
) -> Iterator[tuple[float, tuple[Path, ...]]]:
    """Write what is on a desk as JSON, as a page that needs no other file, and as PDF.

    Args:
        folder: for the files.
        desk: with answers.
        stop: set by another thread, leaves the PDF out.

    Yields:
        The share that is done, and the paths of the files that are written.
    """
    settings = dict(open_gallery(desk.gallery).settings)
    refused = {Path(path).name: why for path, why in desk.refused.items()}
    answers = list(desk.answers.values())
    pictures = [one.record for one in answers]
    pictures += [{"file": name, "error": error} for name, error in refused.items()]
    shown = (show(one, is_open=one is answers[0]) for one in answers)
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
            "Pictures": f"<style>{_STYLE.read_text()}</style>{''.join(shown)}",
            "Gallery": page.definitions(settings),
        },
    )
    with figures.pdf(as_pdf) as add:
        for done, answer in enumerate(answers):
            yield done / len(answers), (as_json, as_page)
            if stop.is_set():
                break
            for sheet in answer.sheets:
                add(sheet)
        last = functools.partial(exhibit.colophon, TITLE, refused, settings)
        add(figures.styled(last))
    yield 1.0, (as_json, as_page) if stop.is_set() else (as_json, as_page, as_pdf)


def _sheets(gallery: Gallery, answer: Finding, pixels: np.ndarray) -> "tuple[Figure, ...]":
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
    rehearsal = identify.rehearsed(gallery, name, pictures)
    larger.save(target)
    yield f"{name} is added. In a test {rehearsal}.", 1.0
