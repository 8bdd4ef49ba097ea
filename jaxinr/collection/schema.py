"""The published COIN collection: rows of our table as its rows, and back.

One row is one SIREN (Vonderfecht & Liu, TMLR 2024; `predict-SIREN-PSNR/COIN-collection` on the
Hugging Face Hub). T is the number of history entries.

    config             num_iters, seed, image_id, image_size, layer_size, num_layers, w0_initial;
                       we add w0, learning_rate
    iteration_history  [T] updates before each entry
    psnr_history       [T] dB at each entry
    best_psnr_history  [T] dB, the highest so far
    hp_bpp, fp_bpp     bits per pixel at 16 and at 32 bits a weight
    fp_psnr            dB, of best_model in float32
    best_model         COIN's state_dict: name -> nested lists

Where the schema leaves a choice:

- `image_size` is the side of a square picture, and of any other its height; the width is what
  hp_bpp implies.
- `fp_psnr` is `psnr_8bit_db`, the PSNR of the decoded 8-bit picture of the best weights: COIN's
  code, whose names these are, takes the best PSNR on clamped and rounded output. Our histories are
  of raw output.
- `image_id` is a whole number where those of all rows are, as published, else text.
- Published files do not say w0 and learning_rate, since theirs are COIN's: 30 and 2e-4.
- A number that is unknown, such as the PSNR of an iteration at which a network had diverged, is
  null, in JSON lines and in Parquet alike; an exact PSNR is inf, in JSON lines `Infinity`. The
  import takes unknown numbers for unknown, and makes none up.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxfleet.errors import InputError
from jaxfleet.imaging import decibels
from jaxfleet.imaging.splits import SPLITS as SPLITS
from jaxfleet.imaging.splits import split_of as split_of
from jaxfleet.results.table import Table, flatten, unflatten
from jaxinr.torch_names import from_torch, to_torch
from jaxinr.trial import CHANNELS, SIREN, Trial

NETWORK = "network"  # column of the kind, in runs that have it
CONFIG = tuple("num_iters seed image_id image_size layer_size num_layers w0_initial".split())
ADDED = ("w0", "learning_rate")  # to `config`, by us
COLUMNS = (
    *("config", "iteration_history", "psnr_history", "best_psnr_history"),
    *("hp_bpp", "fp_bpp", "fp_psnr", "best_model"),
)
# Columns of our table that a published row is made of.
NEEDED = tuple(
    "image_id image_height num_iters seed layer_size num_layers w0_initial w0 learning_rate "
    "iteration_history psnr_history hp_bpp fp_bpp psnr_8bit_db weights".split()
)


def require_sirens(table: Table) -> None:
    """Refuse a run of other kinds of networks, which the published schema has no columns for.

    Raises:
        InputError: naming the kinds.
    """
    if NETWORK not in table.columns:
        return
    others = sorted(set(table.to_pandas([NETWORK])[NETWORK].dropna()) - {SIREN})
    if others:
        raise InputError(
            f"{table.run_dir} holds {', '.join(others)} networks; give a run of SIRENs alone."
        )


def are_whole(image_ids: Iterable[str]) -> bool:
    """Return whether all of these names are whole numbers, as they are in the published rows."""
    return all(name.isdecimal() and str(int(name)) == name for name in set(image_ids))


def to_published(row: Mapping[str, Any], *, whole_ids: bool = False) -> dict[str, Any]:
    """Convert a row of ours to a published row, with arrays for lists.

    Args:
        row: the columns `NEEDED` of our table; without weights `best_model` is empty.
        whole_ids: whether image_id is given as a number.
    """
    image_id = str(row["image_id"])
    own = {"image_id": int(image_id) if whole_ids else image_id, "image_size": row["image_height"]}
    config = {name: own[name] if name in own else row[name] for name in CONFIG + ADDED}
    depth, size = int(row["num_layers"]), int(row["layer_size"])
    history = np.asarray(row["psnr_history"], np.float32)
    weights = np.asarray(row["weights"], np.float32)
    return {
        "config": {name: _plain(value) for name, value in config.items()},
        "iteration_history": np.asarray(row["iteration_history"], np.int64),
        "psnr_history": history,
        "best_psnr_history": np.fmax.accumulate(history),
        "hp_bpp": float(row["hp_bpp"]),
        "fp_bpp": float(row["fp_bpp"]),
        "fp_psnr": float(row["psnr_8bit_db"]),
        "best_model": to_torch(unflatten(weights, [2, *[size] * depth, CHANNELS]))
        if len(weights)
        else {},
    }


def from_published(
    record: Mapping[str, Any], *, w0: float = 30.0, learning_rate: float = 2e-4
) -> dict[str, Any]:
    """Convert a published row to ours, without `trial_id`, `split` and k-bit sizes.

    What nobody noted is NaN (`ssim`, `seconds`, `psnr_quantised_db`). `best_psnr_db` and
    `best_iteration` are those of the best history entry; without any they are NaN and None. A
    network whose history ends in an unknown entry is "diverged".

    Args:
        record: with all of `COLUMNS`; a weight that is None in `best_model` is one that a shallower
            network does not have, and an empty `best_model` one of a table without weights.
        w0: where the row's config does not say.
        learning_rate: where the row's config does not say.

    Raises:
        ValueError: saying what is missing or contradicts itself.
    """
    config = _have(record, COLUMNS)["config"]
    if not isinstance(config, Mapping):
        raise ValueError("config holds no names")
    _have(config, CONFIG)
    try:
        trial = Trial(
            num_iters=_whole(config["num_iters"]),
            seed=_whole(config["seed"]),
            layer_size=_whole(config["layer_size"]),
            num_layers=_whole(config["num_layers"]),
            w0_initial=float(config["w0_initial"]),
            w0=float(config.get("w0", w0)),
            learning_rate=float(config.get("learning_rate", learning_rate)),
        )
        size = _whole(config["image_size"])
        hp_bpp, fp_bpp, fp_psnr = (_number(record[n]) for n in ("hp_bpp", "fp_bpp", "fp_psnr"))
        iterations = np.asarray(record["iteration_history"], np.int32)
        history = np.asarray(record["psnr_history"], np.float32)
        best = np.asarray(record["best_psnr_history"], np.float32)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if not iterations.shape == history.shape == best.shape or history.ndim != 1:
        raise ValueError("the histories differ in length")
    if size < 1:
        raise ValueError(f"image_size is {size}")
    known = bool(np.isfinite(history).any() or np.isposinf(history).any())
    diverged = known and np.isnan(history[-1])
    return {
        "image_id": str(_plain_id(config["image_id"])),
        "image_height": size,
        "image_width": _width(size, trial, hp_bpp),
        **trial.as_row(),
        "layer_shapes": np.ravel(trial.layer_shapes),
        "status": "diverged" if diverged else "done",
        "parameters": trial.parameters,
        "hp_bpp": hp_bpp,
        "fp_bpp": fp_bpp,
        "psnr_db": float(history[-1]) if len(history) else math.nan,
        "best_psnr_db": float(np.nanmax(best)) if not np.isnan(best).all() else math.nan,
        "psnr_8bit_db": fp_psnr,
        "ssim": math.nan,
        "best_iteration": int(iterations[np.nanargmax(history)]) if known else None,
        "iteration_history": iterations,
        "psnr_history": history,
        "seconds": math.nan,
        "weights": _flat(record["best_model"], trial),
    }


def as_json(record: Mapping[str, Any]) -> str:
    """Return a published row on one line; a float32 has its fewest digits."""
    model = ", ".join(
        f"{json.dumps(name)}: {_nested(array)}" for name, array in record["best_model"].items()
    )
    parts = {
        "config": json.dumps(dict(record["config"])),
        "iteration_history": json.dumps(record["iteration_history"].tolist()),
        **{name: _nested(record[name]) for name in ("psnr_history", "best_psnr_history")},
        **{name: decibels.to_json(record[name]) for name in ("hp_bpp", "fp_bpp", "fp_psnr")},
        "best_model": f"{{{model}}}",
    }
    return "{" + ", ".join(f'"{name}": {parts[name]}' for name in COLUMNS) + "}"


def arrow_schema(depth: int, *, whole_ids: bool = False) -> pa.Schema:
    """Return types as a reader of the JSON lines infers them: whole numbers int64, others float64.

    Args:
        depth: greatest num_layers; `best_model` has the weights of such a network, and shallower
            ones leave those null that they do not have.
        whole_ids: whether image_id is a number.
    """
    vector = pa.list_(pa.float64())
    kinds = dict.fromkeys(("w0_initial", *ADDED), pa.float64())
    kinds["image_id"] = pa.int64() if whole_ids else pa.string()
    names = [f"net.{i}.linear" for i in range(depth)] + ["last_layer.linear"]
    model = pa.struct(
        [
            (f"{name}.{kind}", pa.list_(vector) if kind == "weight" else vector)
            for name in names
            for kind in ("weight", "bias")
        ]
    )
    return pa.schema(
        [
            ("config", pa.struct([(name, kinds.get(name, pa.int64())) for name in CONFIG + ADDED])),
            ("iteration_history", pa.list_(pa.int64())),
            ("psnr_history", vector),
            ("best_psnr_history", vector),
            *((name, pa.float64()) for name in ("hp_bpp", "fp_bpp", "fp_psnr")),
            ("best_model", model),
        ]
    )


def as_arrow(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Convert published rows to a table of `arrow_schema`."""
    columns = []
    for field in schema:
        values = [record[field.name] for record in records]
        if field.name == "best_model":
            children = [
                pa.array([_doubles(value.get(part.name)) for value in values], part.type)
                for part in field.type
            ]
            columns.append(pa.StructArray.from_arrays(children, fields=list(field.type)))
        elif field.name in ("psnr_history", "best_psnr_history"):
            columns.append(_histories(values))
        else:
            columns.append(pa.array(values, field.type, from_pandas=True))  # NaN becomes null
    return pa.Table.from_arrays(columns, schema=schema)


