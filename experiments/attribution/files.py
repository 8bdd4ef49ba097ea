"""What a run of attribution leaves in its directory, and how that is read again.

    manifest.json          classes and pictures; versions and machine
    models/METHOD-SEED.safetensors
    predictions.parquet    a row for each test crop and classifier, with its K log scores
    features.npz           features of the middles of test pictures, by classifier, and t-SNE
    results.json           the tables
    checkpoints/           of a convnext in training
    report.html, figures/  for the reader

A directory is of one set of pictures and one side of crops. Methods and seeds may be added, and
options may change as long as no classifier was fitted with others.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.attribution.tables import Predictions
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxsr.attribution import files as classifier_files
from jaxsr.datasets import picture_sets

KIND = "sr_attribution"  # of the run directory
FREE = ("source", "counts", "features_per_class")  # facts that later commands may change
FORMAT = 1  # of the tables
PREDICTIONS, FEATURES = "predictions.parquet", "features.npz"
RESULTS, MODELS, CHECKPOINTS = "results.json", "models", "checkpoints"
_SCORES = "log_scores"


def model_path(run_dir: Path, method: str, seed: int) -> Path:
    """Return where the classifier of a method and seed is kept."""
    return run_dir / MODELS / f"{method}-{seed}.safetensors"


def read_options(run_dir: Path) -> dict[str, Mapping[str, Any]]:
    """Return method -> the options that its classifiers were fitted with.

    Raises:
        InputError: if a file is damaged.
    """
    folder = run_dir / MODELS
    found = {}
    for name in storage.names(folder):
        if name.endswith(".safetensors"):
            method = name.rpartition("-")[0]
            if method not in found:
                found[method] = classifier_files.facts_of(folder / name).get("options", {})
    return found


def refuse_other_options(run_dir: Path, method: str, seed: int, options: Mapping[str, Any]) -> None:
    """Refuse to go on with a classifier that was fitted with other options.

    Raises:
        InputError: naming the options that differ, or the file if it is damaged.
    """
    path = model_path(run_dir, method, seed)
    if not path.exists():
        return
    there = classifier_files.facts_of(path).get("options", {})
    names = [name for name in {**there, **options} if there.get(name) != options.get(name)]
    if names:
        differences = ", ".join(f"{n} was {there.get(n)} is {options.get(n)}" for n in names)
        raise InputError(
            f"{path} was fitted with other options ({differences}); give the same, or another "
            "--run_dir, or remove the file to have it fitted again."
        )


def read_classes(run_dir: Path) -> pd.DataFrame:
    """Return K rows in the order of the scores: `network`, `kind` and `picture_sets.FACTS`.

    Raises:
        InputError: if the directory holds no run of attribution, or its manifest is damaged.
    """
    plan = rundir.read_of(run_dir, KIND)["plan"]
    return pd.DataFrame(plan["classes"], columns=class_columns())


def class_columns() -> list[str]:
    """Return the columns of the frame of classes."""
    return ["network", "kind", *picture_sets.FACTS]


def write_predictions(run_dir: Path, predictions: Predictions) -> None:
    """Replace the predictions of the run directory.

    Raises:
        OSError: naming the file; the old one stays.
    """
    size = len(predictions.classes)
    values = pa.array(predictions.log_scores.astype(np.float32).ravel())
    table = pa.Table.from_pandas(predictions.frame, preserve_index=False).append_column(
        _SCORES, pa.FixedSizeListArray.from_arrays(values, size)
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    storage.write_atomically(run_dir / PREDICTIONS, sink.getvalue().to_pybytes())


def read_predictions(run_dir: Path) -> Predictions | None:
    """Return all predictions of a run; None if there are none yet.

    Raises:
        InputError: if the directory is none of a run, or the file is damaged.
    """
    classes = read_classes(run_dir)
    path = run_dir / PREDICTIONS
    if not path.exists():
        return None
    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()))
        scores = table[_SCORES].combine_chunks().flatten().to_numpy()
        log_scores = scores.reshape(table.num_rows, len(classes))
        frame = table.drop_columns([_SCORES]).to_pandas()
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    return Predictions(frame, log_scores, classes)


def write_features(run_dir: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace the features of the run directory.

    Raises:
        OSError: naming the file; the old one stays.
    """
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(buffer, **named)
    storage.write_atomically(run_dir / FEATURES, buffer.getvalue())


def read_features(run_dir: Path) -> dict[str, np.ndarray]:
    """Return the arrays by name; none if there are none yet.

    Raises:
        InputError: if the file is damaged.
    """
    path = run_dir / FEATURES
    if not path.exists():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: damaged ({type(error).__name__}); remove it and repeat the command, which makes "
        "it again."
    )
