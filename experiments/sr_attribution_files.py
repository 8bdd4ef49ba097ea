"""What a run of attribution leaves in its directory, and how that is read again.

    attribution.json       classes, pictures and options; versions and machine
    models/METHOD-SEED.safetensors
    predictions.parquet    a row for each test crop and attributor, with its K log scores
    features.npz           features of the middles of test pictures, by attributor, and t-SNE
    results.json           the tables
    checkpoints/           of a convnext in training
    report.html, figures/  for the reader

A directory is of one set of pictures and one side of crops; methods and seeds may be added.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.sr_attribution_tables import Predictions
from jaxfleet import places, store
from jaxfleet.errors import InputError
from jaxsr import picture_sets

FORMAT = 1
MANIFEST, PREDICTIONS, FEATURES = "attribution.json", "predictions.parquet", "features.npz"
RESULTS, MODELS, CHECKPOINTS = "results.json", "models", "checkpoints"
_SAME = {"crop_px": "--crop_px", "features_per_class": "--features_per_class"}
_SCORES = "log_scores"


def claim(run_dir: Path, facts: Mapping[str, Any]) -> None:
    """Makes the directory, or refuses one that holds something else.

    Args:
        run_dir: of the run.
        facts: `crop_px`, `features_per_class`, `pictures` (a checksum), `classes` (records) and
            `options` (method -> what it is told).

    Raises:
        InputError: naming what differs.
    """
    places.make_folder(run_dir, "--run_dir")
    path = run_dir / MANIFEST
    options = dict(facts["options"])
    if path.exists():
        there = read_manifest(run_dir)
        for name, flag in _SAME.items():
            if there[name] != facts[name]:
                raise InputError(
                    f"--run_dir={run_dir} is of {flag}={there[name]}, not {facts[name]}; give the "
                    "same, or another folder."
                )
        if there["pictures"] != facts["pictures"]:
            raise InputError(
                f"--run_dir={run_dir} is of other pictures, or they changed since; give another "
                "folder."
            )
        for method, given in options.items():
            if there["options"].get(method, given) != given:
                raise InputError(
                    f"--run_dir={run_dir} has {method} with other options; give the same, or "
                    "another folder."
                )
        options = {**there["options"], **options}
    else:
        others = [name for name in places.names(run_dir) if name != "flags.txt"]
        if others:
            raise InputError(
                f"--run_dir={run_dir}: not empty ({others[0]}) and no run of attribution; give "
                "another."
            )
    written = {"format": FORMAT, **facts, "options": options, **store.environment()}
    places.write_atomically(path, json.dumps(written, indent=1).encode())


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """What `claim` wrote.

    Raises:
        InputError: if it is missing, damaged or of another version.
    """
    path = run_dir / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
    except OSError:
        raise InputError(f"{run_dir} holds no run of launch/sr_attribution.py.") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: damaged; put it back, or give another --run_dir.") from None
    if version != FORMAT:
        raise InputError(f"{path} is of version {version}, not {FORMAT}; give another --run_dir.")
    return dict(manifest)


def read_classes(run_dir: Path) -> pd.DataFrame:
    """K rows in the order of the scores: `network`, `kind` and `picture_sets.FACTS`.

    Raises:
        InputError: as `read_manifest`.
    """
    return pd.DataFrame(read_manifest(run_dir)["classes"], columns=class_columns())


def class_columns() -> list[str]:
    """Columns of the frame of classes."""
    return ["network", "kind", *picture_sets.FACTS]


def write_predictions(run_dir: Path, predictions: Predictions) -> None:
    """Puts predictions in place of those that are there.

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
    places.write_atomically(run_dir / PREDICTIONS, sink.getvalue().to_pybytes())


def read_predictions(run_dir: Path) -> Predictions | None:
    """All predictions of a run; None if there are none yet.

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
    """Puts arrays in place of those that are there.

    Raises:
        OSError: naming the file; the old one stays.
    """
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(buffer, **named)
    places.write_atomically(run_dir / FEATURES, buffer.getvalue())


def read_features(run_dir: Path) -> dict[str, np.ndarray]:
    """Arrays by name; none if there are none yet.

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
