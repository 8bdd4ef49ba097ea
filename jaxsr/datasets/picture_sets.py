"""Pictures that networks made of the same photographs, and which network made each.

What classifiers learn from. A folder of them, which launch/sr_images.py makes, holds
`images/NETWORK/IMAGE_ID.png` and `index/NETWORK.parquet`, a row for each picture;
`pandas.read_parquet("index")` reads them all. Columns:

    network          who made it: the class; unique in the folder
    kind             network, bicubic (enlarged without one), original (not enlarged), elsewhere
    image_id         the photograph
    split            train, validation or test; of a photograph the same in every class
    file             within the folder
    height, width    pixels
    architecture, overrides (JSON), scale, loss, training_set, seed, num_iters, parameters
                     of the network; where there is none, or nobody knows, as in `UNKNOWN`
    psnr_y_db        against the photograph, dB, a border as wide as the scale left out; inf of an
                     original, NaN where no photograph is known
    source           run directory, file or folder that the network or the picture was found in
    network_checksum, photo_checksum, file_checksum
                     what it was made by and of, and what was written

Letters: N pictures, H rows, W columns, c side of a crop in pixels.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.splits import SPLITS
from jaxsr.datasets.crops import centre

INDEX, IMAGES = "index", "images"
KINDS = ("network", "bicubic", "original", "elsewhere")
FACTS = (
    *("architecture", "overrides", "scale", "loss", "training_set", "seed", "num_iters"),
    "parameters",
)
UNKNOWN: Mapping[str, Any] = {  # values of FACTS that say nothing; 0 is a seed like any other
    **dict.fromkeys(("architecture", "loss", "training_set"), ""),
    **dict.fromkeys(("scale", "num_iters", "parameters"), 0),
    "overrides": "{}",
    "seed": -1,
}
_WHOLES = ("height", "width", "scale", "seed", "num_iters", "parameters")
COLUMNS = (
    *("network", "kind", "image_id", "split", "file", "height", "width", *FACTS, "psnr_y_db"),
    *("source", "network_checksum", "photo_checksum", "file_checksum"),
)


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures of a folder, all or some; get them from `open`.

    Attributes:
        run_dir: the folder.
        index: N rows with `COLUMNS`, numbered from 0 on, sorted by network and image_id.
    """

    run_dir: Path
    index: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.index)

    def only(self, **values: Any) -> "PictureSet":
        """Select the images whose columns have these values: `only(split="train", scale=2)`.

        Args:
            values: column -> a value, or several of which any will do.

        Raises:
            InputError: if there is no such column, or no such picture is left.
        """
        index = self.index
        for name, value in values.items():
            if name not in COLUMNS:
                raise InputError(f"No column is called {name}; there are {', '.join(COLUMNS)}.")
            several = (
                [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
            )
            index = index[index[name].isin(list(several))]
        if index.empty:
            wanted = ", ".join(f"{name} {value}" for name, value in values.items())
            raise InputError(f"{self.run_dir} has no picture with {wanted}; ask for another.")
        return PictureSet(self.run_dir, index.reset_index(drop=True))

    def file(self, row: int) -> Path:
        """Return the PNG file of a row, as it was written.

        Raises:
            InputError: if it is gone or changed.
        """
        path = self.run_dir / self.index["file"].iloc[row]
        if not is_whole(path, self.index["file_checksum"].iloc[row]):
            raise InputError(
                f"{path}: missing or changed; repeat the command of the folder, which makes it "
                "again."
            )
        return path

    def picture(self, row: int) -> np.ndarray:
        """Return [H, W, 3] uint8 of a row.

        Raises:
            InputError: if its file is gone or changed.
        """
        return photos.read(self.file(row))

    def crops(self, crop_px: int, rows: Sequence[int] | None = None) -> np.ndarray:
        """Crop the middles of images, as `crops.centre` does.

        Args:
            crop_px: c, at least 1.
            rows: which, in this order; None for all.

        Returns:
            [N, c, c, 3] uint8.

        Raises:
            InputError: if a picture is gone or changed, or smaller than the crop (by name).
        """
        chosen = range(len(self)) if rows is None else rows
        crops = np.empty((len(chosen), crop_px, crop_px, 3), np.uint8)
        for place, row in enumerate(chosen):
            height, width = (int(self.index[name].iloc[row]) for name in ("height", "width"))
            if min(height, width) < crop_px:
                raise InputError(
                    f"{self.index['file'].iloc[row]} is {width} x {height} pixels, smaller than a "
                    f"crop of {crop_px}; take smaller crops."
                )
            crops[place] = centre(self.picture(row), crop_px)
        return crops


class Pictures(Sequence[np.ndarray]):
    """The pictures of a set, [H, W, 3] uint8, each read when it is asked for."""

    def __init__(self, pictures: PictureSet) -> None:
        """Read nothing yet; the order is that of the set."""
        self._pictures = pictures

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures)

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> "Pictures": ...
    def __getitem__(self, place: int | slice) -> "np.ndarray | Pictures":
        """Return one of them, or several, which are not read yet."""
        if isinstance(place, slice):
            index = self._pictures.index.iloc[place].reset_index(drop=True)
            return Pictures(PictureSet(self._pictures.run_dir, index))
        return self._pictures.picture(range(len(self))[place])


