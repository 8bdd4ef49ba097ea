"""Which network made a picture: of one, of a folder, and a network more to compare with."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.gallery import exhibit
from experiments.gallery.identify_config import IdentifyConfig
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos, picture_files
from jaxfleet.scripts import compiled
from jaxsr.fingerprints import welch
from jaxsr.gallery import state as states
from jaxsr.gallery.answer import Identification
from jaxsr.gallery.core import HYPERPARAMETERS, Gallery
from jaxsr.gallery.rehearsal import Rehearsal, rehearse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAREST = 3  # networks in the picture
CAPTION = (
    "Spectrum of the residual of this picture beside those of the nearest networks; below, how "
    "each differs from the mean of all. Bright points and lines at the same places speak for the "
    "same network."
)
COLUMNS = (
    *("file", "network", "likeliest_class", "probability"),
    *(column for name in HYPERPARAMETERS for column in (name, f"{name}_probability")),
    *("is_known", "margin", "is_super_resolved", "super_resolved_probability"),
    *("tiles", "verdict", "notes", "error"),
)


def identify_file(config: IdentifyConfig) -> str:
    """Identify the image of --input; write --picture if it is given.

    Raises:
        InputError: for a picture or gallery that cannot be used; then nothing is written.
    """
    if config.output:
        raise InputError("--output goes with a folder; what is found of a picture is printed.")
    gallery = open_gallery(config)
    target = checked_target("picture", config.picture)
    json_target = checked_target("json", config.json)
    path = Path(config.input).expanduser()
    if target is not None and target.resolve() == path.resolve():
        raise InputError(f"--picture={target} is read, and will not be written; name another.")
    pixels, notes, data = open_picture(path)
    try:
        found = gallery.identify(pixels, states.of_file(data, pixels))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    height, width = pixels.shape[:2]
    said = f"{path}: {width} x {height} pixels, tiles looked at: {found.num_tiles}"
    notes = _with_state(notes, found)
    lines = [f"{said} ({notes})" if notes else said, *summary(gallery, found, config.top)]
    if json_target is not None:
        storage.write_atomically(json_target, _json([json_of(path.name, data, found)]))
        lines.append(f"wrote {json_target}")
    if target is not None:
        from experiments.report import figures

        def drawing() -> "Figure":
            digest = hashlib.sha256(data).hexdigest()
            return figure(gallery, found, pixels, path.name, digest)

        storage.write_atomically(target, figures.to_png(drawing))
        lines.append(f"wrote {target}")
    return "\n".join(lines)


def identify_folder(config: IdentifyConfig) -> tuple[str, int, int]:
    """Identify the images in the folder --input.

    Returns:
        A table in CSV with `COLUMNS`, which is written to --output if that is given; how many
        pictures there are; and how many of them could not be used, which have only an error.

    Raises:
        InputError: for a gallery that cannot be used, or a folder without pictures.
    """
    if config.picture:
        raise InputError("--picture goes with one picture, and --input names a folder.")
    gallery = open_gallery(config)
    target = checked_target("output", config.output)
    json_target, page_target = (
        checked_target(flag, getattr(config, flag)) for flag in ("json", "page")
    )
    folder = Path(config.input).expanduser()
    paths = picture_files.find(folder, f"--input={folder}")
    answered = [_answer(gallery, path) for path in paths]
    rows = [row for row, _ in answered]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if target is not None:
        storage.write_atomically(target, buffer.getvalue().encode())
    if json_target is not None:
        storage.write_atomically(json_target, _json([told for _, told in answered]))
    if page_target is not None:
        text = exhibit.page(f"Pictures of {config.input}", [told for _, told in answered], gallery)
        storage.write_atomically(page_target, text.encode())
    return buffer.getvalue(), len(rows), sum("error" in row for row in rows)


def enrol(config: IdentifyConfig) -> str:
    """Add the network of --add to the gallery, and write that to --output.

    Raises:
        InputError: for a gallery, folder or picture that cannot be used; then nothing is written.
    """
    from experiments.pictures import makers  # who writes NAME=FOLDER; brings in networks
    from jaxsr.datasets import picture_sets  # brings in pandas

    gallery = open_gallery(config)
    target = checked_target("output", config.output)
    assert target is not None
    try:
        one = makers.parse_labelled(config.add)
    except InputError as error:
        raise InputError(str(error).replace("--labelled", "--add")) from None
    facts = {
        name: value
        for name, value in one.facts.items()
        if picture_sets.is_known(name, value) and name != "overrides"
    }
    source = Path(one.source).expanduser()
    paths = picture_files.find(source, f"--add={source}")
    pictures = [read_picture(path)[0] for path in paths]
    larger = gallery.add(one.name, pictures, **facts)
    rehearsal = rehearsed(gallery, one.name, pictures)
    larger.save(target)
    count = len(larger.cards)
    return (
        f"{target}: {count} classes; {one.name} by {len(paths)} pictures of {one.source}.\n"
        f"test: {rehearsal}."
    )


def rehearsed(gallery: Gallery, name: str, pictures: Sequence[np.ndarray]) -> Rehearsal:
    """Rehearse the enrolment of a network, with the packaged photographs as those of no network.

    Raises:
        InputError: if it would do harm.
    """
    plain = [photo.pixels for photo in photos.load("packaged")]
    rehearsal = rehearse(gallery, name, pictures, plain)
    if rehearsal.is_harmful:
        raise InputError(
            f"{name} is not added, since in a test {rehearsal}. Give more pictures, as the network "
            "wrote them."
        )
    return rehearsal


def _answer(gallery: Gallery, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `COLUMNS` of a picture and its JSON; if it cannot be used, its file and the error."""
    try:
        pixels, notes, data = open_picture(path)
        found = gallery.identify(pixels, states.of_file(data, pixels))
    except InputError as error:
        failed = {"file": path.name, "error": str(error)}
        return failed, failed
    name, chance = found.ranking[0]
    row: dict[str, Any] = {
        **{"file": path.name, "network": found.network},
        **{"likeliest_class": name, "probability": f"{chance:.4f}"},
    }
    for what, (value, probability) in found.hyperparameters.items() if found.is_known else ():
        row |= {what: value, f"{what}_probability": f"{probability:.4f}"}
    row |= {
        "is_known": _word(found.is_known),
        "margin": f"{found.margin:.3f}",
        "is_super_resolved": _word(found.is_super_resolved),
        "super_resolved_probability": f"{found.super_resolved_probability:.4f}",
        "tiles": found.num_tiles,
        "verdict": found.verdict,
        "notes": _with_state(notes, found),
    }
    return row, json_of(path.name, data, found)


