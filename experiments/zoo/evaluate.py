"""All networks of a zoo on benchmark sets, kept as `evaluation.parquet` in the run directory.

A row is a network on a picture. What is there is not measured again, unless the network's file, the
picture or the weights of VGG19 have changed: each row has the checksums of all three.
"""

import functools
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from flax import nnx

import jaxfleet
from experiments.report import columns
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import decibels, photos
from jaxsr import evaluation
from jaxsr.evaluation import BenchmarkSet
from jaxsr.files import networks as network_files
from jaxsr.training import feature_networks
from jaxsr.upscale import run as run_network

FILE = "evaluation.parquet"
BICUBIC = "bicubic"
MEASURES = ("psnr_y_db", "ssim_y", "psnr_db", "sharpness_db", "vgg_distance")
FACTS = ("architecture", "scale", "loss", "training_set", "seed")
CHECKSUMS = ("network_checksum", "picture_checksum", "vgg_checksum")
COLUMNS = ("network", *FACTS, "set", "image_id", *MEASURES, "source", *CHECKSUMS)

# Columns that say which network it is, in an order in which those of one program are neighbours.
_LISTED = ("architecture", "scale", "overrides", "network", "loss", "training_set", "seed")


class Entry(NamedTuple):
    """A network to be measured: its name, what the table says of it, its file and its checksum.

    Of bicubic enlargement the file is None, the loss and the training set are empty, the seed is 0.
    """

    name: str
    facts: Mapping[str, Any]
    path: Path | None
    checksum: str


def evaluate(run_dir: Path, sets: Sequence[str], vgg_weights: str | None = None) -> pd.DataFrame:
    """Measure what is not measured yet; report the progress on standard error.

    Diverged networks are left out, and those whose file is not there yet.

    Args:
        run_dir: of a zoo, complete or not.
        sets: NAME=SOURCE, as `jaxsr.evaluation.parse_set` takes it, each name once.
        vgg_weights: file for `jaxsr.training.feature_networks.load_vgg19`; None leaves out the
            distance.

    Returns:
        All rows that are kept, sorted by scale, network, set and image_id, with `COLUMNS`: facts
        of the zoo's table, and measures of `jaxsr.evaluation.measure`. `bicubic-x2` and the like,
        the enlargement without a network, are there for each scale. Rows of other sets, measured
        before, stay, and so do distances where no weights are given now.

    Raises:
        InputError: for a set or a source that cannot be used, a directory without networks, and
            damaged files.
        ValueError, FileNotFoundError, ImportError: if the weights of VGG19 cannot be read.
    """
    sources = _parse(sets)
    entries = list_networks(run_dir)
    if not entries:
        raise InputError(f"{run_dir} holds no trained networks; wait, or repeat its command.")
    scales = sorted({entry.facts["scale"] for entry in entries})
    loaded = {name: photos.load(source) for name, source in sources.items()}
    benchmark_sets = {
        scale: [evaluation.make_set(name, pictures, scale) for name, pictures in loaded.items()]
        for scale in scales
    }
    features = None if vgg_weights is None else feature_networks.load_vgg19(vgg_weights)
    vgg_checksum = (
        "" if vgg_weights is None else rundir.checksum(Path(vgg_weights).expanduser().read_bytes())
    )
    truths = {
        (scale, one.name): None
        if features is None
        else evaluation.features_of_truths(features, one)
        for scale, some in benchmark_sets.items()
        for one in some
    }
    rows = _kept(read(run_dir), entries, benchmark_sets)
    rows["source"] = rows["set"].map(sources).fillna(rows["source"])
    for number, entry in enumerate(entries, 1):
        missing = list(_missing(rows, entry, benchmark_sets[entry.facts["scale"]], vgg_checksum))
        if not missing:
            continue
        network = network_of(entry)
        for one in missing:
            true_features = truths[entry.facts["scale"], one.name]
            measured = evaluation.measure(network, one, features, true_features)
            found = pd.DataFrame(measured).assign(
                network=entry.name,
                **entry.facts,
                source=sources[one.name],
                network_checksum=entry.checksum,
                picture_checksum=[checksum_of(picture.high) for picture in one.pictures],
                vgg_checksum=vgg_checksum,
            )
            rows = _joined(rows, found[list(COLUMNS)])
            _say(
                f"{number} of {len(entries)}: {entry.name}, PSNR-Y "
                f"{decibels.mean(found['psnr_y_db'])} on {len(found)} of {one.name}"
            )
        _write(run_dir, rows)
    _write(run_dir, rows)
    return rows


def read(run_dir: Path) -> pd.DataFrame:
    """Read the rows that a run directory keeps; none if it was never evaluated.

    Raises:
        InputError: if the file is damaged.
    """
    path = run_dir / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        return pd.read_parquet(io.BytesIO(path.read_bytes()), columns=list(COLUMNS))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: damaged ({type(error).__name__}); remove it to have the networks measured "
            "again."
        ) from error


