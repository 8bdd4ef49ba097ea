"""An identification as people read it: lines, a paragraph, a figure, a page of a folder."""

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsr.fingerprints import evidence
from jaxsr.gallery import judge as judging
from jaxsr.gallery.answer import Identification
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.heat_map import Cell
from jaxsr.gallery.judge import Judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_PX = 192  # side of the residual that is drawn
GAIN = 8.0  # of the residual
_DRAWN_PX = 1000  # of a side, on a page
_DONE = {
    "cropped": "cut out of a larger picture",
    "sharpened": "sharpened",
    "resized": "made smaller afterwards",
}
_WORDS = {
    "original": "no",
    "interpolation": "yes, by interpolation",
    "network": "yes, by a network",
    None: "cannot tell",
}


def lines(found: Identification, top: int) -> list[str]:
    """Return the answers in their order, each with its probability and its measured errors."""
    group = found.group
    enlarged = _WORDS[group]
    if group is None and found.is_enlarged:
        enlarged = "yes; cannot tell whether by a network or by interpolation"
    chances = ", ".join(f"{name} {share:.1%}" for name, share in found.groups.items())
    scale = "cannot tell" if found.scale is None else f"{found.scale[0]:.2g} times the size"
    asked = group not in ("original", "interpolation")  # whether a network may have made it
    families = ", ".join(f"{name} {share:.1%}" for name, share in found.families[:3] if asked)
    said = [
        f"verdict: {found.verdict}",
        _afterwards(found, "cropped"),
        _afterwards(found, "sharpened"),
        f"enlarged: {enlarged}{_beside(found, 'group' if group else 'is_enlarged', chances)}",
        f"by how much: {scale}"
        + _beside(found, "scale", f"{found.scale[1]:.1%}" if found.scale else ""),
        _afterwards(found, "resized"),
        f"family: {found.family or 'cannot tell'}{_beside(found, 'family', families)}",
        f"network: {found.network or 'cannot tell'}{_beside(found, 'network', '')}",
    ]
    if asked and found.groups:
        said += ["the most probable classes, if one of them made it:"]
        said += [f"  {chance:6.1%}  {name}" for name, chance in found.ranking[:top]]
    if not found.groups:
        said.append(f"there is no calibration for this state of a file ({found.state})")
    return said


def _afterwards(found: Identification, name: str) -> str:
    """Return whether something was done to a picture, one of `AFTERWARDS`."""
    answer = getattr(found, name)
    chance = f"{answer:.1%}" if isinstance(answer, float) else ""
    yes = "cannot tell" if answer is None else "yes"
    return f"{_DONE[name]}: {yes}{_beside(found, f'is_{name}', chance)}"


def _beside(found: Identification, question: str, chances: str) -> str:
    rate = found.error_rates.get(question)
    parts = [chances] if chances else []
    parts += [f"in tests in this state: {rate}"] if rate else []
    return f" ({'; '.join(parts)})" if parts else ""


def paragraph(name: str, sha256: str, found: Identification) -> str:
    """Return what was found, in plain words."""
    state = f"{found.state}"
    sentences = [f"The file {name} (SHA-256 {sha256[:16]}...) was examined: {state}."]
    if found.verdict == "cannot tell":
        sentences.append("From its pixels it cannot be told whether the picture was enlarged.")
    elif found.group == "original":
        sentences.append("Its pixels look like those of photographs that were not enlarged.")
    else:
        sentences.append(f"Its pixels look like those of a picture that was {found.verdict}.")
    rate = found.error_rates.get("group") or found.error_rates.get("is_enlarged")
    if rate is not None:
        sentences.append(f"Errors in tests on files in such a state: {rate}.")
    if found.scale is not None:
        sentences.append(
            f"An enlargement by {found.scale[0]:.2g} leaves nothing finer than "
            f"{0.5 / found.scale[0]:.3f} cycles per pixel but what the enlargement invented: "
            "beyond the dashed lines the spectrum falls off or changes its slope."
        )
    done = [words for name, words in _DONE.items() if getattr(found, name) is not None]
    if done:
        *others, last = done
        sentences.append(f"It was {' and '.join([', '.join(others), last] if others else done)}.")
    sentences.append("The probabilities hold for pictures like those of the tests, and no others.")
    return " ".join(sentences)


