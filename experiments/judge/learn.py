"""Fit the judge of a gallery to collected evidence, calibrate it, and measure it.

Networks that are not known are stood for by families that are left out: the families fall into
`FOLDS` parts, and for each a judge learns without them. Thresholds come from validation
photographs, the table and the error rates from test photographs.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from experiments.judge import calibrate, collect, discriminants, measures, tested, training
from experiments.judge.config import LearnConfig
from experiments.judge.measures import Predictions
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import picture_files
from jaxsr.datasets import perturbations
from jaxsr.fingerprints import evidence
from jaxsr.gallery import files as gallery_files
from jaxsr.gallery import judge as judging
from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.judge import Judge
from jaxsr.gallery.scales import BINS, bin_of
from jaxsr.gallery.state import GREY, kind_of

FOLDS = 3
NETWORK = GROUPS[2]


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

    Only measure, and leave the table alone, where the flags say so.

    Returns:
        The tables, one for each size of the pictures.

    Raises:
        InputError: for too little evidence, or a gallery that cannot be used.
    """
    data = load([Path(text) for text in config.evidence])
    if config.measure_only:
        table = measured(Gallery.open(config.gallery or None), data)
        with rundir.held(run_dir, "sr_judge"):
            rundir.write_json(run_dir / "table.json", table)
            rundir.finish(run_dir)
        return measures.markdown(table)
    collect.refuse_too_little(data.rows)
    base = Gallery.open(config.gallery or None)  # refused, if it must be, before anything is fitted
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
        judge = calibrate.calibrated(known, data.rows, seen, unseen)
        judge, table = measures.measure(judge, data.rows, seen, unseen)
        rundir.write_json(run_dir / "table.json", table)
        dataclasses.replace(base, judge=judge).save(run_dir / gallery_files.NAME)
        rundir.finish(run_dir)
    return measures.markdown(table)


def measured(gallery: Gallery, data: Data) -> dict[str, Any]:
    """Return the table of a gallery's judge as it is, on test pictures of the classes it knows.

    Families are left out by `discriminants.without`. The perceptron is not fitted again: how many
    of their pictures are called enlarged by a network is what the judge says that knows them.

    Raises:
        InputError: if there is no judge, or no network that it knows.
    """
    judge = gallery.judge
    if judge is None:
        raise InputError("--measure_only: the gallery has no judge.")
    data = data.only(data.rows["name"].isin(judge.names).to_numpy())
    collect.refuse_too_little(data.rows, ("test",))
    folds = fold_of(data.rows)
    of = dict(zip(judge.names, judge.families, strict=True))
    without = [
        discriminants.without(judge, [name for name in judge.names if folds.get(of[name]) == fold])
        for fold in sorted(set(folds.values()))
    ]
    unseen = predict_unseen(judge.names, without, data, folds)
    return measures.measure(judge, data.rows, predict(judge, data), unseen)[1]


def load(run_dirs: Sequence[Path]) -> Data:
    """Read the evidence of run directories."""
    rows, features = collect.read(run_dirs)
    seen = rows["seen_quality"]
    states = [tested.file_state(*pair) for pair in zip(rows["state"], seen, strict=True)]
    rows = rows.assign(
        kind_of_state=[kind_of(state) for state in states],
        log_scale=np.log(np.maximum(1.0, rows["enlargement"] * rows["state"].map(_resized))),
        is_resized=rows["state"].map(_resized) < 1.0,
        is_sharpened=rows["state"].str.contains("sharpen"),
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
    units, mean, scale = discriminants.standard(some.given.astype(np.float32))
    place = {name: k for k, name in enumerate(names)}
    family_place = {name: k for k, name in enumerate(dict.fromkeys(families))}
    targets = training.Targets(
        some.rows["name"].map(place).to_numpy(),
        some.rows["kind"].map(GROUPS.index).to_numpy(),
        bin_of(some.rows["log_scale"].to_numpy()),
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
        "log_scales": log_scales(some.rows, names),
        **discriminants.fit(units, some.rows["name"], some.rows["kind_of_state"]),
        **discriminants.fit_traces(units, some.rows),
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


def log_scales(rows: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return the logarithms of the enlargements of classes, [K]; 0 of what is no network."""
    of = rows[rows["kind"] == NETWORK].groupby("name")["enlargement"].median()
    return np.log(of.reindex(names).fillna(1.0).to_numpy(np.float32))


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
