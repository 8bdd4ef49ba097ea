"""Fits to learn a forecast from: collections of them, made one compact table.

The table has a row for each fit and each picture, and needs no weights: `fits.parquet` holds the
hyperparameters, the best PSNR and a few points of its history, `pictures.parquet` the descriptors
of the pictures. Both go where the forecaster is trained, so that it can be trained again without
the collections. A published table (`launch/collection_table.py`) is read as it is; with `PICTURES`
beside it, it needs no photographs.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import jaxfleet
from experiments.forecaster import jpeg
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import albums, photos
from jaxfleet.imaging.splits import hash_fraction
from jaxinr.collection import schema as collection
from jaxinr.forecaster import descriptors, inputs, reach, training

FITS, PICTURES = "fits.parquet", "pictures.parquet"
PUBLISHED = "parquet"  # folder of a published table's rows, in files SPLIT-NUMBER.parquet
COLUMNS = tuple(
    "image_id split image_height image_width layer_size num_layers w0_initial w0 learning_rate "
    "num_iters seed parameters hp_bpp best_psnr_db seconds".split()
)
HISTORY = ("iteration_history", "psnr_history")
NUMBERS = (*descriptors.NAMES, *jpeg.NAMES)  # of a picture
TIMES = 16  # points that are kept of a history
FIRST_ITERATION = 10
# A fit counts as the number of fits of its group to this power; lower ones learn few by heart.
RARER = -0.3
HELD_OUT = 0.1  # share of the architectures that are not trained on
COMMON = 0.02  # of the fits: architectures beyond are trained on

Key = tuple[str, int, int]  # a photograph and the height and width at which it was fitted
_KEY = ["image_id", "image_height", "image_width"]
_NUMBERS_OF_A_FIT = tuple(
    "image_height image_width layer_size num_layers w0_initial w0 learning_rate num_iters "
    "seed".split()
)


@dataclasses.dataclass(frozen=True)
class FitTable:
    """Fits and their pictures.

    Attributes:
        frame: N rows with `COLUMNS`; `picture`, a row of `described`; `is_new_size`, whether the
            architecture is held out.
        described: [P, D] float32.
        jpeg: [P, len(jpeg.NAMES)] float32.
        iterations: [N, T] int, ascending.
        best_db: [N, T] float32, the highest PSNR logged so far; at the end `best_psnr_db`, which
            may have come between two entries. All are at most `descriptors.FLOOR_DB`: networks with
            more weights than the picture has values go on to where only rounding is left.
    """

    frame: pd.DataFrame
    described: np.ndarray
    jpeg: np.ndarray
    iterations: np.ndarray
    best_db: np.ndarray

    def __len__(self) -> int:
        """Fits."""
        return len(self.frame)

    @property
    def truth_db(self) -> np.ndarray:
        """[N] `best_psnr_db`, that of the kept weights; at most `descriptors.FLOOR_DB`."""
        return self.best_db[:, -1]

    def training_fits(self, chosen: np.ndarray | slice = slice(None)) -> training.TrainingFits:
        """Return fits in the form that the forecaster learns from."""
        frame = self.frame
        columns = [*inputs.TRIAL[:4], "image_height", "image_width"]
        rows = frame[columns].to_numpy(np.float64)
        groups = np.stack(reach.groups(rows, self.iterations[:, -1])[:2], 1)
        _, group, count = np.unique(groups, axis=0, return_inverse=True, return_counts=True)
        fits = training.TrainingFits(
            self.described,
            frame["picture"].to_numpy(),
            rows,
            self.iterations,
            self.best_db,
            count[group] ** RARER,
        )
        return fits.of(chosen)

    def split(self, name: str, *, new_size: bool = False) -> np.ndarray:
        """[N] bool: fits on the photographs of a split, of architectures trained on or held out."""
        frame = self.frame
        return ((frame["split"] == name) & (frame["is_new_size"] == new_size)).to_numpy()

    @property
    def usual(self) -> np.ndarray:
        """[N] bool: fits on pictures of the size that most fits have."""
        pixels = self.frame["image_height"] * self.frame["image_width"]
        return (pixels == pixels.mode()[0]).to_numpy()

    def save(self, folder: Path) -> None:
        """Write the two tables."""
        columns = [name for name in self.frame if name in COLUMNS]
        fits = pa.Table.from_pandas(self.frame[columns], preserve_index=False)
        noted_db = self.best_db.round(2)  # the last of them is a column in full
        for name, values in (("iterations", self.iterations), ("best_db", noted_db)):
            fits = fits.append_column(name, pa.array(list(values)))
        pictures = self.frame.drop_duplicates("picture").sort_values("picture")
        numbers = np.concatenate([self.described, self.jpeg], 1)[pictures["picture"]].T
        pictures = pictures[_KEY].assign(**dict(zip(NUMBERS, numbers, strict=True)))
        described = pa.Table.from_pandas(pictures, preserve_index=False)
        # Neighbouring floats share their high bytes: those of a column go together.
        for name, table, split in ((FITS, fits, ()), (PICTURES, described, NUMBERS)):
            buffer = io.BytesIO()
            pq.write_table(
                table,
                buffer,
                compression="zstd",
                compression_level=19,
                use_dictionary=not split,
                use_byte_stream_split=list(split),
            )
            storage.write_atomically(folder / name, buffer.getvalue())


def load(collections: Sequence[Path], pictures: str, image_fit: str = "resize") -> FitTable:
    """Load all fits of some run directories, folders with `FITS` and `PICTURES`, or tables.

    A fit that several of them hold counts once.

    Args:
        collections: where they are.
        pictures: a source of photographs, those of the collections whose tables hold no
            descriptors; empty for none.
        image_fit: how the collections made squares of them.

    Raises:
        InputError: naming what is missing, and where.
    """
    frames = []
    described: dict[Key, np.ndarray] = {}
    for folder in collections:
        if (folder / FITS).exists():
            frame = _read(folder / FITS)
        elif (folder / PUBLISHED).is_dir():
            frame = _read_published(folder / PUBLISHED)
        else:
            frame = _reduce(folder)
        if (folder / FITS).exists() or (folder / PICTURES).exists():
            described |= _read_pictures(folder / PICTURES)
        if not len(frame):
            raise InputError(f"{folder} holds no fits that came to an end.")
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    numbers = frame[[*_NUMBERS_OF_A_FIT]].astype(np.float32)  # as precisely as tables have them
    twice = pd.concat([frame["image_id"], numbers], axis=1).duplicated()
    frame = frame[~twice].reset_index(drop=True)
    keys = list(dict.fromkeys(frame[_KEY].itertuples(index=False, name=None)))
    described |= _describe([key for key in keys if key not in described], pictures, image_fit)
    for folder, own in zip(collections, frames, strict=True):
        if not set(own[_KEY].itertuples(index=False, name=None)) <= described.keys():
            raise InputError(f"{folder} needs its photographs: --photos=... says where.")
    place = {key: number for number, key in enumerate(keys)}
    frame["best_psnr_db"] = frame["best_psnr_db"].astype(np.float32)
    frame["picture"] = [place[key] for key in frame[_KEY].itertuples(index=False, name=None)]
    frame["is_new_size"] = _held_out(frame)
    best_db = np.stack(frame["best_db"]).astype(np.float32)
    best_db[:, -1] = frame["best_psnr_db"]
    best_db = np.minimum(best_db, np.minimum(best_db[:, -1:], descriptors.FLOOR_DB))
    numbers = np.stack([described[key] for key in keys])
    return FitTable(
        frame.drop(columns=["iterations", "best_db"]),
        numbers[:, : len(descriptors.NAMES)],
        numbers[:, len(descriptors.NAMES) :],
        np.stack(frame["iterations"]),
        best_db,
    )


def _reduce(run_dir: Path) -> pd.DataFrame:
    """Read the complete fits of a run directory, with a few points of their histories."""
    table = jaxfleet.open(run_dir)
    collection.require_sirens(table)
    frames = []
    for frame in table.batches([*COLUMNS, *HISTORY]):
        frame = frame[frame["best_psnr_db"].notna()]  # exact ones count as `FLOOR_DB`
        points = [
            _thinned(np.asarray(iterations), np.asarray(psnr_db))
            for iterations, psnr_db in zip(
                frame.pop(HISTORY[0]), frame.pop(HISTORY[1]), strict=True
            )
        ]
        iterations, best_db = zip(*points, strict=True) if points else ((), ())
        frames.append(frame.assign(iterations=list(iterations), best_db=list(best_db)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _thinned(iterations: np.ndarray, psnr_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return [TIMES] log-spaced iterations, and the highest PSNR until each."""
    last = max(int(iterations[-1]), 1)
    wanted = np.geomspace(min(FIRST_ITERATION, last), last, TIMES)
    at = np.searchsorted(iterations, np.rint(wanted).astype(int))
    at = np.maximum(np.minimum(at, len(iterations) - 1), min(1, len(iterations) - 1))
    best = np.fmax.accumulate(psnr_db)[at]
    return np.maximum(iterations[at], 1).astype(np.int32), best.round(2).astype(np.float32)


