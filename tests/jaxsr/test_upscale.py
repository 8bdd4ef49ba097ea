import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import jaxsr
from jaxsr import upscale as exported
from jaxsr.datasets import training_sets
from jaxsr.networks import layers
from jaxsr.upscale import run, symmetric, upscale

MODULE = importlib.import_module("jaxsr.upscale")  # its name in the package is the function's
SIZES = [(1, 1), (7, 5), (64, 64), (65, 130), (200, 70)]
SWINIR = {"embed_dim": 4, "depths": (2,), "num_heads": (2,), "window_size": 4}
# Name, scale, a small size of it: those that see what is near alone.
LOCAL = [
    ("edsr", 2, {"num_features": 4, "num_blocks": 1}),
    ("rdn", 3, {"num_features": 4, "growth_rate": 2, "num_blocks": 2, "num_layers": 2}),
    ("swinir", 2, SWINIR),
    ("swinir", 2, {**SWINIR, "window_size": 7}),
    ("rrdbnet", 2, {"num_features": 4, "num_blocks": 1, "growth_rate": 2}),
    ("rrdbnet", 4, {"num_features": 4, "num_blocks": 1, "growth_rate": 2}),
    ("srvgg", 4, {"num_features": 4, "num_convs": 1}),
]
GLOBAL = [
    ("rcan", 2, {"num_features": 4, "num_groups": 1, "num_blocks": 1, "reduction": 2}),
    ("nlsn", 2, {"num_features": 4, "num_blocks": 1, "chunk_size": 8, "num_hashes": 2}),
    ("imdn", 2, {"num_features": 16, "num_blocks": 1, "distillation_rate": 0.25}),
    ("rlfn", 2, {"num_features": 4, "num_blocks": 1, "esa_channels": 2}),
]


def named(networks):
    ids = [f"{name}-x{scale}-{len(networks)}.{i}" for i, (name, scale, _) in enumerate(networks)]
    return pytest.mark.parametrize(("name", "scale", "size"), networks, ids=ids)


def drawn(name, scale, size, seed=0):
    """A small network with weights from NumPy, about as large as fresh ones."""
    shapes = nnx.eval_shape(lambda: jaxsr.build(name, scale=scale, **size))
    draw = np.random.default_rng(seed)

    def weights(shape):
        fan_in = math.prod(shape.shape[:-1]) if len(shape.shape) > 1 else 9
        return jnp.asarray(draw.standard_normal(shape.shape) / fan_in**0.5, jnp.float32)

    nnx.update(shapes, jax.tree.map(weights, nnx.state(shapes)))
    return shapes


# One program for each network and shape; called as it is, a network compiles its every operation.
apply = jax.jit(lambda model, images: model(images))


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


class Nearest(nnx.Module):
    """Each pixel r x r times. Says when it is traced."""

    def __init__(self, scale):
        self.scale = scale
        self.gain = nnx.Param(jnp.ones(()))

    def __call__(self, images):
        TRACED.append(images.shape)
        return layers.nearest_upsample(images, self.scale) * self.gain[...]


TRACED: list[tuple[int, ...]] = []


class Wide(nnx.Module):
    """A mean over 2 k + 1 pixels along each row, with zeros around."""

    def __init__(self, reach):
        self.reach = reach

    def __call__(self, images):
        taps = [jnp.roll(self._padded(images), k, axis=2) for k in self._range()]
        mean = sum(taps[1:], taps[0]) / float(len(taps))
        return mean[:, :, self.reach : -self.reach]

    def _range(self):
        return range(-self.reach, self.reach + 1)

    def _padded(self, images):
        return jnp.pad(images, ((0, 0), (0, 0), (self.reach, self.reach), (0, 0)))


# ---------------------------------------------------------------------------- whole and in tiles


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [None, 64])
def test_each_pixel_many_times_is_exact(size, tile):
    image = picture(*size)
    expected = image.repeat(3, axis=0).repeat(3, axis=1)
    large = upscale(Nearest(3), image, tile=tile)
    assert large.dtype == np.uint8
    np.testing.assert_array_equal(large, expected)


