"""Calibrate a judge's answers for each kind of state, on validation photographs.

Temperatures and weights make probabilities of what the judge thinks; thresholds say from which
probability an answer is given, so that few of the pictures for which it would be wrong reach it.
Networks that are not known are stood for by families that are left out.
"""

import dataclasses

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special

from experiments.judge import discriminants
from experiments.judge.measures import Predictions, of_rows
from jaxfleet.imaging import picture_files
from jaxsr.attribution import calibration as calibrating
from jaxsr.gallery import grouping
from jaxsr.gallery import judge as judging
from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.judge import Calibration, Judge
from jaxsr.gallery.naming import expanded, family_chances
from jaxsr.gallery.scales import STEP, bin_of
from jaxsr.gallery.state import GREY

LEAST_PICTURES = 100  # to calibrate answers in a kind of state
ORIGINAL, INTERPOLATION, NETWORK = GROUPS
PLAIN_RATE = 0.004  # of photographs that may be called a network's, on validation photographs
TRACE_RATE = 0.01  # of pictures without one of `judging.TRACES` that may be said to have it
ENLARGED_RATE = 0.002  # of photographs that may be called enlarged, or interpolated
INTERPOLATION_RATE = 0.005  # of interpolations that may be called a network's
NO_RATE = {"lossless": 0.01}  # of networks' pictures that may be called "no"; else the next
OTHER_NO_RATE = 0.02
UNKNOWN_RATE = 0.02  # of networks of families left out that may count as known
UNKNOWN_FAMILY_RATE = 0.1  # of these that may be given a family
SURE = 0.9  # share of answers that is to be right, of families and of networks
SCALE_SURE = 0.95
RIDGE = 1e-4  # of weights that tell the group, or whether a name is right


def calibrated(judge: Judge, rows: pd.DataFrame, seen: Predictions, unseen: Predictions) -> Judge:
    """Return the judge with a calibration for each kind of state that has pictures."""
    found, too_few = {}, []
    for kind in sorted(set(rows["kind_of_state"]) - {""}):
        mask = ((rows["split"] == "validation") & (rows["kind_of_state"] == kind)).to_numpy()
        if mask.sum() < LEAST_PICTURES:
            too_few.append(kind)
            continue
        found[kind] = _calibrate(
            judge, rows[mask], of_rows(seen, mask), of_rows(unseen, mask), kind
        )
    if too_few:
        states = "; ".join(too_few)
        picture_files.tell(
            f"Fewer than {LEAST_PICTURES} validation pictures to calibrate: {states}"
        )
    return dataclasses.replace(judge, calibrations=found)


