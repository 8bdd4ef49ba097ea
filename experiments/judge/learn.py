"""Fit the judge of a gallery to collected evidence, calibrate it, and measure it.

Networks that are not known are stood for by families that are left out: the families fall into
`FOLDS` parts, and for each a judge learns without them. Thresholds come from validation
photographs, the table and the error rates from test photographs.
"""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special

from experiments.judge import collect, discriminants, measures, training
from experiments.judge.config import LearnConfig
from experiments.judge.measures import Predictions, of_rows
from jaxfleet import rundir, storage
from jaxfleet.imaging import picture_files
from jaxsr.attribution import calibration as calibrating
from jaxsr.datasets import perturbations
from jaxsr.fingerprints import evidence
from jaxsr.gallery import files as gallery_files
from jaxsr.gallery import judge as judging
from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.judge import BINS, Calibration, Judge
from jaxsr.gallery.naming import family_chances
from jaxsr.gallery.state import GREY, kind_of

FOLDS = 3
LEAST_PICTURES = 100  # to calibrate answers in a kind of state
ORIGINAL, INTERPOLATION, NETWORK = GROUPS
PLAIN_RATE = 0.004  # of photographs that may be called a network's, on validation photographs
INTERPOLATION_RATE = 0.005  # of interpolations that may be called a network's
NO_RATE = {"lossless": 0.01}  # of networks' pictures that may be called "no"; else the next
OTHER_NO_RATE = 0.02
UNKNOWN_RATE = 0.03  # of networks of families left out that may count as known
UNKNOWN_FAMILY_RATE = 0.1  # of these that may be given a family
SURE = 0.9  # share of answers that is to be right, of families and of networks
SCALE_SURE = 0.95
RIDGE = 1e-3  # of the weights that mix what tells the group


@dataclasses.dataclass(frozen=True)
class Data:
    """All evidence: N rows, with `kind_of_state` and `log_scale`; [N, D] float16 inputs."""

    rows: pd.DataFrame
    given: np.ndarray

    def only(self, mask: np.ndarray) -> "Data":
        """Return some of the rows."""
        return Data(self.rows[mask].reset_index(drop=True), self.given[mask])


def run(config: LearnConfig, run_dir: Path) -> str:
    """Fit, calibrate and measure; leave `gallery.safetensors` and `table.json`.

    Returns:
        The table.

    Raises:
        InputError: for too little evidence, or a gallery that cannot be used.
    """
    data = load([Path(text) for text in config.evidence])
    collect.refuse_too_little(data.rows)
    folds = fold_of(data.rows)
    with rundir.held(run_dir, "sr_judge"):
        rundir.unfinish(run_dir)
        known = _fitted(run_dir / "judge.npz", data, (), config)
        without = []
        for fold in sorted(set(folds.values())):
            left_out = tuple(sorted(name for name, own in folds.items() if own == fold))
            without.append(_fitted(run_dir / f"without_{fold}.npz", data, left_out, config))
        seen = predict(known, data)
        unseen = predict_unseen(known.names, without, data, folds)
        judge = calibrated(known, data.rows, seen, unseen)
        judge, table = measures.measure(judge, data.rows, seen, unseen)
        (run_dir / "table.json").write_text(json.dumps(table, indent=1))
        base = Gallery.open(config.gallery or None)
        dataclasses.replace(base, judge=judge).save(run_dir / gallery_files.NAME)
        rundir.finish(run_dir)
    return measures.markdown(table)


def load(run_dirs: Sequence[Path]) -> Data:
    """Read the evidence of run directories."""
    rows, features = collect.read(run_dirs)
    states = judging.states_of(rows["state"].tolist())
    rows = rows.assign(
        kind_of_state=[kind_of(state) for state in states],
        log_scale=np.log(np.maximum(1.0, rows["enlargement"] * rows["state"].map(_resized))),
    )
    given = np.stack(
        [
            judging.inputs(one, state).astype(np.float16)
            for one, state in zip(features, states, strict=True)
        ]
    )
    return with_grey(Data(rows, given))


def with_grey(data: Data) -> Data:
    """Add the pictures that are not learnt from once more, as if they had been made grey.

    Evidence of luma is that of the colour picture, but for what rounding to whole grey levels adds.
    """
    asked = ((data.rows["split"] != "train") & (data.rows["kind_of_state"] != "")).to_numpy()
    rows = data.rows[asked].copy()
    for name in ("state", "kind_of_state"):
        rows[name] += GREY
    return Data(
        pd.concat([data.rows, rows], ignore_index=True),
        np.concatenate([data.given, judging.without_colour(data.given[asked])]),
    )


def _resized(state: str) -> float:
    factors = [s.strength for s in perturbations.parse(state).steps if s.kind == "resize"]
    return float(np.prod(factors)) if factors else 1.0


def fold_of(rows: pd.DataFrame) -> dict[str, int]:
    """Return the fold of each family of networks, from 0 on, with about as many classes each."""
    own = rows[rows["kind"] == NETWORK].groupby("family")["name"].nunique().sort_values()
    totals, folds = [0] * FOLDS, {}
    for family, count in reversed(list(own.items())):
        folds[str(family)] = int(np.argmin(totals))
        totals[folds[str(family)]] += int(count)
    return folds


