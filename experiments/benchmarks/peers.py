"""Fits of CIFAR-sized pictures an hour, beside the times that others published for their own.

The pictures are 32 x 32 windows of the packaged photographs, the recipes those of the others. Their
times are of their programs on their hardware, as published; ours are of this machine.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxinr
from experiments.benchmarks.timing import timed
from jaxfleet.imaging import photos
from jaxinr.trial import Trial

SIDE = 32  # pixels


@dataclasses.dataclass(frozen=True)
class Peer:
    """A published recipe and its time.

    Attributes:
        name: of the work.
        source: where the time was published.
        hardware: on which it was taken.
        fits_per_hour: published.
        trial: the recipe.
        fits: that are made here.
        options: of `jaxinr.fit`.
    """

    name: str
    source: str
    hardware: str
    fits_per_hour: float
    trial: Trial
    fits: int
    options: dict[str, Any]


PEERS = (
    Peer(
        name="Implicit-Zoo, CIFAR-10: 3 x 64 until 30 dB",
        source="Ma et al., Implicit-Zoo (2024): 60,000 networks in 5.96 GPU-days",
        hardware="one GPU",
        fits_per_hour=60_000 / (5.96 * 24),
        trial=Trial(num_layers=3, layer_size=64, learning_rate=2e-3, num_iters=5000),
        fits=1000,
        options={"target_psnr_db": 30.0, "coordinates": "symmetric", "bias_init": "zero"},
    ),
    Peer(
        name="COIN, CIFAR-10: 2 x 22, 10,000 iterations",
        source="Dupont et al., COIN++ (2022), table of encoding times: 29.76 s an image",
        hardware="one GTX 1080 Ti",
        fits_per_hour=3600 / 29.76,
        trial=Trial(num_layers=2, layer_size=22, learning_rate=2e-4, num_iters=10_000),
        fits=200,
        options={},
    ),
)


def windows(count: int) -> list[np.ndarray]:
    """Return windows of the packaged photographs, the same each time: [32, 32, 3] uint8 each."""
    key = np.random.default_rng(0)
    packaged = [photo.pixels for photo in photos.load("packaged")]
    found = []
    for i in range(count):
        pixels = packaged[i % len(packaged)]
        row, column = (int(key.integers(size - SIDE + 1)) for size in pixels.shape[:2])
        found.append(np.ascontiguousarray(pixels[row : row + SIDE, column : column + SIDE]))
    return found


def with_fits(count: int | None) -> list[Peer]:
    """Return the recipes with so many fits each; None: as many as their figures are of."""
    return [peer if count is None else dataclasses.replace(peer, fits=count) for peer in PEERS]


def measure(peers: Sequence[Peer] = PEERS, fit: Callable[..., Any] = jaxinr.fit) -> list[dict]:
    """Return a row for each peer: our fits an hour, what they reached, and the published time."""
    rows = []
    for peer in peers:
        pictures = windows(peer.fits)
        trials = [dataclasses.replace(peer.trial, seed=seed) for seed in range(peer.fits)]
        fit(pictures[:2], [dataclasses.replace(t, num_iters=1) for t in trials[:2]], **peer.options)
        seconds, fits = timed(lambda: fit(pictures, trials, **peer.options))  # noqa: B023
        ours = 3600 * peer.fits / seconds
        psnr_db = fits.best_psnr_db[np.isfinite(fits.best_psnr_db)]
        rows.append(
            {
                "recipe": peer.name,
                "fits": peer.fits,
                "fits_per_hour": ours,
                "mean_psnr_db": float(psnr_db.mean()),
                "reached_target": fits.status.count("target"),
                "published_fits_per_hour": peer.fits_per_hour,
                "published_hardware": peer.hardware,
                "ratio": ours / peer.fits_per_hour,
                "source": peer.source,
            }
        )
    return rows
