"""Measures of super-resolution against independent ones, by hand, and against published figures."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import fft
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

import jaxsr
from jaxfleet.errors import InputError
from jaxfleet.imaging.photos import Photo
from jaxsr import evaluation
from jaxsr.evaluation import compare, make_set, measure, parse_set
from jaxsr.upscale import run

# Mean PSNR-Y and SSIM-Y of MATLAB's bicubic on Set5 in papers, such as Lim et al., 2017, table 2.
BICUBIC_ON_SET5 = {2: (33.66, 0.9299), 3: (30.39, 0.8682), 4: (28.42, 0.8104)}
IMDN_X4_ON_SET5 = (32.21, 0.8948)  # Hui et al., 2019, table 4


@pytest.fixture(scope="module")
def pair():
    """A smooth picture and a noisy one: [40, 52, 3] float32."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :52] / 52
    truth = np.stack([0.5 + 0.4 * np.sin(9 * x), 0.8 * y, 0.5 + 0.3 * np.cos(20 * x * y)], -1)
    output = truth + rng.normal(0, 0.03, truth.shape)
    return output.astype(np.float32), truth.astype(np.float32)


def rounded(image):
    return np.rint(np.clip(image.astype(np.float64), 0, 1) * 255)


# ---------------------------------------------------------------------------- the measures


def test_measures_are_those_of_scikit_image_and_scipy(pair):
    found = compare(*map(jnp.asarray, pair), crop_px=3)
    output, truth = (rounded(image)[3:-3, 3:-3] for image in pair)
    luma, true_luma = (rgb2ycbcr(image / 255)[..., 0] for image in (output, truth))
    expected = {
        "psnr_y_db": 10 * np.log10(255**2 / np.mean((luma - true_luma) ** 2)),
        "psnr_db": 10 * np.log10(255**2 / np.mean((output - truth) ** 2)),
        "ssim_y": structural_similarity(
            luma,
            true_luma,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        ),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, err_msg=name)
    rows, columns = (np.arange(size)[:, None] / (2 * size) for size in luma.shape)
    fine = np.hypot(rows, columns.T) >= 0.25
    energies = [np.sum(fft.dctn(one, norm="ortho")[fine] ** 2) for one in (luma, true_luma)]
    expected_db = 10 * np.log10(energies[0] / energies[1])
    np.testing.assert_allclose(found["sharpness_db"], expected_db, rtol=1e-3)


def test_the_border_does_not_count(pair):
    output, truth = map(jnp.asarray, pair)
    framed = jnp.pad(output[4:-4, 4:-4], ((4, 4), (4, 4), (0, 0)))
    inside, whole = (compare(one, truth, crop_px=4) for one in (framed, output))
    assert inside == whole
    assert compare(framed, truth, crop_px=3)["psnr_y_db"] < whole["psnr_y_db"] - 3


def test_equal_pictures():
    image = jax.random.uniform(jax.random.key(0), (20, 24, 3))
    found = compare(image, image, crop_px=0)
    assert min(found["psnr_y_db"], found["psnr_db"]) > 140  # but for rounding, infinite
    np.testing.assert_allclose([found["ssim_y"], found["sharpness_db"]], [1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.7123, 1.0])
def test_a_flat_truth_has_no_sharpness_and_a_flat_output_a_finite_one(level, key):
    flat = jnp.full((40, 48, 1), level, jnp.float32)
    noisy = flat + 0.1 * jax.random.normal(key, flat.shape)
    assert np.isnan(evaluation.sharpness_db(noisy, flat))  # 279 dB over what float32 rounds
    assert np.isnan(evaluation.sharpness_db(flat, flat))
    assert np.isfinite(evaluation.sharpness_db(flat, noisy))
    one = flat.at[20, 20].add(25 / 255 / 255)  # the least difference of a blue pixel
    np.testing.assert_allclose(evaluation.sharpness_db(one, one), 0.0, atol=1e-5)


@pytest.mark.parametrize(("cycles", "gain_db"), [(0.2, 0.0), (0.3, 20 * np.log10(2))])
def test_sharpness_is_of_what_is_finer_than_a_quarter_of_a_cycle_per_pixel(cycles, gain_db):
    size = 80
    x = np.arange(size) + 0.5

    def wave(frequency):  # one cosine of the transform: no other frequency has any of it
        return np.cos(2 * np.pi * frequency * x)[None, :] * np.ones((size, 1))

    truth = 0.5 + 0.1 * wave(0.2) + 0.1 * wave(0.3)
    output = truth + 0.1 * wave(cycles)
    lumas = [jnp.asarray(one[..., None].astype(np.float32)) for one in (output, truth)]
    np.testing.assert_allclose(evaluation.sharpness_db(*lumas), gain_db, atol=1e-3)


def test_a_ramp_has_no_jump_where_the_picture_ends():
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 64)[None, :, None], (64, 64, 1))
    noise = 0.1 * jax.random.normal(jax.random.key(1), (64, 64, 1))
    assert evaluation.sharpness_db(ramp, ramp + noise) < -40


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Reds:
    """A feature network whose features are a tenth of the red pixels."""

    unit: float = 0.05

    def __call__(self, images):
        return images[..., :1] / 10


