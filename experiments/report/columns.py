"""What each column of a table on disk is called, its unit and its meaning: the one glossary.

Parquet files carry it as metadata of their fields (`with_descriptions`); docs/columns.md comes from

    python -m experiments.report.columns > docs/columns.md
"""

import io
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jaxinr.networks import registry

if TYPE_CHECKING:
    import pandas as pd


class Column(NamedTuple):
    """Unit ("" for names and counts) and meaning of a column."""

    unit: str
    meaning: str


_PHOTOGRAPH = Column("", "name of the photograph")
_STATUS = Column("", "`done`, `target` (reached `target_psnr_db`) or `diverged`")
_SECONDS = Column("s", "wall time, shared evenly among the networks that trained at the same time")
_PSNR_Y = "PSNR of luma (BT.601, peak 255), both pictures rounded to 8 bits, a border cut off"

SIREN = {
    "trial_id": Column("", "number of the network in the plan"),
    "image_id": _PHOTOGRAPH,
    "split": Column("", "`train`, `validation` or `test`; follows from `image_id`"),
    "image_height": Column("px", "rows of the image that was fitted"),
    "image_width": Column("px", "columns of the image that was fitted"),
    "network": Column("", f"kind of network: {', '.join(f'`{kind}`' for kind in registry.KINDS)}"),
    "layer_size": Column("", "units of a hidden layer, such as a sine layer of a SIREN"),
    "num_layers": Column("", "hidden layers; the linear output layer comes on top"),
    **{name: Column("", meaning) for name, meaning in registry.meanings().items()},
    "learning_rate": Column("", "of Adam, at the beginning"),
    "learning_rate_decay": Column("", "share of it that half a cosine takes away until the end"),
    "num_iters": Column("", "Adam updates that were planned"),
    "seed": Column("", "of the initial weights"),
    "pixels_per_update": Column("px", "pixels that each update takes; 0 for all"),
    "status": _STATUS,
    "parameters": Column("", "weights and biases"),
    "hp_bpp": Column("bits per pixel", "size at 16 bits per parameter"),
    "fp_bpp": Column("bits per pixel", "size at 32 bits per parameter"),
    "weight_bits": Column("bits", "k of the three columns about quantised weights that follow"),
    "quantised_bpp": Column("bits per pixel", "size at `weight_bits` bits per parameter"),
    "entropy_bpp": Column(
        "bits per pixel",
        "size after an ideal entropy coder of the codes of `weight_bits` bits; NaN if a weight is "
        "not finite",
    ),
    "psnr_quantised_db": Column(
        "dB",
        "PSNR of the kept weights rounded to `weight_bits` bits, on raw output: the quality that "
        "belongs to `quantised_bpp` and `entropy_bpp`",
    ),
    "psnr_db": Column("dB", "PSNR after the last update, on raw output of float32 weights"),
    "best_psnr_db": Column("dB", "PSNR of the kept weights, float32, on raw output"),
    "psnr_8bit_db": Column(
        "dB",
        "PSNR of the kept weights, float32, on the image rounded to 8 bits. The image has 8 bits, "
        "not the weights: for those see `psnr_quantised_db`",
    ),
    "ssim": Column("", "SSIM of the image rounded to 8 bits; NaN below 11 x 11 pixels"),
    "best_iteration": Column("", "updates before the kept weights; null if nobody noted it"),
    "iteration_history": Column("", "[T] updates before each entry of `psnr_history`"),
    "psnr_history": Column("dB", "[T] PSNR on raw output of float32 weights"),
    "seconds": _SECONDS,
    "layer_shapes": Column("", "[2 L] rows and columns of each weight, first layer to last"),
    "weights": Column(
        "",
        "[P] kept weights: layer by layer, weight [out, in] row by row, then bias; "
        "empty if the run keeps none",
    ),
}

ZOO = {
    "trial_id": Column("", "number of the network in the plan"),
    "network": Column("", "name of the network and of its file"),
    "architecture": Column("", "name of the architecture in this zoo"),
    "overrides": Column("", "hyperparameters that differ from the architecture's defaults, JSON"),
    "scale": Column("", "how many times more rows and columns come out"),
    "loss": Column("", "`l1`, or a feature distance with an adversary"),
    "training_set": Column("", "name of the set of photographs that it was trained on"),
    "seed": Column("", "of initial weights and crops"),
    "num_iters": Column("", "updates"),
    "status": Column("", "`done` or `diverged`"),
    "parameters": Column("", "weights and biases"),
    "psnr_y_db": Column("dB", f"{_PSNR_Y}; mean over the validation photographs, exact ones out"),
    "ssim_y": Column("", "SSIM of luma, likewise; mean over the validation photographs"),
    "iteration_history": Column("", "[T] updates before each entry of `loss_history`"),
    "loss_history": Column("of the loss", "[T] loss on the training crops"),
    "validation_iterations": Column("", "[V] updates before each validation"),
    "validation_psnr_y_db": Column("dB", "[V] `psnr_y_db` at each validation"),
    "seconds": _SECONDS,
}

_NETWORK_FACTS = {
    name: ZOO[name] for name in ("architecture", "scale", "loss", "training_set", "seed")
}