def open(run_dir: str | Path) -> PictureSet:
    """Open the images of a folder.

    Raises:
        InputError: if it holds none, or its index is damaged.
    """
    folder = storage.location(run_dir) if isinstance(run_dir, str) else run_dir
    names = [name for name in storage.names(folder / INDEX) if name.endswith(".parquet")]
    if not names:
        raise InputError(f"{folder} holds no pictures; give the folder of launch/sr_images.py.")
    index = pd.concat([_read(folder / INDEX / name) for name in names])
    return PictureSet(folder, index.sort_values(["network", "image_id"], ignore_index=True))


def read_rows(run_dir: Path, network: str) -> list[dict[str, Any]]:
    """Read the index of one class, sorted by image_id; empty if there is none yet.

    Raises:
        InputError: if it is damaged.
    """
    path = _part(run_dir, network)
    return _read(path).to_dict("records") if path.exists() else []


def write_rows(run_dir: Path, network: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the index of one class; readers see the old rows or the new.

    Raises:
        OSError: naming the file; the old one stays.
    """
    ordered = sorted((dict(row) for row in rows), key=lambda row: row["image_id"])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ordered, schema=schema()), sink)
    storage.write_atomically(_part(run_dir, network), sink.getvalue().to_pybytes())


def file_of(network: str, image_id: str) -> str:
    """Return where a picture lies within the folder."""
    return f"{IMAGES}/{network}/{image_id}.png"


def schema() -> pa.Schema:
    """Return `COLUMNS` with their types."""
    kinds = {**dict.fromkeys(_WHOLES, pa.int64()), "psnr_y_db": pa.float64()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])


def is_known(fact: str, value: Any) -> bool:
    """Return whether a value of one of `FACTS` says anything."""
    return bool(value != UNKNOWN[fact])


def is_whole(path: Path, file_checksum: str) -> bool:
    """Return whether a file is there, and as it was written."""
    try:
        return rundir.checksum(path.read_bytes()) == file_checksum
    except OSError:
        return False


def ordered_splits(splits: Iterable[str]) -> list[str]:
    """Return the splits that occur, in the order train, validation, test."""
    there = set(splits)
    return [split for split in SPLITS if split in there]


def _part(run_dir: Path, network: str) -> Path:
    return run_dir / INDEX / f"{network}.parquet"


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()), columns=list(COLUMNS))
        return table.cast(schema()).to_pandas()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: damaged ({type(error).__name__}); remove it and repeat the command of the "
            "folder, which makes its pictures again."
        ) from error