def set_means(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the means of each network over each set, with `pictures` and `gain_db`.

    Args:
        measured: rows of `evaluate`.

    Returns:
        A row for each network and set; `gain_db` is the mean of its PSNR-Y minus that of bicubic
        enlargement on the same picture. `exact` counts the pictures whose luma the network made
        without an error; no mean of decibels is of those, see `jaxfleet.imaging.decibels`.
    """

    def mean(values: pd.Series) -> float:
        return decibels.mean(values).db

    values = {name: (name, mean) for name in (*MEASURES, "gain_db")}
    return (
        with_gain(measured)
        .assign(exact=np.isposinf(measured["psnr_y_db"].astype(float)))
        .groupby(["network", *FACTS, "set"], as_index=False)
        .agg(pictures=("image_id", "size"), exact=("exact", "sum"), **values)
    )


def with_gain(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with `gain_db`, PSNR-Y minus that of bicubic enlargement on the same picture.

    It is NaN where one of the two is exact.
    """
    key = ["scale", "set", "image_id"]
    bicubic = measured[measured["architecture"] == BICUBIC].set_index(key)["psnr_y_db"]
    rows = measured.join(bicubic.rename("bicubic_db"), on=key)
    return rows.assign(gain_db=decibels.difference(rows["psnr_y_db"], rows["bicubic_db"]))


def list_networks(run_dir: Path) -> list[Entry]:
    """Return bicubic at each scale and the finished networks whose files exist.

    Raises:
        InputError: if the directory is none of a run, or no network has ended yet.
    """
    table = jaxfleet.open(run_dir).to_pandas([*_LISTED, "status"])
    done = table[table["status"] == "done"].sort_values(list(_LISTED))
    entries = []
    for row in done[list(_LISTED)].to_dict("records"):
        path = network_path(run_dir, row["network"])
        if path.exists():
            facts = {name: row[name] for name in FACTS}
            entries.append(Entry(row["network"], facts, path, rundir.checksum(path.read_bytes())))
    bicubic = {"architecture": BICUBIC, "loss": "", "training_set": "", "seed": 0}
    return [
        Entry(f"{BICUBIC}-x{scale}", {**bicubic, "scale": scale}, None, "")
        for scale in sorted({entry.facts["scale"] for entry in entries})
    ] + entries


def network_of(entry: Entry) -> evaluation.Network:
    """Return what `jaxsr.evaluation.measure` calls; networks of one kind share programs.

    Raises:
        InputError: if the file is damaged.
    """
    if entry.path is None:
        return functools.partial(evaluation.bicubic, scale=entry.facts["scale"])
    return functools.partial(run_network, nnx.split(network_files.read(entry.path).build()))


def network_path(run_dir: Path, name: str) -> Path:
    """Return where a run keeps the weights of a network."""
    return run_dir / network_files.NETWORKS / f"{name}.safetensors"


def checksum_of(pixels: np.ndarray) -> str:
    """Return the `picture_checksum` of the truth, cropped to a multiple of the scale."""
    return rundir.checksum(f"{pixels.shape}".encode() + pixels.tobytes())


# ------------------------------------------------------------------------------------- the parts


def _parse(sets: Sequence[str]) -> dict[str, str]:
    """Name -> source, good from any folder."""
    if not sets:
        raise InputError("No benchmark set is given; write NAME=SOURCE, such as Set5=folder:PATH.")
    pairs = [evaluation.parse_set(text) for text in sets]
    sources = {name: photos.absolute(source) for name, source in pairs}
    if len(sources) < len(pairs):
        raise InputError(f"Two benchmark sets have one name among {', '.join(sets)}; rename one.")
    return sources


def _kept(
    rows: pd.DataFrame,
    entries: Sequence[Entry],
    benchmark_sets: Mapping[int, Sequence[BenchmarkSet]],
) -> pd.DataFrame:
    """Select the rows of networks and images that are still what was measured."""
    checksums = {entry.name: entry.checksum for entry in entries}
    rows = rows[rows["network_checksum"] == rows["network"].map(checksums)]
    for scale, some in benchmark_sets.items():
        for one in some:
            now = {picture.image_id: checksum_of(picture.high) for picture in one.pictures}
            own = (rows["set"] == one.name) & (rows["scale"] == scale)
            rows = rows[~own | (rows["picture_checksum"] == rows["image_id"].map(now))]
    return rows


def _missing(
    rows: pd.DataFrame, entry: Entry, benchmark_sets: Sequence[BenchmarkSet], vgg_checksum: str
) -> Iterator[BenchmarkSet]:
    """Select from the sets the images for which a network has no row."""
    own = rows[rows["network"] == entry.name]
    if vgg_checksum:
        own = own[own["vgg_checksum"] == vgg_checksum]
    for one in benchmark_sets:
        measured = set(own.loc[own["set"] == one.name, "image_id"])
        pictures = tuple(p for p in one.pictures if p.image_id not in measured)
        if pictures:
            yield BenchmarkSet(one.name, one.scale, pictures)


def _joined(rows: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return old rows and new ones, which replace those of the same network and picture."""
    both = pd.concat([rows, found]) if len(rows) else found
    key = ["scale", "network", "set", "image_id"]
    return both.drop_duplicates(key, keep="last").sort_values(key, ignore_index=True)


def _write(run_dir: Path, rows: pd.DataFrame) -> None:
    storage.write_atomically(run_dir / FILE, columns.parquet(rows, "evaluation"))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
