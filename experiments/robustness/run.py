"""Robustness of attribution to compression, resizing, blur and cropping.

Classifiers of a run of launch/sr_attribution.py are tested on its test photographs after
perturbations (`jaxsr.datasets.perturbations`); with `train_on`, classifiers that learnt from
perturbed pictures too are tested beside them. The run directory has

    parts/ATTRIBUTOR/PERTURBATION.parquet   a row for each test crop
    crops.parquet                           the rows of all parts that the last command asked for
    models/ATTRIBUTOR.safetensors           those that were fitted here
    results.json, report.html, figures/

where ATTRIBUTOR is METHOD-SEED, or METHOD-SEED-perturbed of one fitted here. Columns of parts:
`method`, `seed`, `learned` (clean, perturbed), `perturbation`, `network`, `image_id`, `predicted`,
`is_correct`, `probability` (of what is predicted, calibrated), `is_filled` (the picture was smaller
than a crop and is mirrored), `made_from`.

Letters: N pictures, K classes, c side of a crop in pixels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.attribution import files as attribution_files
from experiments.attribution import parts as attribution_parts
from experiments.attribution.parts import MODELS, PARTS, Perturbed
from experiments.attribution.sharing import progress_callback
from experiments.robustness import report
from experiments.robustness.config import RobustnessConfig
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.progress import Progress
from jaxfleet.results.showing import counted
from jaxsr.attribution import calibration
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import Classifier
from jaxsr.datasets import perturbations, picture_sets
from jaxsr.datasets.perturbations import Perturbation
from jaxsr.datasets.picture_sets import PictureSet

KIND = "sr_robustness"  # of the run directory
CLEAN, PERTURBED = "clean", "perturbed"  # what a classifier learnt from


@dataclasses.dataclass(frozen=True, eq=False)
class Tested:
    """A classifier to be tested.

    Attributes:
        classifier: itself.
        seed: of its training.
        learned: `CLEAN` or `PERTURBED`.
        temperature: of its probabilities.
        checksum: of its file.
        options: of its method, which it was fitted with.
    """

    classifier: Classifier
    seed: int
    learned: str
    temperature: float
    checksum: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its folder of parts."""
        ending = "" if self.learned == CLEAN else f"-{self.learned}"
        return f"{self.classifier.method}-{self.seed}{ending}"


def run(config: RobustnessConfig, run_dir: Path) -> str:
    """Test what is not tested yet; with `train_on`, fit what is not fitted yet.

    Returns:
        What there is and where; of a dry run, what would be done.

    Raises:
        InputError: for flags, pictures and directories that cannot be used; then nothing is made.
        OSError: if the disk is full; what was made before stays and is whole.
    """
    changes = _changes(config)
    given = read_classifiers(storage.location(config.attribution), config.method)
    source = config.pictures or _source(config)
    pictures = _of_classes(picture_sets.open(source), given)
    tests = _tests(pictures, config.max_images)
    for one in given:
        attribution_parts.refuse_small(pictures, one.classifier.crop_px)
    training = [perturbations.parse(text) for text in config.train_on]
    if config.dry_run:
        rundir.check(run_dir, KIND)
        fits = f"; as many are fitted on {', '.join(config.train_on)} too" if training else ""
        return (
            f"{len(given)} classifiers, {len(changes)} perturbations of {len(tests)} test pictures"
            f"{fits}"
        )
    with rundir.held(run_dir, KIND) as manifest:
        rundir.unfinish(run_dir)
        fitted = [fit(one, pictures, training, config.seed, run_dir) for one in given if training]
        rows = _test(config, run_dir, [*given, *fitted], tests, changes)
        rundir.write_table(run_dir / attribution_parts.CROPS, rows)
        table = measure(rows)
        attribution_parts.write_results(run_dir, table)
        settings = _settings(config, source, tests) | rundir.provenance(manifest)
        page = report.write(run_dir, table, settings, rows["image_id"].nunique())
        rundir.finish(run_dir)
    return (
        f"{counted(len(changes), 'perturbation')}, "
        f"{counted(len(given) + len(fitted), 'classifier')}. Look at {page}"
    )