def json_of(name: str, data: bytes, found: Identification) -> dict[str, Any]:
    """Return the answer about a file, JSON-able, with the SHA-256 of the file."""
    return {"file": name, "sha256": hashlib.sha256(data).hexdigest(), **found.to_json()}


def _json(answers: Sequence[Mapping[str, Any]]) -> bytes:
    return (json.dumps(answers, indent=2, ensure_ascii=False) + "\n").encode()


def _with_state(notes: str, found: Identification) -> str:
    """Add what has happened to the file to what else weakens the answer."""
    lossy = "" if found.state.compression == states.LOSSLESS else "compressed with loss: "
    told = lossy or found.state.is_grey or found.state.is_drawn
    state = f"{lossy}{found.state}" if told else ""
    return "; ".join(filter(None, (notes, state)))


def read_picture(path: Path) -> tuple[np.ndarray, str]:
    """Return the pixels and notes of `open_picture`."""
    return open_picture(path)[:2]


def open_picture(path: Path) -> tuple[np.ndarray, str, bytes]:
    """[H, W, 3] uint8 of a file, upright as its EXIF says; what weakens the answer; its bytes.

    Nothing is converted: of 16 bits, a palette, other colour models and transparency a conversion
    would make pixels that nobody has seen, and colours stay as they are stored, whatever their ICC
    profile says. Grey is three equal channels. An alpha channel that is opaque throughout is left
    out.

    Raises:
        InputError: for these, for animations, and for files that are no whole pictures.
    """
    data = picture_files.bytes_of(path)
    picture = picture_files.decode(data, f"'{path}'", convert_profile=False)
    header = picture.header
    for refused, why in (
        (header.bits > 8, "more than 8 bits; networks of the gallery wrote 8"),
        (header.mode in ("P", "PA"), "colours of a palette; their fingerprints are gone"),
        (header.mode == "1", "black and white without grey; its fingerprints are gone"),
        (
            header.mode not in ("RGB", "RGBA", "RGBX", "L", "LA"),
            f"{header.mode} and not red, green, blue",
        ),
        (picture.is_transparent, "transparent in places; lay it on what it was seen on first"),
    ):
        if refused:
            raise InputError(f"{path}: {why}. Give the picture as the network wrote it.")
    notes = [note for note in picture.notes if "ICC profile" in note]
    return picture.pixels, "; ".join(notes), data


