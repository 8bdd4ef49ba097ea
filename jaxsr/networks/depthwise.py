"""Depthwise convolution, each channel with a kernel of its own, that is fast on a CPU too.

XLA has it as a convolution in as many groups as channels. On a CPU that takes ten times as long as
the sum of the shifted features, each times its weight, which is one fused loop; the gradient by
the features is such a sum again. The gradient by the kernel is taken in bands of rows that stay in
the cache. Elsewhere all is left to XLA.

Letters: N images, H height, W width, C channels, k side of the kernel, odd.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxsr.networks.convolution import largest_divisor

BAND_BYTES = 300_000  # of the features of a band; measured
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(
    images: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **options: Any,
) -> Array:
    """Return `jax.lax.conv_general_dilated`, for `nnx.Conv` with a group for each channel.

    Args:
        images: [N, H, W, C] float.
        kernel: [k, k, 1, C] of the same dtype.
        strides: of the two axes; 1 and 1.
        padding: zeros before and after each of them; k // 2.
        options: as `nnx.Conv` gives them; they follow from the shapes.

    Returns:
        [N, H, W, C].

    Raises:
        ValueError: if it is another convolution.
    """
    side, radius = kernel.shape[0], kernel.shape[0] // 2
    same = all(tuple(pair) == (radius, radius) for pair in padding)
    shape = (side, side, 1, images.shape[-1])
    if kernel.shape != shape or side % 2 == 0 or set(strides) != {1} or not same:
        raise ValueError(
            f"A depthwise convolution keeps the size and has a kernel {shape} of odd side; got "
            f"{kernel.shape}, strides {tuple(strides)}, padding {tuple(padding)}."
        )
    return _convolve(images, kernel)


@jax.custom_vjp
def _convolve(images: Array, kernel: Array) -> Array:
    return lax.platform_dependent(images, kernel, cpu=_by_shifts, default=_by_xla)


def _by_xla(images: Array, kernel: Array) -> Array:
    """Map [N, H, W, C] with [k, k, 1, C] to [N, H, W, C], zeros around."""
    radius = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        images,
        kernel,
        (1, 1),
        ((radius, radius),) * 2,
        dimension_numbers=_LAYOUT,
        feature_group_count=images.shape[-1],
    )


def _by_shifts(images: Array, kernel: Array) -> Array:
    """Compute the same as a sum of k k products, in float32."""
    _, height, width, features = images.shape
    side = kernel.shape[0]
    padded = _padded(images, side).astype(jnp.float32)
    weights = kernel.astype(jnp.float32).reshape(side, side, 1, 1, 1, features)
    moved = [
        padded[:, i : i + height, j : j + width] * weights[i, j]
        for i in range(side)
        for j in range(side)
    ]
    return functools.reduce(jnp.add, moved).astype(images.dtype)


def _forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(images, kernel), (images, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = kept

    def by_xla(images: Array, gradient: Array) -> Array:
        (by_kernel,) = jax.vjp(lambda kernel: _by_xla(images, kernel), kernel)[1](gradient)
        return by_kernel

    def by_bands(images: Array, gradient: Array) -> Array:
        return _kernel_gradient(images, gradient, kernel.shape[0]).astype(kernel.dtype)

    by_kernel = lax.platform_dependent(images, gradient, cpu=by_bands, default=by_xla)
    return _convolve(gradient, kernel[::-1, ::-1]), by_kernel


_convolve.defvjp(_forward, _backward)


def _kernel_gradient(images: Array, gradient: Array, side: int) -> Array:
    """Twice [N, H, W, C] to [k, k, 1, C] float32."""
    number, height, width, features = images.shape
    rows = largest_divisor(height, BAND_BYTES // (images.size // height * 4))
    padded = _padded(images, side).astype(jnp.float32)
    ones = jnp.ones((1, rows * width))

    def of_band(first: Array) -> Array:
        seen = lax.dynamic_slice_in_dim(padded, first, rows + side - 1, axis=1)
        given = lax.dynamic_slice_in_dim(gradient.astype(jnp.float32), first, rows, axis=1)

        def of_tap(tap: Array) -> Array:
            moved = lax.dynamic_slice(seen, (0, tap // side, tap % side, 0), given.shape)
            summed = functools.reduce(jnp.add, [moved[n] * given[n] for n in range(number)])
            # As a matrix product, since XLA sums over leading axes one number at a time.
            return ones @ lax.optimization_barrier(summed).reshape(-1, features)

        return lax.map(of_tap, jnp.arange(side**2))

    bands = lax.map(of_band, jnp.arange(0, height, rows))
    return jnp.sum(bands, axis=0).reshape(side, side, 1, features)


def _padded(images: Array, side: int) -> Array:
    around = (side // 2, side // 2)
    return jnp.pad(images, ((0, 0), around, around, (0, 0)))
