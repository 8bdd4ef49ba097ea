"""Is a network that was never learnt answered "unknown"? The splits of POSE, on our zoo.

For each split the networks with one value - of seed, architecture or training set - are unknown; an
classifier learns the others from training photographs. Test photographs of both are scored: how
much each crop looks like one of a known network, by every score of `SCORES`. Thresholds come from
validation photographs of the known networks alone.

The run directory has `parts/COLUMN-VALUE/METHOD-SEED.parquet`, a row for each crop,
`crops.parquet` with those of the last command, `results.json`, `report.html`, `figures/`. Columns:
`unseen`, `method`, `seed`, `split` (validation, test), `network`, `image_id`, `is_known`,
`predicted`, `is_correct`, one for each score, `made_from`.

Source: Yang et al., "Progressive open space expansion for open-set model attribution", 2023:
unseen seed, unseen architecture, unseen data set; AUROC, OSCR and TNR at TPR 95.

Letters: N crops, K known classes, c side of a crop in pixels.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.attribution import parts as attribution_parts
from experiments.attribution.parts import PARTS
from experiments.attribution.sharing import SharedFeatures, progress_callback, share
from experiments.open_set import report
from experiments.open_set.config import EACH, OpenSetConfig
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.imaging.splits import SPLITS
from jaxfleet.progress import Progress
from jaxfleet.results.showing import counted
from jaxsr.attribution import methods as attribution
from jaxsr.attribution import open_set
from jaxsr.attribution.classifier import Classifier
from jaxsr.datasets import picture_sets
from jaxsr.datasets.picture_sets import PictureSet

KIND = "sr_open_set"  # of the run directory
SCORES = ("probability", "certainty", "energy", "mahalanobis", "relative_mahalanobis")

_TRAIN, _VALIDATION, _TEST = SPLITS


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Networks that are kept away.

    Attributes:
        unseen: COLUMN=VALUE.
        known: K names, sorted.
        unknown: names, sorted.
        pictures: of all these.
    """

    unseen: str
    known: tuple[str, ...]
    unknown: tuple[str, ...]
    pictures: PictureSet

    @property
    def folder(self) -> str:
        """The folder of its parts. A name with = would be read as a column of the rows in it."""
        return self.unseen.replace("=", "-")

    def only(self, split: str, networks: Sequence[str]) -> PictureSet | None:
        """Return the pictures of a split and of networks; None if there are none."""
        index = self.pictures.index
        chosen = index[(index["split"] == split) & index["network"].isin(networks)]
        if chosen.empty:
            return None
        return PictureSet(self.pictures.run_dir, chosen.reset_index(drop=True))


def run(config: OpenSetConfig, run_dir: Path) -> str:
    """Fit and test what is missing; write the table and the report.

    Returns:
        What there is and where; of a dry run, what would be done.

    Raises:
        InputError: for flags, pictures and directories that cannot be used; then nothing is made.
        OSError: if the disk is full; what was made before stays and is whole.
    """
    pictures = picture_sets.open(config.pictures).only(kind="network")
    attribution_parts.refuse_small(pictures, config.crop_px)
    splits = make_splits(pictures, config.unseen)
    planned = [
        (split, method, seed)  # methods outermost: what one sees of pictures is kept
        for method, seed, split in itertools.product(
            dict.fromkeys(config.method), dict.fromkeys(config.seed), splits
        )
    ]
    if config.dry_run:
        rundir.check(run_dir, KIND)
        return _summary(splits, len(planned))
    with rundir.held(run_dir, KIND) as manifest:
        rundir.unfinish(run_dir)
        rows = _work(config, run_dir, planned)
        rundir.write_table(run_dir / attribution_parts.CROPS, rows)
        table = measure(rows, config.tpr)
        attribution_parts.write_results(run_dir, table)
        settings = {
            "pictures": config.pictures,
            "side of a crop": f"{config.crop_px} pixels",
            "known pictures to be answered": f"{config.tpr:.0%}",
            **rundir.provenance(manifest),
        }
        page = report.write(run_dir, rows, table, settings)
        rundir.finish(run_dir)
    return (
        f"{counted(len(planned), 'classifier')} on {counted(len(splits), 'open set')}. "
        f"Look at {page}"
    )


