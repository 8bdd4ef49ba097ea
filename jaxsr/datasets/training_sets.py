"""Training sets as arrays on the device, and batches of random crops from them.

Photographs stay 8-bit; low resolution is made of them once, by MATLAB's bicubic reduction. What
kinds of files there are, and how grey, 16-bit and transparent ones become RGB:
`jaxfleet.imaging.photos`.

Letters: P photographs, N crops in a batch, r scale, c side of a low-resolution crop in pixels.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.pixels import from_uint8
from jaxfleet.scripts import named
from jaxsr.datasets import degrade, div2k

_OPTIONS: dict[str, type[float] | type[int]] = {
    "fraction": float,
    "fraction_seed": int,
    "reduce_by": int,
}


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """The photographs that a network learns from.

    Attributes:
        name: what the set is called in results, such as quarter_div2k.
        source: where they come from, as `jaxfleet.imaging.photos` reads it: folder:PATH, or
            tfds:div2k/bicubic_x2, of which the high resolution is taken.
        fraction: share of them that is used, above 0 and up to 1; chosen at random.
        fraction_seed: of that choice. With one seed, a smaller share is part of a larger one.
        reduce_by: how many times photographs are reduced before they count as high resolution.
            2 or more hides the 8 x 8 grid that JPEG leaves.

    Raises:
        InputError: if a value is out of its range.
    """

    name: str
    source: str
    fraction: float = 1.0
    fraction_seed: int = 1
    reduce_by: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 < self.fraction <= 1.0:
            raise InputError(
                f"fraction of '{self.name}' is {self.fraction}. Use a number above 0, at most 1."
            )
        if self.reduce_by < 1:
            raise InputError(
                f"reduce_by of '{self.name}' is {self.reduce_by}. Use 1 (not at all) or more."
            )

    @classmethod
    def parse(cls, text: str) -> "TrainingSet":
        """Parse the training set that a flag describes.

        Args:
            text: NAME=SOURCE, then any of fraction=F, fraction_seed=N, reduce_by=N, such as
                `quarter_div2k=tfds:div2k/bicubic_x2 fraction=0.25`.

        Raises:
            InputError: if it is written in another way.
        """
        name, source, given = named.parse(text.strip(), _OPTIONS)
        options: dict[str, float | int] = {}
        for key, value in given.items():
            try:
                options[key] = _OPTIONS[key](value)
            except ValueError:
                raise InputError(f"'{text}': {value} is no number for {key}.") from None
        if not (name and source) or "-" in name:
            raise InputError(
                f"'{text}' names no training set; write NAME=SOURCE, such as A=folder:PATH, with "
                "a name of letters, digits and . _ +"
            )
        return cls(name, source, **options)  # type: ignore[arg-type]  # by the names above


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["low", "high", "tops", "heights", "widths"],
    meta_fields=["scale", "smallest_px"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Photographs on top of one another in one tall picture, at both resolutions.

    Upright ones lie on their side, so that little space is left beside them; the symmetries of
    `sample` turn every crop anyway. Row and column y, x of `low` are at r y, r x of `high`.

    Attributes:
        low: [rows, columns, 3] uint8.
        high: [r rows, r columns, 3] uint8.
        tops: [P] int32, the first row of each photograph in `low`.
        heights: [P] int32, rows of each in `low`.
        widths: [P] int32, columns of each in `low`, from column 0 on.
        scale: r.
        smallest_px: the shortest side of all photographs in `high`, pixels.
    """

    low: Array
    high: Array
    tops: Array
    heights: Array
    widths: Array
    scale: int
    smallest_px: int


