"""Published weights reach their published PSNR on Set5 and Set14.

    python -m pytest tests/jaxsr/files/test_published.py -m slow -rP

prints what they reach. Protocol: 8-bit RGB, luma unrounded, `scale` border pixels left out.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from skimage.color import rgb2ycbcr

import jaxsr
from jaxfleet.imaging import images

TOLERANCE_DB = 0.02

# File, name, scale -> PSNR-Y on Set5 and on Set14, as published.
WEIGHTS = {
    ("IMDN_x2.pth", "imdn", 2): (38.00, 33.63),
    ("IMDN_x3.pth", "imdn", 3): (34.36, None),
    ("IMDN_x4.pth", "imdn", 4): (32.21, 28.59),
    ("rlfn_x2.pth", "rlfn", 2): (38.07, 33.73),
    ("rlfn_x4.pth", "rlfn", 4): (32.24, 28.62),
    ("rlfn_s_x2.pth", "rlfn_s", 2): (38.05, 33.63),
    ("rlfn_s_x4.pth", "rlfn_s", 4): (32.24, 28.63),
}
QUICKEST = ("rlfn_s_x4.pth", "rlfn_s", 4)


@nnx.jit
def upscale(model, low):
    return model(low)


def read(path):
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
    return jnp.asarray(pixels)[None] / 255.0


def set5(folder, scale):
    """Pairs of paths, low and high resolution."""
    for high in sorted((folder / "sr" / "Set5" / "HR").glob("*.png")):
        yield folder / f"sr/Set5/LR_bicubic/X{scale}/{high.stem}x{scale}.png", high


def set14(folder, scale):
    for low in sorted((folder / "sr" / "Set14" / f"X{scale}").glob("*_LR.png")):
        yield low, low.with_name(low.name.replace("_LR", "_HR"))


def mean_psnr_y_db(model, pairs):
    values = []
    for low, high in pairs:
        output = upscale(model, read(low))
        _, height, width, _ = output.shape  # Set5's truths have a few rows more at x3
        target = read(high)[:, :height, :width]
        values.append(float(images.psnr_y_db(output, target, crop_px=model.scale)[0]))
    return sum(values) / len(values)


@pytest.fixture
def model(shared_data, request):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    file, name, scale = request.param
    shapes = nnx.eval_shape(lambda: jaxsr.build(name, scale=scale))
    return jaxsr.load_torch(shapes, shared_data / "weights" / file)


def check(reached_db, published_db, what):
    sys.stdout.write(f"{what}: {reached_db:.3f} dB, published {published_db:.2f} dB\n")
    assert abs(reached_db - published_db) <= TOLERANCE_DB


@pytest.mark.parametrize("model", [QUICKEST], indirect=True)
def test_published_psnr_on_set5(model, shared_data):
    check(mean_psnr_y_db(model, set5(shared_data, 4)), WEIGHTS[QUICKEST][0], "RLFN-S x4 Set5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "published"), WEIGHTS.items(), indirect=["model"], ids=[file for file, *_ in WEIGHTS]
)
def test_published_psnr_on_both_sets(model, published, shared_data, request):
    file, scale = request.node.callspec.id, model.scale
    check(mean_psnr_y_db(model, set5(shared_data, scale)), published[0], f"{file} Set5")
    if published[1] is not None:
        check(mean_psnr_y_db(model, set14(shared_data, scale)), published[1], f"{file} Set14")


# ---------------------------------------------------------------------------- the metric


def test_luma_is_that_of_scikit_image(key):
    image = jax.random.uniform(key, (2, 5, 4, 3))
    expected = rgb2ycbcr(np.asarray(image, np.float64))[..., :1] / 255.0
    np.testing.assert_allclose(images.luma(image), expected, atol=1e-6)


def test_luma_goes_from_16_to_235():
    ends = jnp.stack([jnp.zeros((1, 1, 3)), jnp.ones((1, 1, 3))])
    np.testing.assert_allclose(images.luma(ends).ravel() * 255.0, [16.0, 235.0], rtol=1e-6)


def test_psnr_y_of_a_constant_offset():
    target = jnp.full((2, 9, 8, 3), 100 / 255)
    decoded = target + jnp.asarray([0.4, 5.4]).reshape(2, 1, 1, 1) / 255  # rounds to 0 and 5
    expected_db = -20 * np.log10(5 / 255 * 219 / 255)  # luma has 219 steps
    reached_db = images.psnr_y_db(decoded, target, crop_px=0)
    np.testing.assert_allclose(reached_db, [np.inf, expected_db], rtol=1e-4)


def test_psnr_y_does_not_see_the_border():
    target = jnp.full((9, 8, 3), 0.4)
    framed = jnp.pad(target[2:-2, 2:-2], ((2, 2), (2, 2), (0, 0)))
    assert images.psnr_y_db(framed, target, crop_px=2) == jnp.inf
    assert images.psnr_y_db(framed, target, crop_px=1) < 20.0


def test_psnr_y_refuses_what_is_not_colour_or_too_small():
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W, 3\].*\(4, 4, 1\).*grey"):
        images.psnr_y_db(jnp.zeros((8, 8, 1)), jnp.zeros((8, 8, 1)), crop_px=2)
    with pytest.raises(ValueError, match="Cannot crop 4 pixels on each side of 8 x 9"):
        images.psnr_y_db(jnp.zeros((8, 9, 3)), jnp.zeros((8, 9, 3)), crop_px=4)
