"""Which network made a picture: classifiers that learn it, and how often they are right.

Classifiers learn from the training photographs of a folder of pictures that networks made, are
calibrated on its validation photographs, and are tested on every square of its test photographs.
What is left behind, and where: `experiments.attribution.files`.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 4.

Letters: N crops or pictures, c side of a crop in pixels, K classes.
"""

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.attribution import features, files, report, tables
from experiments.attribution import parts as attribution_parts
from experiments.attribution.config import CONVNEXT, AttributionConfig
from experiments.attribution.features import TSNE_ENDING
from experiments.attribution.sharing import progress_callback
from experiments.attribution.tables import Predictions
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging.splits import SPLITS
from jaxfleet.progress import Progress
from jaxsr.attribution import calibration
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import Classifier
from jaxsr.datasets import picture_sets
from jaxsr.datasets.crops import BATCH, in_batches, tile_starts
from jaxsr.datasets.picture_sets import Pictures, PictureSet

_TRAIN, _VALIDATION, _TEST = SPLITS


@dataclasses.dataclass(frozen=True, eq=False)
class AttributionTask:
    """The classes to tell apart, and their pictures.

    Attributes:
        classes: K rows: `network`, `kind` and `picture_sets.FACTS`.
        splits: train, validation and test -> pictures; without validation where there is none.
        crop_px: c.
    """

    classes: pd.DataFrame
    splits: dict[str, PictureSet]
    crop_px: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.classes["network"])

    def labelled(self, split: str) -> tuple[Pictures, np.ndarray]:
        """Return the pictures of a split and the class of each, [N] int64."""
        pictures = self.splits[split]
        return Pictures(pictures), pd.Index(self.names).get_indexer(pictures.index["network"])

    def count(self, split: str) -> int:
        """Return the crops side by side in all pictures of a split; 0 where there is none."""
        if split not in self.splits:
            return 0
        sizes = self.splits[split].index[["height", "width"]].value_counts()
        return sum(
            int(number) * math.prod(len(tile_starts(n, self.crop_px)) for n in size)
            for size, number in sizes.items()
        )


def run(config: AttributionConfig, run_dir: Path) -> str:
    """Train and test the classifiers that are missing; write tables and the report.

    Returns:
        How often each method is right, and where the report is; of a dry run, what would be done.

    Raises:
        InputError: for flags, pictures and directories that cannot be used; then nothing is made.
        OSError: if the disk is full; what was made before stays and is whole.
    """
    task = make_task(config)
    planned = list(itertools.product(dict.fromkeys(config.method), dict.fromkeys(config.seed)))
    plan = _plan(config, task)
    if config.dry_run:
        rundir.check(run_dir, files.KIND, plan, free=files.FREE)
        return _summary(task, planned)
    if config.convnext_weights and CONVNEXT in config.method:
        _refuse_missing(config.convnext_weights)
    with rundir.held(run_dir, files.KIND, plan, free=files.FREE):
        for method, seed in planned:
            files.refuse_other_options(run_dir, method, seed, config.options(method))
        storage.make_folder(run_dir / files.MODELS, "--run_dir")
        _make(config, run_dir, task, planned)
        if config.tsne and config.features_per_class:
            _add_tsne(run_dir)
        page = report.write(run_dir)
        rundir.finish(run_dir)
    return f"{report.summary(run_dir)}\nLook at {page}"


def make_task(config: AttributionConfig) -> AttributionTask:
    """Collect the images that flags name, by split.

    Raises:
        InputError: if there are none, fewer than two classes, a class without pictures to learn
            from or to be tested on, or a picture smaller than a crop.
    """
    found = picture_sets.open(config.pictures)
    found = found.only(kind=config.classes).only(**config.filters())
    index = found.index
    classes = index.drop_duplicates("network")[files.class_columns()]
    classes = classes.reset_index(drop=True)
    if len(classes) < 2:
        raise InputError(
            f"--pictures={config.pictures}: {len(classes)} class is left; there must be two."
        )
    attribution_parts.refuse_small(found, config.crop_px)
    for split in (_TRAIN, _TEST):
        attribution_parts.refuse_without(found, split, classes["network"])
    splits = {split: found.only(split=split) for split in set(index["split"])}
    return AttributionTask(
        classes, {split: splits[split] for split in SPLITS if split in splits}, config.crop_px
    )