# -------------------------------------------------------------------------------------- fitting


def _fitted(path: Path, data: Data, left_out: tuple[str, ...], config: LearnConfig) -> Judge:
    """Fit a judge without some families, or read the one that is there."""
    classes = data.rows[~data.rows["family"].isin(left_out)]
    classes = classes.groupby("name")[["family", "kind"]].first().sort_index()
    names, families, kinds = (
        tuple(classes.index),
        tuple(classes["family"]),
        tuple(classes["kind"]),
    )
    some = data.only(
        ((data.rows["split"] == "train") & ~data.rows["family"].isin(left_out)).to_numpy()
    )
    made_from = rundir.digest(
        [*names, config.seed, config.epochs],
        rundir.checksum(some.rows.to_json().encode()),
        rundir.checksum(some.given.tobytes()),
    )
    if path.is_file():
        with np.load(path) as arrays:
            if str(arrays.get(rundir.MADE_FROM)) == made_from:
                found = {k: arrays[k] for k in arrays.files if k != rundir.MADE_FROM}
                return Judge(names, families, kinds, found, {})
    given = some.given.astype(np.float32)
    mean, scale = given.mean(axis=0), given.std(axis=0) + 1e-3
    units = np.clip((given - mean) / scale, -judging.MOST_UNITS, judging.MOST_UNITS)
    place = {name: k for k, name in enumerate(names)}
    family_place = {name: k for k, name in enumerate(dict.fromkeys(families))}
    targets = training.Targets(
        some.rows["name"].map(place).to_numpy(),
        some.rows["kind"].map(GROUPS.index).to_numpy(),
        np.rint(some.rows["log_scale"] / np.log(1.1)).clip(0, len(BINS) - 1).astype(int).to_numpy(),
        np.array([family_place[name] for name in families]),
        np.array([GROUPS.index(kind) for kind in kinds]),
    )
    trained = training.train(
        jax.random.key(config.seed),
        units.astype(np.float16),
        targets,
        len(BINS),
        epochs=config.epochs,
        tell=lambda line: picture_files.tell(f"{path.stem}: {line}"),
    )
    arrays = {
        **{"mean": mean, "scale": scale},
        **{k: trained[k].astype(np.float16) for k in ("w1", "b1", "w2", "b2", "group")},
        "scale_bins": trained["scale"].astype(np.float16),
        **shown(some, names),
        **discriminants.fit(units, some.rows["name"], some.rows["kind_of_state"]),
    }
    buffer = io.BytesIO()
    saved: dict[str, Any] = {rundir.MADE_FROM: made_from, **arrays}
    np.savez(buffer, **saved)
    storage.write_atomically(path, buffer.getvalue())
    return Judge(names, families, kinds, arrays, {})


