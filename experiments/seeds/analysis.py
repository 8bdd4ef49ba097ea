"""How the spread over initial weights divides among the layers, and what makes a draw good.

Letters: P photographs, A draws of the first layer, B draws of the other layers, W units.

Source of the estimators: the analysis of variance with two crossed random factors and one
observation a cell; Searle, Casella and McCulloch, Variance Components (1992), chapter 4.
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy import stats


class Components(NamedTuple):
    """Variances in dB^2: of the first layer's draw, of the others', and of their combination."""

    first: float
    others: float
    together: float

    @property
    def deviation_db(self) -> float:
        """Standard deviation of fits that differ in all that a seed draws."""
        return float(np.sqrt(sum(self)))


def components(db: np.ndarray) -> Components:
    """Estimate the variance components, means over the photographs.

    Args:
        db: [P, A, B] PSNR, each draw of the first layer with each of the others.

    Returns:
        Estimates, unbiased but for those below zero, which are set to zero.
    """
    _, count_first, count_others = db.shape
    whole = db.mean(axis=(1, 2), keepdims=True)
    first, others = db.mean(axis=2, keepdims=True), db.mean(axis=1, keepdims=True)
    rest = db - first - others + whole
    freedom = (count_first - 1) * (count_others - 1)
    together = (rest**2).sum(axis=(1, 2)).mean() / freedom
    of_first = (np.var(first, axis=1, ddof=1).mean() - together / count_others).clip(0)
    of_others = (np.var(others, axis=2, ddof=1).mean() - together / count_first).clip(0)
    return Components(float(of_first), float(of_others), float(together))


def effects(db: np.ndarray) -> np.ndarray:
    """Return [P, A] how much better than the mean each draw of the first layer is, dB."""
    first = db.mean(axis=2)
    return first - first.mean(axis=1, keepdims=True)


def agreement(effect_db: np.ndarray) -> float:
    """Return the mean correlation of the effects of two photographs; NaN for one photograph.

    Args:
        effect_db: [P, A] as of `effects`.
    """
    pairs = list(itertools.combinations(effect_db, 2))
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])) if pairs else float("nan")


def frequency(weight: np.ndarray, w0_initial: float) -> float:
    """Return the geometric mean of a first layer's frequencies, in cycles per side of the image.

    Args:
        weight: [W, 2] of the first layer; the coordinates of a side span two units.
        w0_initial: its frequency factor.
    """
    lengths = np.linalg.norm(np.asarray(weight, float), axis=1)
    return float(np.exp(np.log(w0_initial * lengths / np.pi).mean()))


def rank_correlation(values: np.ndarray, effect_db: np.ndarray) -> float:
    """Return Spearman's correlation of a property of draws [A] with their mean effect [P, A]."""
    return float(stats.spearmanr(values, effect_db.mean(axis=0)).statistic)
