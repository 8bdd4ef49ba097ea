"""Arguments of `fit` and `render`, checked before anything is compiled."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxfleet.imaging.pixels import as_array, from_uint8
from jaxinr.trial import Trial

MAX_PIXELS = 1 << 23  # exclusive; float32 counts the pixels (siren.points_of)
_READ_IT = "Read it: [jaxfleet.imaging.photos.read(path)]."


def check_lists(images: Any, trials: Any) -> None:
    """Refuse lists that do not have one trial per image, and single things in place of lists."""
    if isinstance(trials, Trial):
        raise TypeError("`trials` must be a list, one Trial per image; got one. Write [trial].")
    if isinstance(images, str | os.PathLike):
        raise TypeError(f"`images` must be a list of arrays; got the path {images}. {_READ_IT}")
    if hasattr(images, "getbands"):
        raise TypeError(
            "`images` must be a list of arrays; got one PIL image. Write "
            "[numpy.asarray(image.convert('RGB'))]."
        )
    if len(images) != len(trials) or not len(trials):
        single = " Write [image] for one image." if getattr(images, "ndim", 4) == 3 else ""
        raise ValueError(
            f"one trial per image; got {len(images)} images, {len(trials)} trials.{single}"
        )


def checked(image: Any, i: int = 0) -> np.ndarray:
    """Return image i as [H, W, 3] uint8 or float32; raises as `fit`."""
    array = as_array(image, f"images[{i}]")
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"images[{i}] must be [H, W, 3]; got shape {array.shape}.")
    require_few_pixels(array, f"images[{i}]")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"images[{i}] must be uint8 or float in [0, 1]; got {array.dtype}.")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"images[{i}] must be in [0, 1]; got {array.min()} to {array.max()}.")
    return array.astype(np.float32)


def unique(arrays: list[Any]) -> tuple[list[int], list[int]]:
    """Return where each distinct object comes first, and each entry's index among those."""
    first: dict[int, int] = {}
    for i, array in enumerate(arrays):
        first.setdefault(id(array), i)
    place = {key: rank for rank, key in enumerate(first)}
    return list(first.values()), [place[id(array)] for array in arrays]


def check_params(name: str, params: Any, trial: Trial) -> None:
    """Refuse weights that do not have the shapes of a trial; `name` is what the caller knows."""
    expected = [shape for out, fan_in in trial.layer_shapes for shape in ((out, fan_in), (out,))]
    shapes = [np.shape(layer[kind]) for layer in params for kind in ("weight", "bias")]
    if shapes != expected:
        raise ValueError(
            f"{name} must have the layers of its trial, weight and bias in turn: {expected}; got "
            f"{shapes}."
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse the value of an argument that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")


def as_float(image: np.ndarray) -> np.ndarray:
    """Return an image in [0, 1]."""
    return from_uint8(image) if image.dtype == np.uint8 else np.asarray(image)


def require_few_pixels(image: np.ndarray, name: str) -> None:
    """Refuse an image [H, W, ...] of `MAX_PIXELS` or more.

    Raises:
        ValueError: with how many it has, and may have.
    """
    height, width = image.shape[:2]
    if height * width >= MAX_PIXELS:
        raise ValueError(
            f"{name} has {height} x {width} pixels; shrink or cut it to less than {MAX_PIXELS:,} "
            "(2^23) first."
        )