def draw(
    judge: Judge,
    found: Identification,
    pixels: np.ndarray,
    name: str,
    sha: str,
    *,
    words: bool = True,
) -> "Figure":
    """Draw the residual, its spectrum beside that of the likeliest class, and their profiles.

    Args:
        judge: who was asked.
        found: what it said.
        pixels: [H, W, 3] uint8.
        name: of the file.
        sha: its SHA-256.
        words: whether the answer stands above, and `paragraph` below.
    """
    from matplotlib.figure import Figure

    side = min(SHOWN_PX, *pixels.shape[:2])
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    luma = pixels[top : top + side, left : left + side] @ np.array([0.299, 0.587, 0.114])
    residual = luma - _blurred(luma)
    own = evidence.evidence(judging.tiles(pixels))
    cut_off = None if found.scale is None else 0.5 / found.scale[0]
    figure = Figure(figsize=(12.0, 4.6 if words else 3.4))
    axes = figure.subplots(1, 4)
    top, bottom = (0.86, 0.32) if words else (0.93, 0.14)
    figure.subplots_adjust(left=0.02, right=0.98, top=top, bottom=bottom, wspace=0.22)
    axes[0].imshow(128 + GAIN * residual, cmap="gray", vmin=0, vmax=255)
    axes[0].set_title(f"fine detail of the middle, {GAIN:.0f} times as strong", fontsize=8)
    axes[0].axis("off")
    shown = {"this picture": (evidence.luma_plane(own), evidence.luma_profile(own))}
    nearest = next((name for name, _ in found.ranking if name in judge.names), "original")
    for label in dict.fromkeys([nearest, "original"]):
        if label in judge.names:
            place = judge.names.index(label)
            plane, profile = (judge.arrays[name][place] for name in ("planes", "profiles"))
            shown[f"mean of {label}"] = (plane.astype(np.float32), profile.astype(np.float32))
    limits = np.quantile([plane for plane, _ in shown.values()], (0.01, 0.99))
    for axis, (label, (plane, _)) in zip(axes[1:3], shown.items(), strict=False):
        settings = {"vmin": limits[0], "vmax": limits[1], "cmap": "viridis"}
        half = np.concatenate([plane[:, ::-1], plane], axis=1)
        whole = np.concatenate([half[::-1], half])
        axis.imshow(whole, extent=(-0.5, 0.5, 0.5, -0.5), **settings)
        axis.grid(visible=False)
        axis.set_title(f"spectrum of {label}", fontsize=8)
        axis.set_xlabel("cycles per pixel", fontsize=8)
    radii = np.arange(31) / 64  # beyond, circles leave the half plane
    for (label, (_, profile)), style in zip(shown.items(), ("-", "--", ":"), strict=False):
        level = np.mean(profile[2:8])  # as strong as each other where all are photographs
        axes[3].plot(radii, 10 / np.log(10) * (profile[:31] - level), style, label=label)
    axes[3].legend(fontsize=7)
    axes[3].set_title("power by frequency, dB", fontsize=8)
    axes[3].set_xlabel("cycles per pixel", fontsize=8)
    if cut_off is not None:
        corners = np.array([-1, 1, 1, -1, -1]) * cut_off
        for axis in axes[1:3]:
            axis.plot(corners, np.roll(corners, 1), "w--", linewidth=1)
        axes[3].axvline(cut_off, color="black", linestyle="--", linewidth=1)
    if words:
        figure.suptitle(f"{name}: {found.verdict}", fontsize=11)
        told = textwrap.fill(paragraph(name, sha, found), 150)
        figure.text(0.03, 0.22, told, fontsize=7.5, va="top")
    return figure


def cells_in_words(cells: Sequence[Cell]) -> str:
    """Say how many parts of an image speak for a network."""
    count = sum(cell.share > 0.5 for cell in cells)
    return f"{count} of {len(cells)} tiles speak for a network when they are asked alone."


