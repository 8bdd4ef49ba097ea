import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.metrics import structural_similarity

from jaxfleet.imaging import images

compiled_ssim = jax.jit(images.ssim, static_argnames="peak")  # one program, not one an operation


@pytest.fixture(scope="module")
def pair():
    """Two noisy versions of a smooth picture, each [2, 40, 37, 3] in [0, 1]."""
    rows, columns = np.meshgrid(np.linspace(0, 3, 40), np.linspace(0, 5, 37), indexing="ij")
    smooth = np.stack([np.sin(rows), np.cos(columns), np.sin(rows * columns)], axis=-1)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 2, 40, 37, 3))
    both = np.clip(0.5 + 0.4 * smooth + noise, 0.0, 1.0).astype(np.float32)
    return jnp.asarray(both[0]), jnp.asarray(both[1])


# ---------------------------------------------------------------------------- psnr_db


@pytest.mark.parametrize(("offset", "expected_db"), [(0.1, 20.0), (0.01, 40.0)])
def test_psnr_of_constant_offset(offset, expected_db):
    target = jnp.full((2, 4, 5, 3), 0.5)  # -20 log10(offset), worked by hand
    psnr_db = images.psnr_db(target + offset, target)
    np.testing.assert_allclose(psnr_db, [expected_db] * 2, rtol=1e-4)


def test_psnr_of_equal_images_is_infinite():
    assert images.psnr_db(jnp.ones((4, 5, 3)), jnp.ones((4, 5, 3))) == jnp.inf


def test_psnr_depends_on_peak_not_on_the_brightest_pixel():
    target = jnp.full((4, 5, 3), 25.5)
    np.testing.assert_allclose(images.psnr_db(target + 25.5, target, peak=255.0), 20.0, rtol=1e-5)


def test_psnr_names_the_shapes_that_differ():
    with pytest.raises(ValueError, match=r"decoded .*\(4, 5, 3\).*target .*\(4, 6, 3\)"):
        images.psnr_db(jnp.zeros((4, 5, 3)), jnp.zeros((4, 6, 3)))


def test_psnr_refuses_bytes_and_flat_images():
    with pytest.raises(TypeError, match=r"decoded.*uint8.*255"):
        images.psnr_db(jnp.zeros((4, 5, 3), jnp.uint8), jnp.zeros((4, 5, 3), jnp.uint8))
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W, C\].*\(4, 5\)"):
        images.psnr_db(jnp.zeros((4, 5)), jnp.zeros((4, 5)))


# ---------------------------------------------------------------------------- to_8bit


def test_8bit_values_survive_and_others_are_clipped_and_rounded():
    levels = jnp.arange(256, dtype=jnp.float32).reshape(16, 16, 1) / 255.0
    np.testing.assert_array_equal(images.to_8bit(levels), levels)
    np.testing.assert_array_equal(images.to_8bit(levels + 0.4 / 255.0), levels)
    assert images.to_8bit(jnp.full((1, 1, 1), 1.7)) == 1.0
    assert images.to_8bit(jnp.full((1, 1, 1), -0.3)) == 0.0


# ---------------------------------------------------------------------------- ssim


