"""The 24 Kodak photographs as a TensorFlow Datasets builder, registered as `kodak`.

    python -c "from jaxfleet.imaging import photos; print(len(photos.load('tfds:kodak')))"

The first use downloads the 24 PNG files, 15 MB, checks them against `checksums.tsv` beside
this file and writes one array_record under TFDS's data directory (`~/tensorflow_datasets`,
or `$TFDS_DATA_DIR`). A file kodimNN.png that already lies in TFDS's manual directory is
taken from there instead: `DownloadConfig(manual_dir=...)`, by default `downloads/manual`
under the data directory. Copies that were compressed anew fail the check: read those with
`folder:PATH`. TensorFlow is not needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

_HOME = "https://r0k.us/graphics/kodak/"
_FILENAMES = tuple(f"kodim{number:02d}.png" for number in range(1, 25))


class Kodak(tfds.core.GeneratorBasedBuilder):
    """Builder of one split, `test`: the 24 photographs in order, as the PNG files have them.

    Features: `image` [512, 768, 3] or [768, 512, 3] uint8, `filename` such as kodim01.png.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    # Said outright because TFDS 4.9.10 finds them through `importlib_resources`, which it
    # does not install on Python 3.9 and later.
    code_path = Path(__file__)
    pkg_dir_path = Path(__file__).parent

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Kodak's lossless true colour image suite: 24 photographs scanned from film, "
                "released by Eastman Kodak for unrestricted use."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "filename": tfds.features.Text(),
                }
            ),
            homepage=_HOME,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        # The manager itself prefers files in manual_dir: it knows their names from
        # checksums.tsv, and checks them like downloads.
        paths = dl_manager.download({name: f"{_HOME}kodak/{name}" for name in _FILENAMES})
        return {"test": self._generate_examples(paths)}

    def _generate_examples(self, paths: dict[str, Path]) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, filename in enumerate(_FILENAMES):
            yield key, {"image": paths[filename], "filename": filename}
