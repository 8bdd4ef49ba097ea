"""Our convolution against XLA's, and its gradient in bands against that in one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxsr.networks import convolution

LAYOUT = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def gradients(function, images, kernel, weights, side):
    pad = ((side // 2, side // 2),) * 2

    def loss(images, kernel):
        return jnp.sum(weights * function(images, kernel, (1, 1), pad, **LAYOUT))

    return jax.jit(jax.value_and_grad(loss, (0, 1)))(images, kernel)


@pytest.mark.parametrize(
    ("shape", "features", "side", "bytes_"),
    [
        ((6, 6, 7, 3), 4, 3, 10**9),  # one band
        ((6, 6, 7, 3), 4, 3, 10_000),  # two images in a band
        ((2, 9, 7, 3), 4, 3, 3000),  # three rows of one image
        ((2, 9, 7, 4), 3, 3, 3000),  # gathered from the gradient
        ((1, 1, 1, 2), 2, 3, 1),
        ((3, 8, 8, 2), 4, 1, 100),
        ((2, 7, 9, 2), 1, 5, 200),
    ],
)
def test_gradients_equal_those_of_xla(monkeypatch, shape, features, side, bytes_):
    monkeypatch.setattr(convolution, "BAND_BYTES", bytes_)
    rng = np.random.default_rng(0)
    images = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(side, side, shape[-1], features)).astype(np.float32)
    weights = rng.normal(size=(*shape[:3], features)).astype(np.float32)
    ours = gradients(convolution.conv_general_dilated, images, kernel, weights, side)
    theirs = gradients(lax.conv_general_dilated, images, kernel, weights, side)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


@pytest.mark.parametrize("bytes_", [1, 500, 5000, 10**9])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (7, 5, 3, 2), (2, 200, 3, 8), (6, 4, 4, 2)])
def test_bands_are_equal_parts_no_larger_than_asked_unless_one_row_is(monkeypatch, shape, bytes_):
    monkeypatch.setattr(convolution, "BAND_BYTES", bytes_)
    images, rows = convolution._band(shape, 3, 4)
    assert (shape[0] % images, shape[1] % rows) == (0, 0)
    assert images == 1 or rows == shape[1]
    row = 9 * 4 * shape[2] * shape[3]
    assert images * rows * row <= max(bytes_, row)


def test_other_strides_and_paddings_are_left_to_xla():
    rng = np.random.default_rng(0)
    images, kernel = rng.normal(size=(2, 8, 8, 3)), rng.normal(size=(4, 4, 3, 2))
    for strides, padding in [((2, 2), ((1, 1), (1, 1))), ((1, 1), ((0, 0), (0, 0)))]:
        ours, theirs = (
            function(jnp.asarray(images), jnp.asarray(kernel), strides, padding, **LAYOUT)
            for function in (convolution.conv_general_dilated, lax.conv_general_dilated)
        )
        np.testing.assert_array_equal(ours, theirs)


def test_kernels_of_several_networks_go_under_vmap():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(3, 2, 6, 5, 2)), jnp.float32)
    kernels = jnp.asarray(rng.normal(size=(3, 3, 3, 2, 4)), jnp.float32)

    def loss(kernel, images):
        pad = ((1, 1), (1, 1))
        out = convolution.conv_general_dilated(images, kernel, (1, 1), pad, **LAYOUT)
        return jnp.sum(out**2)

    together = jax.vmap(jax.grad(loss))(kernels, images)
    alone = jnp.stack([jax.grad(loss)(k, x) for k, x in zip(kernels, images, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)
