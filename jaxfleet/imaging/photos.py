"""Where photographs come from: installed packages, a folder, or any TFDS dataset.

A source is one word, with a path or a name after a colon:

    packaged[:SPLIT]              eight colour photographs that scikit-image installs; no download
    folder:PATH                   every picture file directly in PATH, sorted by name
    tfds:NAME[/CONFIG][:SPLIT]    a TensorFlow Datasets dataset, read without TensorFlow

`packaged:train` has six of the eight, `packaged:test` the other two. Several sources stand one
after the other, a comma between them: `packaged,folder:PATH`. A comma that no kind of source
follows is part of the path.

All photographs become [H, W, 3] uint8 in the same way, as `jaxfleet.imaging.picture_files` reads
them. What was converted, and what a folder holds beside the pictures, is said on standard error. No
JAX device is started here.
"""

import difflib
import functools
import importlib.resources
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxfleet.errors import InputError, listed
from jaxfleet.imaging import images, picture_files

KINDS = ("packaged[:train|:test]", "folder:PATH", "tfds:NAME[/CONFIG][:SPLIT]")
HELP = (
    "packaged (eight colour photographs that scikit-image installs; packaged:train has six of "
    "them, packaged:test the other two), folder:PATH, or "
    "tfds:NAME[/CONFIG][:SPLIT]; several with commas between them, as in "
    "folder:PATH,folder:PATH. No two photographs may have the same name."
)
FITS = ("resize", "crop")

# Of the scikit-image wheel; its other colour pictures are drawings, or the other eye's.
_PACKAGED = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
_PACKAGED_TEST = ("chelsea.png", "motorcycle_left.png")
_IMAGE_FEATURES = ("image", "hr")
_NAME_FEATURES = ("filename", "file_name", "image/filename")

# Between two sources, but not in a path.
_COMMA = re.compile(r",\s*(?=folder:|tfds:|packaged(?::\w+)?(?:,|$))")


@dataclass(frozen=True)
class Photo:
    """One photograph.

    image_id: names it, unique among those loaded together; the stem of its file where it has one.
    pixels: [H, W, 3] uint8, RGB.
    """

    image_id: str
    pixels: np.ndarray


def load(
    source: str,
    *,
    image_size: int = 0,
    image_fit: str = "resize",
    max_images: int = 0,
    data_dir: str | None = None,
) -> list[Photo]:
    """Load the photographs of one or more sources, in the order given.

    What a photograph is called does not depend on the sources beside its own.

    Args:
        source: `packaged[:SPLIT]`, `folder:PATH` or `tfds:NAME[/CONFIG][:SPLIT]`; without a split,
            the first of the dataset. Several with commas between them.
        image_size: side of the square that each photograph becomes, pixels. 0 keeps the
            whole photographs, whatever their sizes.
        image_fit: how it becomes that square. `resize`: the largest central square, then
            antialiased bicubic. `crop`: the central window of that size, pixels untouched.
        max_images: keep the first so many, of all sources together; sources behind those are
            not read. 0 keeps all.
        data_dir: where TFDS keeps its datasets; None for its default, `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`. A dataset that is not there yet is downloaded; without a
            network TFDS tries for minutes before it gives up. Of no effect on other sources.

    Returns:
        The photographs, at least one, `image_id` unique among them.

    Raises:
        InputError: if the source, a name in it, or an option is not one that exists; if the
            source is empty, cannot be read or cannot be downloaded; if a photograph is
            smaller than `image_size`; if two sources have a photograph of the same name. One line
            that says what to do.
    """
    _check_options(image_size, image_fit, max_images)
    sources = [(one, _examples(one, data_dir)) for one in _split(source)]
    photos: list[Photo] = []
    source_of: dict[str, str] = {}
    for one, examples in sources:
        before = len(photos)
        noted: dict[str, list[str]] = {}
        for image_id, name, read in examples:
            if image_id in source_of:
                raise InputError(
                    f"'{source_of[image_id]}' and '{one}' both have a photograph '{image_id}'. "
                    "Rename it in one of them, or leave one out."
                )
            source_of[image_id] = one
            picture = picture_files.decode(read(), name)
            for note in picture.notes:
                noted.setdefault(note, []).append(image_id)
            photos.append(Photo(image_id, fitted(picture.pixels, name, image_size, image_fit)))
            if len(photos) == max_images:
                break
        for note, ids in noted.items():
            picture_files.tell(f"{one}: {note} ({len(ids)}: {listed(ids)})")
        if len(photos) == max_images != 0:
            break
        if len(photos) == before:
            raise InputError(f"'{one}' has no photographs. Choose another source or split.")
    return photos


