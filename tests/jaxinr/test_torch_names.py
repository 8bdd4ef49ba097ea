import json

import jax
import numpy as np
import pytest

from jaxinr import from_torch, to_torch

COIN_KEYS = [
    "net.0.linear.weight",
    "net.0.linear.bias",
    "net.1.linear.weight",
    "net.1.linear.bias",
    "last_layer.linear.weight",
    "last_layer.linear.bias",
]


@pytest.fixture
def arrays():
    """A COIN state_dict of two sine layers of four units."""
    draw = np.random.default_rng(0)
    shapes = [(4, 2), (4,), (4, 4), (4,), (3, 4), (3,)]
    return {
        key: draw.normal(size=shape).astype(np.float32)
        for key, shape in zip(COIN_KEYS, shapes, strict=True)
    }


def test_keys_are_those_of_coin_in_its_order(arrays):
    params = from_torch(arrays)
    assert [layer["weight"].shape for layer in params] == [(4, 2), (4, 4), (3, 4)]
    assert list(to_torch(params)) == COIN_KEYS


def test_round_trip_keeps_every_bit(arrays):
    again = to_torch(from_torch(arrays))
    for key, values in arrays.items():
        np.testing.assert_array_equal(again[key], values)
        assert again[key].dtype == np.float32
        assert not np.shares_memory(again[key], values)  # a caller may write into it


def test_order_of_the_keys_does_not_matter(arrays):
    backwards = dict(reversed(arrays.items()))
    jax.tree.map(np.testing.assert_array_equal, from_torch(backwards), from_torch(arrays))


def test_float64_and_lists_become_float32(arrays):
    params = from_torch({key: values.astype(float).tolist() for key, values in arrays.items()})
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("key", COIN_KEYS)
def test_a_missing_key_is_named(arrays, key):
    del arrays[key]
    with pytest.raises(ValueError, match=rf"missing \['{key}'\], not known \[\]"):
        from_torch(arrays)


def test_a_missing_layer_is_named(arrays):
    arrays |= {
        f"net.2.linear.{kind}": arrays[f"net.1.linear.{kind}"] for kind in ("weight", "bias")
    }
    del arrays["net.1.linear.weight"], arrays["net.1.linear.bias"]
    with pytest.raises(ValueError, match=r"missing \['net\.1\.linear\.bias', 'net\.1\.linear\.w"):
        from_torch(arrays)


def test_foreign_keys_are_named(arrays):
    arrays["net.1.norm.weight"] = np.zeros(4)
    with pytest.raises(ValueError, match=r"missing \[\], not known \['net\.1\.norm\.weight'\]"):
        from_torch(arrays)


def test_a_network_without_sine_layers_is_refused(arrays):
    last = {key: values for key, values in arrays.items() if key.startswith("last")}
    with pytest.raises(ValueError, match=r"missing \['net\.0\.linear\.bias'"):
        from_torch(last)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("net.0.linear.weight", (4, 3), r"net\.0\.linear\.weight \[4, 3\] for \[4, 2\]"),
        ("net.1.linear.weight", (4, 5), r"net\.1\.linear\.weight \[4, 5\] for \[4, 4\]"),
        ("net.1.linear.bias", (5,), r"net\.1\.linear\.weight \[4, 4\] for \[5, 4\]"),
        ("last_layer.linear.weight", (4, 3), r"weight \[4, 3\] for \[3, 4\]"),
        ("last_layer.linear.bias", (3, 1), r"last_layer\.linear\.bias \[3, 1\] for \[out\]"),
    ],
)
def test_shapes_that_make_no_network_are_named(arrays, key, shape, message):
    arrays[key] = np.zeros(shape)
    with pytest.raises(ValueError, match=f"no COIN state_dict: of another shape: .*{message}"):
        from_torch(arrays)


def test_values_that_are_not_finite_are_named(arrays):
    arrays["net.1.linear.bias"][2] = np.nan
    with pytest.raises(ValueError, match=r"no COIN state_dict: not finite: net\.1\.linear\.bias\."):
        from_torch(arrays)


@pytest.mark.parametrize("name", ["5x20", "10x28", "3x64"])
def test_reads_what_coin_wrote(shared_data, name):
    with np.load(shared_data / "golden" / "coin" / f"siren_{name}.npz") as golden:
        arrays = {
            key.removeprefix("init/"): golden[key]
            for key in golden.files
            if key.startswith("init/")
        }
        size = json.loads(str(golden["config"]))["args"]
    params = from_torch(arrays)
    assert len(params) == size["num_layers"] + 1
    assert params[1]["weight"].shape == (size["dim_hidden"], size["dim_hidden"])
    assert list(to_torch(params)) == list(arrays)
