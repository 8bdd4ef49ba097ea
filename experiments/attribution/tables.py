"""The tables of attribution: how often, of which networks, and the paper's numbers. Pure; no disk.

Every accuracy is a share of crops, first of each classifier by itself; a table has the mean over
the seeds of classifiers of one method and, as the paper has it, their population standard
deviation. Crops of one photograph are no independent draws, so the standard error of a mean treats
photographs as the draws.

Letters: N rows, a crop and a classifier each; K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.attribution.paper import LEFT_OUT, PAPER, TOTAL, WITHOUT
from experiments.report import page
from jaxsr.attribution import calibration
from jaxsr.attribution import methods as attribution

FACTORS = ("scale", "loss", "training_set", "architecture")
VOTES = (1, 2, 5, 10)
QUALITIES = ("acutance", "psnr_y_db")
WITH, MAJORITY = f"with {LEFT_OUT}", "majority"
_QUALITY_BINS, _CROPS_IN_BIN = 8, 20
_RULES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {  # [G, crops, K] to [G]
    MAJORITY: attribution.majority,
    "sum of log-probabilities": lambda scores: attribution.combine(scores).argmax(axis=-1),
}
_KIND = ("architecture", "overrides", "scale", "loss", "training_set")  # all but the seed
_ORDER = ("kind", "architecture", "scale", "loss", "training_set", "seed", "network")


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers of classifiers for test crops.

    Attributes:
        frame: N rows: `KEYS` (`seed` is the classifier's), `predicted`, the name of a class;
            `is_correct`; `probability` of the predicted class after calibration, and
            `temperature`, that of the calibration; `acutance` of the crop and `psnr_y_db` of its
            picture.
        log_scores: [N, K] float32, log-probabilities before calibration.
        classes: K rows in the order of the scores: `network`, `kind` and the columns of
            `jaxsr.datasets.picture_sets.FACTS`.
    """

    frame: pd.DataFrame
    log_scores: np.ndarray
    classes: pd.DataFrame

    def of(self, rows: np.ndarray) -> "Predictions":
        """Select rows by a mask, [N] bool."""
        return Predictions(self.frame[rows], self.log_scores[rows], self.classes)

    def truth(self) -> np.ndarray:
        """Return [N] int, the class of each row."""
        return pd.Index(self.classes["network"]).get_indexer(self.frame["network"])

    def with_facts(self) -> pd.DataFrame:
        """Return the frame joined with facts on the networks; their seed is `network_seed`."""
        facts = self.classes.rename(columns={"seed": "network_seed"})
        return self.frame.merge(facts, on="network", how="left", validate="many_to_one")


# ------------------------------------------------------------------------------------- accuracies


