"""Linear discriminants of pictures' makers, one set for each kind of state.

Within classes the evidence scatters much the same; in the space in which that scatter is a unit
ball, what tells classes apart is the span of their centres. Scatter and centres of a kind of state
are those of all pictures, in which pictures in that kind of state count more than the others. A few
directions in which a class scatters more than the others are kept beside its centre: how far a
picture may lie from it depends on what is shown, and differs by class.

Letters: N pictures, D inputs, K classes, S kinds of state, V discriminants, R directions.
"""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import scipy.linalg

from jaxsr.gallery import distances
from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.judge import DISCRIMINANTS, MOST_UNITS, OF_TRACES, TRACES, Judge
from jaxsr.gallery.state import STATE_KINDS

OTHERS = 0.25  # what a picture in another kind of state counts
SHRINKAGE = 0.03  # of the scatter, to a multiple of the unit matrix
DIRECTIONS = 6  # in which a class may scatter more than the others
OWN = 0.3  # share of what it scatters more there that counts: few pictures tell it
_BY_CLASS = ("profiles", "planes", "log_scales")


def standard(given: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs [N, D] in standard deviations from their means, and mean and scale [D]."""
    mean, scale = given.mean(axis=0), given.std(axis=0) + 1e-3
    units = np.clip((given - mean) / scale, -MOST_UNITS, MOST_UNITS)
    return units, mean, scale


def alone(given: np.ndarray, rows: pd.DataFrame) -> Judge:
    """Return a judge that has discriminants and nothing else: only its `nearness` can be asked.

    Args:
        given: [N, D] inputs, or some of them.
        rows: of the N pictures, with `name`, `family`, `kind` and `kind_of_state`.
    """
    classes = rows.groupby("name")[["family", "kind"]].first().sort_index()
    units, mean, scale = standard(given.astype(np.float32))
    arrays = fit(units, rows["name"], rows["kind_of_state"])
    return Judge(
        tuple(classes.index),
        tuple(classes["family"]),
        tuple(classes["kind"]),
        {"mean": mean, "scale": scale, **arrays},
        {},
    )


def fit(units: np.ndarray, classes: Sequence[str], kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Fit discriminants.

    Args:
        units: [N, D] float32, standardised inputs.
        classes: of each picture, name.
        kinds: of each picture's state.

    Returns:
        `project` [S, D, V], `offset` [S, V], `centres` [S, K, V] and `spread` [S, K, R, V] as
        `Judge.arrays` has them, of K classes by name; V is K - 1.
    """
    names, member = np.unique(np.asarray(classes), return_inverse=True)
    states = np.asarray(kinds)
    found = []
    for kind, (count, means, scatter) in _by_state(units, member, states).items():
        project, offset, centres = _discriminants(scatter, means)
        apart = units @ project + offset - centres[member]
        apart *= np.sqrt(np.where(states == kind, 1.0, OTHERS))[:, None].astype(np.float32)
        spread = np.stack([_spread(apart[member == k], count[k]) for k in range(len(names))])
        found.append((project, offset, centres, spread))
    arrays = dict(zip(DISCRIMINANTS, map(np.stack, zip(*found, strict=True)), strict=True))
    return arrays | {name: arrays[name].astype(np.float16) for name in ("project", "spread")}


def traces(rows: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each of `TRACES` [N] bool, of which pictures it is asked, and which have it."""
    made = (rows["kind"] == GROUPS[2]).to_numpy()
    asked = {"resized": made, "sharpened": np.ones_like(made)}
    return {name: (asked[name], rows[f"is_{name}"].to_numpy(bool)) for name in TRACES}


def fit_traces(units: np.ndarray, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Fit what tells pictures to which something was done after they had been made.

    Args:
        units: [N, D] float32, standardised inputs.
        rows: of the N pictures.

    Returns:
        `traces` [S, D, 2] and `traces_offset` [S, 2] as `Judge.arrays` has them; 0 where there are
        not both, pictures with a trace and without.
    """
    found = np.zeros((len(STATE_KINDS), units.shape[1], len(TRACES)), np.float32)
    offsets = np.zeros((len(STATE_KINDS), len(TRACES)), np.float32)
    for number, (asked, done) in enumerate(traces(rows).values()):
        if len(np.unique(done[asked])) < 2:
            continue
        states = rows["kind_of_state"].to_numpy()[asked]
        by_state = _by_state(units[asked], done[asked].astype(int), states)
        for place, (_, means, scatter) in enumerate(by_state.values()):
            told = scipy.linalg.solve(_shrunk(scatter), means[1] - means[0], assume_a="pos")
            found[place, :, number] = told
            offsets[place, number] = -means.mean(axis=0) @ told
    return dict(zip(OF_TRACES, (found.astype(np.float16), offsets), strict=True))


def _by_state(
    units: np.ndarray, member: np.ndarray, states: np.ndarray
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return for each kind of state how much [K] each class counts, means [K, D] and scatter."""
    size = int(member.max()) + 1
    parts = {
        kind: _moments(units[states == kind], member[states == kind], size)
        for kind in {*states.tolist()}
    }
    found: dict[str, tuple[np.ndarray, ...]] = {}
    for kind in STATE_KINDS:
        weighted = [
            [(1.0 if own == kind else OTHERS) * x for x in part] for own, part in parts.items()
        ]
        count, total, square = (np.sum(each, axis=0) for each in zip(*weighted, strict=True))
        means = total / count[:, None]
        scatter = (square - (means * count[:, None]).T @ means) / count.sum()
        found[kind] = (count, means, scatter)
    return found


def _shrunk(scatter: np.ndarray) -> np.ndarray:
    """Return [D, D] scatter, drawn to a multiple of the unit matrix."""
    ridge = SHRINKAGE * np.trace(scatter) / len(scatter)
    shrunk = (1 - SHRINKAGE) * scatter
    shrunk[np.diag_indices(len(shrunk))] += ridge
    return shrunk


def _spread(apart: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return `spread` [R, V] of a class by weighted distances [N, V] from its centre."""
    values, vectors = np.linalg.eigh(apart.T @ apart / mass - np.eye(apart.shape[1]))
    sizes = np.sqrt(OWN * np.maximum(values[-DIRECTIONS:], 0.0))
    return distances.spread_of((vectors[:, -DIRECTIONS:] * sizes).astype(np.float32))


def _moments(units: np.ndarray, member: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return of pictures how many [K] are of each class, their sums [K, D] and squares [D, D]."""
    own = (member == np.arange(count)[:, None]).astype(np.float32)
    return own.sum(axis=1), own @ units, units.T @ units


def _discriminants(scatter: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return `project` [D, V], `offset` [V] and `centres` [K, V] by a mean scatter within."""
    middle = means.mean(axis=0)
    apart = means - middle
    solved = scipy.linalg.solve(_shrunk(scatter), apart.T, assume_a="pos", overwrite_a=True)
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
    arrays = {
        name: judge.arrays[name]
        for name in judge.arrays
        if name not in (*DISCRIMINANTS, *_BY_CLASS)
    }
    found = []
    for place in range(len(judge.arrays["project"])):
        project, offset, centres, spread = (
            judge.arrays[name][place].astype(np.float32) for name in DISCRIMINANTS
        )
        apart = centres[kept] - centres[kept].mean(axis=0)
        turn = np.linalg.svd(apart, full_matrices=False)[2][: len(kept) - 1].T
        own = [distances.spread_of(turn.T @ distances.wider_of(spread[k])) for k in kept]
        found.append((project @ turn, offset @ turn, centres[kept] @ turn, np.stack(own)))
    return dataclasses.replace(
        judge,
        names=tuple(judge.names[k] for k in kept),
        families=tuple(judge.families[k] for k in kept),
        kinds=tuple(judge.kinds[k] for k in kept),
        arrays={
            **arrays,
            **{name: judge.arrays[name][kept] for name in _BY_CLASS},
            **dict(zip(DISCRIMINANTS, map(np.stack, zip(*found, strict=True)), strict=True)),
        },
    )
