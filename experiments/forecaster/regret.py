"""What following a recommendation costs: the best network of a grid less the recommended one.

On photographs that the forecaster has not seen, and for some sizes in bits per pixel, all networks
of a grid and the recommended one are really fitted, with several seeds each. A grid's best is the
best by its mean over seeds; the regret is what that mean lies above the recommended one's.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

import jaxinr
from jaxinr.forecaster.forecast import sizes_within
from jaxinr.forecaster.trained import Trained
from jaxinr.trial import Trial

BITS_PER_PIXEL = (2.0, 6.0)
W0_INITIALS = (10.0, 18.0, 32.0, 56.0, 100.0)
LEARNING_RATE = 1e-3
SEEDS = 3


def candidates(
    height: int, width: int, bits_per_pixel: float, forecaster: Trained, num_iters: int
) -> list[Trial]:
    """List the grid: the widest network of each depth that fits, with each w0_initial."""
    fitting = sizes_within(forecaster, height, width, bits_per_pixel=bits_per_pixel)
    widest = {trial.num_layers: trial for trial in fitting}  # the last of a depth
    return [
        dataclasses.replace(
            trial, w0_initial=w0_initial, learning_rate=LEARNING_RATE, num_iters=num_iters
        )
        for trial in widest.values()
        for w0_initial in W0_INITIALS
    ]


def measure(
    images: Sequence[np.ndarray],
    names: Sequence[str],
    forecaster: Trained,
    num_iters: int,
    *,
    bits_per_pixel: Sequence[float] = BITS_PER_PIXEL,
    seeds: int = SEEDS,
    progress: bool = True,
) -> pd.DataFrame:
    """Fits them all.

    Args:
        images: [H, W, 3] uint8 each.
        names: of the images.
        forecaster: that recommends.
        num_iters: Adam updates of every fit.
        bits_per_pixel: sizes that networks may have at 16 bits a weight.
        seeds: fits of each network.
        progress: whether to show how far the fits are.

    Returns:
        A row for each image and size: image_id, bits_per_pixel, regret_db, best_db,
        recommended_db, forecast_db, and the hyperparameters of both.
    """
    cases, jobs = [], []
    for image, name in zip(images, names, strict=True):
        for size in bits_per_pixel:
            height, width = image.shape[:2]
            grid = candidates(height, width, size, forecaster, num_iters)
            advice = jaxinr.recommend(
                image,
                size,
                max_iterations=num_iters,
                learning_rate=LEARNING_RATE,
                forecaster=forecaster,
            )
            cases.append((name, size, advice, grid))
            jobs += [
                (image, dataclasses.replace(trial, seed=seed))
                for trial in [advice.trial, *grid]
                for seed in range(seeds)
            ]
    pictures, trials = zip(*jobs, strict=True)
    fits = jaxinr.fit(list(pictures), list(trials), progress=progress)
    results = iter(fits.best_psnr_db.reshape(-1, seeds).mean(1))
    rows = []
    for name, size, advice, grid in cases:
        recommended_db = float(next(results))
        grid_db = [float(next(results)) for _ in grid]
        best = int(np.argmax(grid_db))
        rows.append(
            {
                "image_id": name,
                "bits_per_pixel": size,
                "regret_db": grid_db[best] - recommended_db,
                "best_db": grid_db[best],
                "recommended_db": recommended_db,
                "forecast_db": advice.mean_db,
                **{f"best_{n}": getattr(grid[best], n) for n in _SHOWN},
                **{f"recommended_{n}": getattr(advice.trial, n) for n in _SHOWN},
            }
        )
    return pd.DataFrame(rows)


_SHOWN = ("num_layers", "layer_size", "w0_initial")
