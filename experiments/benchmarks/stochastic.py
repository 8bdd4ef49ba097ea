"""Time until updates on a part of the pixels reach the PSNR of updates on all of them.

Full batch: the best learning rate is found on the photograph averaged over squares of REDUCE pixels
a side, where training is the same as long as networks cannot store what averaging takes away. With
it, one training at full size gives the PSNR to come close to, and the time that it took to be that
close itself. Then each learning rate in turn trains on parts of the pixels until it is as close;
there the rate decays to 0, since the noise of the parts would keep a constant one from settling.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxinr
from experiments.benchmarks.timing import timed
from jaxinr.trial import Trial

NETWORKS = (Trial(num_layers=10, layer_size=28), Trial(num_layers=5, layer_size=64))
LEARNING_RATES = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
NUM_ITERS = 500  # of the full batch
MOST = 2  # times as many updates on parts of the pixels, at most
PIXELS_PER_UPDATE = 16_384
REDUCE = 4
WITHIN_DB = 0.2


def measure(
    picture: np.ndarray,
    *,
    networks: Sequence[Trial] = NETWORKS,
    learning_rates: Sequence[float] = LEARNING_RATES,
    num_iters: int = NUM_ITERS,
    pixels_per_update: int = PIXELS_PER_UPDATE,
    fit: Callable[..., Any] = jaxinr.fit,
) -> list[dict[str, Any]]:
    """Return a row for each network: PSNR, seconds and learning rate of both ways, and their ratio.

    Args:
        picture: [H, W, 3] uint8.
        networks: shapes and frequencies.
        learning_rates: that are tried.
        num_iters: updates of the full batch.
        pixels_per_update: of the other way.
        fit: `jaxinr.fit`.

    Returns:
        Rows {network, full_rate, full_psnr_db, full_seconds, rate, psnr_db, seconds, ratio};
        `full_seconds` until the full batch was itself within WITHIN_DB of its end, `seconds` until
        the fastest learning rate was; without one, its numbers are NaN.
    """
    small = averaged(picture, REDUCE)
    rows = []
    for network in networks:
        whole = [
            dataclasses.replace(network, learning_rate=rate, num_iters=num_iters)
            for rate in learning_rates
        ]
        found = fit([small] * len(whole), whole).best_psnr_db
        trial = whole[int(np.nanargmax(found))]
        full_seconds, full = timed(lambda trial=trial: fit([picture], [trial]))  # type: ignore[misc]
        wanted_db = float(full.best_psnr_db[0]) - WITHIN_DB
        close = full.iterations[np.argmax(full.psnr_db[0] >= wanted_db)]
        row: dict[str, Any] = {
            "network": f"{network.num_layers} x {network.layer_size}",
            "full_rate": trial.learning_rate,
            "full_psnr_db": wanted_db + WITHIN_DB,
            "full_seconds": full_seconds * float(close) / num_iters,
            **dict.fromkeys(("rate", "psnr_db", "seconds", "ratio"), float("nan")),
        }
        for rate in learning_rates:
            part = dataclasses.replace(
                network,
                learning_rate=rate,
                learning_rate_decay=1.0,
                num_iters=MOST * num_iters,
                pixels_per_update=pixels_per_update,
            )
            options = {"target_psnr_db": wanted_db}
            seconds, one = timed(lambda part=part, o=options: fit([picture], [part], **o))  # type: ignore[misc]
            reached = one.status[0] == "target"
            if reached and not seconds >= row["seconds"]:
                row |= {"rate": rate, "psnr_db": float(one.best_psnr_db[0]), "seconds": seconds}
                row["ratio"] = row["full_seconds"] / seconds
        rows.append(row)
    return rows


def averaged(picture: np.ndarray, factor: int) -> np.ndarray:
    """Return means of squares of pixels: [H // factor, W // factor, 3] float32 in [0, 1]."""
    height, width = (size // factor for size in picture.shape[:2])
    cut = picture[: height * factor, : width * factor].astype(np.float32) / np.float32(255)
    return cut.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
