"""What networks of a zoo make of the busiest places of photographs: pixels and spectra.

Letters: N windows, W their side in pixels of high resolution, S side of a spectrum.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

import jaxsr
from experiments.zoo import evaluate
from experiments.zoo.evaluate import Entry
from experiments.zoo.figures import Kind
from jaxfleet.errors import InputError
from jaxfleet.imaging import images, photos
from jaxfleet.imaging.pixels import from_uint8, to_uint8
from jaxsr import evaluation
from jaxsr.evaluation import PicturePair

CROP_PX = 64  # what is shown, in the middle of its window where the photograph goes on
WINDOW_PX = 192  # what networks see
SPECTRUM_PX = 96
MAX_WINDOWS = 8  # for the spectra of a scale


class CropWindow(NamedTuple):
    """A square of a photograph at both resolutions, and the busiest place in it.

    Attributes:
        set_name: benchmark set that the photograph is of.
        image_id: its name there.
        low: [W / r, W / r, 3] uint8.
        high: [W, W, 3] uint8.
        shown: rows and columns of the window that are worth showing.
        energy: mean squared gradient in there, to rank windows by.
    """

    set_name: str
    image_id: str
    low: np.ndarray
    high: np.ndarray
    shown: tuple[slice, slice]
    energy: float


class Crops(NamedTuple):
    """Windows as the networks of one scale, training set and seed enlarge them.

    Attributes:
        scale: of the networks.
        training_set: likewise.
        seed: likewise.
        windows: N, the busiest first.
        networks: kind of network -> its name; bicubic, without a loss, among them.
        outputs: kind of network -> [N, W, W, 3] uint8.
    """

    scale: int
    training_set: str
    seed: int
    windows: list[CropWindow]
    networks: dict[Kind, str]
    outputs: dict[Kind, np.ndarray]


def make(run_dir: Path, measured: pd.DataFrame) -> Iterator[Crops]:
    """Return crops at each scale, of the training set and seed that most networks were measured of.

    Args:
        run_dir: of the zoo.
        measured: rows of `evaluate.evaluate`; photographs are read where these say, and
            left out where they are not the same any more.
    """
    if not len(measured):
        return
    known = measured.drop_duplicates("network").set_index("network")["network_checksum"]
    entries = [
        entry
        for entry in evaluate.list_networks(run_dir)
        if known.get(entry.name) == entry.checksum
    ]
    sources = measured.drop_duplicates("set").set_index("set")["source"]
    loaded = {name: _load(source) for name, source in sources.items()}
    for scale in sorted({entry.facts["scale"] for entry in entries}):
        windows = _windows(measured[measured["scale"] == scale], loaded, scale)
        own = [entry for entry in entries if entry.facts["scale"] == scale]
        trained = pd.DataFrame([e.facts for e in own if e.path])
        if windows and len(trained):
            training_set, seed = trained.groupby(["training_set", "seed"]).size().idxmax()
            yield _run(own, scale, training_set, int(seed), windows)


def busiest(pixels: np.ndarray, side: int, step: int) -> tuple[int, int, float]:
    """Find the square of highest gradient energy.

    Args:
        pixels: [H, W, 3] uint8.
        side: of the square, pixels.
        step: its first row and column are multiples of this.

    Returns:
        First row, first column, and the mean over the square of the squared differences of luma
        to the next row and column.
    """
    luma = _luma(pixels)
    energy = np.zeros(luma.shape, np.float64)
    energy[:-1] += np.diff(luma, axis=0) ** 2
    energy[:, :-1] += np.diff(luma, axis=1) ** 2
    sums = np.pad(energy, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    chosen = whole[::step, ::step]
    row, column = np.unravel_index(int(chosen.argmax()), chosen.shape)
    return int(row) * step, int(column) * step, float(chosen.max()) / side**2


def spectrum_db(windows: np.ndarray) -> np.ndarray:
    """Return the mean log power spectrum of luma over squares of `SPECTRUM_PX` of all windows.

    Squares are weighed by a Hann window, so that their borders do not count as detail.

    Args:
        windows: [N, W, W, 3] uint8.

    Returns:
        [S, S] float, dB, centred; S is W where that is less.
    """
    side = min(SPECTRUM_PX, windows.shape[1])
    count = windows.shape[1] // side
    luma = _luma(windows)[:, : count * side, : count * side]
    luma = luma.reshape(-1, count, side, count, side)
    squares = luma.swapaxes(2, 3).reshape(-1, side, side, 1)
    hann = np.hanning(side + 1)[:-1]
    squares = squares - squares.mean(axis=(1, 2), keepdims=True)
    squares = squares * np.outer(hann, hann)[..., None].astype(np.float32)
    logarithms = np.asarray(jaxsr.log_power_spectrum(jnp.asarray(squares), floor=1e-14))
    return logarithms.mean(axis=0)[..., 0] * (10.0 / np.log(10.0))


def against_truth_db(crops: Crops) -> dict[Kind, np.ndarray]:
    """Return kind of network -> `spectrum_db` of its outputs minus that of the truth, [S, S]."""
    truth = spectrum_db(np.stack([window.high for window in crops.windows]))
    return {kind: spectrum_db(output) - truth for kind, output in crops.outputs.items()}


def radial_db(spectrum: np.ndarray) -> np.ndarray:
    """Return means over circles of a centred spectrum [S, S]: [S // 2 + 1], from 0 to Nyquist."""
    return np.asarray(jaxsr.azimuthal_average(jnp.asarray(spectrum[..., None])))[:, 0]


def _luma(pixels: np.ndarray) -> np.ndarray:
    """Return [..., H, W] float32 of [..., H, W, 3] uint8."""
    return np.asarray(images.luma(_as_float(pixels)))[..., 0]


def _as_float(pixels: np.ndarray) -> Array:
    return jnp.asarray(from_uint8(pixels))


def _load(source: str) -> list[photos.Photo]:
    """Return the photographs of a source, none if they are not at hand."""
    try:
        return photos.load(source)
    except InputError:
        return []


def _pictures(name: str, found: list[photos.Photo], scale: int) -> tuple[PicturePair, ...]:
    """Return the images of a set; none if the source no longer makes one."""
    try:
        return evaluation.make_set(name, found, scale).pictures
    except InputError:
        return ()


def _windows(
    measured: pd.DataFrame, loaded: Mapping[str, list[photos.Photo]], scale: int
) -> list[CropWindow]:
    """Cut the busiest window of each photograph that was measured; busiest first."""
    checksums = measured.drop_duplicates(["set", "image_id"]).set_index(["set", "image_id"])
    pictures = [
        (name, picture)
        for name, found in loaded.items()
        for picture in _pictures(name, found, scale)
        if checksums["picture_checksum"].get((name, picture.image_id))
        == evaluate.checksum_of(picture.high)
    ]
    if not pictures:
        return []
    sides = [min(picture.low.shape[:2]) for _, picture in pictures]
    side = min(WINDOW_PX // scale, max(sides))
    large = [pair for pair, own in zip(pictures, sides, strict=True) if own >= side]
    windows = [_window(name, picture, scale, side) for name, picture in large]
    return sorted(windows, key=lambda window: -window.energy)[:MAX_WINDOWS]


def _window(set_name: str, picture: PicturePair, scale: int, low_side: int) -> CropWindow:
    shown_px = min(CROP_PX, low_side * scale) // scale * scale
    *corner, energy = busiest(picture.high, shown_px, scale)
    slack = (low_side * scale - shown_px) // 2
    starts = [
        min(max((at - slack) // scale, 0), size - low_side)
        for at, size in zip(corner, picture.low.shape, strict=False)
    ]
    inside = [
        slice(at - scale * start, at - scale * start + shown_px)
        for at, start in zip(corner, starts, strict=True)
    ]
    low, high = (
        pixels[
            r * starts[0] : r * (starts[0] + low_side), r * starts[1] : r * (starts[1] + low_side)
        ]
        for pixels, r in ((picture.low, 1), (picture.high, scale))
    )
    return CropWindow(set_name, picture.image_id, low, high, (inside[0], inside[1]), energy)


def _run(
    entries: list[Entry], scale: int, training_set: str, seed: int, windows: list[CropWindow]
) -> Crops:
    """Run all windows through the networks of one training set and seed, and bicubic."""
    low = _as_float(np.stack([window.low for window in windows]))
    networks, outputs = {}, {}
    for entry in entries:
        facts = entry.facts
        if entry.path is None or (facts["training_set"], facts["seed"]) == (training_set, seed):
            kind = (facts["architecture"], facts["loss"])
            output = np.asarray(evaluate.network_of(entry)(low))
            networks[kind] = entry.name
            outputs[kind] = to_uint8(output)
    return Crops(scale, training_set, seed, windows, networks, outputs)
