"""At which iterations a training notes its loss: a rule that every kernel follows.

A history has an entry for iteration 0 and for every multiple of `log_every` below the end, or for
a few of those multiples, and one for the end itself:

    linear    0, 1, 2, 3, ... times log_every
    log       0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, ... times log_every

The logarithmic grid holds the numbers of at most three significant binary digits: four to each
doubling, so that 50,000 iterations noted from every tenth on have 46 entries. Both grids are the
same for all budgets, up to the budget's end. A network that stops early (target, divergence) keeps
the points before its last iteration and notes that one too.
"""

import numpy as np

SPACINGS = ("linear", "log")


def log_points(num_iters: int, log_every: int, spacing: str = "linear") -> np.ndarray:
    """Return the iterations at which a training of `num_iters` updates notes its loss.

    The loss of an entry is that of the weights after so many updates, before the next one.

    Args:
        num_iters: updates of the training, at least 1.
        log_every: updates between neighbouring points of the finest grid, at least 1.
        spacing: one of SPACINGS.

    Returns:
        [T] int32, ascending, from 0 to num_iters inclusive.
    """
    multiples = np.arange(0, num_iters, log_every, dtype=np.int32)
    kept = multiples[is_log_point(multiples, log_every, spacing)]
    return np.append(kept, np.int32(num_iters))


def is_log_point(iterations: np.ndarray, log_every: int, spacing: str = "linear") -> np.ndarray:
    """Return which multiples of `log_every` belong to the grid, the end left aside.

    Args:
        iterations: [T] whole numbers, multiples of `log_every`.
        log_every: as in `log_points`.
        spacing: one of SPACINGS.

    Returns:
        [T] bool.

    Raises:
        ValueError: if the spacing is not one of SPACINGS.
    """
    if spacing not in SPACINGS:
        raise ValueError(f"spacing must be one of {', '.join(SPACINGS)}; got {spacing!r}.")
    if spacing == "linear":
        return np.ones(len(iterations), bool)
    quotients = np.asarray(iterations, np.int64) // log_every
    digits = np.frexp(quotients.astype(float))[1]
    return quotients % (1 << np.maximum(digits - 3, 0).astype(np.int64)) == 0