def _histories(values: Sequence[np.ndarray]) -> pa.ListArray:
    """Convert float32 arrays to lists of float64, null for NaN."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    flat = np.concatenate([np.zeros(0), *values])
    return pa.ListArray.from_arrays(ends, pa.array(flat, pa.float64(), mask=np.isnan(flat)))


def _doubles(array: np.ndarray | None) -> Any:
    """For pyarrow, which takes lists of vectors and no matrices."""
    if array is None:
        return None
    array = array.astype(np.float64)
    return array if array.ndim == 1 else list(array)


def _nested(array: np.ndarray) -> str:
    """Return the JSON of [N] or [M, N] float32."""
    flat = np.ravel(array)
    texts = pa.array(flat).cast(pa.string()).to_pylist()
    texts = [
        (text if "." in text or "e" in text else f"{text}.0")
        if np.isfinite(value)
        else decibels.to_json(float(value))
        for text, value in zip(texts, flat, strict=True)
    ]
    if array.ndim == 1:
        return f"[{', '.join(texts)}]"
    columns = array.shape[1]
    rows = (texts[start : start + columns] for start in range(0, len(texts), columns))
    return f"[{', '.join(f'[{row}]' for row in map(', '.join, rows))}]"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _have(record: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    missing = [name for name in names if record.get(name) is None and name != "fp_psnr"]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    return record


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _plain_id(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _width(size: int, trial: Trial, hp_bpp: float) -> int:
    """Return the width that gives these bits per pixel; the height if no whole number does."""
    width = 16 * trial.parameters / hp_bpp / size if hp_bpp > 0 else size
    whole = width >= 1 and abs(width - round(width)) < 1e-3 * width
    return round(width) if whole else size


def _flat(model: Any, trial: Trial) -> np.ndarray:
    """Return [P] float32 of a state_dict that must be one of the trial's; [0] of an empty one."""
    if not isinstance(model, Mapping):
        raise ValueError("best_model holds no names")
    if not model:
        return np.zeros(0, np.float32)
    try:
        own = {name: _matrix(value) for name, value in model.items() if value is not None}
        params = from_torch(own)
    except TypeError as error:
        raise ValueError(str(error)) from None
    shapes = [layer["weight"].shape for layer in params]
    biases = [layer["bias"].shape for layer in params]
    if shapes != trial.layer_shapes or biases != [(out,) for out, _ in trial.layer_shapes]:
        raise ValueError(
            f"best_model is not of {trial.num_layers} layers of {trial.layer_size} units"
        )
    flat = flatten(params)
    if not np.isfinite(flat).all():
        raise ValueError("best_model has weights that are not finite")
    return flat


def _matrix(value: Any) -> np.ndarray:
    """Return nested lists, or lists of arrays as pandas and pyarrow give them, as a matrix."""
    if len(value) and isinstance(value[0], np.ndarray):
        value = np.stack(list(value))
    return np.asarray(value, np.float32)
