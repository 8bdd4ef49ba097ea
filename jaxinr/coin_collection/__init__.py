"""The COIN collection, or any run of SIRENs, as a TensorFlow Datasets builder `coin_collection`.

    from jaxinr import coin_collection

    builder = tfds.builder("coin_collection", source="runs/quickstart", data_dir="data")
    builder.download_and_prepare(file_format="array_record")
    builder.as_data_source("train")[0]["fp_psnr"]

The source is a run directory, or a folder of published files (JSON lines, JSON or Parquet). Nothing
is downloaded: without `source`, the files are those of TFDS's manual directory,
`DownloadConfig(manual_dir=...)`. TensorFlow is not needed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

import jaxfleet
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.results.table import Table
from jaxfleet.rundir import MANIFEST
from jaxinr.collection import files as collection_files
from jaxinr.collection import schema as collection


class CoinCollection(tfds.core.GeneratorBasedBuilder):
    """Builder of the splits train, validation and test, those of them that have a network.

    Features are the published columns, see `jaxinr.collection.schema`, but for `best_model`, whose
    arrays differ from network to network: `weights` [P] float32 has them layer by layer, weight
    [out, in] row by row, then bias; `jaxfleet.results.table.unflatten` takes them apart. Histories
    are [T], T varies. `split` is the source's; of published files whose name says none, it follows
    from the image_id.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put a run directory, or the files of huggingface.co/datasets/predict-SIREN-PSNR/"
        "COIN-collection, in the manual directory, or give source=FOLDER."
    )
    # Said outright for the reason in jaxfleet/imaging/kodak.
    code_path = Path(__file__)
    pkg_dir_path = Path(__file__).parent

    def __init__(self, *, source: str | Path | None = None, **options: Any) -> None:
        """Make a builder.

        Args:
            source: run directory, or folder of published files; None for the manual directory.
            options: as every builder takes them; sources need a `data_dir` each.
        """
        self._source = source
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        vector = {"shape": (None,), "dtype": np.float32}
        return tfds.core.DatasetInfo(
            builder=self,
            description="SIRENs fitted to photographs, one example each, with their weights.",
            features=tfds.features.FeaturesDict(
                {
                    "config": {
                        name: tfds.features.Text()
                        if name == "image_id"
                        else np.float64
                        if name in ("w0_initial", *collection.ADDED)
                        else np.int64
                        for name in collection.CONFIG + collection.ADDED
                    },
                    "iteration_history": tfds.features.Tensor(shape=(None,), dtype=np.int64),
                    "psnr_history": tfds.features.Tensor(**vector),
                    "best_psnr_history": tfds.features.Tensor(**vector),
                    "hp_bpp": np.float64,
                    "fp_bpp": np.float64,
                    "fp_psnr": np.float64,
                    "weights": tfds.features.Tensor(**vector),
                }
            ),
            homepage="https://huggingface.co/datasets/predict-SIREN-PSNR/COIN-collection",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = Path(dl_manager.manual_dir) if self._source is None else self._source
        if isinstance(folder, str):
            folder = storage.location(folder)
        if (folder / MANIFEST).exists():
            table = jaxfleet.open(folder)
            collection.require_sirens(table)
            frame = table.to_pandas(["trial_id", "split", "psnr_8bit_db"])
            frame = frame[frame["psnr_8bit_db"].notna()]  # the others diverged, without weights
            return {
                split: _of_table(table, ids["trial_id"].to_numpy())
                for split, ids in _ordered(dict(list(frame.groupby("split")))).items()
            }
        paths = collection_files.find(folder)
        named = {collection_files.split_in(str(path.relative_to(folder))) for path in paths}
        splits = collection.SPLITS if None in named else named
        return _ordered({str(split): _of_files(folder, paths, str(split)) for split in splits})

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        raise NotImplementedError("every split has a generator of its own")


def _ordered(splits: Mapping[str, Any]) -> dict[str, Any]:
    return {split: splits[split] for split in collection.SPLITS if split in splits}


def _of_table(table: Table, trial_ids: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    for frame in table.batches(["trial_id", *collection.NEEDED], trial_ids):
        for row in frame.to_dict("records"):
            yield int(row["trial_id"]), _example(row)


def _of_files(folder: Path, paths: list[Path], split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    key = 0
    for path in paths:
        name = str(path.relative_to(folder))
        own = collection_files.split_in(name)
        if own not in (None, split):
            continue
        for item in collection_files.read(path):
            if item.record is None:
                raise InputError(f"{path}, {item.where}: {item.reason}.")
            try:
                row = collection.from_published(item.record)
            except ValueError as error:
                raise InputError(f"{path}, {item.where}: {error}.") from None
            if own or collection.split_of(row["image_id"]) == split:
                yield key, _example(row)
                key += 1


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    record = collection.to_published(row)
    del record["best_model"]
    return {**record, "weights": np.asarray(row["weights"], np.float32)}
