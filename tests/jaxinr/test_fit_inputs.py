"""Images as jaxinr.fit takes them, and arguments that it refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxinr
from jaxinr import Trial
from tests.jaxinr.fitted import TRIALS, alike, picture, psnr_db, same


@pytest.fixture(scope="module", params=["numba", "xla"])
def kernel(request):
    return request.param


@pytest.fixture(scope="module")
def stack(kernel):
    """Six pictures of one size in one array, and their fits from a list of copies."""
    images = np.stack([picture(12, 17, phase) for phase in range(6)])
    options = {"coordinates": "centers", "bias_init": "zero", "kernel": kernel}
    return images, options, jaxinr.fit([image.copy() for image in images], TRIALS, **options)


def test_one_array_is_as_good_as_a_list(stack):
    images, options, expected = stack
    for one, other in zip(jaxinr.fit(images, TRIALS, **options).fits, expected.fits, strict=True):
        same(one, other)


def test_float_images_are_as_good_as_uint8(stack):
    images, options, expected = stack
    fits = jaxinr.fit(images / 255, TRIALS, **options)  # float64
    for one, other in zip(fits.fits, expected.fits, strict=True):
        alike(one, other)
        assert one.psnr_8bit_db == pytest.approx(other.psnr_8bit_db, abs=2e-3)
        assert one.ssim == pytest.approx(other.ssim, abs=1e-4)


def test_float_and_uint8_images_may_be_mixed(stack):
    images, options, expected = stack
    some = [image if i % 2 else np.float32(image) / 255 for i, image in enumerate(images)]
    for one, other in zip(jaxinr.fit(some, TRIALS, **options).fits, expected.fits, strict=True):
        alike(one, other)


def test_other_coordinates_reach_the_fit(stack):
    images, _, fits = stack
    for image, trial, fit in zip(images, TRIALS, fits.fits, strict=True):
        raw = jaxinr.render(fit.params, trial, (12, 17), coordinates="centers")
        assert fit.best_psnr_db == pytest.approx(psnr_db(raw, image), abs=1e-3)


SMALL = np.zeros((4, 5, 3), np.uint8)
FOUR = Trial(layer_size=4, num_layers=1)


@pytest.mark.parametrize(
    ("images", "trials", "options", "error", "message"),
    [
        ([SMALL], [], {}, ValueError, "one trial per image; got 1 images, 0 trials"),
        ([], [], {}, ValueError, "one trial per image; got 0 images"),
        (SMALL, [FOUR], {}, ValueError, "got 4 images, 1 trials. Write .image. for one image"),
        ([SMALL], FOUR, {}, TypeError, r"one Trial per image; got one\. Write \[trial\]"),
        ("a.png", [FOUR], {}, TypeError, r"got the path a\.png\. Read it: .jaxfleet\.imaging"),
        ([Path("a.png")], [FOUR], {}, TypeError, r"images\[0\] must be an array; got the path a"),
        (Image.fromarray(SMALL), [FOUR], {}, TypeError, "got one PIL image. Write .numpy.asarray"),
        ([Image.fromarray(SMALL[..., 0])], [FOUR], {}, TypeError, r"mode L\. Write image\.convert"),
        ([SMALL, SMALL, SMALL[0]], [FOUR] * 3, {}, ValueError, r"images\[2\] must be .*\(5, 3\)"),
        ([SMALL[..., :1]], [FOUR], {}, ValueError, r"images\[0\] must be .* got shape \(4, 5, 1\)"),
        ([SMALL[:0]], [FOUR], {}, ValueError, r"images\[0\] must be .* got shape \(0, 5, 3\)"),
        ([np.zeros((2048, 4096, 3), np.uint8)], [FOUR], {}, ValueError,
         r"images\[0\] has 2048 x 4096 pixels; shrink or cut"),
        ([SMALL.astype(int)], [FOUR], {}, TypeError, r"images\[0\] must be uint8 .* got int64"),
        ([SMALL > 0], [FOUR], {}, TypeError, r"images\[0\] must be uint8 .* got bool"),
        ([SMALL + 1.5], [FOUR], {}, ValueError, r"images\[0\] .*\[0, 1\]; got 1\.5 to 1\.5"),
        ([SMALL - 0.5], [FOUR], {}, ValueError, r"images\[0\] .*\[0, 1\]; got -0\.5 to -0\.5"),
        ([SMALL + np.nan], [FOUR], {}, ValueError, r"images\[0\] .*\[0, 1\]; got nan to nan"),
        ([SMALL], [FOUR], {"log_every": 0}, ValueError, "log_every must be at least 1; got 0"),
        ([SMALL], [FOUR], {"coordinates": "polar"}, ValueError,
         "coordinates must be one of coin, symmetric, centers; got 'polar'"),
        ([SMALL], [FOUR], {"bias_init": "one"}, ValueError,
         "bias_init must be one of coin, zero; got 'one'"),
        ([SMALL], [FOUR], {"initial_params": []}, ValueError, "one initial_params .*; got 0"),
        ([SMALL], [FOUR], {"target_psnr_db": float("nan")}, ValueError,
         "target_psnr_db is not a number"),
        ([SMALL], [FOUR], {"target_psnr_db": [30, 40]}, ValueError,
         r"target_psnr_db must be .* each of 1 trials; got shape \(2,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(images, trials, options, error, message):
    with pytest.raises(error, match=message):
        jaxinr.fit(images, trials, **options)


@pytest.mark.parametrize("wrong", [Trial(layer_size=3, num_layers=1), Trial(layer_size=4)])
def test_initial_params_of_another_shape_are_refused(wrong):
    params = [{"weight": np.zeros(s), "bias": np.zeros(s[0])} for s in wrong.layer_shapes]
    with pytest.raises(
        ValueError, match=r"initial_params\[0\] must have .*\(4, 2\), \(4,\), \(3, 4"
    ):
        jaxinr.fit([SMALL], [FOUR], initial_params=[params])