@named(LOCAL)
def test_tiles_give_what_the_whole_gives(name, scale, size):
    model = drawn(name, scale, size)
    image = picture(75, 173).astype(np.float32) / 255
    whole = upscale(model, image, tile=173)
    assert np.std(whole) > 0.05
    told = []
    tile = 64 * getattr(model, "unshuffle", 1) + 1
    in_tiles = upscale(model, image, tile=tile, on_progress=told.append)
    assert len(told) > 1
    assert np.max(np.abs(in_tiles - whole)) < 1 / 255


@pytest.mark.parametrize(("reach", "is_same"), [(16, True), (19, False)])
def test_tiles_overlap_by_half_of_their_side(reach, is_same):
    image = picture(8, 200).astype(np.float32) / 255
    whole, in_tiles = (upscale(Wide(reach), image, tile=tile) for tile in (200, 64))
    assert np.allclose(whole, in_tiles, atol=1e-6) == is_same


def test_tiles_are_taken_where_memory_asks_for_them(monkeypatch):
    model, image = drawn(*LOCAL[0]), picture(150, 60)
    told = []
    whole = upscale(model, image, on_progress=told.append)
    assert told == [1.0]
    monkeypatch.setattr(MODULE, "MEMORY_BYTES", 10**6)
    in_tiles = upscale(model, image, on_progress=told.append)
    assert len(told) > 2
    assert told[1:] == sorted(told[1:])
    assert told[-1] == 1.0
    np.testing.assert_allclose(in_tiles.astype(int), whole, atol=1)


def test_larger_networks_get_smaller_tiles(monkeypatch):
    monkeypatch.setattr(MODULE, "MEMORY_BYTES", 10**7)
    pieces = []
    for features in (4, 32):
        told = []
        model = drawn("edsr", 2, {"num_features": features, "num_blocks": 1})
        upscale(model, picture(160, 160), on_progress=told.append)
        pieces.append(len(told))
    assert pieces[0] < pieces[1]


def test_tiles_of_one_shape_and_networks_of_one_kind_are_compiled_once():
    image = picture(190, 77)
    TRACED.clear()
    first = upscale(Nearest(2), image, tile=64)
    assert TRACED == [(1, 64, 64, 3)]
    model = Nearest(2)
    model.gain[...] = jnp.asarray(np.float32(0.5))
    second = upscale(model, image[::-1], tile=64)
    assert TRACED == [(1, 64, 64, 3)]
    assert second.mean() < 0.6 * first.mean()


# ---------------------------------------------------------------------------- any picture


@named(LOCAL + GLOBAL)
def test_any_size_goes_in_and_the_same_comes_out(name, scale, size):
    model = drawn(name, scale, size)
    for shape in ((1, 1), (5, 9)):
        image = picture(*shape)
        large = upscale(model, image)
        assert large.shape == (scale * shape[0], scale * shape[1], 3)
        assert large.dtype == np.uint8
        np.testing.assert_array_equal(upscale(model, image), large)


def test_float_stays_float_and_is_not_rounded():
    model, image = drawn(*LOCAL[0]), picture(12, 9)
    exact = upscale(model, image.astype(np.float64) / 255)
    assert exact.dtype == np.float32
    assert exact.min() >= 0
    assert exact.max() <= 1
    np.testing.assert_array_equal(np.round(exact * 255), upscale(model, image))
    assert np.any(exact * 255 != np.round(exact * 255))


def test_a_batch_is_what_the_model_gives(key):
    model = drawn(*LOCAL[0])
    images = jax.random.uniform(key, (2, 6, 5, 3))
    expected = apply(model, images)
    assert expected.min() < 0  # not clipped
    np.testing.assert_allclose(run(model, images), expected, atol=1e-5)
    np.testing.assert_allclose(run(nnx.split(model), np.asarray(images)), expected, atol=1e-5)


# ---------------------------------------------------------------------------- symmetries