def _calibrate(
    judge: Judge, rows: pd.DataFrame, seen: Predictions, unseen: Predictions, kind: str
) -> Calibration:
    labels = rows["name"].map({name: k for k, name in enumerate(judge.names)}).to_numpy()
    group = rows["kind"].map(GROUPS.index).to_numpy()
    bins = bin_of(rows["log_scale"].to_numpy())
    is_network = group == 2
    strangers = of_rows(unseen, is_network)
    temperature, growth = _fit_growth(seen["class"][is_network], labels[is_network])
    scale_temperature = calibrating.fit_temperature(
        np.concatenate([seen["scale_bins"], strangers["scale_bins"]]),
        np.concatenate([bins, bins[is_network]]),
    )
    told = np.concatenate(
        [
            grouping.group_inputs(
                logits["group"],
                logits["class"],
                grouping.class_scores(logits["class"], temperature, growth),
                logits["scale_bins"] / scale_temperature,
                judge.kinds,
            )
            for logits in (seen, strangers)
        ]
    )
    own = Calibration(
        {"class": temperature, "scale_bins": scale_temperature},
        growth,
        _fit_mixing(told, np.concatenate([group, group[is_network]])),
        {},
        {},
    )
    views, strange = judge.chances(seen, own), judge.chances(strangers, own)
    # What lies nearest to an interpolation or a photograph is not called a network's.
    near, strange_near = (_near_network(judge, one["classes"]) for one in (views, strange))
    top, top_family = _likeliest(judge, views["classes"])
    right = np.stack(
        [top == rows["name"].to_numpy(), top_family == rows["family"].to_numpy()], axis=1
    )
    made = is_network & near
    told_of_names = views["naming_inputs"][is_network]
    units = np.stack([told_of_names.mean(axis=0), told_of_names.std(axis=0) + 1e-6])
    naming = _fit_naming(
        expanded(told_of_names, units),
        expanded(strange["naming_inputs"][strange_near], units),
        right[is_network],
        near[is_network],
    )
    told_of_traces = np.concatenate([seen["traces"], strangers["traces"]])
    traces = discriminants.traces(pd.concat([rows, rows[is_network]]))
    own = dataclasses.replace(
        own,
        naming=naming,
        naming_units=units.tolist(),
        traces=[
            _fit_trace(told_of_traces[asked, number], done[asked])
            for number, (asked, done) in enumerate(traces.values())
        ],
    )
    views, strange = judge.chances(seen, own), judge.chances(strangers, own)
    no = NO_RATE.get(kind.removesuffix(GREY), OTHER_NO_RATE)
    plain, interpolated = group == 0, group == 1
    groups = views["groups"]
    both = np.concatenate([groups[is_network], strange["groups"]])
    of_network, photographs = np.where(near, groups[:, 2], 0.0), rows["image_id"][plain]
    thresholds = {
        f"{NETWORK} group": max(
            0.5,
            _beyond(_highest(of_network[plain], photographs), PLAIN_RATE),
            _beyond(of_network[interpolated], INTERPOLATION_RATE),
        ),
        f"{ORIGINAL} group": max(
            0.5, _beyond(both[:, 0], no), _beyond(groups[interpolated, 0], 0.03)
        ),
        f"{INTERPOLATION} group": max(
            0.5,
            _beyond(both[:, 1], no),
            _beyond(_highest(groups[plain, 1], photographs), ENLARGED_RATE),
        ),
        "enlarged": max(0.5, _beyond(_highest(1 - groups[plain, 0], photographs), ENLARGED_RATE)),
    }
    # Of strangers only those can be named that are called a network's.
    least = thresholds[f"{NETWORK} group"]
    made &= groups[:, 2] >= least
    called = strange_near & (strange["groups"][:, 2] >= least)
    strange_naming = np.where(called[:, None], strange["naming"], 0.0)
    sure = [_sure(views["naming"][made, k], right[made, k], SURE) for k in (0, 1)]
    thresholds["known"] = _beyond(strange_naming[:, 0], UNKNOWN_RATE)
    thresholds["network"] = max(thresholds["known"], sure[0])
    thresholds["family"] = max(_beyond(strange_naming[:, 1], UNKNOWN_FAMILY_RATE), sure[1])
    all_groups = np.concatenate([group, group[is_network]])
    of_traces = np.concatenate([views["traces"], strange["traces"]])
    for number, (name, (asked, done)) in enumerate(traces.items()):
        without = [of_traces[asked & ~done & (all_groups == k), number] for k in range(3)]
        least_of_each = [_beyond(some, TRACE_RATE) for some in without if len(some)]
        thresholds[name] = max(0.5, *least_of_each) if done[asked].any() else judging.NEVER
    off = np.abs(
        np.log(np.concatenate([views["scale"], strange["scale"]]))
        - np.concatenate([rows["log_scale"], rows["log_scale"][is_network]])
    )
    enlarged = np.concatenate([group > 0, np.ones(is_network.sum(), bool)])
    chance = np.concatenate([views["scale_chance"], strange["scale_chance"]])
    thresholds["scale"] = _sure(chance[enlarged], off[enlarged] < STEP, SCALE_SURE)
    return dataclasses.replace(own, thresholds={k: float(v) for k, v in thresholds.items()})


