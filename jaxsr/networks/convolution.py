"""Convolution whose gradient by the kernel is fast on a CPU.

XLA computes that gradient as a convolution of the input with the gradient of the output, as large a
kernel as there is. On a CPU it falls to a fifth of the forward's speed once its operands leave the
cache. Here it is taken in pieces that stay in it, and summed. Elsewhere it is left to XLA.

Letters: N images, H height, W width, I and O channels in and out, k side of the kernel.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

PIECE_BYTES = 600_000  # of the input; measured, see BUILD.md
MOST_PIECES = 64  # each is compiled
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(
    images: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **options: Any,
) -> Array:
    """`jax.lax.conv_general_dilated`, for `nnx.Conv`; fast for kernels of odd sides at stride 1.

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
    """[N, H, W, I] with [k, k, I, O] to [N, H, W, O], zeros around."""
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

    def in_pieces(images: Array, gradient: Array) -> Array:
        return _in_pieces(images, gradient, kernel.shape[0]).astype(kernel.dtype)

    if len(list(_pieces(images.shape, images.dtype.itemsize))) == 1:
        return by_images, at_once(images, gradient)
    return by_images, lax.platform_dependent(images, gradient, cpu=in_pieces, default=at_once)


_convolve.defvjp(_forward, _backward)


def _in_pieces(images: Array, gradient: Array, side: int) -> Array:
    """[N, H, W, I] and [N, H, W, O] to [k, k, I, O] float32, summed over groups of images or rows.

    Rows of a group see the k // 2 rows above and below it.
    """
    pad = side // 2
    padded = jnp.pad(images, ((0, 0), (pad, pad), (0, 0), (0, 0)))
    total = jnp.zeros((side, side, images.shape[-1], gradient.shape[-1]), jnp.float32)
    for some, rows in _pieces(images.shape, images.dtype.itemsize):
        total += lax.conv_general_dilated(
            padded[some, rows.start : rows.stop + 2 * pad],
            gradient[some, rows],
            (1, 1),
            ((0, 0), (pad, pad)),
            dimension_numbers=("CHWN", "IHWO", "HWNC"),
            preferred_element_type=jnp.float32,
        )
    return total


def _pieces(shape: Sequence[int], itemsize: int) -> Iterator[tuple[slice, slice]]:
    """Groups of images [N, H, W, I], or of rows of one image, of about `PIECE_BYTES`."""
    number, height = shape[:2]
    total = math.prod(shape) * itemsize
    wanted = min(max(1, round(total / PIECE_BYTES)), MOST_PIECES)
    if wanted <= number:
        step = -(-number // wanted)
        bands = [slice(0, height)]
    else:
        step, rows = 1, -(-height * number // wanted)
        bands = [slice(y, min(y + rows, height)) for y in range(0, height, rows)]
    for first in range(0, number, step):
        for band in bands:
            yield slice(first, first + step), band