def test_distance_of_features_is_of_the_8_bit_middle(pair, monkeypatch):
    monkeypatch.setattr(evaluation, "FEATURES_PX", 24)
    photo = Photo("a", rounded(pair[1]).astype(np.uint8))
    (row,) = measure(lambda low: jnp.asarray(pair[0])[None], make_set("S", [photo], 2), Reds())
    output, truth = (rounded(image)[8:32, 14:38, 0] / 255 for image in pair)
    np.testing.assert_allclose(row["vgg_distance"], np.mean((2 * (output - truth)) ** 2), rtol=1e-4)


@pytest.mark.parametrize(("size", "inside"), [(400, slice(136, 264)), (101, slice(3, 98))])
def test_features_are_of_what_is_far_from_the_border(size, inside):
    image = jnp.arange(size * 9.0).reshape(size, 9, 1)
    np.testing.assert_array_equal(evaluation._middle(image, 3), image[inside, 3:6])


# ---------------------------------------------------------------------------- the sets


def noise(name, height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Photo(name, pixels)


def test_pictures_are_cut_and_reduced_by_the_scale():
    one = make_set("Some", [noise("a", 41, 38), noise("b", 36, 44)], 3)
    assert [(p.image_id, p.high.shape[:2], p.low.shape[:2]) for p in one.pictures] == [
        ("a", (39, 36), (13, 12)),
        ("b", (36, 42), (12, 14)),
    ]
    assert one.pictures[0].low.dtype == one.pictures[0].high.dtype == np.uint8


def test_set_of_a_folder(tmp_path):
    for name in ("dusk", "dawn"):
        Image.fromarray(noise(name, 30, 32).pixels).save(tmp_path / f"{name}.png")
    one = evaluation.load_set(*parse_set(f"Mine=folder:{tmp_path}"), scale=2)
    assert (one.name, one.scale) == ("Mine", 2)
    assert [picture.image_id for picture in one.pictures] == ["dawn", "dusk"]


def test_rows_are_of_each_picture_by_itself():
    one = make_set("Some", [noise("a", 24, 22), noise("b", 24, 22, seed=1)], 2)
    network = functools.partial(evaluation.bicubic, scale=2)
    rows = measure(network, one)
    assert [(row["set"], row["image_id"]) for row in rows] == [("Some", "a"), ("Some", "b")]
    alone = measure(network, make_set("Some", [noise("b", 24, 22, seed=1)], 2))
    assert {k: v for k, v in rows[1].items() if v == v} == {
        k: v for k, v in alone[0].items() if v == v
    }
    assert rows[0]["psnr_y_db"] != rows[1]["psnr_y_db"]


def test_small_photographs_are_named():
    with pytest.raises(InputError, match=r"tiny of Some is 30 x 23 pixels.*x4.*smaller than 24"):
        make_set("Some", [noise("tiny", 23, 30)], 4)


@pytest.mark.parametrize("text", ["", "Set5", "Set5=", "=folder:x", "a b=packaged", "a/b=packaged"])
def test_what_is_no_set_is_refused(text):
    with pytest.raises(InputError, match="names no benchmark set; write NAME=SOURCE"):
        parse_set(text)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", fullmatch=True)


@given(NAMES, st.text(min_size=1))
def test_every_name_and_source_come_back(name, source):
    assert parse_set(f"{name}={source}") == (name, source)


@given(st.from_regex(r"[^A-Za-z0-9].*=.+", fullmatch=True))
def test_other_names_are_refused(text):
    with pytest.raises(InputError, match="NAME=SOURCE"):
        parse_set(text)


# ---------------------------------------------------------------------------- published figures


def means(network, shared_data, scale):
    set5 = evaluation.load_set("Set5", f"folder:{shared_data / 'sr' / 'Set5' / 'HR'}", scale)
    rows = measure(network, set5)
    assert len(rows) == 5
    return [np.mean([row[name] for row in rows]) for name in ("psnr_y_db", "ssim_y")]


@pytest.mark.slow
@pytest.mark.parametrize("scale", BICUBIC_ON_SET5)
def test_bicubic_on_set5_is_as_published(shared_data, scale):
    psnr_db, ssim = means(functools.partial(evaluation.bicubic, scale=scale), shared_data, scale)
    expected_db, expected_ssim = BICUBIC_ON_SET5[scale]
    assert abs(psnr_db - expected_db) < 0.05
    assert abs(ssim - expected_ssim) < 0.001


@pytest.mark.slow
def test_imdn_on_set5_is_as_published(shared_data):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    shapes = nnx.eval_shape(lambda: jaxsr.build("imdn", scale=4))
    model = jaxsr.load_torch(shapes, shared_data / "weights" / "IMDN_x4.pth")
    psnr_db, ssim = means(functools.partial(run, model), shared_data, 4)
    expected_db, expected_ssim = IMDN_X4_ON_SET5
    assert abs(psnr_db - expected_db) < 0.02
    assert abs(ssim - expected_ssim) < 0.001