EVALUATION = {
    "network": Column("", "name of the network, or `bicubic-x2` and the like"),
    **_NETWORK_FACTS,
    "set": Column("", "name of the benchmark set"),
    "image_id": _PHOTOGRAPH,
    "psnr_y_db": Column("dB", f"{_PSNR_Y} as wide as the scale"),
    "ssim_y": Column("", "SSIM of luma, likewise"),
    "psnr_db": Column("dB", "PSNR of red, green and blue together, likewise"),
    "sharpness_db": Column(
        "dB",
        "energy of luma from a quarter of a cycle per pixel on, over that of the truth; NaN where "
        "the truth has none",
    ),
    "vgg_distance": Column("", "mean squared difference of VGG19 features; NaN without weights"),
    "source": Column("", "where the benchmark set came from"),
    "network_checksum": Column("", "of the network's file"),
    "picture_checksum": Column("", "of the photograph, cut to a multiple of the scale"),
    "vgg_checksum": Column("", "of the file of VGG19; empty without"),
}

PICTURES = {
    "network": Column("", "name of the network, or of the class of pictures"),
    "kind": Column("", "`network`, `bicubic`, `original` or `elsewhere`"),
    "image_id": _PHOTOGRAPH,
    "split": Column("", "`train`, `validation` or `test`; follows from `image_id`"),
    "file": Column("", "the picture, relative to the run directory"),
    "height": Column("px", "rows of the picture"),
    "width": Column("px", "columns of the picture"),
    "architecture": ZOO["architecture"],
    "overrides": ZOO["overrides"],
    **{name: ZOO[name] for name in ("scale", "loss", "training_set", "seed", "num_iters")},
    "parameters": ZOO["parameters"],
    "psnr_y_db": Column("dB", f"{_PSNR_Y} as wide as the scale; NaN where there is no truth"),
    "source": Column("", "where the network or the pictures came from"),
    "network_checksum": Column("", "of the network's file"),
    "photo_checksum": Column("", "of the photograph that was enlarged"),
    "file_checksum": Column("", "of the picture's file"),
}

_COIN_IMAGE = {name: SIREN[name] for name in ("image_id", "image_height", "image_width")}

COIN_NETWORKS = {
    "trial_id": SIREN["trial_id"],
    **_COIN_IMAGE,
    **{name: SIREN[name] for name in ("num_layers", "layer_size", "parameters")},
    "weights": Column("", "`float32`, `float16`, or `codes` of `weight_bits` bits"),
    "weight_bits": Column("bits", "of a weight"),
    "bits_per_pixel": Column("bits per pixel", "size of the network, the steps of codes included"),
    "entropy_bpp": Column("bits per pixel", "the same after an ideal entropy coder; NaN of floats"),
    "psnr_db": Column("dB", "PSNR on raw output, with the weights in this precision"),
    "psnr_8bit_db": Column("dB", "the same on the image rounded to 8 bits"),
}

COIN_RATES = {
    **_COIN_IMAGE,
    "method": Column("", "networks in some precision, or a codec"),
    "bits_per_pixel": Column("bits per pixel", "size of the network, or of the whole file"),
    "psnr_db": Column("dB", "PSNR of the networks on raw output, of files on 8 bits"),
}

TABLES = {
    "siren": (
        "Coordinate networks: `parts/*.parquet` of siren_grid, coin_kodak and collection_import",
        SIREN,
    ),
    "zoo": ("Super-resolution networks: `parts/*.parquet` of sr_zoo", ZOO),
    "evaluation": ("Benchmarks: `evaluation.parquet` of sr_zoo", EVALUATION),
    "pictures": ("Pictures: `index/*.parquet` of sr_images", PICTURES),
    "coin_networks": ("COIN: `quantisation.parquet` of coin_kodak", COIN_NETWORKS),
    "coin_rates": ("COIN: `rate_distortion.parquet` of coin_kodak", COIN_RATES),
}

_HEAD = """\
# Columns

Units and meanings of the columns of all tables. The Parquet files of networks carry the same as
metadata of their fields: `pyarrow.parquet.read_schema(path).field("hp_bpp").metadata`.

PSNR is over the pixels and channels of one image, peak 1. A PSNR of inf is exact: no error at all.
NaN is unknown, for example because the network diverged. A mean is over the finite values, and says
beside it how many were exact.
"""


def with_descriptions(schema: pa.Schema, table: str) -> pa.Schema:
    """Return the schema with `unit` and `description` of each field as its metadata.

    Args:
        schema: of a Parquet file.
        table: a key of `TABLES`.

    Raises:
        KeyError: if the glossary lacks a column.
    """
    known = TABLES[table][1]
    fields = []
    for one in schema:
        column = known[one.name]
        fields.append(one.with_metadata({"unit": column.unit, "description": column.meaning}))
    return pa.schema(fields)


def schema(table: str, kinds: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the schema of a table with all columns of the glossary, in its order.

    Args:
        table: a key of `TABLES`.
        kinds: types of the columns that are not float64.
    """
    types = [(name, kinds.get(name, pa.float64())) for name in TABLES[table][1]]
    return with_descriptions(pa.schema(types), table)


def parquet(frame: "pd.DataFrame", table: str) -> bytes:
    """Return the rows as a Parquet file with the glossary in it, as `with_descriptions` does."""
    plain = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(plain.cast(with_descriptions(plain.schema, table)), sink)
    return sink.getvalue()


def markdown() -> str:
    """Return the text of docs/columns.md."""
    parts = [_HEAD]
    for title, known in TABLES.values():
        rows = [f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in known.items()]
        parts.append("\n".join([f"## {title}\n", "| column | unit | meaning |", "|---|---|---|"]))
        parts[-1] += "\n" + "\n".join(rows) + "\n"
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())