def checked_target(flag: str, text: str) -> Path | None:
    """Return the file that a flag names; None if it is empty.

    Raises:
        InputError: if its folder is not there.
    """
    if not text:
        return None
    path = Path(text).expanduser()
    storage.check_file(path, f"--{flag}")
    return path


def open_gallery(config: IdentifyConfig) -> Gallery:
    """Open the gallery of --gallery.

    Raises:
        InputError: if it is missing, damaged, or of another version.
    """
    gallery = Gallery.open(config.gallery or None)
    if gallery.judge is None:  # then JAX may be needed
        compiled.keep_programs()
    return gallery


def summary(gallery: Gallery, found: Identification, top: int) -> list[str]:
    """Return the answer in lines of text, with `top` networks."""
    if gallery.judge is not None:
        return exhibit.lines(found, top)
    share = found.super_resolved_probability
    made = _word(found.is_super_resolved)
    if found.is_super_resolved is not None:
        made += f" (probability {share:.1%})"
    known = {
        True: "yes",
        False: "no: it is like no class of the gallery; the nearest are",
        None: f"cannot tell: not calibrated for pictures in this state ({found.state})",
    }[found.is_known]
    lines = [
        f"super-resolved: {made}",
        f"known: {known} (margin {found.margin:.1f}; of what is known 0 or more, and a probability "
        f"of at least {gallery.least_probability:.0%})",
        *(f"  {chance:6.1%}  {name}" for name, chance in found.ranking[:top]),
    ]
    if found.hyperparameters and found.is_known and found.is_super_resolved:
        parts = [f"{what} {v} ({p:.1%})" for what, (v, p) in found.hyperparameters.items()]
        lines.append(f"built with: {', '.join(parts)}")
    return lines


def figure(
    gallery: Gallery,
    found: Identification,
    pixels: np.ndarray,
    name: str,
    sha256: str,
    *,
    words: bool = True,
) -> "Figure":
    """Draw what the answer of a gallery rests on; arguments as of `exhibit.draw`."""
    if gallery.judge is None:
        return draw(gallery, found, pixels)
    return exhibit.draw(gallery.judge, found, pixels, name, sha256, words=words)


def draw(gallery: Gallery, found: Identification, pixels: np.ndarray) -> "Figure":
    """Spectrum of a picture's residual beside those of the nearest classes.

    Below each is what sets it apart from the mean of all classes of the gallery.

    Args:
        gallery: that the picture was compared with.
        found: what it said.
        pixels: [H, W, 3] uint8.
    """
    from matplotlib.figure import Figure

    spectra = gallery.spectra.astype(np.float32)
    side = spectra.shape[-1]
    mean = spectra.mean(axis=0)
    shown: dict[str, np.ndarray] = {"this picture": welch.decibels(welch.power(pixels, side))}
    known = [one for one in found.ranking if one[0] in gallery.names]  # a judge has more classes
    for name, chance in known[:NEAREST]:
        shown[f"{name}\n{chance:.1%}"] = spectra[gallery.names.index(name)]
    apart = {name: spectrum - mean for name, spectrum in shown.items()}
    widest = max(float(np.quantile(np.abs(x), 0.99)) for x in apart.values())
    low, high = _limits(shown)
    figure = Figure(figsize=(2.1 * len(shown) + 0.9, 4.6), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    edges = (-0.5, 0.5, 0.5, -0.5)
    for row, images, label, settings in (
        (0, shown, "dB", {"cmap": "viridis", "vmin": low, "vmax": high}),
        (1, apart, "dB from the mean", {"cmap": "RdBu_r", "vmin": -widest, "vmax": widest}),
    ):
        for place, (name, spectrum) in zip(axes[row], images.items(), strict=True):
            drawn = place.imshow(spectrum, extent=edges, **settings)
            place.grid(visible=False)
            place.set_xticks([-0.5, 0, 0.5])
            place.set_yticks([-0.5, 0, 0.5])
            if row == 0:
                place.set_title(name, fontsize=7.5)
        figure.colorbar(drawn, ax=list(axes[row]), label=label, shrink=0.8)
    figure.supxlabel("cycles per pixel", fontsize=8.5)
    return figure


def _limits(spectra: Mapping[str, np.ndarray]) -> tuple[float, float]:
    values: Sequence[float] = np.quantile(np.stack(list(spectra.values())), (0.01, 0.99))
    return float(values[0]), float(values[1])


def _word(answer: bool | None) -> str:
    return {True: "yes", False: "no", None: "cannot tell"}[answer]