def evaluate(
    classifier: Classifier,
    pictures: Sequence[np.ndarray],
    *,
    on_batch: Callable[[int], object] = lambda _: None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict every crop of some images.

    Args:
        classifier: of K classes.
        pictures: [H, W, 3] uint8 each, no smaller than a crop.
        on_batch: called with the crops of each batch when it is done.

    Returns:
        N rows of `picture`, its place; `tile`, the crop's place in it; `acutance`; and [N, K]
        float32 log scores.
    """
    rows, scores = [], []
    for batch in attribution_parts.batches(pictures, classifier.crop_px):
        sharp = in_batches(features.acutance, batch.crops)
        rows.append(pd.DataFrame({"picture": batch.places, "acutance": sharp.astype(np.float64)}))
        scores.append(classifier.log_scores(batch.crops))
        on_batch(len(batch.crops))
    frame = pd.concat(rows, ignore_index=True)
    return frame.assign(tile=frame.groupby("picture").cumcount()), np.concatenate(scores)


# ------------------------------------------------------------------------------------- the parts


def _plan(config: AttributionConfig, task: AttributionTask) -> dict[str, Any]:
    """Return the facts on which every result depends, and facts for information."""
    checksums = pd.concat(own.index for own in task.splits.values())["file_checksum"]
    return {
        "crop_px": config.crop_px,
        "pictures": rundir.checksum("".join(checksums.sort_values()).encode()),
        "classes": task.classes.to_dict("records"),
        "source": config.pictures,
        "counts": {split: len(own) for split, own in task.splits.items()},
        "features_per_class": config.features_per_class,
    }


def _refuse_missing(weights: str) -> None:
    if not storage.location(weights).is_file():
        raise InputError(f"--convnext_weights={weights}: there is no such file.")


def _make(
    config: AttributionConfig,
    run_dir: Path,
    task: AttributionTask,
    planned: Sequence[tuple[str, int]],
) -> None:
    """Make every planned classifier, its features and predictions."""
    there = files.read_predictions(run_dir)
    arrays = _kept_features(config, run_dir, task)
    todo = [
        (method, seed, is_predicted)
        for method, seed in planned
        for is_predicted in [_is_predicted(run_dir, there, method, seed)]
        if not is_predicted or (config.features_per_class and f"{method}-{seed}" not in arrays)
    ]
    if todo:
        rundir.unfinish(run_dir)
    fits = sum(not is_predicted for _, _, is_predicted in todo)
    work = fits * (len(task.splits[_TRAIN]) + sum(map(task.count, (_VALIDATION, _TEST))))
    before = len(planned) - len(todo)
    with Progress(len(planned), work, fits_done=before, unit="classifiers", work="crops") as shown:
        for method, seed, is_predicted in todo:
            name = f"{method}-{seed}"
            if is_predicted:
                path = files.model_path(run_dir, method, seed)
                classifier, temperature = classifier_files.load(path), 1.0
            else:
                classifier, temperature, is_new = _classifier(
                    config, run_dir, task, method, seed, shown
                )
                if is_new:
                    arrays.pop(name, None)
                    arrays.pop(f"{name}{TSNE_ENDING}", None)
            if config.features_per_class and name not in arrays:
                arrays[name] = _features(config, task, classifier)
                files.write_features(run_dir, arrays)
            if not is_predicted:
                new = _predict(task, classifier, seed, temperature, shown)
                there = new if there is None else _joined(there, new)
                files.write_predictions(run_dir, there)
            shown.update(0, finished=1)


def _is_predicted(run_dir: Path, there: Predictions | None, method: str, seed: int) -> bool:
    """Return whether there are the predictions of a classifier, and the classifier."""
    if there is None or not files.model_path(run_dir, method, seed).exists():
        return False
    return bool(((there.frame["method"] == method) & (there.frame["seed"] == seed)).any())


def _classifier(
    config: AttributionConfig,
    run_dir: Path,
    task: AttributionTask,
    method: str,
    seed: int,
    shown: Progress,
) -> tuple[Classifier, float, bool]:
    """Load a classifier, or fit and keep one; return its temperature and whether it is new."""
    path = files.model_path(run_dir, method, seed)
    if path.exists():
        classifier = classifier_files.load(path)
        shown.update(len(task.splits[_TRAIN]) + task.count(_VALIDATION))
        return classifier, float(classifier_files.facts_of(path)["temperature"]), False
    start = time.monotonic()
    pictures, labels = task.labelled(_TRAIN)
    validation = task.labelled(_VALIDATION) if _VALIDATION in task.splits else None
    options = config.options(method)
    folder = run_dir / files.CHECKPOINTS
    kept: dict[str, Any] = {}
    if method == CONVNEXT:
        storage.make_folder(folder, "--run_dir")
        # By its options, so that a corrected command does not meet the state of the one before.
        checkpoint = folder / f"{path.stem}-{rundir.digest(options)}"
        kept = {"checkpoint": checkpoint, "on_epoch": functools.partial(_say, shown, path.stem)}
    classifier = attribution.fit(
        method,
        pictures,
        labels,
        task.names,
        crop_px=task.crop_px,
        seed=seed,
        validation=validation,
        progress=progress_callback(shown, len(pictures)),
        **options,
        **kept,
    )
    temperature = 1.0
    if validation is not None:
        temperature = attribution_parts.fit_temperature(
            classifier, *validation, on_batch=shown.update
        )
    facts = {
        "temperature": temperature,
        "seed": seed,
        "options": options,
        "seconds": time.monotonic() - start,
        "training_pictures": len(pictures),
        "validation_crops": task.count(_VALIDATION),
    }
    classifier_files.save(classifier, path, facts)
    for name in storage.names(folder):
        if name.startswith(f"{path.stem}-"):
            storage.remove_folder(folder / name)
    return classifier, temperature, True


def _say(shown: Progress, name: str, epoch: int, loss: float, accuracy: float) -> None:
    shown.note(f"{name}: epoch {epoch}, loss {loss:.3f}, right on validation {accuracy:.1%}")


def _predict(
    task: AttributionTask, classifier: Classifier, seed: int, temperature: float, shown: Progress
) -> Predictions:
    """Predict every test crop."""
    pictures, _ = task.labelled(_TEST)
    rows, log_scores = evaluate(classifier, pictures, on_batch=shown.update)
    known = task.splits[_TEST].index.iloc[rows["picture"]].reset_index(drop=True)
    best = log_scores.argmax(axis=1)
    log_probabilities = calibration.calibrated(log_scores, temperature)
    predicted = np.asarray(task.names)[best]
    frame = pd.DataFrame(
        {
            "method": classifier.method,
            "seed": seed,
            "network": known["network"],
            "image_id": known["image_id"],
            "tile": rows["tile"],
            "predicted": predicted,
            "is_correct": known["network"].to_numpy() == predicted,
            "probability": np.exp(log_probabilities.max(axis=1).astype(np.float64)),
            "temperature": temperature,
            "acutance": rows["acutance"],
            "psnr_y_db": known["psnr_y_db"],
        }
    )
    return Predictions(frame, log_scores, task.classes)


def _joined(one: Predictions, new: Predictions) -> Predictions:
    """Return the predictions together; new ones replace those of the same classifier."""
    method, seed = new.frame["method"].iloc[0], new.frame["seed"].iloc[0]
    others = ((one.frame["method"] != method) | (one.frame["seed"] != seed)).to_numpy()
    frame = pd.concat([one.frame[others], new.frame], ignore_index=True)
    return Predictions(frame, np.concatenate([one.log_scores[others], new.log_scores]), one.classes)


def _feature_rows(config: AttributionConfig, task: AttributionTask) -> np.ndarray:
    """Choose the test images whose central crops give features."""
    index = task.splits[_TEST].index
    return features.chosen_rows(index, config.features_per_class)


def _kept_features(
    config: AttributionConfig, run_dir: Path, task: AttributionTask
) -> dict[str, np.ndarray]:
    """Read the kept features, if they are of the images that the flags choose."""
    arrays = files.read_features(run_dir)
    if not config.features_per_class:
        return arrays
    rows = _feature_rows(config, task)
    of = {
        name: task.splits[_TEST].index[name].iloc[rows].to_numpy(str)
        for name in ("network", "image_id")
    }
    is_same = all(np.array_equal(arrays.get(name, ()), values) for name, values in of.items())
    return arrays if is_same else of


def _features(
    config: AttributionConfig, task: AttributionTask, classifier: Classifier
) -> np.ndarray:
    """Return [N, D] features of the middles of some test pictures of every class."""
    pictures, rows = task.splits[_TEST], _feature_rows(config, task)
    parts = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH].tolist()
        parts.append(classifier.embedding(pictures.crops(task.crop_px, some)))
    return np.concatenate(parts)


def _add_tsne(run_dir: Path) -> None:
    """Add the t-SNE of the first seed of the best method, if scikit-learn is installed."""
    arrays = files.read_features(run_dir)
    predictions = files.read_predictions(run_dir)
    if predictions is None or not features.has_tsne():
        return
    best = tables.best_method(predictions)
    name = features.first_seeds(arrays).get(best)
    if name is None:
        return
    key = f"{name}{TSNE_ENDING}"
    if key not in arrays and len(arrays[name]) >= features.LEAST:
        arrays[key] = features.tsne(arrays[name])
        files.write_features(run_dir, arrays)


def _summary(task: AttributionTask, planned: Sequence[tuple[str, int]]) -> str:
    """Summarise what would be done."""
    counts = (f"{len(own):,} {split}" for split, own in task.splits.items())
    return "\n".join(
        [
            f"{len(task.classes)} classes; pictures: {', '.join(counts)}",
            f"{len(planned)} classifiers: {', '.join(f'{m}-{s}' for m, s in planned)}",
            f"each is tested on {task.count(_TEST):,} crops of {task.crop_px} pixels",
        ]
    )