def _read_published(folder: Path) -> pd.DataFrame:
    """Read the complete fits of a published table of squares, as `_reduce` gives them."""
    frames = []
    for path in sorted(folder.glob("*.parquet")):
        rows = _read(path)
        rows = rows[rows["fp_psnr"].notna()]
        frame = pd.DataFrame(list(rows["config"]), index=rows.index)
        side = frame.pop("image_size")
        points = [
            _thinned(iterations, psnr_db)
            for iterations, psnr_db in zip(
                rows["iteration_history"], rows["best_psnr_history"], strict=True
            )
        ]
        iterations, best_db = zip(*points, strict=True) if points else ((), ())
        frames.append(
            frame.assign(
                split=path.name.split("-")[0],
                image_height=side,
                image_width=side,
                parameters=np.rint(rows["hp_bpp"] * side**2 / 16).astype(int),
                hp_bpp=rows["hp_bpp"],
                best_psnr_db=[float(curve[-1]) for curve in rows["best_psnr_history"]],
                seconds=np.nan,
                iterations=list(iterations),
                best_db=list(best_db),
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _read_pictures(path: Path) -> dict[Key, np.ndarray]:
    pictures = _read(path)
    if not set(NUMBERS) <= set(pictures):
        return {}  # of another version: described anew where the photographs are at hand
    keys = pictures[_KEY].itertuples(index=False, name=None)
    return dict(zip(keys, pictures[list(NUMBERS)].to_numpy(np.float32), strict=True))


def _read(path: Path) -> pd.DataFrame:
    try:
        return pq.read_table(io.BytesIO(path.read_bytes())).to_pandas()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged or missing ({type(error).__name__}); give another collection."
        ) from None


def _describe(keys: Sequence[Key], source: str, image_fit: str) -> dict[Key, np.ndarray]:
    """Describe the images that were fitted: squares of some side, and whole photographs."""
    if not (keys and source):
        return {}
    originals = photos.load(source)
    place = {photo.image_id: number for number, photo in enumerate(originals)}
    shapes = dict(zip(place, albums.shapes_of(originals), strict=True))
    for image_id, height, width in keys:
        shape = shapes.get(image_id, (0, 0))
        if (height, width) != shape and (height != width or height > min(shape)):
            raise InputError(f"--photos={source} has no {image_id} of {height} x {width} pixels.")
    entries = [
        (place[image_id], 0 if shapes[image_id] == (height, width) else height)
        for image_id, height, width in keys
    ]
    album = albums.Album(originals, entries, image_fit)
    return {key: _numbers(photo.pixels) for key, photo in zip(keys, album, strict=True)}


def _numbers(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([descriptors.describe(pixels), jpeg.measure(pixels)]).round(2)


def _held_out(frame: pd.DataFrame) -> np.ndarray:
    """[N] whether an architecture is one of the tenth that is held out, by its name alone."""
    pairs = list(zip(frame["num_layers"], frame["layer_size"], strict=True))
    share = frame.groupby(["num_layers", "layer_size"]).size() / len(frame)

    held = {
        (layers, size): hash_fraction(f"{layers}x{size}") < HELD_OUT
        and share[layers, size] < COMMON
        for layers, size in set(pairs)
    }
    return np.array([held[pair] for pair in pairs])
