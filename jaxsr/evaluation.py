"""How near a network's pictures come to the truth, on benchmark sets.

The protocol of papers on super-resolution: whole photographs are reduced by MATLAB's bicubic, the
network enlarges them, its output is clipped and rounded to 8 bits, and a border as wide as the
scale is left out of every measure; features are of the middle alone. Each measure is of one
picture; the mean over a set is the mean of its values, of PSNR the mean of decibels.

Letters: H height, W width of the truth, h and w of the low resolution, r scale.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.imaging import images, photos
from jaxfleet.imaging.pixels import from_uint8
from jaxfleet.scripts import named
from jaxsr.datasets import degrade
from jaxsr.fingerprints import spectra
from jaxsr.training import losses

SMALLEST_PX = 16  # of what the border leaves: SSIM's window needs 11, features of VGG19 need 16
FEATURES_PX = 128  # side of what features are of; those of whole photographs take seconds each
SHARP_FROM = 0.25  # cycles per pixel, half of what pixels can hold

Network = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class PicturePair:
    """A photograph at both resolutions.

    Attributes:
        image_id: its name, unique in its set.
        low: [h, w, 3] uint8.
        high: [r h, r w, 3] uint8, the truth.
    """

    image_id: str
    low: np.ndarray
    high: np.ndarray


@dataclasses.dataclass(frozen=True)
class BenchmarkSet:
    """Pictures that networks of one scale are measured on.

    Attributes:
        name: as tables show it.
        scale: how many times more rows and columns the truths have.
        pictures: at least one.
    """

    name: str
    scale: int
    pictures: tuple[PicturePair, ...]


def parse_set(text: str) -> tuple[str, str]:
    """Name and source of a set that a flag names, such as `Set5=folder:PATH`.

    Raises:
        InputError: if it is written in another way.
    """
    name, source, _ = named.parse(text, keys=())
    if not (name and source):
        raise InputError(
            f"'{text}' names no benchmark set; write NAME=SOURCE, such as Set5=folder:PATH, with a "
            "name of letters, digits and . _ + -"
        )
    return name, source


def load_set(name: str, source: str, scale: int) -> BenchmarkSet:
    """Load all photographs of a source, cropped to a multiple of the scale and reduced.

    Args:
        name: of the set.
        source: of high resolution, as `jaxfleet.imaging.photos.load` takes it.
        scale: r, at least 1.

    Raises:
        InputError: if the source cannot be read, or a photograph is too small to be measured.
    """
    return make_set(name, photos.load(source), scale)


def make_set(name: str, loaded: Sequence[photos.Photo], scale: int) -> BenchmarkSet:
    """Make the set of these photographs; see `load_set`.

    Raises:
        InputError: if one is too small.
    """
    pictures = []
    for photo in loaded:
        high = degrade.crop_to_multiple(photo.pixels, scale)
        least = SMALLEST_PX + 2 * scale
        if min(high.shape[:2]) < least:
            raise InputError(
                f"{photo.image_id} of {name} is {photo.pixels.shape[1]} x {photo.pixels.shape[0]} "
                f"pixels, too few to measure at x{scale}; leave out what is smaller than {least}."
            )
        pictures.append(PicturePair(photo.image_id, degrade.bicubic_reduce(high, scale), high))
    return BenchmarkSet(name, scale, tuple(pictures))


def measure(
    network: Network,
    benchmark_set: BenchmarkSet,
    features: losses.FeatureNetwork | None = None,
    true_features: Sequence[Array] | None = None,
) -> list[dict[str, str | float]]:
    """Measure a network on each image of a set.

    Args:
        network: [1, h, w, 3] float32 in [0, 1] to [1, r h, r w, 3] float32, compiled, such as
            `functools.partial(run, model)`, where `run` is that of the module jaxsr.upscale, or
            `functools.partial(bicubic, scale=r)`.
        benchmark_set: of the network's scale.
        features: VGG19 with weights, for `vgg_distance`; that is NaN without.
        true_features: what `features_of_truths` gave, half the work where many networks follow.

    Returns:
        A row for each picture: `set`, `image_id`, the values of `compare`, and `vgg_distance`, that
        of `feature_distance`.
    """
    if features is not None and true_features is None:
        true_features = features_of_truths(features, benchmark_set)
    rows: list[dict[str, str | float]] = []
    for number, picture in enumerate(benchmark_set.pictures):
        output = network(_as_float(picture.low)[None])[0]
        truth = _as_float(picture.high)
        values = compare(output, truth, crop_px=benchmark_set.scale)
        distance = np.nan
        if features is not None and true_features is not None:
            middle = _middle(output, benchmark_set.scale)
            distance = float(feature_distance(features, middle, true_features[number]))
        rows.append(
            {
                "set": benchmark_set.name,
                "image_id": picture.image_id,
                **{name: float(value) for name, value in values.items()},
                "vgg_distance": distance,
            }
        )
    return rows


def features_of_truths(features: losses.FeatureNetwork, benchmark_set: BenchmarkSet) -> list[Array]:
    """Compute features of the photographs of a set, for `measure`: [1, h, w, C] float32 each."""
    compiled = jax.jit(lambda network, image: network(image[None]))
    return [
        compiled(features, _middle(_as_float(picture.high), benchmark_set.scale))
        for picture in benchmark_set.pictures
    ]


@functools.partial(jax.jit, static_argnames="scale")
def bicubic(low: Array, *, scale: int) -> Array:
    """Enlarge images by MATLAB's bicubic and round to 8 bits: what networks must beat.

    Args:
        low: [N, h, w, 3] float in [0, 1].
        scale: r.

    Returns:
        [N, r h, r w, 3] float in [0, 1].
    """
    height, width = low.shape[1:3]
    return images.to_8bit(images.bicubic_resize(low, scale * height, scale * width))


@functools.partial(jax.jit, static_argnames="crop_px")
def compare(output: Array, truth: Array, *, crop_px: int) -> dict[str, Array]:
    """Compute the measures of one image that need no weights.

    Args:
        output: [H, W, 3] float; clipped and rounded to 8 bits here.
        truth: [H, W, 3] float in [0, 1].
        crop_px: width of the border that does not count.

    Returns:
        psnr_y_db: PSNR of luma, dB.
        ssim_y: SSIM of luma, at most 1. Luma in 16 to 235 and peak 255, or the same over 255.
        psnr_db: PSNR of red, green and blue together, dB.
        sharpness_db: see `sharpness_db`.
        Each [] float32.

    Raises:
        TypeError: if a picture is not float.
        ValueError: if the shapes differ, or too little is left.
    """
    psnr_y_db = images.psnr_y_db(output, truth, crop_px=crop_px)
    inside = (slice(crop_px, -crop_px or None),) * 2
    output, truth = images.to_8bit(output[inside]), images.to_8bit(truth[inside])
    luma, true_luma = images.luma(output), images.luma(truth)
    return {
        "psnr_y_db": psnr_y_db,
        "ssim_y": images.ssim(luma, true_luma),
        "psnr_db": images.psnr_db(output, truth),
        "sharpness_db": sharpness_db(luma, true_luma),
    }


@jax.jit
def feature_distance(features: losses.FeatureNetwork, output: Array, true_features: Array) -> Array:
    """Return mean squared difference of the features of a picture, as in `losses.feature_distance`.

    Args:
        features: VGG19 with weights.
        output: [H, W, 3] float; clipped and rounded to 8 bits here.
        true_features: [1, h, w, C] float, of the truth.

    Returns:
        [] float32, in units of the network.
    """
    found = features(images.to_8bit(output)[None])
    return jnp.mean(((found - true_features) / features.unit) ** 2)


def sharpness_db(luma: Array, true_luma: Array) -> Array:
    """Return fine detail against that of the truth, dB: 0 is as sharp, below is blurred.

    Detail is the energy beyond half of Nyquist, `SHARP_FROM` cycles per pixel in any direction.
    It is taken from the cosine transform, which continues a picture by its mirror image, so that
    no jump at the border counts as detail. Whether the detail is in the right place is not asked:
    noise is sharp, too.

    Args:
        luma: [H, W, 1] float.
        true_luma: [H, W, 1] float.

    Returns:
        [] float32, dB, finite; NaN where the truth has no detail beyond the rounding of float32.
    """
    least = luma.size * float(jnp.finfo(jnp.float32).eps) ** 2
    true_detail = _detail(true_luma)
    found = 10.0 * jnp.log10(jnp.maximum(_detail(luma), least) / jnp.maximum(true_detail, least))
    return jnp.where(true_detail > least, found, jnp.nan)


def _detail(luma: Array) -> Array:
    """Return the energy of [H, W, 1] from `SHARP_FROM` cycles per pixel on."""
    y, x = (np.arange(size) / (2 * size) for size in luma.shape[:2])
    is_fine = np.hypot(y[:, None], x[None, :]) >= SHARP_FROM
    # Without the mean, float32 keeps its digits for what is small.
    coefficients = spectra.dct2(luma - jnp.mean(luma))[..., 0]
    return jnp.sum(jnp.where(is_fine, coefficients, 0.0) ** 2)


def _middle(image: Array, crop_px: int) -> Array:
    """Return at most `FEATURES_PX` central rows and columns of [H, W, C], without border."""
    sides = [min(size - 2 * crop_px, FEATURES_PX) for size in image.shape[:2]]
    top, left = ((size - side) // 2 for size, side in zip(image.shape, sides, strict=False))
    return image[top : top + sides[0], left : left + sides[1]]


def _as_float(pixels: np.ndarray) -> Array:
    return jnp.asarray(from_uint8(pixels))