def read(
    path: str | os.PathLike[str], *, image_size: int = 0, image_fit: str = "resize"
) -> np.ndarray:
    """Return one picture file, as the photographs of `load`: [H, W, 3] uint8.

    Raises:
        InputError: as `load`, naming the file.
    """
    _check_options(image_size, image_fit, 0)
    picture = picture_files.read(Path(path))
    if picture.notes:
        picture_files.tell(f"{path}: {', '.join(picture.notes)}")
    return fitted(picture.pixels, f"'{path}'", image_size, image_fit)


def absolute(source: str) -> str:
    """Return the same sources with absolute paths, for a process in another folder."""
    kinds = [one.partition(":") for one in _split(source)]
    return ",".join(
        f"folder:{Path(rest).expanduser().absolute()}" if kind == "folder" else f"{kind}{sep}{rest}"
        for kind, sep, rest in kinds
    )


def members(source: str) -> set[str]:
    """Name what a source has, without reading it, so that two sources can be compared.

    Absolute paths of the image files; for a dataset of TFDS, one name for all its images.

    Raises:
        InputError: if the source does not exist.
    """
    found = set()
    for one in _split(source):
        kind, _, rest = one.partition(":")
        if kind == "packaged":
            found |= {str((_packaged_folder() / name).resolve()) for name in _packaged_names(rest)}
        elif kind == "folder":
            listing = picture_files.list_folder(Path(rest), f"'{rest}'")
            found |= {str(path.resolve()) for path in listing.taken}
        else:
            found.add(one)
    return found


# What a source yields: image_id, name for messages, function that returns the file's bytes.
_Example = tuple[str, str, Callable[[], bytes]]


def _split(source: str) -> list[str]:
    """Split a list of sources into single sources, in order."""
    return _COMMA.split(source)


def _examples(source: str, data_dir: str | None) -> Iterator[_Example]:
    """Yield the images of a single source, read as they are asked for."""
    kind, _, rest = source.partition(":")
    if kind == "packaged":
        return _packaged(rest)
    if kind == "folder" and rest:
        return _folder(Path(rest))
    if kind == "tfds" and rest:
        return _tfds(rest, data_dir)
    hint = f" For the pictures of that folder: folder:{source}." if _is_folder(source) else ""
    raise InputError(f"Unknown source '{source}'. Use one of: {', '.join(KINDS)}.{hint}")


def _packaged(split: str) -> Iterator[_Example]:
    for filename in _packaged_names(split):
        read = (_packaged_folder() / filename).read_bytes
        yield Path(filename).stem, f"scikit-image's {filename}", read


def _packaged_names(split: str) -> list[str]:
    if split not in ("", "train", "test"):
        raise InputError(f"'packaged' has no split '{split}'. Use train or test, or leave it out.")
    is_test = {"train": [False], "test": [True]}.get(split, [False, True])
    return [name for name in _PACKAGED if (name in _PACKAGED_TEST) in is_test]


def _packaged_folder() -> Path:
    # By path, since skimage.data would fetch a file that it misses.
    return Path(str(importlib.resources.files("skimage") / "data"))


# ---------------------------------------------------------------------------- folder


def _folder(folder: Path) -> Iterator[_Example]:
    listing = picture_files.list_folder(folder, f"'{folder}'")
    if listing.left_out:
        picture_files.tell(f"folder:{folder}: {listing}")
    paths = listing.taken
    first_of_stem: dict[str, Path] = {}
    for path in paths:
        first = first_of_stem.setdefault(path.stem, path)
        if first is not path:
            raise InputError(
                f"'{first.name}' and '{path.name}' in '{folder}' would both be image_id "
                f"'{path.stem}'. Rename or remove one."
            )
    for path in paths:
        # Bytes of a name that are no UTF-8 would go into no table.
        image_id = os.fsencode(path.stem).decode(errors="backslashreplace")
        yield image_id, f"'{path}'", functools.partial(picture_files.bytes_of, path)


# ---------------------------------------------------------------------------- tfds


def _tfds(spec: str, data_dir: str | None) -> Iterator[_Example]:
    # Imported here: half a second that the other sources need not pay.
    import tensorflow_datasets as tfds

    name, _, split = spec.partition(":")
    builder = _prepared_builder(name, data_dir)
    splits = list(builder.info.splits)
    split = split or splits[0]
    features = builder.info.features
    pictures = [f for f in features if isinstance(features[f], tfds.features.Image)]
    feature = next((f for f in _IMAGE_FEATURES if f in pictures), None)
    if feature is None:
        raise InputError(
            f"TFDS dataset '{name}' has no picture called {' or '.join(_IMAGE_FEATURES)}; its "
            f"features are {', '.join(features)}. Choose a dataset of pictures."
        )
    # Pictures are left encoded, so that they are decoded like any other file.
    skip = {f: tfds.decode.SkipDecoding() for f in pictures}
    try:
        examples = builder.as_data_source(split, decoders=skip)
    except NotImplementedError as error:
        raise InputError(
            f"TFDS dataset '{name}' lies in '{builder.data_dir}' in a format that only "
            "TensorFlow reads. Give another data_dir, or delete it to have it made anew."
        ) from error
    except (ValueError, KeyError) as error:
        raise InputError(
            f"TFDS dataset '{name}' has no split '{split}'. Use one of: {', '.join(splits)}, "
            "or a slice such as train[:100]."
        ) from error
    name_feature = next((f for f in _NAME_FEATURES if f in features), None)
    prefix = f"{name}-{split}".replace("/", "-")
    used = set()
    for index in range(len(examples)):
        example = examples[index]
        filename = example[name_feature].decode("utf-8", "replace") if name_feature else ""
        image_id = re.sub(r"\.[^./]+$", "", filename).strip("/").replace("/", "-")
        if not image_id or image_id in used:
            image_id = f"{prefix}-{index:05d}"
        used.add(image_id)
        yield (
            image_id,
            f"Example {index} of tfds:{spec}",
            functools.partial(bytes, example[feature]),
        )