def make_splits(pictures: PictureSet, unseen: Sequence[str]) -> list[Split]:
    """Make the splits that flags name, each once.

    Args:
        pictures: of networks.
        unseen: COLUMN=VALUE, or COLUMN=each for every value that leaves two networks or more.

    Raises:
        InputError: if no network has a value, fewer than two are without it, or the known ones have
            no photograph to learn from or to be tested on.
    """
    networks = pictures.index.drop_duplicates("network")
    splits = {}
    for text in unseen:
        column, _, wanted = text.partition("=")
        values = networks[column].astype(str)
        chosen = sorted(values.unique()) if wanted == EACH else [wanted]
        for value in chosen:
            known = tuple(sorted(networks.loc[values != value, "network"]))
            unknown = tuple(sorted(networks.loc[values == value, "network"]))
            if wanted == EACH and len(known) < 2:
                continue
            if not unknown or len(known) < 2:
                raise InputError(
                    f"--unseen={text}: {len(unknown)} networks have it and {len(known)} do not; "
                    f"there must be one and two. Values are {', '.join(sorted(values.unique()))}."
                )
            name = f"{column}={value}"
            splits[name] = Split(name, known, unknown, pictures)
    if not splits:
        raise InputError("--unseen: no value can be kept away, since networks differ in none.")
    for split in splits.values():
        for part in (_TRAIN, _TEST):
            names = split.known if part == _TRAIN else (*split.known, *split.unknown)
            attribution_parts.refuse_without(pictures, part, names)
    return list(splits.values())


def score(
    split: Split, method: str, seed: int, crop_px: int, shared: SharedFeatures | None = None
) -> pd.DataFrame:
    """Fit a classifier on the known networks; score crops of known and unknown ones.

    Args:
        split: which are which.
        method: one of `METHODS`.
        seed: of the classifier.
        crop_px: c.
        shared: what the method sees of all the pictures, where it does not learn from pixels.

    Returns:
        Rows with the columns that the module's docstring tells, without the last.

    Raises:
        InputError: if a picture is gone or changed.
    """
    train = split.only(_TRAIN, split.known)
    assert train is not None  # make_splits has seen to it
    validation = split.only(_VALIDATION, split.known)
    options: dict[str, Any] = {} if shared is None else {"extracted": shared.of(train)}
    classifier = attribution.fit(
        method,
        attribution_parts.unchanged(train),
        _labels(train, split.known),
        split.known,
        crop_px=crop_px,
        seed=seed,
        validation=None
        if validation is None
        else (attribution_parts.unchanged(validation), _labels(validation, split.known)),
        **options,
    )
    seen = _Seen.of(classifier, train, shared)
    gaussians = open_set.fit_gaussians(seen.features, _labels(train, split.known)[seen.places])
    looked_at = []
    for pictures, is_known in (
        (validation, True),
        (split.only(_TEST, split.known), True),
        (split.only(_TEST, split.unknown), False),
    ):
        if pictures is None:
            continue
        seen = _Seen.of(classifier, pictures, shared)
        looked_at.append(_rows(seen, pictures, is_known, gaussians, split.known))
    rows = pd.concat(looked_at, ignore_index=True)
    facts = {"unseen": split.unseen, "method": method, "seed": seed}
    return pd.concat([pd.DataFrame(facts, index=rows.index), rows], axis=1)


def measure(rows: pd.DataFrame, tpr: float) -> pd.DataFrame:
    """Return how well each score tells known networks from unknown ones.

    Args:
        rows: of `score`, of any number of classifiers.
        tpr: share of the known that a threshold leaves answered.

    Returns:
        A row for each classifier and score: `unseen`, `method`, `seed`, `score`; `accuracy` on the
        known, whatever the score; `auroc`; `oscr`; `tnr` where `tpr` of the known test crops are
        answered; and with the threshold of the validation crops, the shares `answered` of the known
        and `refused` of the unknown test crops, NaN without any.
    """
    measured = []
    for (unseen, method, seed), own in rows.groupby(["unseen", "method", "seed"], sort=False):
        tests, validation = (own[own["split"] == split] for split in (_TEST, _VALIDATION))
        known, unknown = tests[tests["is_known"]], tests[~tests["is_known"]]
        is_right = known["is_correct"].to_numpy(bool)
        for name in SCORES:
            inside, outside = (part[name].to_numpy(float) for part in (known, unknown))
            threshold = math.nan
            if len(validation):
                threshold = open_set.threshold_at_tpr(validation[name].to_numpy(float), tpr)
            measured.append(
                {
                    "unseen": unseen,
                    "method": method,
                    "seed": seed,
                    "score": name,
                    "accuracy": is_right.mean(),
                    "auroc": open_set.auroc(inside, outside),
                    "oscr": open_set.oscr(inside, is_right, outside),
                    "tnr": open_set.tnr_at_tpr(inside, outside, tpr),
                    "answered": _share(inside >= threshold, threshold),
                    "refused": _share(outside < threshold, threshold),
                }
            )
    return pd.DataFrame(measured)


