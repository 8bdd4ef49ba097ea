"""The fit of a picture's networks, before they are rounded.

Few pixels and a high rate come far quickly; more pixels and lower rates remove the noise they
leave.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from jaxfleet.resumable import Resumable
from jaxinr.fit import fit
from jaxinr.siren import Params
from jaxinr.trial import Trial

# Pixels of an update, share of the learning rate, share of the updates.
STAGES = ((4096, 1.0, 0.55), (8192, 0.3, 0.3), (16384, 0.1, 0.15))


def of(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return the trials of each stage."""
    return [
        [
            dataclasses.replace(
                trial,
                num_iters=max(1, round(share * trial.num_iters)),
                learning_rate=rate * trial.learning_rate,
                pixels_per_update=pixels,
            )
            for trial in trials
        ]
        for pixels, rate, share in STAGES
    ]


def fit_in_turn(
    colours: np.ndarray, stages: Sequence[list[Trial]], coordinates: str, kept: Resumable
) -> list[tuple[Params, float]]:
    """Fit networks to a picture, each stage from the best weights of the one before.

    Args:
        colours: [H, W, 3] uint8.
        stages: from `of`.
        coordinates: see `jaxinr.fit`.
        kept: the trainings that these are some of.

    Returns:
        Weights and 8-bit PSNR in dB of each.
    """
    found: list[tuple[Params, float]] = []
    for stage in stages:
        train = functools.partial(_fit, colours, stage, coordinates, found, kept)
        found = [(tuple(params), float(psnr_db)) for params, psnr_db in kept.once(train)]
    return found


def _fit(
    colours: np.ndarray,
    stage: list[Trial],
    coordinates: str,
    found: list[tuple[Params, float]],
    kept: Resumable,
) -> list[tuple[Params, float]]:
    fits = fit(
        [colours] * len(stage),
        stage,
        coordinates=coordinates,
        initial_params=[params for params, _ in found] or None,
        kept=kept,
    ).fits
    return [(one.params, one.psnr_8bit_db) for one in fits]
