"""Model parsing: from a picture, how the network that made it was built, though it was never seen.

For each value that is held out and each hyperparameter that is predicted a parser is trained, and
tested on networks that it has seen no picture of: those with the value, or those of another folder.

The run directory has `models/PARSER.safetensors` (`jaxsr.attribution.files.load` reads them),
`predictions/PARSER.parquet` with a row for each tested picture, `predictions.parquet` with those of
the last command's parsers, `results.json`, `report.html`. Columns of predictions:

    predicted        the hyperparameter
    held_out         NAME=VALUE; empty of a parser of all networks, tested on others
    seed             of the parser's training
    network, image_id
                     the picture
    value            of the network; empty if nobody knows it
    answer           the likeliest value
    values, probabilities
                     [K] each: all values that the parser knows, and how likely each is
    made_from        checksum of everything that the row follows from

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 5.

Letters: N pictures, K values, M networks, c side of a crop in pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.special

from experiments.attribution import parts as attribution_parts
from experiments.attribution.sharing import SharedFeatures, progress_callback, share
from experiments.parsing import report
from experiments.parsing import tasks as parsing_tasks
from experiments.parsing.config import PICTURE, ParsingConfig
from experiments.parsing.tasks import ParsingTask
from jaxfleet import rundir, storage
from jaxfleet.progress import Progress
from jaxfleet.results.showing import counted
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import Classifier
from jaxsr.attribution.table import sees_validation
from jaxsr.datasets.crops import BATCH
from jaxsr.datasets.picture_sets import Pictures, PictureSet

KIND = "sr_parsing"  # of the run directory
MODELS, PREDICTIONS = "models", "predictions"


def run(config: ParsingConfig, run_dir: Path) -> str:
    """Train the missing parsers, test them and write the report.

    A parser is trained again if the flags or the pictures that it learned from are not what they
    were, and tested again if the tested pictures are not.

    Returns:
        What there is and where; of a dry run, the list of parsers.

    Raises:
        InputError: for flags, pictures and directories that cannot be used; then nothing is made.
        OSError: if the disk is full; what was made before stays and is whole.
    """
    tasks = parsing_tasks.make(config)
    if config.dry_run:
        rundir.check(run_dir, KIND)
        return _summary(tasks)
    with rundir.held(run_dir, KIND) as manifest:
        for name in (MODELS, PREDICTIONS):
            storage.make_folder(run_dir / name, "--run_dir")
        rundir.unfinish(run_dir)
        predictions = _work(config, run_dir, tasks)
        facts = {
            name: getattr(config, name)
            for name in (
                *("method", "parser", "crop_px", "tested"),
                *("all_seeds_train", "pictures", "also_on"),
            )
        }
        rundir.write_table(run_dir / f"{PREDICTIONS}.parquet", predictions)
        facts |= rundir.provenance(manifest)
        path = report.write(run_dir, predictions, facts)
        rundir.finish(run_dir)
    return f"{counted(len(tasks), 'parser')} in {run_dir}. Look at {path}"


def value_log_scores(log_scores: np.ndarray, places_of: np.ndarray, num_values: int) -> np.ndarray:
    """Return the log-probabilities of values, from those of the networks that have them.

    Args:
        log_scores: [N, M] float, log-probabilities.
        places_of: [M] int, which value each network has.
        num_values: K; each value has a network at least.

    Returns:
        [N, K] float32.
    """
    sums = [
        scipy.special.logsumexp(log_scores[:, places_of == value], axis=1)
        for value in range(num_values)
    ]
    return np.stack(sums, axis=1).astype(np.float32)


def log_probabilities(task: ParsingTask, classifier: Classifier, crops: np.ndarray) -> np.ndarray:
    """Compute the log-probabilities of a parser for crops.

    Args:
        task: the parser.
        classifier: its own.
        crops: [N, c, c, 3] uint8.

    Returns:
        [N, K] float32, of its values.
    """
    log_scores = classifier.log_scores(crops)
    if not task.by_network:
        return log_scores
    values = task.parser.values
    places_of = np.array([values.index(task.parser.trained[one]) for one in classifier.classes])
    return value_log_scores(log_scores, places_of, len(values))


def parse(task: ParsingTask, classifier: Classifier) -> pd.DataFrame:
    """Return rows of the tested pictures: the columns of the module's docstring, without the last.

    Raises:
        InputError: if a picture is gone or changed.
    """
    of_test = _of_pictures if task.tested == PICTURE else _of_middles
    probabilities = np.exp(of_test(task, classifier))
    parser, index = task.parser, task.test.index
    return pd.DataFrame(
        {
            "predicted": parser.predicted,
            "held_out": str(parser.held_out or ""),
            "seed": parser.seed,
            "network": index["network"],
            "image_id": index["image_id"],
            "value": index["network"].map(parser.tested),
            "answer": np.array(parser.values, object)[probabilities.argmax(axis=1)],
            "values": [list(parser.values)] * len(index),
            "probabilities": list(probabilities),
        }
    )


# ------------------------------------------------------------------------------------- the parts


def _of_middles(task: ParsingTask, classifier: Classifier) -> np.ndarray:
    """Return [N, K] float32 log-probabilities of the squares in the middle of the test pictures."""
    parts = []
    for start in range(0, len(task.test), BATCH):
        rows = range(start, min(start + BATCH, len(task.test)))
        crops = task.test.crops(classifier.crop_px, rows)
        parts.append(log_probabilities(task, classifier, crops))
    return np.concatenate(parts)


def _of_pictures(task: ParsingTask, classifier: Classifier) -> np.ndarray:
    """Combine all squares of an image."""
    parts, owners = [], []
    for batch in attribution_parts.batches(Pictures(task.test), classifier.crop_px):
        parts.append(log_probabilities(task, classifier, batch.crops))
        owners.append(batch.places)
    ends = np.flatnonzero(np.diff(np.concatenate(owners))) + 1
    return np.stack([attribution.combine(own) for own in np.split(np.concatenate(parts), ends)])


def _work(config: ParsingConfig, run_dir: Path, tasks: Sequence[ParsingTask]) -> pd.DataFrame:
    """Return the predictions of every parser, reading those that are there."""
    parts = rundir.Parts(
        (run_dir / PREDICTIONS / f"{task.parser.name}.parquet", task.made_from) for task in tasks
    )
    missing = [tasks[number] for number in parts.missing]
    learned = _learned(config, [task for task in missing if not _is_trained(run_dir, task)])
    work = float(sum(task.work for task in missing) + len(learned))
    with Progress(
        len(tasks), work, fits_done=len(tasks) - len(missing), unit="parsers", work="pictures"
    ) as display:
        shared = None
        if len(learned):
            on_progress = progress_callback(display, len(learned))
            shared = share(config.method, learned, crop_px=config.crop_px, progress=on_progress)
        for number, task in zip(parts.missing, missing, strict=True):
            classifier = _classifier(config, run_dir, task, display, shared)
            parts.write(number, parse(task, classifier))
            display.update(len(task.test), finished=1)
    return parts.rows()


def _learned(config: ParsingConfig, tasks: Sequence[ParsingTask]) -> PictureSet:
    """Collect the images that any parser learns from or is validated on, each once."""
    used = [task.train for task in tasks]
    if sees_validation(config.method):
        used += [task.validation for task in tasks if task.validation is not None]
    index = pd.concat([one.index for one in used]) if used else pd.DataFrame({"file": []})
    folder = tasks[0].train.run_dir if tasks else Path()
    return PictureSet(folder, index.drop_duplicates("file", ignore_index=True))


def _classifier(
    config: ParsingConfig,
    run_dir: Path,
    task: ParsingTask,
    display: Progress,
    shared: SharedFeatures | None,
) -> Classifier:
    """Load the classifier if it has learned from the same; otherwise train and write it."""
    on_progress = progress_callback(display, len(task.train))
    path = _model_path(run_dir, task)
    if _is_trained(run_dir, task):
        on_progress(1.0)
        return classifier_files.load(path)
    validation = None
    if task.validation is not None:
        validation = (Pictures(task.validation), task.labels(task.validation))
    extracted = {}
    if shared is not None:
        extracted = {"extracted": shared.of(task.train)}
        if task.validation is not None and sees_validation(config.method):
            extracted["extracted_validation"] = shared.of(task.validation)
    classifier = attribution.fit(
        config.method,
        Pictures(task.train),
        task.labels(task.train),
        task.classes,
        crop_px=config.crop_px,
        seed=task.parser.seed,
        validation=validation,
        progress=on_progress,
        **task.options,
        **extracted,
    )
    on_progress(1.0)
    facts = {
        "learned_from": task.learned_from,
        "predicted": "network" if task.by_network else task.parser.predicted,
        "held_out": str(task.parser.held_out or ""),
        "seed": task.parser.seed,
        "values": dict(task.parser.trained),
    }
    classifier_files.save(classifier, path, facts)
    return classifier


def _model_path(run_dir: Path, task: ParsingTask) -> Path:
    return run_dir / MODELS / f"{task.model}.safetensors"


def _is_trained(run_dir: Path, task: ParsingTask) -> bool:
    """Return whether there is a classifier that has learned from the same as now."""
    path = _model_path(run_dir, task)
    return (
        path.exists() and classifier_files.facts_of(path).get("learned_from") == task.learned_from
    )


def _summary(tasks: Sequence[ParsingTask]) -> str:
    """Summarise what would be trained and tested."""
    lines = [f"{len(tasks)} parsers of {len({task.model for task in tasks})} trainings"]
    for task in tasks:
        parser = task.parser
        held_out = f"without {parser.held_out}" if parser.held_out else "of all, tested elsewhere"
        lines.append(
            f"{parser.predicted} {held_out}, seed {parser.seed}: {len(parser.values)} values, "
            f"{len(parser.trained)} networks ({len(task.train)} pictures), tested on "
            f"{len(parser.tested)} ({len(task.test)} pictures)"
        )
    return "\n".join(lines)