def skimage_ssim(x, y):
    return structural_similarity(
        np.asarray(x, np.float64),
        np.asarray(y, np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )


def test_ssim_is_that_of_skimage(pair):
    x, y = pair
    expected = [skimage_ssim(x[i], y[i]) for i in range(2)]
    np.testing.assert_allclose(compiled_ssim(x, y), expected, atol=1e-5)
    np.testing.assert_allclose(images.ssim(np.asarray(x), np.asarray(y)), expected, atol=1e-5)


@pytest.mark.parametrize(("p", "q"), [(0.001, 0.002), (0.5, 0.501), (0.998, 0.999), (0.0, 1.0)])
def test_ssim_of_flat_images_is_the_luminance_term(p, q):
    expected = (2 * p * q + 1e-4) / (p**2 + q**2 + 1e-4)  # no variance: contrast, structure 1
    value = compiled_ssim(*(np.full((16, 16, 3), level, np.float32) for level in (p, q)))
    np.testing.assert_allclose(value, expected, atol=2e-6)


def test_ssim_of_equal_images_is_one_and_scales_with_peak(pair):
    x, y = pair
    np.testing.assert_array_equal(compiled_ssim(x, x), [1.0, 1.0])
    scaled = compiled_ssim(255.0 * x, 255.0 * y, peak=255.0)
    np.testing.assert_allclose(scaled, compiled_ssim(x, y), atol=1e-5)


def test_ssim_of_kodak_is_that_of_skimage(shared_data):
    with Image.open(shared_data / "kodak" / "kodim05.png") as picture:
        x = np.asarray(picture, np.float32)[100:300, 200:450] / 255.0
    y = np.clip(x + 0.02 * np.sin(np.arange(250, dtype=np.float32))[None, :, None], 0.0, 1.0)
    np.testing.assert_allclose(
        images.ssim(jnp.asarray(x), jnp.asarray(y)), skimage_ssim(x, y), atol=1e-5
    )


def test_ssim_names_an_image_smaller_than_its_window():
    with pytest.raises(ValueError, match=r"11 x 11.*\(10, 40, 3\)"):
        images.ssim(jnp.zeros((10, 40, 3)), jnp.zeros((10, 40, 3)))


# ---------------------------------------------------------------------------- bicubic


@pytest.mark.parametrize("size_out", [7, 20, 33, 64])
def test_bicubic_weights_sum_to_one_and_keep_a_ramp(size_out):
    matrix = images.bicubic_matrix(32, size_out)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    centres = (np.arange(size_out) + 0.5) * 32 / size_out - 0.5
    reach = 2.0 * max(1.0, 32 / size_out)
    inside = (centres >= reach) & (centres <= 31 - reach)  # away from mirrored borders
    assert inside.any()
    error = np.abs(matrix @ np.arange(32.0) - centres)[inside]
    # Keys' kernel is exact for ramps; a widened one only where it lands on a regular grid.
    assert error.max() < (1e-12 if size_out >= 32 else 0.05)


def test_bicubic_at_the_same_size_is_the_identity():
    np.testing.assert_array_equal(images.bicubic_matrix(9, 9), np.eye(9))


def test_bicubic_weights_of_doubling_worked_by_hand():
    # Centres lie at -1/4 and +1/4 between pixels: Keys at 1/4, 3/4, 5/4, 7/4.
    near, next_, far, farthest = 0.8671875, 0.2265625, -0.0703125, -0.0234375
    matrix = images.bicubic_matrix(8, 16)
    np.testing.assert_allclose(matrix[8, 2:6], [farthest, next_, near, far], atol=1e-12)
    np.testing.assert_allclose(matrix[9, 3:7], [far, near, next_, farthest], atol=1e-12)


def test_bicubic_resize_maps_over_leading_axes_under_jit(pair):
    both = np.stack(pair)
    resize = jax.jit(images.bicubic_resize, static_argnums=(1, 2))
    resized = np.asarray(resize(both, 20, 50))
    assert resized.shape == (2, 2, 20, 50, 3)
    alone = images.bicubic_resize(jnp.asarray(both[1, 0]), 20, 50)
    np.testing.assert_allclose(resized[1, 0], alone, atol=1e-6)
    np.testing.assert_allclose(images.bicubic_resize(jnp.ones((5, 7, 1)), 3, 11), 1.0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_matlab_imresize_bit_for_bit(shared_data, scale):
    def to_bytes(x):  # between the axes too, as MATLAB does for uint8
        return np.floor(np.clip(x, 0, 255) + 0.5)

    files = sorted((shared_data / "sr" / "Set5" / "HR").glob("*.png"))
    assert len(files) == 5
    for file in files:
        (low_file,) = (shared_data / "sr/Set5/LR_bicubic" / f"X{scale}").glob(f"{file.stem}*.png")
        low = np.asarray(Image.open(low_file).convert("RGB"))
        height, width = low.shape[:2]
        high = np.asarray(Image.open(file).convert("RGB"))[: height * scale, : width * scale]
        rows = images.bicubic_matrix(height * scale, height)
        columns = images.bicubic_matrix(width * scale, width)
        shrunk = to_bytes(np.einsum("ih,hwc->iwc", rows, high))
        shrunk = to_bytes(np.einsum("jw,iwc->ijc", columns, shrunk))
        np.testing.assert_array_equal(shrunk, low)


def test_bicubic_refuses_bytes_and_empty_sizes():
    with pytest.raises(TypeError, match="uint8"):
        images.bicubic_resize(jnp.zeros((4, 4, 3), jnp.uint8), 2, 2)
    with pytest.raises(ValueError, match="4 pixels to 0"):
        images.bicubic_resize(jnp.zeros((4, 4, 3)), 0, 2)


@pytest.mark.parametrize("mirrored", [True, False])
def test_separable_filters_are_those_of_scipy(mirrored):
    image = np.random.default_rng(0).random((2, 17, 13, 3), np.float32)
    window = images.gaussian_window(1.5, 3)
    assert window.sum() == pytest.approx(1.0)
    assert window[3] / window[0] == pytest.approx(np.exp(2.0))  # exp(0.5 (3 / 1.5)^2)
    expected = image.astype(np.float64)
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, window, axis, mode="reflect")
    inside = slice(None) if mirrored else slice(3, -3)

    def filtered(given):
        return images.filtered(given, window, axes=(-3, -2), mirrored=mirrored)

    for function, given in ((filtered, image), (jax.jit(filtered), jnp.asarray(image))):
        found = function(given)
        assert type(found) is type(given)
        np.testing.assert_allclose(found, expected[:, inside, inside], atol=1e-6)