def load(
    training_set: TrainingSet, *, scale: int, crop_px: int, data_dir: str | None = None
) -> Dataset:
    """Load the photographs of a training set, with their low resolution, on JAX's default device.

    Args:
        training_set: which.
        scale: r.
        crop_px: side of the high-resolution crops that will be taken, pixels.
        data_dir: where TFDS keeps its datasets; None for its default.

    Returns:
        The dataset, P at least 1.

    Raises:
        InputError: if the source cannot be read, if a photograph is smaller than the crop, or if
            the crop is not a multiple of the scale. One line that says what to do.
    """
    _check_crop(crop_px, scale)
    if "tfds:div2k" in training_set.source:
        div2k.do_without_tensorflow()
    pictures = []
    loaded = photos.load(training_set.source, data_dir=data_dir)
    for photo in choose(loaded, training_set.fraction, training_set.fraction_seed):
        height, width = (size // training_set.reduce_by for size in photo.pixels.shape[:2])
        if min(height, width) < crop_px:
            raise InputError(
                f"Photograph '{photo.image_id}' of '{training_set.name}' has {width} x {height} "
                f"pixels, fewer than a crop of {crop_px}. Use smaller crops or leave it out."
            )
        pictures.append(degrade.bicubic_reduce(photo.pixels, training_set.reduce_by))
    return pack(pictures, scale)


def choose(
    loaded: Sequence[photos.Photo], fraction: float, fraction_seed: int
) -> list[photos.Photo]:
    """Choose a random share of photographs, independent of their order, which is kept.

    Args:
        loaded: the photographs; their names alone decide.
        fraction: share, in (0, 1]; rounded to whole photographs, at least one.
        fraction_seed: of the choice.
    """

    def lot(photo: photos.Photo) -> bytes:
        return hashlib.sha256(f"{fraction_seed}:{photo.image_id}".encode()).digest()

    count = max(1, round(fraction * len(loaded)))
    drawn = {photo.image_id for photo in sorted(loaded, key=lot)[:count]}
    return [photo for photo in loaded if photo.image_id in drawn]


def pack(pictures: Sequence[np.ndarray], scale: int) -> Dataset:
    """Pack high-resolution images into a dataset, cropped to multiples of the scale.

    Args:
        pictures: P of [H, W, 3] uint8, at least one; their sizes may differ.
        scale: r.

    Raises:
        TypeError: if a picture is not uint8.
        ValueError: if one is not [H, W, 3] or smaller than the scale, or if there are none.
    """
    if not pictures:
        raise ValueError("A dataset needs at least one picture; got none.")
    pairs = [
        (degrade.bicubic_reduce(picture, scale), degrade.crop_to_multiple(picture, scale))
        for picture in pictures
    ]
    lying = [tuple(_laid_down(picture) for picture in pair) for pair in pairs]
    heights, widths = np.asarray([low.shape[:2] for low, _ in lying], np.int32).T
    tops = np.cumsum(heights, dtype=np.int32) - heights
    rows, columns = int(heights.sum()), int(widths.max())
    low_all = np.zeros((rows, columns, 3), np.uint8)
    high_all = np.zeros((scale * rows, scale * columns, 3), np.uint8)
    for top, (low, high) in zip(tops, lying, strict=True):
        low_all[top : top + low.shape[0], : low.shape[1]] = low
        high_all[scale * top : scale * top + high.shape[0], : high.shape[1]] = high
    return Dataset(
        low=jnp.asarray(low_all),
        high=jnp.asarray(high_all),
        tops=jnp.asarray(tops),
        heights=jnp.asarray(heights),
        widths=jnp.asarray(widths),
        scale=scale,
        smallest_px=scale * int(min(heights.min(), widths.min())),
    )


@functools.partial(jax.jit, static_argnames=("batch_size", "crop_px"))
def sample(key: Array, dataset: Dataset, *, batch_size: int, crop_px: int) -> tuple[Array, Array]:
    """Return the random crops at both resolutions, aligned, each under one of the eight symmetries.

    Photographs, places within them (whole pixels of the low resolution) and symmetries are
    drawn uniformly, with replacement. Pure; the same key gives the same batch.

    Args:
        key: of the draw.
        dataset: from `load` or `pack`.
        batch_size: N.
        crop_px: side of the high-resolution crops, r c, pixels.

    Returns:
        Low and high resolution: [N, c, c, 3] and [N, r c, r c, 3] float32 in [0, 1].

    Raises:
        ValueError: if the crop is not a multiple of the scale or larger than a photograph.
    """
    _check_crop(crop_px, dataset.scale)
    if crop_px > dataset.smallest_px:
        raise ValueError(
            f"A crop of {crop_px} pixels does not fit a photograph of {dataset.smallest_px}. Use "
            "smaller crops or larger photographs."
        )
    side = crop_px // dataset.scale
    which, where = jax.random.split(key)
    photo = jax.random.randint(which, (batch_size,), 0, len(dataset.tops))
    rows, columns = dataset.heights[photo] - side + 1, dataset.widths[photo] - side + 1
    choices = jnp.stack([rows, columns, jnp.full_like(rows, 8)])
    down, across, index = jax.random.randint(where, choices.shape, 0, choices)

    def crop(y: Array, x: Array, index: Array) -> tuple[Array, Array]:
        low = _window(dataset.low, y, x, side)
        high = _window(dataset.high, dataset.scale * y, dataset.scale * x, crop_px)
        return symmetry(low, index), symmetry(high, index)

    low, high = jax.vmap(crop)(dataset.tops[photo] + down, across, index)
    return from_uint8(low), from_uint8(high)


def symmetry(image: Array, index: Array | int) -> Array:
    """Return one of the eight symmetries of the square: mirrored, turned, or both.

    Args:
        image: [c, c, C], any dtype.
        index: 0 to 7; its bits mirror top and bottom, left and right, and across the diagonal.

    Returns:
        [c, c, C].
    """
    image = jnp.where((index & 1) > 0, image[::-1], image)
    image = jnp.where((index & 2) > 0, image[:, ::-1], image)
    return jnp.where((index & 4) > 0, jnp.swapaxes(image, 0, 1), image)


def _window(canvas: Array, y: Array, x: Array, side: int) -> Array:
    """Return [side, side, 3] of [rows, columns, 3], from row y and column x on."""
    return jax.lax.dynamic_slice(canvas, (y, x, 0), (side, side, 3))


def _laid_down(picture: np.ndarray) -> np.ndarray:
    """Return [H, W, C] with H <= W: the picture, or its mirror image across the diagonal."""
    return np.swapaxes(picture, 0, 1) if picture.shape[0] > picture.shape[1] else picture


def _check_crop(crop_px: int, scale: int) -> None:
    if crop_px < scale or crop_px % scale:
        raise InputError(f"crop_px is {crop_px}. Use a multiple of the scale, {scale}, above zero.")
