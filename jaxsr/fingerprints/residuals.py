"""Noise residuals: an image less what a denoiser leaves of it. Pure; no disk.

Letters: N images, H height, W width, C channels. Images are `[..., H, W, C]` float in [0, 1] with
any number of leading axes; channels stay apart. Residuals have the shape and the unit of the images
(1 is the whole range, 1 / 255 a grey level) and float32.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.imaging.images import check_image, check_range, filtered, gaussian_window
from jaxsr.fingerprints import wavelets

METHODS = ("wavelet", "gaussian", "wiener", "bm3d")
SIGMA = 5 / 255  # of the noise that a fingerprint is sought in
LEVELS = 4
OVERSHOOT = 0.5
WINDOWS_PX = (3, 5, 7, 9)
ROUNDING = 16 * float(np.finfo(np.float32).eps)  # of a residual, over the brightest pixel


def noise_residual(images: Array, method: str = "wavelet") -> Array:
    """Return what a denoiser removes from each image: its noise, which holds the fingerprint.

    Each method has a function of its own, `wavelet_residual` and so on, with its parameters; here
    they have their defaults. All but `bm3d` are compiled, and may be called under `jit`.

    Args:
        images: [..., H, W, C] float in [0, 1]; values may overshoot by up to 0.5, as networks do.
        method: "wavelet", "gaussian", "wiener" or "bm3d".

    Returns:
        [..., H, W, C] float32; exactly 0 throughout a channel that is flat.

    Raises:
        InputError: if there is no such method, or `bm3d` is not installed.
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes, channels that are not last, an alpha
            channel, NaN, or values far out of the range, such as 0 to 255.
    """
    if method not in METHODS:
        raise InputError(f"No method '{method}' for residuals; use one of {', '.join(METHODS)}.")
    check_image(images, "images")
    check_range(images, "images", -OVERSHOOT, 1.0 + OVERSHOOT)
    methods: dict[str, Callable[[Array], Array]] = {
        "wavelet": wavelet_residual,
        "gaussian": gaussian_residual,
        "wiener": wiener_residual,
        "bm3d": bm3d_residual,
    }
    return methods[method](images)


@functools.partial(jax.jit, static_argnames="levels")
def wavelet_residual(images: Array, *, sigma: float = SIGMA, levels: int = LEVELS) -> Array:
    """Return the residual of adaptive Wiener shrinkage of wavelet coefficients.

    Each channel is split by `wavelets.analyse`; `local_wiener_noise` keeps the noise of every
    detail; the approximation is dropped, since it is image; the rest is put together again.

    Args:
        images: [..., H, W, C] float in [0, 1]; any size.
        sigma: standard deviation of the noise, in the unit of the images.
        levels: of the transform, at least 1.

    Returns:
        [..., H, W, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.

    Source: Mihcak, Kozintsev and Ramchandran, "Spatially adaptive statistical modeling of wavelet
    image coefficients and its application to denoising", 1999; windows and sigma of Lukas,
    Fridrich and Goljan, "Digital camera identification from sensor pattern noise", 2006,
    appendix A. The wavelet and its borders are those of polimi-ispl/prnu-python.
    """
    check_image(images, "images")

    def of_plane(plane: Array) -> Array:
        approximation, details = wavelets.analyse(plane, levels)
        noise = [local_wiener_noise(detail, sigma**2) for detail in details]
        return wavelets.synthesise(jnp.zeros_like(approximation), noise, plane.shape)

    return _by_plane(of_plane, images)


@functools.partial(jax.jit, static_argnames="blur_px")
def gaussian_residual(images: Array, *, blur_px: float = 1.0) -> Array:
    """Subtract the Gaussian blur from an image; what is finer than `blur_px` stays.

    The window ends at four standard deviations; borders are mirrored, each pixel at the edge twice.

    Args:
        images: [..., H, W, C] float in [0, 1].
        blur_px: standard deviation of the window, pixels, above 0.

    Returns:
        [..., H, W, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.
    """
    check_image(images, "images")
    radius = int(4.0 * blur_px + 0.5)
    window = gaussian_window(blur_px, radius)

    def of_plane(plane: Array) -> Array:
        return plane - filtered(plane, window, axes=(0, 1), mirrored=True)

    return _by_plane(of_plane, images)


@functools.partial(jax.jit, static_argnames="window_px")
def wiener_residual(images: Array, *, sigma: float = SIGMA, window_px: int = 3) -> Array:
    """Return the residual of the adaptive Wiener filter of pixels: (x - m) min(1, sigma^2 / v).

    m and v are mean and variance of the window around a pixel x; borders are mirrored, each pixel
    at the edge twice.

    Args:
        images: [..., H, W, C] float in [0, 1].
        sigma: standard deviation of the noise, in the unit of the images.
        window_px: side of the window, odd.

    Returns:
        [..., H, W, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes, or the window is even.

    Source: Lee, "Digital image enhancement and noise filtering by use of local statistics", 1980;
    `wiener2` of MATLAB and `scipy.signal.wiener` differ from it at the borders alone.
    """
    check_image(images, "images")
    if window_px < 1 or window_px % 2 == 0:
        raise ValueError(f"`window_px` must be odd and at least 1; got {window_px}.")
    radius = window_px // 2

    def of_plane(plane: Array) -> Array:
        padded = jax.lax.optimization_barrier(jnp.pad(plane, radius, mode="symmetric"))
        # Differences to the pixel itself, so that squares lose no digits to the brightness.
        steps = [
            jax.lax.dynamic_slice(padded, (i, j), plane.shape) - plane
            for i in range(window_px)
            for j in range(window_px)
        ]
        mean = functools.reduce(jnp.add, steps) / window_px**2
        squares = functools.reduce(jnp.add, [step**2 for step in steps]) / window_px**2
        variance = squares - mean**2
        return -mean * sigma**2 / jnp.maximum(variance, sigma**2)

    return _by_plane(of_plane, images)


def bm3d_residual(images: Array, *, sigma: float = SIGMA) -> Array:
    """Return the residual of BM3D by the package `bm3d`, on the host: slow.

    Channels are filtered together, matched by the first of them, as the package does with colour.

    Args:
        images: [..., H, W, C] float in [0, 1]; arrays, not tracers.
        sigma: standard deviation of the noise, in the unit of the images.

    Returns:
        [..., H, W, C] float32.

    Raises:
        InputError: if the package is not installed.
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.

    Source: Dabov, Foi, Katkovnik and Egiazarian, "Image denoising by sparse 3-D transform-domain
    collaborative filtering", 2007; Marra et al., "Do GANs leave artificial fingerprints?", 2019.
    The baseline of "Fingerprints of Super Resolution Networks", 2022, then drops what is less than
    a whole grey level; nothing is dropped here.
    """
    check_image(images, "images")
    try:
        import bm3d
    except ImportError:
        raise InputError(
            "Residuals by BM3D need the package bm3d: pip install 'jaxfleet[bm3d]' (its licence "
            "forbids commercial use), or use the method wavelet."
        ) from None
    pixels = np.asarray(images, np.float64)
    denoised = [
        np.reshape(bm3d.bm3d(image, sigma), image.shape)
        for image in pixels.reshape(-1, *pixels.shape[-3:])
    ]
    return jnp.asarray((pixels - np.reshape(denoised, pixels.shape)).astype(np.float32))


def local_wiener_noise(coefficients: Array, noise_variance: float | Array) -> Array:
    """Return the noise in each coefficient: x n / (v + n), n the variance of the noise.

    v = max(0, e - n) is the variance of the image there, e the least mean of x^2 among windows of
    3, 5, 7 and 9 around it. Beyond the borders are zeros.

    Args:
        coefficients: [..., H, W] float32, of mean 0.
        noise_variance: n, above 0, in the unit of the coefficients squared; one for all.

    Returns:
        [..., H, W] float32, of the sign of the coefficients and no larger.
    """
    energy = _least_local_mean(coefficients**2)
    return coefficients * noise_variance / jnp.maximum(energy, noise_variance)


def _least_local_mean(planes: Array) -> Array:
    """Map [..., H, W] -> [..., H, W]: the least mean of the windows, zeros beyond the borders."""
    margin = max(WINDOWS_PX) // 2
    pads = [(0, 0)] * (planes.ndim - 2) + [(margin, margin)] * 2
    # Barriers: each sum is kept, and not computed anew for each of its uses.
    padded = jax.lax.optimization_barrier(jnp.pad(planes, pads))

    def moved(x: Array, axis: int, by: int) -> Array:
        start = margin + by
        return jax.lax.slice_in_dim(x, start, start + planes.shape[axis], axis=axis)

    def sums(x: Array, axis: int) -> Iterator[Array]:
        """Sum the 3, 5, 7 and 9 values around each."""
        total = moved(x, axis, 0)
        for reach in range(1, margin + 1):
            total = total + (moved(x, axis, -reach) + moved(x, axis, reach))
            yield total

    columns = jax.lax.optimization_barrier(list(sums(padded, -2)))
    means = [
        list(sums(column, -1))[window // 2 - 1] / window**2
        for column, window in zip(columns, WINDOWS_PX, strict=True)
    ]
    return functools.reduce(jnp.minimum, means)


def _by_plane(of_plane: Callable[[Array], Array], images: Array) -> Array:
    """Map a function of [H, W] float32 over the channels of images.

    On a CPU one after the other, since a plane fits the caches; elsewhere all at once. A residual
    that is nowhere above `ROUNDING` is the rounding of float32, and becomes 0: correlations would
    take it for a signal, however small it is.
    """

    def above_rounding(plane: Array) -> Array:
        residual = of_plane(plane)
        least = ROUNDING * jnp.max(jnp.abs(plane))
        return jnp.where(jnp.max(jnp.abs(residual)) > least, residual, 0.0)

    planes = jnp.moveaxis(images.astype(jnp.float32), -1, -3)
    mapped = jax.lax.platform_dependent(
        planes.reshape(-1, *planes.shape[-2:]),
        cpu=functools.partial(jax.lax.map, above_rounding),
        default=jax.vmap(above_rounding),
    )
    return jnp.moveaxis(mapped.reshape(planes.shape), -3, -1)