def measure(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the accuracy of every method in each group of rows.

    Args:
        frame: rows with `method`, `seed`, `is_correct`, the keys, and perhaps `image_id`.
        keys: columns; none for all rows together.

    Returns:
        `keys`, `method`; `accuracy`, the mean over seeds; `deviation`, the population standard
        deviation over them, NaN of one; `error`, the standard error over photographs; `seeds`;
        `crops` of one seed.
    """
    columns = [*keys, "method"]
    rows = []
    for values, own in frame.groupby(columns):
        of_seeds = own.groupby("seed")["is_correct"].mean()
        rows.append(
            {
                **dict(zip(columns, values, strict=True)),
                "accuracy": of_seeds.mean(),
                "deviation": of_seeds.std(ddof=0) if len(of_seeds) > 1 else np.nan,
                "error": standard_error(own) if "image_id" in own else np.nan,
                "seeds": len(of_seeds),
                "crops": len(own) // len(of_seeds),
            }
        )
    measured = ("accuracy", "deviation", "error", "seeds", "crops")
    return pd.DataFrame(rows, columns=[*columns, *measured])


def standard_error(frame: pd.DataFrame) -> float:
    """Return the standard error of the share of right rows, with photographs as the samples.

    Args:
        frame: rows with `image_id` and `is_correct`.

    Returns:
        Linearised, as of any ratio of two sums over draws; NaN of one photograph.
    """
    photos = frame.groupby("image_id")["is_correct"].agg(["sum", "count"])
    if len(photos) < 2:
        return float("nan")
    share = photos["sum"].sum() / photos["count"].sum()
    excess = photos["sum"] - share * photos["count"]
    draws = len(photos)
    return float(np.sqrt(draws / (draws - 1) * np.sum(excess**2)) / photos["count"].sum())


def overall(predictions: Predictions) -> pd.DataFrame:
    """Return the accuracy of every method, with `chance`: that of a guess."""
    measured = measure(predictions.frame, [])
    return measured.assign(chance=1.0 / len(predictions.classes))


def best_method(predictions: Predictions) -> str:
    """Return the method that is right most often; of equals, the first by name."""
    measured = measure(predictions.frame, [])
    return str(measured["method"].iloc[measured["accuracy"].argmax()])


def by_factor(predictions: Predictions) -> pd.DataFrame:
    """Return the accuracy by scale, loss, training set and architecture, where these are known.

    Returns:
        Columns of `measure` with keys `table` (the factor) and `group` (its value).
    """
    frame = predictions.with_facts()
    return pd.concat(
        [
            _grouped(frame[~frame[factor].isin(["", 0])], factor, frame[factor].astype(str))
            for factor in FACTORS
        ],
        ignore_index=True,
    )


def quadrants(predictions: Predictions) -> pd.DataFrame:
    """Return accuracy by scale and by whether the loss is adversarial; keys as in `by_factor`."""
    frame = predictions.with_facts()
    frame = frame[(frame["loss"] != "") & (frame["scale"] > 0)]
    loss = frame["loss"].where(frame["loss"] == "l1", "adversarial")
    return _grouped(frame, "quadrant", _with_scale(loss, frame))


def seed_triplets(predictions: Predictions) -> pd.DataFrame:
    """Return how well networks that differ in their seed alone are told apart.

    Scores are restricted to the seeds of one network, of which the best is the answer. The paper
    has three seeds each; two or more serve here.

    Returns:
        Columns of `measure` with keys `table` (with or without `LEFT_OUT`; without it alone where
        there is none) and `group` (loss and scale, or total), and `chance`.
    """
    frame = predictions.with_facts()
    truth = predictions.truth()
    networks = predictions.classes[predictions.classes["kind"] == "network"]
    is_asked = np.zeros(len(frame), bool)
    is_correct = np.zeros(len(frame), bool)
    chance = np.zeros(len(frame))
    for _, members in networks.groupby(list(_KIND)):
        if members["seed"].nunique() < 2:
            continue
        indices = members.index.to_numpy()
        rows = np.flatnonzero(np.isin(truth, indices))
        best = predictions.log_scores[np.ix_(rows, indices)].argmax(axis=1)
        is_asked[rows] = True
        is_correct[rows] = indices[best] == truth[rows]
        chance[rows] = 1.0 / len(indices)
    asked = frame.assign(is_correct=is_correct, chance=chance)[is_asked]
    others = asked[asked["architecture"] != LEFT_OUT]
    tables = [
        _grouped(rows, name, group)
        for name, rows in {WITHOUT: others, WITH: asked}.items()
        if name == WITHOUT or len(rows) > len(others)
        for group in (_with_scale(rows["loss"], rows), pd.Series(TOTAL, rows.index))
    ]
    return pd.concat(tables, ignore_index=True).assign(chance=asked["chance"].mean())


def votes(predictions: Predictions, sizes: Sequence[int] = VOTES) -> pd.DataFrame:
    """Return the accuracy where several crops of one network are judged together.

    Crops of a vote are of different photographs as far as there are enough. The majority decides,
    and of equals the larger sum of log-probabilities; or that sum decides alone. Every crop has
    one vote at most, so few votes of many crops can be held.

    Args:
        predictions: of at least one crop.
        sizes: crops of a vote; those of more than any network has are left out.

    Returns:
        Columns of `measure` with keys `crops_in_vote` and `rule`; there `crops` counts votes.
    """
    frame = predictions.frame.assign(truth=predictions.truth())
    draw = np.random.default_rng(0)
    lots = {name: draw.random() for name in sorted(set(frame["image_id"]))}
    frame = frame.assign(lot=frame["image_id"].map(lots), place=np.arange(len(frame)))
    rows = []
    for (method, seed, truth), own in frame.groupby(["method", "seed", "truth"]):
        ordered = own.sort_values(["tile", "lot"])["place"].to_numpy()
        for size in sizes:
            count = len(ordered) // size
            scores = predictions.log_scores[ordered[: count * size]]
            for rule, decide in _RULES.items():
                if count:
                    answers = decide(scores.reshape(count, size, -1))
                    rows += [(size, rule, method, seed, answer == truth) for answer in answers]
    columns = ["crops_in_vote", "rule", "method", "seed", "is_correct"]
    return measure(pd.DataFrame(rows, columns=columns), ["crops_in_vote", "rule"])


# ----------------------------------------------------------------------------------- other tables


def calibration_errors(predictions: Predictions) -> pd.DataFrame:
    """Compute the expected calibration error of each method before and after; means over seeds.

    Returns:
        `method`, `temperature`, `ece_before`, `ece_after`, `accuracy`, `probability` (the mean of
        the predicted class after calibration).
    """
    frame, truth = predictions.frame, predictions.truth()
    rows = []
    for (method, _), places in frame.groupby(["method", "seed"]).indices.items():
        own, scores = frame.iloc[places], predictions.log_scores[places]
        temperature = float(own["temperature"].iloc[0])
        errors = [
            calibration.expected_calibration_error(np.exp(log_scores), truth[places])
            for log_scores in (scores, calibration.calibrated(scores, temperature))
        ]
        rows.append(
            {
                "method": method,
                "temperature": temperature,
                "ece_before": errors[0],
                "ece_after": errors[1],
                "accuracy": own["is_correct"].mean(),
                "probability": own["probability"].mean(),
            }
        )
    return pd.DataFrame(rows).groupby("method", as_index=False).mean()


def shared_by_errors(predictions: Predictions) -> pd.DataFrame:
    """Measure what wrong answers have in common with the truth.

    Returns:
        `method`, `fact` (a factor), `share` of wrong answers with the same value of it as the
        truth, `chance`: the same share where every wrong class is as likely. None without errors.
    """
    facts, truth = predictions.classes[list(FACTORS)], predictions.truth()
    answers = pd.Index(predictions.classes["network"]).get_indexer(predictions.frame["predicted"])
    wrong = ~predictions.frame["is_correct"].to_numpy(bool)
    rows = []
    for method in sorted(set(predictions.frame["method"][wrong])):
        own = wrong & (predictions.frame["method"] == method).to_numpy()
        for factor in FACTORS:
            values = facts[factor].to_numpy()
            others = (values[:, None] == values).sum(axis=1) - 1
            rows.append(
                {
                    "method": method,
                    "fact": factor,
                    "share": np.mean(values[answers[own]] == values[truth[own]]),
                    "chance": np.mean(others[truth[own]]) / (len(values) - 1),
                }
            )
    return pd.DataFrame(rows, columns=["method", "fact", "share", "chance"])


def by_quality(predictions: Predictions, quality: str) -> pd.DataFrame:
    """Return the accuracy in bins of equal count of one of `QUALITIES`, without unknown values.

    Returns:
        Columns of `measure` with the key `middle`: the median of the bin.
    """
    frame = predictions.frame[np.isfinite(predictions.frame[quality])]
    crops = frame.drop_duplicates(["network", "image_id", "tile"])[quality].to_numpy()
    if not len(crops):
        return measure(frame.assign(middle=np.nan), ["middle"])
    count = int(np.clip(len(crops) // _CROPS_IN_BIN, 1, _QUALITY_BINS))
    edges = np.unique(np.quantile(crops, np.arange(1, count) / count))
    medians = pd.Series(crops).groupby(np.searchsorted(edges, crops, side="right")).median()
    bins = pd.Series(np.searchsorted(edges, frame[quality], side="right"), frame.index)
    return measure(frame.assign(middle=bins.map(medians)), ["middle"])


def confusion(predictions: Predictions) -> np.ndarray:
    """Return [K, K] float64: of the crops of a class (row), the share that went to each (column).

    Rows sum to 1, or are 0 of a class without crops. All seeds of classifiers are taken together.
    """
    size = len(predictions.classes)
    answers = pd.Index(predictions.classes["network"]).get_indexer(predictions.frame["predicted"])
    pairs = predictions.truth() * size + answers
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def ordered(classes: pd.DataFrame) -> np.ndarray:
    """Return [K] int: classes by architecture, then scale, loss, training set and seed."""
    return classes.reset_index(drop=True).sort_values(list(_ORDER)).index.to_numpy()


# --------------------------------------------------------------------------------- for the reader


def wide(long: pd.DataFrame, keys: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, tuple]]:
    """Make a row for each group and a column for each method, in percent, for `page.table`.

    Args:
        long: rows of `measure`, with these keys.
        keys: column -> heading; with `table` and `group` among the columns of `long` the paper's
            numbers stand beside ours, where there are any.

    Returns:
        The rows, and heading -> (column, format).
    """
    rows = []
    for values, own in long.groupby(list(keys), sort=False):
        row: dict[str, object] = dict(zip(keys, values, strict=True))
        for _, one in own.iterrows():
            row[one["method"]] = percent(one["accuracy"], one["deviation"])
        published = None
        if {"table", "group"} <= set(own):
            published = PAPER.get((own["table"].iloc[0], own["group"].iloc[0]))
        if published is not None:
            row["paper"] = percent(published.convnext / 100, published.deviation / 100)
            row["paper_prnu"] = percent(published.prnu / 100)
        rows.append(row)
    frame = pd.DataFrame(rows)
    columns = {heading: (key, "{}") for key, heading in keys.items()}
    columns |= {f"{method} (%)": (method, "{}") for method in sorted(set(long["method"]))}
    if "paper" in frame:
        columns |= {"paper’s ConvNeXt (%)": ("paper", "{}")}
        columns |= {"paper’s PRNU (%)": ("paper_prnu", "{}")}
    return frame, columns


def percent(share: float, deviation: float = np.nan) -> str | None:
    """Return `95.4 ± 0.7`, or `95.4` where no deviation is known; None of no share."""
    return page.with_deviation(100 * share, 100 * deviation)


def _grouped(frame: pd.DataFrame, table: str, group: pd.Series) -> pd.DataFrame:
    return measure(frame.assign(table=table, group=group), ["table", "group"])


def _with_scale(name: pd.Series, frame: pd.DataFrame) -> pd.Series:
    return name + " ×" + frame["scale"].astype(str)
