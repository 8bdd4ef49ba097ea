"""Training on the page: a network watched while it is fitted, and its files."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import jaxinr
from experiments.app import markup
from jaxfleet import progress
from jaxfleet.imaging import decibels
from jaxfleet.imaging.pixels import psnr_8bit_db, to_uint8
from jaxinr import export
from jaxinr.codec import api as codec
from jaxinr.watch import Moment

REFINE_ITERS = 50  # of the codec's file
ERROR_GAIN = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """A training so far.

    Attributes:
        image: [H, W, 3] uint8.
        trial: the network.
        moment: how it is now.
        picture: [H, W, 3] uint8, what the network draws now.
        history: (updates, PSNR in dB) of all moments.
    """

    image: np.ndarray
    trial: jaxinr.Trial
    moment: Moment
    picture: np.ndarray
    history: tuple[tuple[int, float], ...]

    @property
    def share(self) -> float:
        """Return the share of the planned updates that are made."""
        return min(self.moment.iteration / self.trial.num_iters, 1.0)


def train(image: np.ndarray, trial: jaxinr.Trial) -> Iterator[Training]:
    """Fit a network, and yield it with its picture about once a second.

    Raises:
        ValueError: if the image is unusable.
    """
    history: list[tuple[int, float]] = []
    for moment in jaxinr.watch(image, trial):
        history.append((moment.iteration, moment.psnr_db))
        drawn = jaxinr.render(moment.params, trial, image.shape[:2], clip=True)
        yield Training(image, trial, moment, to_uint8(drawn), tuple(history))


def describe(now: Training, *, stopped: bool = False) -> str:
    """Return in HTML how far a training is."""
    moment, updates = now.moment, now.trial.num_iters
    reached = decibels.text(moment.psnr_db)
    if moment.status == "diverged":
        return markup.error(
            f"The training diverged after {moment.iteration:,} updates; its best weights, "
            f"{reached}, are kept. Choose a smaller learning rate."
        )
    if moment.status == "running" and not stopped:
        left = moment.seconds * (1 / max(now.share, 1e-6) - 1)
        said = (
            f"{moment.iteration:,} of {updates:,} updates, {reached}, about "
            f"{progress.clock(left)} left"
        )
        return markup.status(said, now.share)
    ended = "Stopped" if stopped else "Done"
    return markup.status(
        f"{ended} after {moment.iteration:,} updates in {moment.seconds:.1f} s: {reached}, "
        f"{psnr_8bit_db(now.picture, now.image):.2f} dB as an 8-bit picture."
    )


def show(now: Training) -> str:
    """Return the picture as it emerges over the original and over its error, as HTML."""
    error = np.abs(now.picture.astype(np.int16) - now.image)
    larger = np.minimum(ERROR_GAIN * error, 255).astype(np.uint8)
    names = "network", f"absolute error, {ERROR_GAIN} times as large"
    return (
        f'<div class="pair">{markup.comparison(now.image, now.picture, ("original", "network"))}'
        f"{markup.comparison(now.picture, larger, names, start=0)}</div>"
    )


def save_weights(now: Training, folder: Path) -> Path:
    """Write the weights as safetensors, with the names of COIN's code; return where."""
    facts = {name: value for name, value in now.trial.as_row().items() if value is not None}
    facts["best_psnr_db"] = now.moment.psnr_db
    path = folder / f"siren-{now.trial.num_layers}x{now.trial.layer_size}.safetensors"
    path.write_bytes(export.as_safetensors(now.moment.params, facts))
    return path


def save_file(now: Training, folder: Path) -> tuple[Path, str]:
    """Write the codec's file of the network; return where, and what it reaches.

    Raises:
        ValueError: if the network does not go into a file.
    """
    start = time.monotonic()
    packed = codec.pack(now.image, now.trial, now.moment.params, refine_iters=REFINE_ITERS)
    path = folder / f"siren-{now.trial.num_layers}x{now.trial.layer_size}.srn"
    path.write_bytes(packed.data)
    pixels = now.image.shape[0] * now.image.shape[1]
    return path, (
        f"Rounded to {codec.WEIGHT_BITS:g} bits per weight in {time.monotonic() - start:.1f} s: "
        f"{len(packed.data):,} bytes, {8 * len(packed.data) / pixels:.3g} bits per pixel, "
        f"{decibels.text(packed.psnr_db)}."
    )