def shown(some: Data, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return `profiles` [K, 33] and `planes` [K, 16, 16] of the pictures as they were made."""
    told = some.only((some.rows["state"] == "none").to_numpy())
    found = told.given[:, : -judging.NUM_TOLD].astype(np.float32)
    means = np.stack([found[(told.rows["name"] == name).to_numpy()].mean(axis=0) for name in names])
    parts = {"profiles": evidence.luma_profile(means), "planes": evidence.luma_plane(means)}
    return {name: values.astype(np.float16) for name, values in parts.items()}


def predict(judge: Judge, data: Data) -> Predictions:
    """Return the logits of all pictures but those that are learnt from (rows of NaN)."""
    asked = (data.rows["split"] != "train").to_numpy()
    found: Predictions = {}
    for kind in data.rows["kind_of_state"].unique():
        rows = np.flatnonzero(asked & (data.rows["kind_of_state"] == kind).to_numpy())
        for name, values in judge.logits(data.given[rows].astype(np.float32), kind).items():
            whole = found.setdefault(
                name, np.full((len(asked), values.shape[1]), np.nan, np.float32)
            )
            whole[rows] = values
    return found


def predict_unseen(
    names: Sequence[str], without: Sequence[Judge], data: Data, folds: Mapping[str, int]
) -> Predictions:
    """Return logits by judges that do not know the family, of networks.

    Of "class" there is a column for each of `names`, minus infinity where the judge does not know
    the class.
    """
    fold = data.rows["family"].map(folds).to_numpy()
    found: Predictions = {}
    for number, judge in enumerate(without):
        mask = fold == number
        own = predict(judge, data.only(mask))
        wide = np.full((int(mask.sum()), len(names)), -np.inf, np.float32)
        wide[:, [names.index(name) for name in judge.names]] = own["class"]
        for name, values in {**own, "class": wide}.items():
            whole = found.setdefault(
                name, np.full((len(fold), values.shape[1]), np.nan, np.float32)
            )
            whole[mask] = values
    return found


# ---------------------------------------------------------------------------------- calibration


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
    bins = np.rint(rows["log_scale"] / np.log(1.1)).clip(0, len(BINS) - 1).astype(int).to_numpy()
    is_network = group == 2
    strangers = of_rows(unseen, is_network)
    temperature, growth = _fit_growth(seen["class"][is_network], labels[is_network])
    told = np.concatenate(
        [
            judging.group_inputs(
                logits["group"],
                judging.class_scores(logits["class"], temperature, growth),
                judge.kinds,
            )
            for logits in (seen, strangers)
        ]
    )
    own = Calibration(
        {
            "class": temperature,
            "scale_bins": calibrating.fit_temperature(
                np.concatenate([seen["scale_bins"], strangers["scale_bins"]]),
                np.concatenate([bins, bins[is_network]]),
            ),
        },
        growth,
        _fit_mixing(told, np.concatenate([group, group[is_network]])),
        {},
        {},
    )
    views, strange = judge.chances(seen, own), judge.chances(strangers, own)
    top, top_family = _likeliest(judge, views["classes"])
    right = np.stack(
        [top == rows["name"].to_numpy(), top_family == rows["family"].to_numpy()], axis=1
    )
    naming = _fit_naming(
        views["naming_inputs"][is_network], right[is_network], strange["naming_inputs"]
    )
    own = dataclasses.replace(own, naming=naming)
    views, strange = judge.chances(seen, own), judge.chances(strangers, own)
    no = NO_RATE.get(kind.removesuffix(GREY), OTHER_NO_RATE)
    plain, interpolated = group == 0, group == 1
    groups = views["groups"]
    both = np.concatenate([groups[is_network], strange["groups"]])
    thresholds = {
        f"{NETWORK} group": max(
            0.5,
            _beyond(groups[plain, 2], PLAIN_RATE),
            _beyond(groups[interpolated, 2], INTERPOLATION_RATE),
        ),
        f"{ORIGINAL} group": max(
            0.5, _beyond(both[:, 0], no), _beyond(groups[interpolated, 0], 0.03)
        ),
        f"{INTERPOLATION} group": max(
            0.5, _beyond(both[:, 1], no), _beyond(groups[plain, 1], PLAIN_RATE)
        ),
        "enlarged": max(0.5, _beyond(1 - groups[plain, 0], PLAIN_RATE)),
    }
    # Of strangers only those can be named that are called a network's.
    called = [one["groups"][:, 2] >= thresholds[f"{NETWORK} group"] for one in (views, strange)]
    made = is_network & called[0]
    strange_naming = np.where(called[1][:, None], strange["naming"], 0.0)
    sure = [_sure(views["naming"][made, k], right[made, k], SURE) for k in (0, 1)]
    thresholds["known"] = _beyond(strange_naming[:, 0], UNKNOWN_RATE)
    thresholds["network"] = max(thresholds["known"], sure[0])
    thresholds["family"] = max(_beyond(strange_naming[:, 1], UNKNOWN_FAMILY_RATE), sure[1])
    off = np.abs(
        np.log(np.concatenate([views["scale"], strange["scale"]]))
        - np.concatenate([rows["log_scale"], rows["log_scale"][is_network]])
    )
    enlarged = np.concatenate([group > 0, np.ones(is_network.sum(), bool)])
    chance = np.concatenate([views["scale_chance"], strange["scale_chance"]])
    thresholds["scale"] = _sure(chance[enlarged], off[enlarged] < np.log(1.1), SCALE_SURE)
    return dataclasses.replace(own, thresholds={k: float(v) for k, v in thresholds.items()})


def _fit_growth(nearness: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the temperature and growth of `class_scores` that make the labels most probable."""

    def loss(given: np.ndarray) -> float:
        scores = judging.class_scores(nearness, float(np.exp(given[0])), float(given[1]))
        own = scores[np.arange(len(labels)), labels]
        return float(np.mean(scipy.special.logsumexp(scores, axis=1) - own))

    found = scipy.optimize.minimize(loss, [2.0, 0.5], method="Nelder-Mead").x
    return float(np.exp(found[0])), float(found[1])


def _likeliest(judge: Judge, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest class of pictures and the likeliest family of networks, [N] names."""
    names, sums = family_chances(classes, judge.families, judge.kinds)
    return np.array(judge.names)[classes.argmax(axis=1)], names[sums.argmax(axis=1)]


def _fit_naming(told: np.ndarray, right: np.ndarray, strange: np.ndarray) -> list[list[float]]:
    """Return the weights `Calibration.naming`.

    Args:
        told: [N, 6] `naming_inputs` of pictures of networks that are classes.
        right: [N, 2], whether the likeliest class and the likeliest family are theirs.
        strange: [M, 6] inputs of pictures of other networks, of which neither can be right.
    """
    both = np.concatenate([told, strange])
    never = np.zeros(len(strange), int)
    pairs = [(told, right[:, 0]), *((both, np.concatenate([one, never])) for one in right.T)]
    fitted = [np.asarray(_fit_mixing(given, labels.astype(int), 2)) for given, labels in pairs]
    return np.stack([weights[:, 1] - weights[:, 0] for weights in fitted], axis=1).tolist()


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
