"""Which network made a picture, by what was done to its file, among all networks there are.

Linear discriminants learn all classes of the evidence and name the nearest class of each test
picture; no answer is kept back. The same is done with each part of the evidence alone, and without
the families of each fold, which stand for networks that nobody has learnt. Of those it is asked
whether they look unknown, and what is true of them: their scale, and whether they were trained with
an adversarial loss. A property is told in two ways: it is that of the nearest network that was
learnt, or it is told by discriminants whose classes are the values of the property.

Columns of `pictures.parquet`: `name`, `kind`, `family`, `image_id`, `side_px`, `state`; `nearest`,
the class that is named, and `nearest_PART` by a part of the evidence; of networks `unseen_nearest`
and `unseen_score`, how much nearer that is than the next class, by a judge that has not learnt the
family, and `seen_nearest` and `seen_score` by one that has learnt it but not another; and for each
property its value and what it is taken for: `PROPERTY`, `PROPERTY_nearest`, `PROPERTY_own`.

Letters: N pictures, D inputs, K classes.
"""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.judge import collect, discriminants, learn, states_report
from experiments.judge.config import StatesConfig
from experiments.judge.learn import Data
from experiments.judge.states_report import PROPERTIES
from experiments.report import page
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.progress import Progress
from jaxsr.attribution import open_set
from jaxsr.fingerprints import evidence
from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.judge import Judge
from jaxsr.gallery.state import GREY

KIND = "sr_states"
PICTURES = "pictures.parquet"
NETWORK = GROUPS[2]
_JUDGED = ("nearest", "seen_nearest", "unseen_nearest")
_KEPT = ["name", "kind", "family", "image_id", "side_px", "state"]


def run(config: StatesConfig, run_dir: Path) -> str:
    """Fit, attribute all test pictures, and write what was found.

    Returns:
        What there is and where.

    Raises:
        InputError: for too little evidence.
    """
    data = learn.load([Path(text) for text in config.evidence])
    data = data.only(~data.rows["state"].str.endswith(GREY).to_numpy())
    collect.refuse_too_little(data.rows, ("train", "test"))
    data = Data(data.rows.assign(**properties(data.rows, config)), data.given)
    with rundir.held(run_dir, KIND) as manifest:
        rundir.unfinish(run_dir)
        rows = attributed(data)
        rundir.write_table(run_dir / PICTURES, rows)
        table = measure(rows)
        rundir.write_json(run_dir / "results.json", table.to_dict("records"))
        written = states_report.write(run_dir, rows, table, page.settings(config, manifest))
        rundir.finish(run_dir)
    networks = rows.loc[rows["kind"] == NETWORK, "name"].nunique()
    return f"{networks} networks, {len(rows)} test pictures. Look at {written}"


def properties(rows: pd.DataFrame, config: StatesConfig) -> dict[str, list[str]]:
    """Return the columns `PROPERTIES` of pictures; empty where a property is not known or none.

    Raises:
        InputError: if a network is said to be both.
    """
    scales, losses = [], []
    for name, kind, enlargement in zip(
        rows["name"], rows["kind"], rows["enlargement"], strict=True
    ):
        said = [
            value
            for value, patterns in (("yes", config.adversarial), ("no", config.not_adversarial))
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        ]
        if len(said) > 1:
            raise InputError(f"--adversarial and --not_adversarial both match '{name}'.")
        is_network = kind == NETWORK
        scales.append(f"x{round(enlargement)}" if is_network else "")
        losses.append(said[0] if is_network and said else "")
    return dict(zip(PROPERTIES, (scales, losses), strict=True))


def attributed(data: Data) -> pd.DataFrame:
    """Return the rows of `pictures.parquet`."""
    rows = data.rows
    folds = learn.fold_of(rows)
    numbers = sorted(set(folds.values()))
    fold = rows["family"].map(folds).fillna(-1).astype(int).to_numpy()
    of_kind = (rows["kind_of_state"] != "").to_numpy()
    learnt = (rows["split"] == "train").to_numpy() & of_kind
    asked = (rows["split"] == "test").to_numpy() & of_kind
    found = rows.loc[asked, [*_KEPT, *PROPERTIES]].copy()
    found[[*_JUDGED, *(f"{name}_{way}" for name in PROPERTIES for way in ("nearest", "own"))]] = ""
    found[["seen_score", "unseen_score"]] = np.nan
    parts = evidence.parts()
    steps = 1 + len(parts) + len(numbers)
    with Progress(steps, steps, unit="fits", work="fits") as bar:
        judge = discriminants.alone(data.given[learnt], rows[learnt])
        found["nearest"] = _nearest(judge, data.only(asked))[0]
        bar.update(1.0, finished=1)
        for name, part in parts.items():
            judge = discriminants.alone(data.given[learnt, part], rows[learnt])
            only = Data(rows[asked], data.given[asked, part])
            found[f"nearest_{name}"] = _nearest(judge, only)[0]
            bar.update(1.0, finished=1)
        for number, other in zip(numbers, [*numbers[1:], *numbers[:1]], strict=True):
            known, strange = learnt & (fold != number), asked & (fold == number)
            if rows.loc[known, "name"].nunique() > 1:
                judge = discriminants.alone(data.given[known], rows[known])
                # The same judge is asked of networks that it knows: those of another fold.
                seen = asked & (fold == other) if other != number else np.zeros_like(asked)
                for whose, some in (("unseen", strange), ("seen", seen)):
                    answers = np.stack(_nearest(judge, data.only(some)), axis=1)
                    found.loc[some[asked], [f"{whose}_nearest", f"{whose}_score"]] = answers
                for name in PROPERTIES:
                    of_known = known & (rows[name] != "").to_numpy()
                    for way, answer in _property(judge, data, of_known, strange, name).items():
                        found.loc[strange[asked], f"{name}_{way}"] = answer
            bar.update(1.0, finished=1)
    scores = {name: found[name].astype(float) for name in ("seen_score", "unseen_score")}
    return found.assign(**scores).reset_index(drop=True)


