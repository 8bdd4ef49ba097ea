import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.ndimage

import jaxsr
from jaxsr.attribution import features as spectral_features

SIDE = 18


def noise(count):
    """[count, SIDE, SIDE, 3] uint8."""
    draw = np.random.default_rng(0)
    return np.clip(draw.normal(128, 20, (count, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def pooled(planes, rows, columns):
    """[N, H, W, C] -> [N, rows * columns * C], blocks by the rule i H // rows."""
    result = []
    for i in range(rows):
        for j in range(columns):
            (top, bottom), (left, right) = (
                [(k + step) * size // bins for step in (0, 1)]
                for k, size, bins in ((i, planes.shape[1], rows), (j, planes.shape[2], columns))
            )
            result.append(planes[:, top:bottom, left:right].mean(axis=(1, 2)))
    return np.stack(result, axis=1).reshape(len(planes), -1)


def test_dct_features_are_those_of_scipy():
    crops = noise(3)
    transform = scipy.fft.dctn(crops / 255, type=2, norm="ortho", axes=(1, 2))
    expected = pooled(np.log(np.abs(transform) + 1e-4), 4, 4)
    ours = spectral_features.dct_features(jnp.asarray(crops), bins=4)
    np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_spectrum_features_are_three_views_of_the_residual():
    crops = noise(3)
    compiled = jax.jit(spectral_features.spectrum_features, static_argnames=("residual", "bins"))
    ours = compiled(jnp.asarray(crops), residual="gaussian", bins=4)
    blurred = [
        scipy.ndimage.gaussian_filter(image / 255, (1, 1, 0), mode="reflect") for image in crops
    ]
    found = crops / 255 - np.stack(blurred)
    power = np.abs(scipy.fft.fft2(found, axes=(1, 2), norm="forward")) ** 2
    spectrum = np.log(scipy.fft.fftshift(power, axes=(1, 2)) + 1e-12)
    half = pooled(spectrum[:, SIDE // 2 :], 2, 4)
    circles = jaxsr.azimuthal_average(jnp.asarray(spectrum, jnp.float32))
    np.testing.assert_allclose(ours[:, : half.shape[1]], half, atol=2e-2)
    np.testing.assert_allclose(
        ours[:, half.shape[1] : half.shape[1] + circles[0].size],
        np.reshape(circles, (3, -1)),
        atol=2e-2,
    )
    assert ours.shape == (3, 3 * (4 * 4 // 2 + SIDE // 2 + 1 + 28))