def _prepared_builder(name: str, data_dir: str | None) -> Any:
    """Return the builder of a dataset, after download and preparation if need be."""
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    try:
        builder.download_and_prepare(
            # The public bucket holds no array_record, and asking it can hang without a network.
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            file_format="array_record",
        )
    except Exception as error:  # network, disk, missing packages, licence steps: many kinds
        raise InputError(
            f"TFDS dataset '{name}' is not in '{builder.data_dir}' and could not be prepared "
            f"({_one_line(error)}). Prepare it where that works and set TFDS_DATA_DIR to where "
            "it lies."
        ) from error
    return builder


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    from jaxfleet.imaging import kodak  # noqa: F401  (registers the dataset)

    if not re.fullmatch(r"\w+(/[\w.+-]+)?", name):
        raise InputError(f"'tfds:{name}' cannot be parsed. Write {KINDS[-1]}.")
    dataset, _, config = name.partition("/")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        # Without the community's: to list those, TFDS asks the network and TensorFlow.
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(dataset, known, n=5)
        hint = f"Did you mean {', '.join(near)}?" if near else "See tensorflow.org/datasets."
        raise InputError(f"Unknown TFDS dataset '{dataset}'. {hint}") from error
    except ImportError as error:
        raise InputError(
            f"TFDS dataset '{name}' cannot be opened ({_one_line(error)}). Install what it needs, "
            "or choose another."
        ) from error
    except ValueError as error:
        configs = list(tfds.builder_cls(dataset).builder_configs)
        if not config or config in configs:
            raise
        near = difflib.get_close_matches(config, configs, n=5) or configs[:10]
        hint = f"It has {len(configs)}, such as: {', '.join(near)}." if near else "Leave it out."
        raise InputError(f"TFDS dataset '{dataset}' has no config '{config}'. {hint}") from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = re.sub(r'^Failed to construct dataset .*?}": ', "", text)  # our own call, repeated
    return f"{type(error).__name__}: {text[:300]}"


# ---------------------------------------------------------------------------- pixels


def fitted(pixels: np.ndarray, name: str, image_size: int, image_fit: str) -> np.ndarray:
    """Return [image_size, image_size, 3] uint8, or all pixels as they are if image_size is 0."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    if side < image_size:
        raise InputError(
            f"{name} is {width} x {height} pixels, smaller than image_size {image_size}. Set "
            f"image_size to {side} or less, or leave out small pictures."
        )
    if image_size == 0:
        return pixels
    window = side if image_fit == "resize" else image_size
    top, left = (height - window) // 2, (width - window) // 2
    square = pixels[top : top + window, left : left + window]
    if window == image_size:
        return square
    return resized(square, image_size, image_size)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return antialiased bicubic, as `images.bicubic_matrix` says, rounded to 8 bits at the end.

    Args:
        pixels: [H, W, C] uint8.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        [height, width, C] uint8.
    """
    rows = images.bicubic_matrix(pixels.shape[0], height).astype(np.float32)
    columns = images.bicubic_matrix(pixels.shape[1], width).astype(np.float32)
    result = np.einsum("ih,hwc,jw->ijc", rows, pixels, columns, optimize=True)
    return np.clip(np.round(result), 0, 255).astype(np.uint8)


def _check_options(image_size: int, image_fit: str, max_images: int) -> None:
    for name, value in (("image_size", image_size), ("max_images", max_images)):
        if value < 0:
            raise InputError(f"{name} is {value}. Use 0 (no limit) or a positive number.")
    if image_fit not in FITS:
        raise InputError(f"Unknown image_fit '{image_fit}'. Use one of: {', '.join(FITS)}.")


def _is_folder(source: str) -> bool:
    try:
        return Path(source).expanduser().is_dir() and bool(source)
    except (OSError, RuntimeError, ValueError):  # too long, unknown ~user, null byte
        return False