def _fit_growth(nearness: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the temperature and growth of `class_scores` that make the labels most probable."""

    def loss(given: np.ndarray) -> float:
        scores = grouping.class_scores(nearness, float(np.exp(given[0])), float(given[1]))
        own = scores[np.arange(len(labels)), labels]
        return float(np.mean(scipy.special.logsumexp(scores, axis=1) - own))

    found = scipy.optimize.minimize(loss, [2.0, 0.5], method="Nelder-Mead").x
    return float(np.exp(found[0])), float(found[1])


def _fit_trace(values: np.ndarray, done: np.ndarray) -> list[float]:
    """Return slope and offset of the log-odds that something was done, by values [N]."""
    return _fit_log_odds(np.stack([values, np.ones_like(values)], axis=1), done).tolist()


def _near_network(judge: Judge, classes: np.ndarray) -> np.ndarray:
    """Return [N] bool: whether the likeliest class is a network."""
    return np.array([kind == NETWORK for kind in judge.kinds])[classes.argmax(axis=1)]


def _likeliest(judge: Judge, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest class of pictures and the likeliest family of networks, [N] names."""
    names, sums = family_chances(classes, judge.families, judge.kinds)
    return np.array(judge.names)[classes.argmax(axis=1)], names[sums.argmax(axis=1)]


def _fit_naming(
    told: np.ndarray, strange: np.ndarray, right: np.ndarray, near: np.ndarray
) -> list[list[float]]:
    """Return the weights `Calibration.naming`.

    Args:
        told: [N, F] numbers of pictures of networks that are classes.
        strange: [M, F] numbers of pictures of other networks, of which neither can be right.
        right: [N, 2], whether the likeliest class and the likeliest family are theirs.
        near: [N], whether the likeliest class is a network; only then can a name be given.
    """
    both = np.concatenate([told[near], strange])
    never = np.zeros(len(strange), int)
    named = [(both, np.concatenate([one, never])) for one in right[near].T]
    pairs = [(told, right[:, 0]), *named]
    return np.stack([_fit_log_odds(*pair) for pair in pairs], axis=1).tolist()


def _fit_log_odds(told: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return [F] weights of F numbers in the log-odds that something is right, [N] bool."""
    weights = np.asarray(_fit_mixing(told, right.astype(int), 2))
    return weights[:, 1] - weights[:, 0]


def _fit_mixing(told: np.ndarray, groups: np.ndarray, count: int = 3) -> list[list[float]]:
    """Return [F, count] weights of a logistic regression by F numbers that tells the group."""
    truth = np.eye(count)[groups]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, count)
        log_chances = scipy.special.log_softmax(told @ weights, axis=1)
        slope = told.T @ (np.exp(log_chances) - truth) / len(told) + 2 * RIDGE * weights
        value = -np.mean((truth * log_chances).sum(axis=1)) + RIDGE * np.sum(weights**2)
        return float(value), slope.ravel()

    start = np.zeros(told.shape[1] * count)
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    return [[float(x) for x in row] for row in found.reshape(-1, count)]


def _highest(values: np.ndarray, photographs: pd.Series) -> np.ndarray:
    """Return the highest of the values of each photograph, which are of several pictures of it."""
    return pd.Series(values).groupby(photographs.to_numpy()).max().to_numpy()


def _beyond(values: np.ndarray, rate: float) -> float:
    """Return the threshold that at most a share of the values reach; `NEVER` if there are none."""
    if not len(values):
        return judging.NEVER
    ordered = np.sort(values)[::-1]
    return float(np.nextafter(ordered[int(rate * len(values))], 2.0))


def _sure(chances: np.ndarray, right: np.ndarray, share: float) -> float:
    """Return the least probability from which on a share of the answers is right."""
    order = np.argsort(-chances)
    if not len(order):
        return judging.NEVER
    so_far = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(so_far >= share)
    good = good[good >= min(20, len(order) - 1)]
    return float(chances[order][good[-1]]) if len(good) else judging.NEVER