# ------------------------------------------------------------------------------------- the parts


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """The outputs of a classifier for N crops: places [N] of pictures, log scores, features."""

    places: np.ndarray
    log_scores: np.ndarray
    features: np.ndarray

    @staticmethod
    def of(classifier: Classifier, pictures: PictureSet, shared: SharedFeatures | None) -> "_Seen":
        """Return all crops of pictures."""
        if shared is not None:
            crops, owners = shared.of(pictures)
            return _Seen(owners, classifier.log_scores_of(crops), classifier.embedding_of(crops))
        unchanged = attribution_parts.unchanged(pictures)
        parts: Iterator[tuple[Any, ...]] = (
            (batch.places, classifier.log_scores_of(seen), classifier.embedding_of(seen))
            for batch in attribution_parts.batches(unchanged, classifier.crop_px)
            for seen in [classifier.extract(batch.crops)]
        )
        return _Seen(*map(np.concatenate, zip(*parts, strict=True)))


def _rows(
    seen: _Seen,
    pictures: PictureSet,
    is_known: bool,
    gaussians: open_set.Gaussians,
    known: Sequence[str],
) -> pd.DataFrame:
    """Return the rows of the crops of one kind of pictures.

    Probabilities are not calibrated: thresholds are of the score itself, and the temperature of an
    classifier that is always right makes all of them 1.
    """
    predicted = np.asarray(known)[seen.log_scores.argmax(axis=1)]
    index = pictures.index.iloc[seen.places].reset_index(drop=True)
    return pd.DataFrame(
        {
            "split": index["split"],
            "network": index["network"],
            "image_id": index["image_id"],
            "is_known": is_known,
            "predicted": predicted,
            "is_correct": index["network"].to_numpy() == predicted,
            "probability": open_set.probability(seen.log_scores),
            "certainty": open_set.certainty(seen.log_scores),
            "energy": gaussians.energy(seen.features),
            "mahalanobis": gaussians.mahalanobis(seen.features),
            "relative_mahalanobis": gaussians.relative_mahalanobis(seen.features),
        }
    )


def _labels(pictures: PictureSet, known: Sequence[str]) -> np.ndarray:
    """Return [N] int64, places in `known`."""
    return pd.Index(known).get_indexer(pictures.index["network"])


def _share(is_so: np.ndarray, threshold: float) -> float:
    return math.nan if math.isnan(threshold) else float(is_so.mean())


def _work(
    config: OpenSetConfig, run_dir: Path, planned: Sequence[tuple[Split, str, int]]
) -> pd.DataFrame:
    """Return the rows of every classifier; rows that exist are read."""
    parts = rundir.Parts(
        (
            run_dir / PARTS / split.folder / f"{method}-{seed}.parquet",
            attribution_parts.made_from(split.pictures, split.known, method, seed, config.crop_px),
        )
        for split, method, seed in planned
    )
    missing = [planned[number] for number in parts.missing]
    methods = {method for _, method, _ in missing}
    pictures = len(planned[0][0].pictures)
    with Progress(
        len(planned),
        float((len(missing) + len(methods)) * pictures),  # each method looks at all of them once
        fits_done=len(planned) - len(missing),
        unit="classifiers",
        work="pictures",
    ) as display:
        shared: dict[str, SharedFeatures | None] = {}
        for number, (split, method, seed) in zip(parts.missing, missing, strict=True):
            if method not in shared:
                on_progress = progress_callback(display, pictures)
                seen = share(method, split.pictures, crop_px=config.crop_px, progress=on_progress)
                shared = {method: seen}
            parts.write(number, score(split, method, seed, config.crop_px, shared[method]))
            display.update(pictures, finished=1)
    return parts.rows()


def _summary(splits: Sequence[Split], classifiers: int) -> str:
    """Summarise what would be done."""
    lines = [
        f"{split.unseen}: {len(split.known)} known networks, {len(split.unknown)} unknown"
        for split in splits
    ]
    return "\n".join([*lines, f"{classifiers} classifiers to fit"])
