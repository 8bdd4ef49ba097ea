"""Linear discriminants of pictures' makers, one set for each kind of state.

Within classes the evidence scatters much the same; in the space in which that scatter is a unit
ball, what tells classes apart is the span of their centres. Scatter and centres of a kind of state
are those of all pictures, in which pictures in that kind of state count more than the others.

Letters: N pictures, D inputs, K classes, S kinds of state, V discriminants.
"""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import scipy.linalg

from jaxsr.gallery.judge import Judge
from jaxsr.gallery.state import STATE_KINDS

OTHERS = 0.25  # what a picture in another kind of state counts
SHRINKAGE = 0.03  # of the scatter, to a multiple of the unit matrix
_OF_DISCRIMINANTS = ("project", "offset", "centres")
_OF_CLASSES = (*_OF_DISCRIMINANTS, "profiles", "planes")


def fit(units: np.ndarray, classes: Sequence[str], kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Fit discriminants.

    Args:
        units: [N, D] float32, standardised inputs.
        classes: of each picture, name.
        kinds: of each picture's state.

    Returns:
        `project` [S, D, V], `offset` [S, V] and `centres` [S, K, V] as `Judge.arrays` has them, of
        K classes by name; V is K - 1.
    """
    names, member = np.unique(np.asarray(classes), return_inverse=True)
    found = []
    for kind in STATE_KINDS:
        weights = np.where(np.asarray(kinds) == kind, 1.0, OTHERS).astype(np.float32)
        mass = np.bincount(member, weights).astype(np.float32)
        means = np.stack(
            [weights[member == k] @ units[member == k] / mass[k] for k in range(len(names))]
        )
        apart = (units - means[member]) * np.sqrt(weights)[:, None]
        found.append(_discriminants(apart.T @ apart / mass.sum(), means))
    project, offset, centres = (np.stack(each) for each in zip(*found, strict=True))
    return {"project": project.astype(np.float16), "offset": offset, "centres": centres}


def _discriminants(scatter: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return `project` [D, V], `offset` [V] and `centres` [K, V] by a mean scatter within."""
    middle = means.mean(axis=0)
    apart = means - middle
    ridge = SHRINKAGE * np.trace(scatter) / len(scatter)
    scatter = (1 - SHRINKAGE) * scatter
    scatter[np.diag_indices(len(scatter))] += ridge
    solved = scipy.linalg.solve(scatter, apart.T, assume_a="pos", overwrite_a=True)
    values, vectors = np.linalg.eigh((apart @ solved).astype(np.float64))
    # The centres' mean is 0, so that K of them span K - 1 dimensions.
    kept = slice(1, None)
    turned = vectors[:, kept] / np.sqrt(np.maximum(values[kept], 1e-6 * values[-1]))
    project = solved @ turned.astype(np.float32)
    return project, -middle @ project, apart @ project


def without(judge: Judge, names: Collection[str]) -> Judge:
    """Return a judge that does not know some of its classes, without fitting it again.

    In the space of the discriminants the scatter within classes is a unit ball, so that those of
    fewer classes are the span of their centres. Only the scatter still stems from all classes. The
    perceptron is the same.

    Args:
        judge: that knows them.
        names: of the classes that are left out.
    """
    kept = [place for place, name in enumerate(judge.names) if name not in names]
    arrays = {name: judge.arrays[name] for name in judge.arrays if name not in _OF_CLASSES}
    found: dict[str, list[np.ndarray]] = {name: [] for name in _OF_DISCRIMINANTS}
    for project, offset, centres in zip(
        *(judge.arrays[name].astype(np.float32) for name in _OF_DISCRIMINANTS), strict=True
    ):
        apart = centres[kept] - centres[kept].mean(axis=0)
        turn = np.linalg.svd(apart, full_matrices=False)[2][: len(kept) - 1].T
        for name, values in zip(_OF_DISCRIMINANTS, (project, offset, centres[kept]), strict=True):
            found[name].append(values @ turn)
    return dataclasses.replace(
        judge,
        names=tuple(judge.names[k] for k in kept),
        families=tuple(judge.families[k] for k in kept),
        kinds=tuple(judge.kinds[k] for k in kept),
        arrays={
            **arrays,
            **{name: judge.arrays[name][kept] for name in ("profiles", "planes")},
            **{name: np.stack(values) for name, values in found.items()},
        },
    )