def read_classifiers(run_dir: Path, methods: Sequence[str] = ()) -> list[Tested]:
    """Read the classifiers of a run of launch/sr_attribution.py, sorted by name.

    Args:
        run_dir: of that run.
        methods: only of these; none given: all.

    Raises:
        InputError: if there are none, or a file is damaged.
    """
    folder = run_dir / attribution_files.MODELS
    paths = [folder / name for name in storage.names(folder) if name.endswith(".safetensors")]
    found = [_read(path, CLEAN) for path in paths]
    found = [one for one in found if not methods or one.classifier.method in methods]
    if not found:
        raise InputError(
            f"--attribution={run_dir} has no classifiers{' of --method' if methods else ''}; give "
            "a run directory of launch/sr_attribution.py."
        )
    return found


def fit(
    one: Tested, pictures: PictureSet, training: Sequence[Perturbation], seed: int, run_dir: Path
) -> Tested:
    """Fit a classifier of the same method, seed and classes to perturbed images too.

    Each picture is there twice, as it is and after one of the perturbations. It is kept in the run
    directory, and read from there if it was fitted on the same.

    Args:
        one: the classifier that it is to be compared with.
        pictures: of its classes, all splits.
        training: at least one.
        seed: of what is drawn.
        run_dir: of this run.

    Raises:
        InputError: if a picture is gone or changed, or a split has none.
    """
    classifier = one.classifier
    path = run_dir / MODELS / f"{classifier.method}-{one.seed}-{PERTURBED}.safetensors"
    names = [perturbation.name for perturbation in training]
    inputs = attribution_parts.made_from(
        pictures, names, seed, one.seed, list(classifier.classes), classifier.crop_px, one.options
    )
    if path.exists() and classifier_files.facts_of(path).get(rundir.MADE_FROM) == inputs:
        return _read(path, PERTURBED)
    storage.make_folder(path.parent, "--run_dir")
    train, labels = _doubled(classifier, pictures.only(split="train"), training, seed)
    validates = (pictures.index["split"] == "validation").any()
    validation = None
    if validates:
        validation = _doubled(classifier, pictures.only(split="validation"), training, seed)
    with Progress(1, float(len(train)), unit="classifiers", work="pictures") as display:
        fitted = attribution.fit(
            classifier.method,
            train,
            labels,
            classifier.classes,
            crop_px=classifier.crop_px,
            seed=one.seed,
            validation=validation,
            progress=progress_callback(display, len(train)),
            **one.options,
        )
        display.update(0.0, finished=1)
    temperature = 1.0
    if validation is not None:
        temperature = attribution_parts.fit_temperature(fitted, *validation)
    facts = {"temperature": temperature, "seed": one.seed, "options": dict(one.options)}
    classifier_files.save(fitted, path, {**facts, rundir.MADE_FROM: inputs, "train_on": names})
    return _read(path, PERTURBED)


def predict(
    one: Tested, pictures: PictureSet, perturbation: Perturbation, seed: int
) -> pd.DataFrame:
    """Predict every crop of images after a perturbation.

    Args:
        one: the classifier.
        pictures: N of its classes.
        perturbation: what happens to each.
        seed: of what is drawn.

    Returns:
        Rows with the columns that the module's docstring tells, without the last.

    Raises:
        InputError: if a picture is gone or changed.
    """
    changed = Perturbed(pictures, [(row, perturbation) for row in range(len(pictures))], seed=seed)
    numbers, is_filled, scores = [], [], []
    for batch in attribution_parts.batches(changed, one.classifier.crop_px):
        log_scores = one.classifier.log_scores(batch.crops)
        numbers.append(batch.places)
        is_filled.append(batch.is_filled)
        scores.append(calibration.calibrated(log_scores, one.temperature))
    rows, log_probabilities = np.concatenate(numbers), np.concatenate(scores)
    known = pictures.index.iloc[rows]
    predicted = np.asarray(one.classifier.classes)[log_probabilities.argmax(axis=1)]
    return pd.DataFrame(
        {
            "method": one.classifier.method,
            "seed": one.seed,
            "learned": one.learned,
            "perturbation": perturbation.name,
            "network": known["network"].to_numpy(),
            "image_id": known["image_id"].to_numpy(),
            "predicted": predicted,
            "is_correct": known["network"].to_numpy() == predicted,
            "probability": np.exp(log_probabilities.max(axis=1).astype(np.float64)),
            "is_filled": np.concatenate(is_filled),
        }
    )