def sheet(
    name: str,
    sha256: str,
    pixels: np.ndarray,
    found: Identification,
    cells: Sequence[Cell],
    told: Sequence[str],
) -> "Figure":
    """Draw a page of A4 about an image: the answer, the file, and where the evidence lies.

    Args:
        name: of the file.
        sha256: of the file.
        pixels: [H, W, 3] uint8.
        found: the answer.
        cells: of `jaxsr.gallery.heat_map`.
        told: the answers in lines.
    """
    from matplotlib.patches import Rectangle

    height, width = pixels.shape[:2]
    figure = _a4(found.verdict[0].upper() + found.verdict[1:])
    facts = [
        *textwrap.wrap(f"file: {name}", 95),
        f"SHA-256: {sha256}",
        f"size: {width} x {height} pixels",
        f"what happened to it: {found.state}",
    ]
    figure.text(0.08, 0.92, "\n".join(facts), fontsize=8, va="top")
    axes = figure.add_axes((0.08, 0.49, 0.84, 0.36))
    axes.imshow(pixels[:: -(-height // _DRAWN_PX), :: -(-width // _DRAWN_PX)],
                extent=(0, width, height, 0))  # fmt: skip
    for top, left, bottom, right, share in cells:
        place = (left, top), right - left, bottom - top
        axes.add_patch(Rectangle(*place, facecolor="#ff7f0e", alpha=0.6 * share))
        axes.add_patch(Rectangle(*place, fill=False, edgecolor="white", linewidth=0.7))
    axes.axis("off")
    figure.text(0.08, 0.47, f"Where the evidence lies: {cells_in_words(cells)}", fontsize=8)
    words = _wrapped(told, indent="    ") + "\n\n" + _wrapped([paragraph(name, sha256, found)])
    figure.text(0.08, 0.44, words, fontsize=8, va="top", linespacing=1.5)
    return figure


def colophon(title: str, unused: Mapping[str, str], settings: Mapping[str, Any]) -> "Figure":
    """Draw a page of A4 with the files that cannot be used, and what answers depend on."""
    figure = _a4(title)
    told = [f"{name}: {value}" for name, value in settings.items()]
    told += ["", *(f"not used: {error}" for error in unused.values())]
    figure.text(0.08, 0.92, _wrapped(told), fontsize=8, va="top", linespacing=1.5)
    return figure


def _wrapped(lines: Sequence[str], indent: str = "") -> str:
    """Return lines of at most 100 characters."""
    return "\n".join(textwrap.fill(one, 100, subsequent_indent=indent) for one in lines)


def _a4(title: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.27, 11.69))
    figure.text(0.08, 0.95, title, fontsize=14, weight="bold")
    return figure


def _blurred(luma: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(luma, 1.0, mode="reflect"))


def page(title: str, answers: Sequence[Mapping[str, Any]], gallery: Gallery) -> str:
    """Return one HTML page of the JSON of a folder's pictures.

    Args:
        title: of the page.
        answers: of each file what `Identification.to_json` gives with its name and hash, or its
            name and an error.
        gallery: who was asked.
    """
    rows = []
    for one in answers:
        if "error" in one:
            cells = [one["file"], f"not used: {one['error']}", "", "", "", ""]
        else:
            told = one["answers"]
            rates = dict.fromkeys(rate["said"] for rate in one["error_rates"].values())
            done = [words for name, words in _DONE.items() if told[f"is_{name}"]]
            scale = "–" if told["is_enlarged"] is False else "cannot tell"
            cells = [
                one["file"],
                one["verdict"],
                "; ".join([told["state"], *done]),
                f"{told['scale']:.2g}" if told["scale"] else scale,
                "; ".join(rates),
                one["sha256"],
            ]
        rows.append("".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells))
    head = "".join(
        f"<th>{name}</th>"
        for name in ("file", "verdict", "state", "enlarged by", "errors in tests", "SHA-256")
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    settings = ", ".join(f"{name} {value}" for name, value in gallery.settings.items())
    style = (
        "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse;font-size:14px}"
        "td,th{border:1px solid #ccc;padding:4px 8px;text-align:left;vertical-align:top;"
        "overflow-wrap:anywhere}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style><h1>{html.escape(title)}</h1><table><tr>{head}</tr>{body}</table>"
        f"<p>{html.escape(settings)}</p></html>\n"
    )
