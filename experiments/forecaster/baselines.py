"""What a forecast has to beat: the PSNR of fits from rules that are fitted in seconds.

Each rule sees the training rows alone and answers for all rows. Letters: N fits, D descriptors of
a picture.
"""

import importlib.util
from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy import optimize

from experiments.forecaster import jpeg
from experiments.forecaster.data import FitTable
from jaxinr.forecaster import inputs

ARCHITECTURE = "mean per architecture"
POWER_LAW = "power law in parameters"
JPEG = "JPEG at a fitted ratio"
TREES = "boosted trees"

NEAREST = 3  # architectures that stand for one never seen
SETTINGS = {  # of the trees
    "max_iter": 600,
    "learning_rate": 0.1,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 20,
    "max_features": 0.3,
    "l2_regularization": 1.0,
}

_BITS = 16  # of a parameter, where the search for the rate begins


def predict(table: FitTable, train: np.ndarray) -> dict[str, np.ndarray]:
    """Predict the best PSNR of each fit, in dB, by simple rules.

    Args:
        table: N fits.
        train: [N] bool, the fits that the rules are fitted on.

    Returns:
        Name of the rule -> [N] dB. Without scikit-learn there are no boosted trees: see `notes`.
    """
    fits = table.training_fits()
    described = fits.described[fits.picture]
    truth_db = table.truth_db.astype(np.float64)
    count = np.log2(inputs.parameters(fits.rows))
    predicted = {
        ARCHITECTURE: mean_per_architecture(fits.rows[:, :2], count, truth_db, train),
        POWER_LAW: line(count, truth_db, train),
        JPEG: jpeg_line(table.jpeg[fits.picture], count, truth_db, train),
    }
    if importlib.util.find_spec("sklearn"):
        time = np.log2(fits.iterations[:, -1:])
        features = np.concatenate([fits.encoded().features, time, described], -1)
        predicted[TREES] = boosted_trees(features, truth_db, train)
    return predicted


def notes(predicted: Collection[str]) -> list[str]:
    """Return notes on rules that are missing, given the names of those predicted."""
    without = f"Without {TREES}: scikit-learn is not installed."
    return [] if TREES in predicted else [without]


def mean_per_architecture(
    sizes: np.ndarray, log2_parameters: np.ndarray, truth_db: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """[N] mean over the training fits of the same layers and width.

    An architecture without any has the mean of the `NEAREST` ones in log parameters.

    Args:
        sizes: [N, 2] width and layers.
        log2_parameters: [N].
        truth_db: [N].
        train: [N] bool.
    """
    architectures, index = np.unique(sizes, axis=0, return_inverse=True)
    frame = pd.DataFrame({"parameters": log2_parameters, "db": truth_db})
    every = frame.groupby(index)["parameters"].first().to_numpy()
    seen = frame[train].groupby(index[train]).mean()
    distance = np.abs(every[:, None] - seen["parameters"].to_numpy())
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEAREST]
    fallback = pd.Series(seen["db"].to_numpy()[nearest].mean(1))
    return seen["db"].reindex(range(len(architectures))).fillna(fallback).to_numpy()[index]


def line(x: np.ndarray, truth_db: np.ndarray, train: np.ndarray) -> np.ndarray:
    """[N] straight line through the training fits at x [N], by least squares."""
    terms = np.stack([x, np.ones_like(x)], -1)
    return terms @ np.linalg.lstsq(terms[train], truth_db[train], rcond=None)[0]


def jpeg_line(
    files: np.ndarray, log2_parameters: np.ndarray, truth_db: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """[N] a line of the PSNR of a JPEG file of the picture, the size of which is fitted.

    The paper looks for the compression ratio at which the errors of JPEG and of SIRENs of one
    architecture agree best, with a search that needs no gradients (scipy.optimize), and draws a
    line from one to the other. Here networks have all sizes, so the bits of the file are
    exp(a + b log(parameters)), with a and b found by such a search (Nelder and Mead's), and the
    file is interpolated between those of the descriptors.

    Source: Vonderfecht & Liu (TMLR 2024), section 5.

    Args:
        files: [N, len(jpeg.NAMES)] of each fit's picture.
        log2_parameters: [N].
        truth_db: [N].
        train: [N] bool.
    """

    def at(rate: np.ndarray) -> np.ndarray:
        return jpeg.at_bits(files, rate[0] + rate[1] * log2_parameters)

    def error(rate: np.ndarray) -> float:
        some = jpeg.at_bits(files[train], rate[0] + rate[1] * log2_parameters[train])
        return float(np.mean((line(some, truth_db[train], everywhere) - truth_db[train]) ** 2))

    everywhere = np.ones(int(train.sum()), bool)
    start = [np.log2(_BITS), 1.0]
    found = optimize.minimize(error, start, method="Nelder-Mead", options={"xatol": 1e-3})
    return line(at(found.x), truth_db, train)


def boosted_trees(features: np.ndarray, truth_db: np.ndarray, train: np.ndarray) -> np.ndarray:
    """[N] scikit-learn's gradient-boosted trees on all that the forecaster knows but the pixels.

    Args:
        features: [N, F] descriptors of the picture and encoded hyperparameters.
        truth_db: [N].
        train: [N] bool.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(**SETTINGS, early_stopping=False, random_state=0)
    return trees.fit(features[train], truth_db[train]).predict(features)