@pytest.mark.parametrize("index", range(8))
def test_symmetries_are_those_of_training_and_are_undone(index):
    image = picture(6, 6)
    turned = symmetric(image, index)
    np.testing.assert_array_equal(turned, training_sets.symmetry(jnp.asarray(image), index))
    for oblong in (image, picture(4, 7)):
        back = symmetric(symmetric(oblong, index), index, inverse=True)
        np.testing.assert_array_equal(back, oblong)


def test_the_ensemble_is_the_mean_over_symmetries():
    model = drawn(*LOCAL[0])
    image = picture(10, 13).astype(np.float32) / 255
    results = []
    for mirrored in (False, True):
        for turns in range(4):
            turned = np.rot90(image[:, ::-1] if mirrored else image, turns)
            large = np.rot90(np.asarray(apply(model, turned[None].copy()))[0], -turns)
            results.append(large[:, ::-1] if mirrored else large)
    expected = np.clip(np.mean(results, axis=0), 0, 1)
    np.testing.assert_allclose(upscale(model, image, self_ensemble=True), expected, atol=1e-5)


@pytest.mark.parametrize("tile", [None, 64])
def test_the_ensemble_turns_with_the_picture(tile):
    model = drawn("swinir", 2, SWINIR)
    image = picture(77, 22).astype(np.float32) / 255
    large = upscale(model, image, tile=tile, self_ensemble=True)
    turned = upscale(model, np.rot90(image), tile=tile, self_ensemble=True)
    np.testing.assert_allclose(turned, np.rot90(large), atol=1e-5)
    alone = upscale(model, np.rot90(image), tile=tile)
    assert np.max(np.abs(alone - np.rot90(upscale(model, image, tile=tile)))) > 1e-2


def test_an_image_of_pil_is_as_good_as_an_array():
    image = picture(5, 7)
    large = upscale(Nearest(2), Image.fromarray(image))
    np.testing.assert_array_equal(large, upscale(Nearest(2), image))


def test_progress_of_the_ensemble_goes_to_one():
    told = []
    upscale(Nearest(2), picture(70, 20), tile=64, self_ensemble=True, on_progress=told.append)
    np.testing.assert_allclose(told, np.arange(1, 17) / 16)


# ---------------------------------------------------------------------------- what is refused


def test_pictures_that_are_none_are_refused_in_one_line():
    model = Nearest(2)
    with pytest.raises(ValueError, match=r"\[H, W, 3\]; got shape \(8, 8\)"):
        upscale(model, np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"got shape \(0, 8, 3\)\. It has no pixels"):
        upscale(model, np.zeros((0, 8, 3), np.uint8))
    with pytest.raises(
        TypeError, match=r"got the path a\.png\. Read it: jaxfleet\.imaging\.photos\.read"
    ):
        upscale(model, "a.png")
    with pytest.raises(TypeError, match="uint8, or float in .*; got uint16"):
        upscale(model, np.zeros((8, 8, 3), np.uint16))
    for bad, remedy in (
        (np.zeros((1, 8, 8, 3), np.uint8), "Give one picture at a time"),
        (np.zeros((3, 8, 9), np.uint8), r"numpy\.moveaxis\(image, 0, -1\)"),
        (np.zeros((8, 8, 4), np.uint8), r"alpha channel with image\[\.\.\., :3\]"),
        (np.full((8, 8, 3), 255.0), r"in \[0, 1\]; got 255 to 255\. Divide it by 255"),
        (np.full((8, 8, 3), np.nan), "got nan to nan. Clip it"),
    ):
        with pytest.raises(ValueError, match=remedy):
            upscale(model, bad)
    with pytest.raises(ValueError, match="at least 64 pixels; got 63"):
        upscale(model, np.zeros((8, 8, 3), np.uint8), tile=63)
    with pytest.raises(ValueError, match="at least 128 pixels; got 64"):
        upscale(drawn(*LOCAL[4]), np.zeros((8, 8, 3), np.uint8), tile=64)


def test_the_package_exports_the_function():
    assert exported is upscale is jaxsr.upscale
