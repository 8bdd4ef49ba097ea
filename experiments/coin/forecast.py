"""What the installed forecaster says of COIN's networks, which it was not trained on."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

import jaxinr
from experiments.coin import measures
from jaxfleet.imaging.photos import Photo
from jaxinr.forecaster.reach import NINETY
from jaxinr.trial import Trial


def lines(
    pictures: Sequence[Photo],
    trials: Sequence[Trial],
    reached_db: Mapping[tuple[str, int, int], float],
    *,
    published: bool,
) -> list[str]:
    """Say what PSNR is forecast for each network in the mean over photographs.

    Args:
        pictures: as networks are fitted to them.
        trials: the networks.
        reached_db: (photograph, layers, units) -> PSNR of the fits that there are.
        published: whether COIN's published means are of these photographs, networks and updates.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxinr.ForecastWarning)
        found = [jaxinr.forecast(picture.pixels, trials) for picture in pictures]
    mean_db = np.stack([one.mean_db for one in found])
    std_db = np.stack([one.std_db for one in found])
    texts = []
    for i, trial in enumerate(trials):
        own_db = f"{mean_db[:, i].mean():.2f} dB in the mean over {len(pictures)} photographs"
        text = f"{trial.num_layers} x {trial.layer_size}: forecast {own_db}"
        if published:
            text += f", published {measures.PUBLISHED[1 + i, 1]:.2f}"
        keys = [(photo.image_id, trial.num_layers, trial.layer_size) for photo in pictures]
        known = np.array([key in reached_db for key in keys])
        if known.any():
            fitted = np.array([reached_db[key] for key in keys if key in reached_db])
            error = mean_db[known, i] - fitted
            inside = np.mean(np.abs(error) <= NINETY * std_db[known, i])
            text += (
                f"; {known.sum()} fits reach {fitted.mean():.2f}, RMSE of the forecasts "
                f"{np.sqrt(np.mean(error**2)):.2f} dB, {inside:.0%} within the 90 % interval"
            )
        texts.append(text)
    return texts