def measure(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how often each classifier is right after each perturbation, and how sure it is.

    Args:
        rows: of `predict`.

    Returns:
        A row for each classifier and perturbation, in the order of `rows`: `method`, `seed`,
        `learned`, `perturbation`, `accuracy` and `probability` (means over crops), `crops`,
        `filled` (share of the crops that are mirrored).
    """
    grouped = rows.groupby(["method", "seed", "learned", "perturbation"], sort=False)
    return grouped.agg(
        accuracy=("is_correct", "mean"),
        probability=("probability", "mean"),
        crops=("is_correct", "size"),
        filled=("is_filled", "mean"),
    ).reset_index()


# ------------------------------------------------------------------------------------- the parts


def _changes(config: RobustnessConfig) -> list[Perturbation]:
    """Return no perturbation and those of the flags, each once."""
    return list(
        dict.fromkeys(perturbations.parse(text) for text in (perturbations.NONE, *config.perturb))
    )


def _file_name(change: Perturbation) -> str:
    """Return a file name without characters that file systems or object stores refuse."""
    return change.name.replace(":", "_").replace("+", "-")


def _source(config: RobustnessConfig) -> str:
    """Open the images that the classifiers learnt from."""
    place = storage.location(config.attribution)
    manifest = rundir.read_of(place, attribution_files.KIND, "--attribution")
    return str(manifest["plan"]["source"])


def _of_classes(pictures: PictureSet, given: Sequence[Tested]) -> PictureSet:
    """Select the images of the classes that the classifiers know, which all have in common.

    Raises:
        InputError: if classifiers differ in their classes, or there is no picture of one.
    """
    classes = given[0].classifier.classes
    for one in given:
        if one.classifier.classes != classes:
            raise InputError(
                f"--attribution: {one.name} and {given[0].name} tell other classes apart; choose "
                "one with --method."
            )
    missing = set(classes) - set(pictures.index["network"])
    if missing:
        raise InputError(
            f"--pictures={pictures.run_dir} has no picture of {min(missing)}; give the folder that "
            "the classifiers learnt from."
        )
    return pictures.only(network=classes)


def _tests(pictures: PictureSet, max_images: int) -> PictureSet:
    """Test pictures, of each network the first so many."""
    tests = pictures.only(split="test")
    if not max_images:
        return tests
    first = tests.index.groupby("network").cumcount() < max_images
    return PictureSet(tests.run_dir, tests.index[first].reset_index(drop=True))


def _read(path: Path, learned: str) -> Tested:
    facts = classifier_files.facts_of(path)
    checksum = rundir.checksum(path.read_bytes())
    seed, temperature = int(facts.get("seed", 0)), float(facts.get("temperature", 1.0))
    options = facts.get("options", {})
    return Tested(classifier_files.load(path), seed, learned, temperature, checksum, options)


def _doubled(
    classifier: Classifier, pictures: PictureSet, training: Sequence[Perturbation], seed: int
) -> tuple[Perturbed, np.ndarray]:
    """Return pictures, and each again after a perturbation, with the indices of their classes."""
    nothing = perturbations.parse(perturbations.NONE)
    names = pictures.index[["network", "image_id"]].to_numpy().tolist()
    drawn = [
        training[int(perturbations.generator(seed, *one).integers(len(training)))] for one in names
    ]
    plan = [(row, nothing) for row in range(len(names))] + list(enumerate(drawn))
    labels = pd.Index(classifier.classes).get_indexer(pictures.index["network"])
    return Perturbed(pictures, plan, classifier.crop_px, seed), np.tile(labels, 2)


def _test(
    config: RobustnessConfig,
    run_dir: Path,
    tested: Sequence[Tested],
    tests: PictureSet,
    changes: Sequence[Perturbation],
) -> pd.DataFrame:
    """Return the rows of every classifier and perturbation; rows that exist are read."""
    todo = [(one, change) for change in changes for one in tested]
    parts = rundir.Parts(
        (
            run_dir / PARTS / one.name / f"{_file_name(change)}.parquet",
            attribution_parts.made_from(tests, one.checksum, change.name, config.seed),
        )
        for one, change in todo
    )
    missing = len(parts.missing)
    with Progress(
        len(todo),
        float(missing * len(tests)),
        fits_done=len(todo) - missing,
        unit="tests",
        work="pictures",
    ) as display:
        for number in parts.missing:
            parts.write(number, predict(todo[number][0], tests, todo[number][1], config.seed))
            display.update(len(tests), finished=1)
    return parts.rows()


def _settings(config: RobustnessConfig, source: str, tests: PictureSet) -> dict[str, object]:
    """Return what the report says of the run."""
    return {
        "classifiers": config.attribution,
        "pictures": source,
        "test pictures": f"{len(tests):,}",
        "trained on": ", ".join(config.train_on) or "pictures as they are",
        "seed": config.seed,
    }
