import numpy as np
import pytest
from PIL import Image

from jaxfleet.imaging import images
from jaxsr.datasets import degrade

RNG = np.random.default_rng(0)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduction_is_that_of_matlab_to_the_bit(shared_data, scale):
    files = sorted((shared_data / "sr" / "Set5" / "HR").glob("*.png"))
    assert len(files) == 5
    for file in files:
        low = read(shared_data / f"sr/Set5/LR_bicubic/X{scale}/{file.stem}x{scale}.png")
        np.testing.assert_array_equal(degrade.bicubic_reduce(read(file), scale), low)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_reduction_is_two_rounded_products_with_the_bicubic_matrices(scale):
    pixels = RNG.integers(0, 256, (24, 12, 2), dtype=np.uint8)
    rows = images.bicubic_matrix(24, 24 // scale)
    columns = images.bicubic_matrix(12, 12 // scale)
    expected = np.floor(np.clip(np.einsum("ih,hwc->iwc", rows, pixels), 0, 255) + 0.5)
    expected = np.floor(np.clip(np.einsum("jw,iwc->ijc", columns, expected), 0, 255) + 0.5)
    reduced = degrade.bicubic_reduce(pixels, scale)
    assert reduced.dtype == np.uint8
    np.testing.assert_array_equal(reduced, expected)


def test_a_flat_picture_stays_flat_and_a_ramp_a_ramp():
    flat = np.full((12, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(degrade.bicubic_reduce(flat, 4), flat[:3, :2])
    ramp = np.broadcast_to(np.arange(0, 128, 2, dtype=np.uint8)[:, None, None], (64, 4, 1))
    steps = np.diff(degrade.bicubic_reduce(ramp, 2)[4:-4, 0, 0].astype(int))
    np.testing.assert_array_equal(steps, 4)


def test_what_the_scale_leaves_over_is_cut_off():
    pixels = RNG.integers(0, 256, (14, 11, 3), dtype=np.uint8)
    cropped = degrade.crop_to_multiple(pixels, 4)
    np.testing.assert_array_equal(cropped, pixels[:12, :8])
    np.testing.assert_array_equal(
        degrade.bicubic_reduce(pixels, 4), degrade.bicubic_reduce(cropped, 4)
    )


def test_what_cannot_be_reduced_is_refused():
    with pytest.raises(TypeError, match="uint8; got float64"):
        degrade.bicubic_reduce(np.zeros((4, 4, 3)), 2)
    with pytest.raises(ValueError, match=r"\[H, W, C\]; got shape \(4, 4\)"):
        degrade.bicubic_reduce(np.zeros((4, 4), np.uint8), 2)
    for scale in (0, 5):
        with pytest.raises(ValueError, match=rf"reduce shape \(4, 6, 3\) by {scale}"):
            degrade.bicubic_reduce(np.zeros((4, 6, 3), np.uint8), scale)
