"""Conversions between 8-bit and float pictures, PSNR of 8-bit pictures, PNG."""

import io
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxfleet.imaging import pixels


def test_every_level_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    for given in (levels, jnp.asarray(levels)):
        as_float = pixels.from_uint8(given)
        assert as_float.dtype == np.float32
        assert isinstance(as_float, type(given))
        np.testing.assert_array_equal(pixels.to_uint8(as_float), levels)
    assert pixels.from_uint8(levels)[[0, 51, 255]].tolist() == [0.0, np.float32(0.2), 1.0]


def test_arrays_pil_images_and_lists_become_arrays():
    levels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    for given in (levels, jnp.asarray(levels), Image.fromarray(levels)):
        made = pixels.as_array(given, "it")
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, levels)
    grey = Image.fromarray(levels[..., 0])
    np.testing.assert_array_equal(pixels.as_array(grey, "it", ("RGB", "L")), levels[..., 0])
    assert pixels.as_array([[0.5]], "it").tolist() == [[0.5]]


@pytest.mark.parametrize("path", ["a.png", Path("a.png")])
def test_a_path_is_no_array(path):
    with pytest.raises(TypeError, match=r"^it must be .* path a\.png\. Read it: jaxfleet\.imaging"):
        pixels.as_array(path, "it")


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "I;16"])
def test_pil_images_of_another_mode_are_refused(mode):
    with pytest.raises(TypeError, match=f"a PIL image of mode {mode}. Write image.convert"):
        pixels.as_array(Image.new(mode, (4, 4)), "it")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_outside_is_clipped_and_halves_go_to_the_even_level(dtype):
    image = np.array([-1.0, 2.0, np.nan, 0.5 / 255, 1.5 / 255, 2.6 / 255], dtype)
    assert pixels.to_uint8(image).tolist() == [0, 255, 0, 0, 2, 3]


@pytest.mark.parametrize(("offset", "expected_db"), [(1, 48.1308), (255, 0.0)])
def test_psnr_of_a_constant_offset(offset, expected_db):
    black = np.zeros((4, 5, 3), np.uint8)  # 20 log10(255 / offset), worked by hand
    assert pixels.psnr_8bit_db(black + np.uint8(offset), black) == pytest.approx(expected_db, 1e-5)
    assert pixels.psnr_8bit_db(black, black) == math.inf
    with pytest.raises(ValueError, match=r"one shape; got \(4, 5, 3\), \(5, 3\)"):
        pixels.psnr_8bit_db(black, black[0])


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(pixels.png(picture))) as opened:
        assert opened.format == "PNG"
        np.testing.assert_array_equal(np.asarray(opened), picture)


def test_more_bits_are_rounded_to_8():
    values = np.arange(65536, dtype=np.uint16)
    found = pixels.reduced_to_uint8(values, 65535)
    assert found.dtype == np.uint8
    assert np.abs(found - values / 257).max() <= 0.5
    np.testing.assert_array_equal(
        pixels.reduced_to_uint8(np.array([-5, 0, 4095, 9999]), 4095), [0, 0, 255, 255]
    )
