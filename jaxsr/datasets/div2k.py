"""DIV2K of TensorFlow Datasets, prepared without TensorFlow.

TFDS prepares and reads most datasets without it. Its builder `div2k` asks TensorFlow for one
thing, the list of the files that it has unpacked; here that list comes from the standard library.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def do_without_tensorflow() -> None:
    """Have `tfds.builder("div2k/...")` list its files itself, in this process from now on.

    The examples are the same under the same keys, so TFDS writes the same records.
    """
    import tensorflow_datasets as tfds  # half a second that other sources need not pay

    tfds.builder_cls("div2k")._generate_examples = _generate_examples


def _generate_examples(
    builder: Any, lr_path: str, hr_path: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield 0001x2.png and the paths of 0001x2.png and 0001.png."""
    for low in sorted(Path(lr_path).rglob("*.png")):
        yield low.name, {"lr": str(low), "hr": str(Path(hr_path) / f"{low.name[:4]}.png")}
