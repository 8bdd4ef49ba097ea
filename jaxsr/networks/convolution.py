"""Convolution whose gradient by the kernel is fast on a CPU.

XLA computes that gradient as a convolution of the input with the gradient of the output, as large a
kernel as there is. On a CPU it falls to a quarter of the forward's speed once its operands leave
the cache, and to a seventieth where few channels come out. Here it is the product of two matrices,
the neighbourhoods of the pixels and the gradient, taken band by band of rows so that both stay in
the cache, and summed. Elsewhere it is left to XLA.

Letters: N images, H height, W width, I and O channels in and out, k side of the kernel.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

BAND_BYTES = 400_000  # of the neighbourhoods of a band; measured
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(
    images: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **options: Any,
) -> Array:
    """Return `jax.lax.conv_general_dilated`, fast for kernels of odd sides at stride 1.

    Args:
        images: [N, H, W, I] float.
        kernel: [k, k, I, O] of the same dtype.
        strides: of the two axes.
        padding: zeros before and after each of them.
        options: as `nnx.Conv` gives them.

    Returns:
        [N, H', W', O].
    """
    side = kernel.shape[0]
    same = all(tuple(pair) == (side // 2, side // 2) for pair in padding)
    if set(strides) == {1} and side % 2 and kernel.shape[1] == side and same:
        return _convolve(images, kernel)
    return lax.conv_general_dilated(images, kernel, strides, padding, **options)


@jax.custom_vjp
def _convolve(images: Array, kernel: Array) -> Array:
    return _by_xla(images, kernel)


def _by_xla(images: Array, kernel: Array) -> Array:
    """Map [N, H, W, I] with [k, k, I, O] to [N, H, W, O], zeros around."""
    pad = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        images, kernel, (1, 1), ((pad, pad),) * 2, dimension_numbers=_LAYOUT
    )


def _forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _by_xla(images, kernel), (images, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = kept
    (by_images,) = jax.vjp(lambda images: _by_xla(images, kernel), images)[1](gradient)

    def at_once(images: Array, gradient: Array) -> Array:
        (by_kernel,) = jax.vjp(lambda kernel: _by_xla(images, kernel), kernel)[1](gradient)
        return by_kernel

    def in_bands(images: Array, gradient: Array) -> Array:
        return _in_bands(images, gradient, kernel.shape[0]).astype(kernel.dtype)

    return by_images, lax.platform_dependent(images, gradient, cpu=in_bands, default=at_once)


_convolve.defvjp(_forward, _backward)


def _in_bands(images: Array, gradient: Array, side: int) -> Array:
    """Map [N, H, W, I] and [N, H, W, O] to [k, k, I, O] float32, summed over bands of rows.

    Neighbourhoods are gathered on the side of fewer channels: they hold k k times as many numbers.
    """
    if images.shape[-1] > gradient.shape[-1]:
        turned = _in_bands(gradient, images, side)
        return turned[::-1, ::-1].swapaxes(2, 3)
    _, height, width, features = images.shape
    together, rows = _band(images.shape, side, images.dtype.itemsize)
    bands = height // rows
    pad = side // 2
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def add(carry: tuple[Array, Array], band: Array) -> tuple[tuple[Array, Array], None]:
        total, around = carry
        first, top = together * (band // bands), rows * (band % bands)
        for tap in range(side**2):
            corner = (first, top + tap // side, tap % side, 0)
            moved = lax.dynamic_slice(padded, corner, (together, rows, width, features))
            around = lax.dynamic_update_slice(around, moved, (0, 0, 0, tap * features))
        corner = (first, top, 0, 0)
        here = lax.dynamic_slice(gradient, corner, (together, rows, width, gradient.shape[-1]))
        product = lax.dot_general(
            here.reshape(-1, here.shape[-1]),
            around.reshape(-1, around.shape[-1]),
            (((0,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        return (total + product, around), None

    nothing = jnp.zeros((gradient.shape[-1], side**2 * features), jnp.float32)
    around = jnp.zeros((together, rows, width, side**2 * features), images.dtype)
    steps = jnp.arange(len(images) // together * bands)
    (total, _), _ = lax.scan(add, (nothing, around), steps)
    return total.T.reshape(side, side, features, -1)


def _band(shape: Sequence[int], side: int, itemsize: int) -> tuple[int, int]:
    """Choose images and rows of a band, divisors of N and H: whole images, or rows of one."""
    number, height, width, features = shape
    most_rows = BAND_BYTES // (side**2 * width * features * itemsize)
    if most_rows >= height:
        return largest_divisor(number, most_rows // height), height
    return 1, largest_divisor(height, most_rows)


def largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number that is at most `most`, or 1."""
    return max(d for d in range(1, max(most, 1) + 1) if number % d == 0)