def _property(
    judge: Judge, data: Data, known: np.ndarray, asked: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """Return what a property of the pictures `asked` is taken for, in two ways.

    Args:
        judge: of networks, those of pictures `known` among them.
        data: all pictures.
        known: [N] bool, pictures of networks that were learnt and whose property is known.
        asked: [N] bool.
        name: of the property.
    """
    rows = data.rows[known]
    if rows[name].nunique() < 2:
        return {}
    value = dict(zip(rows["name"], rows[name], strict=True))
    near = _nearest(judge, data.only(asked), value)[0]
    own = discriminants.alone(data.given[known], rows.assign(name=rows[name]))
    return {
        "nearest": np.array([value[one] for one in near]),
        "own": _nearest(own, data.only(asked))[0],
    }


def _nearest(
    judge: Judge, data: Data, among: Collection[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest class of pictures, [N] names, and [N] how much nearer than the next."""
    names, scores = np.empty(len(data.rows), object), np.empty(len(data.rows))
    kept = [k for k, name in enumerate(judge.names) if among is None or name in among]
    kinds = data.rows["kind_of_state"].to_numpy()
    for kind in set(kinds):
        some = kinds == kind
        units = judge.standardised(data.given[some].astype(np.float32))
        squared = -2.0 * judge.nearness(units, kind)[:, kept]
        names[some] = np.array(judge.names)[kept][squared.argmin(axis=1)]
        first, second = np.partition(squared, 1, axis=1)[:, :2].T
        scores[some] = np.log(second - first + 1e-6) - np.log(first + 1e-6)
    return names, scores


def measure(rows: pd.DataFrame) -> pd.DataFrame:
    """Return shares of test pictures, a row for each side and state; NaN where there is none.

    Columns: those of `states_report.ROWS`, `pictures` and `networks`.
    """
    table = []
    for (side, state), own in rows.groupby(["side_px", "state"], sort=False):
        made = own[own["kind"] == NETWORK]
        found: dict[str, Any] = {"side_px": int(side), "state": state}
        found |= _named(own, made) | _unknown(made) | _told(made)
        found |= {"pictures": len(own), "networks": made["name"].nunique()}
        table.append(found)
    return pd.DataFrame(table).sort_values("side_px", kind="stable", ignore_index=True)


def _named(own: pd.DataFrame, made: pd.DataFrame) -> dict[str, float]:
    """Return how often the nearest class is the right one."""
    is_zoo = made["family"] == collect.ZOO
    zoo, real = made[is_zoo], made[~is_zoo]
    family = own.drop_duplicates("name").set_index("name")["family"]
    shares = {
        "all classes": own["nearest"] == own["name"],
        "real networks": real["nearest"] == real["name"],
        "family of real networks": real["nearest"].map(family) == real["family"],
        "zoo": zoo["nearest"] == zoo["name"],
        "zoo, seeds apart": _seedless(zoo["nearest"]) == _seedless(zoo["name"]),
    }
    for part in evidence.parts():
        shares[part] = own[f"nearest_{part}"] == own["name"]
    return {name: _share(right) for name, right in shares.items()}


def _unknown(made: pd.DataFrame) -> dict[str, float]:
    """Return how well networks of families left out are told from those that were learnt."""
    seen = made[made["seen_score"].notna()]
    known, strange = seen["seen_score"].to_numpy(), made["unseen_score"].dropna().to_numpy()
    is_right = (seen["seen_nearest"] == seen["name"]).to_numpy()
    return {
        "AUROC": open_set.auroc(known, strange),
        "OSCR": open_set.oscr(known, is_right, strange),
        "unknown refused": open_set.tnr_at_tpr(known, strange),
    }


def _told(made: pd.DataFrame) -> dict[str, float]:
    """Return how often properties of networks are right by judges that do not know the family.

    Every family counts the same, whatever its number of networks. "usual" is what one gets who
    names the most frequent value of the other families.
    """
    found = {}
    for name in PROPERTIES:
        some = made[(made[name] != "") & (made[f"{name}_own"] != "")]
        usual = _usual(some, name)
        for way, right in {
            "nearest": some[f"{name}_nearest"] == some[name],
            "own": some[f"{name}_own"] == some[name],
            "usual": some["family"].map(usual) == some[name],
        }.items():
            found[f"{name}, {way}"] = float(right.groupby(some["family"]).mean().mean())
    return found


def _usual(some: pd.DataFrame, name: str) -> Mapping[str, str]:
    """Return for each family the most frequent value among networks of the others."""
    networks = some.drop_duplicates("name")
    found = {}
    for family in networks["family"].unique():
        others = networks.loc[networks["family"] != family, name]
        found[family] = str(others.mode().iloc[0]) if len(others) else ""
    return found


def _seedless(names: pd.Series) -> pd.Series:
    return names.str.replace(r"-s\d+$", "", regex=True)


def _share(right: Sequence[bool] | pd.Series) -> float:
    return float(np.mean(right)) if len(right) else float("nan")
