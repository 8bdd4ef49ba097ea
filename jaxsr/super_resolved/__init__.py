"""Pictures of super-resolution networks as a TensorFlow Datasets builder `super_resolved`.

    from jaxsr import super_resolved

    builder = tfds.builder("super_resolved", source="runs/sr_images", data_dir="data")
    builder.download_and_prepare(file_format="array_record")
    builder.as_data_source("train")[0]["network"]

The source is the folder that launch/sr_images.py makes. Nothing is downloaded: without `source`, it
is TFDS's manual directory, `DownloadConfig(manual_dir=...)`. TensorFlow is not needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxsr.datasets import picture_sets
from jaxsr.datasets.picture_sets import PictureSet

_TEXTS = ("network", "kind", "image_id", "architecture", "overrides", "loss", "training_set")
_WHOLES = ("scale", "seed", "num_iters", "parameters")


class SuperResolved(tfds.core.GeneratorBasedBuilder):
    """Builder of the splits train, validation and test, those of them that have a picture.

    Features: `image` [H, W, 3] uint8, the PNG files as they are, and columns of
    `jaxsr.datasets.picture_sets` by their names. Splits are by photograph: none is in two of them.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put images/ and index/ of launch/sr_images.py in the manual directory, or give "
        "source=FOLDER."
    )
    COLUMNS = (*_TEXTS, *_WHOLES, "psnr_y_db")
    # Said outright for the reason in jaxfleet/imaging/kodak.
    code_path = Path(__file__)
    pkg_dir_path = Path(__file__).parent

    def __init__(self, *, source: str | Path | None = None, **options: Any) -> None:
        """Make a builder.

        Args:
            source: folder of launch/sr_images.py; None for the manual directory.
            options: as every builder takes them; sources need a `data_dir` each.
        """
        self._source = source
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Photographs that many super-resolution networks enlarged, one example "
            "each, with the network and its hyperparameters.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    **{name: tfds.features.Text() for name in _TEXTS},
                    **dict.fromkeys(_WHOLES, np.int64),
                    "psnr_y_db": np.float64,
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = Path(dl_manager.manual_dir) if self._source is None else self._source
        pictures = picture_sets.open(folder)
        splits = picture_sets.ordered_splits(pictures.index["split"])
        return {split: self._generate_examples(pictures.only(split=split)) for split in splits}

    def _generate_examples(self, pictures: PictureSet) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, row in enumerate(pictures.index.to_dict("records")):
            columns = {name: row[name] for name in self.COLUMNS}
            yield key, {"image": str(pictures.file(key)), **columns}
