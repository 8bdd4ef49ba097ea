import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import numpy as safetensors

import jaxsr
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxsr.files import networks as network_files
from jaxsr.files import torch as torch_files
from jaxsr.files.networks import SavedNetwork
from jaxsr.networks import VGGStyleDiscriminator
from jaxsr.state_dicts import names as torch_names

EDSR = {"num_features": 4, "num_blocks": 1}
SWINIR = {"embed_dim": 4, "depths": (2,), "num_heads": (2,), "window_size": 4}
# Name -> a small size of it.
SMALL = {
    "edsr": EDSR,
    "rdn": {"num_features": 4, "growth_rate": 2, "num_blocks": 2, "num_layers": 2},
    "rcan": {"num_features": 4, "num_groups": 1, "num_blocks": 1, "reduction": 2},
    "nlsn": {"num_features": 4, "num_blocks": 1, "chunk_size": 8, "num_hashes": 2},
    "swinir": SWINIR,
    "swinir_light": SWINIR,
    "swinir_real": SWINIR,
    "rrdbnet": {"num_features": 4, "num_blocks": 1, "growth_rate": 2},
    "srvgg": {"num_features": 4, "num_convs": 1},
    "imdn": {"num_features": 16, "num_blocks": 1, "distillation_rate": 0.25},
    "rlfn": {"num_features": 4, "num_blocks": 1, "esa_channels": 2},
}
CONSTRUCTORS = {
    **{
        name: lambda name=name: jaxsr.build(name, scale=4, **SMALL[name])  # its own name each
        for name in SMALL
    },
    "vgg discriminator": lambda: VGGStyleDiscriminator(num_features=4, rngs=nnx.Rngs(0)),
}


def drawn(construct, seed=0):
    """A network whose weights NumPy draws, so that nothing is compiled."""
    shapes = nnx.eval_shape(construct)
    draw = np.random.default_rng(seed)

    def numbers(shape):
        return jnp.asarray(draw.standard_normal(shape.shape), jnp.float32)

    nnx.update(shapes, jax.tree.map(numbers, nnx.state(shapes)))
    return shapes


def saved(name="edsr", **facts):
    arrays = torch_names.to_arrays(drawn(CONSTRUCTORS[name]))
    return SavedNetwork(name, 4, SMALL[name], facts, arrays)


def assert_equal(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name])
        assert array.dtype == other.arrays[name].dtype
    bare = [dataclasses.replace(network, arrays={}) for network in (one, other)]
    assert bare[0] == bare[1]


# ---------------------------------------------------------------------------- official names


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_weights_go_to_official_names_and_back(name):
    model = drawn(CONSTRUCTORS[name])
    arrays = torch_names.to_arrays(model)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    back = jaxsr.load_torch(nnx.eval_shape(CONSTRUCTORS[name]), arrays)
    assert nnx.graphdef(back) == nnx.graphdef(model)
    leaves = (jax.tree.leaves(nnx.state(network)) for network in (model, back))
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("file", "name"), [("IMDN_x4.pth", "imdn"), ("rlfn_s_x4.pth", "rlfn_s")])
def test_official_names_are_those_of_published_files(file, name, shared_data):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    published = torch_files.read_state_dict(shared_data / "weights" / file)
    model = nnx.eval_shape(lambda: jaxsr.build(name, scale=4))
    ours = torch_names.to_arrays(jaxsr.load_torch(model, published))
    published = {name.removeprefix("module."): array for name, array in published.items()}
    assert ours.keys() == published.keys()
    for key, array in ours.items():
        np.testing.assert_array_equal(array, published[key])


def test_pytorch_reads_the_file(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    from safetensors import torch as safetensors_torch

    network = saved()
    network_files.write(tmp_path / "edsr.safetensors", network)
    tensors = safetensors_torch.load_file(tmp_path / "edsr.safetensors")
    assert tensors.keys() == network.arrays.keys()
    np.testing.assert_array_equal(tensors["conv_last.weight"], network.arrays["conv_last.weight"])


# ---------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("name", SMALL)
def test_what_is_read_is_what_was_written(name, tmp_path):
    network = saved(name, loss="l1", psnr_y_db=31.5, history=[1.0, 2.0], nested={"a": None})
    network_files.write(tmp_path / "it.safetensors", network)
    assert_equal(network_files.read(tmp_path / "it.safetensors"), network)


def test_a_network_is_saved_and_loaded(tmp_path):
    model = drawn(CONSTRUCTORS["swinir"])
    path = tmp_path / "swinir.safetensors"
    jaxsr.save(model, path, architecture="swinir", scale=4, overrides=SWINIR, facts={"seed": 1})
    assert network_files.read(path).facts == {"seed": 1}
    for loaded in (jaxsr.load(path), jaxsr.load(str(path))):
        assert nnx.graphdef(loaded) == nnx.graphdef(model)
        np.testing.assert_array_equal(loaded.conv_first.kernel[...], model.conv_first.kernel[...])


def test_networks_of_one_file_share_nothing(tmp_path):
    network = saved()
    first, second = network.build(), network.build()
    before = np.asarray(second.conv_last.bias[...])
    first.conv_last.bias[...] += 1
    np.testing.assert_array_equal(second.conv_last.bias[...], before)
    np.testing.assert_array_equal(network.build().conv_last.bias[...], before)


def test_the_computation_in_bfloat16_is_kept(tmp_path):
    network = dataclasses.replace(saved(), overrides={**EDSR, "dtype": "bfloat16"})
    read = network_files.from_bytes(network_files.to_bytes(network), "it")
    assert jnp.dtype(read.build().conv_last.dtype) == jnp.bfloat16
    assert read.build().conv_last.kernel[...].dtype == jnp.float32


def test_the_same_network_is_the_same_bytes():
    network = saved(loss="l1", seed=3)
    turned = dataclasses.replace(
        network,
        overrides=dict(reversed(network.overrides.items())),
        facts=dict(reversed(network.facts.items())),
        arrays=dict(reversed(network.arrays.items())),
    )
    data = network_files.to_bytes(network)
    assert all(network_files.to_bytes(turned) == data for _ in range(5))
    assert network_files.to_bytes(network_files.from_bytes(data, "it")) == data


def test_half_precision_halves_the_file_and_rounds():
    network = saved("imdn")
    whole, half = (network_files.to_bytes(network, half=half) for half in (False, True))
    assert len(half) < 0.7 * len(whole)
    read = network_files.from_bytes(half, "it")
    for name, array in read.arrays.items():
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, network.arrays[name], rtol=2**-11, atol=2**-24)
    state = jax.tree.leaves(nnx.state(read.build()))
    assert {leaf.dtype for leaf in state} == {jnp.dtype(jnp.float32)}


def test_weights_that_are_not_finite_are_named():
    def with_bias(value):
        bias = np.asarray([value, 0, 0], np.float32)
        return dataclasses.replace(saved(), arrays={**saved().arrays, "conv_last.bias": bias})

    assert network_files.to_bytes(with_bias(1e5))
    for value, half in ((1e5, True), (np.nan, False), (np.inf, False)):
        with pytest.raises(InputError, match="conv_last.bias has weights that are not finite in"):
            network_files.to_bytes(with_bias(value), half=half)


def test_an_object_store_does_as_well(bucket):
    path = f"{bucket}/networks/edsr.safetensors"
    model = drawn(CONSTRUCTORS["edsr"])
    jaxsr.save(model, path, architecture="edsr", scale=4, overrides=EDSR)
    np.testing.assert_array_equal(
        jaxsr.load(path).conv_last.kernel[...], model.conv_last.kernel[...]
    )
    with pytest.raises(InputError, match="no.safetensors: "):
        network_files.read(storage.location(f"{bucket}/networks/no.safetensors"))


# ---------------------------------------------------------------------------- what is refused


def with_card(**changes):
    """A file whose metadata says something else, with the checksum that belongs to it."""
    network = dataclasses.replace(saved(), **changes)
    return network_files.to_bytes(network)


def refused(data):
    with pytest.raises(InputError) as caught:
        network_files.from_bytes(data, "it.safetensors")
    message = str(caught.value)
    assert message.startswith("it.safetensors")
    assert "\n" not in message
    return message


def test_other_networks_are_refused_in_one_line():
    assert "No network is called 'edsrr'; there are edsr, " in refused(
        with_card(architecture="edsrr")
    )
    assert "edsr has no depth; it takes num_features" in refused(with_card(overrides={"depth": 3}))
    assert "Scale 5 cannot be made" in refused(with_card(scale=5))
    assert "whole number from 1 on; got 2.5" in refused(with_card(scale=2.5))
    arrays = dict(saved().arrays)
    arrays["extra.weight"] = arrays.pop("conv_first.bias")
    arrays["conv_last.bias"] = np.zeros(4, np.float32)
    message = refused(with_card(arrays=arrays))
    assert "missing: conv_first.bias" in message
    assert "not known: extra.weight" in message
    assert "of another shape: conv_last.bias (4,) for (3,)" in message


def test_a_published_file_needs_to_be_told_what_it_is(tmp_path):
    assert "--architecture, --scale" in refused(safetensors.save(dict(saved().arrays)))
    assert "--architecture, --scale" in refused(safetensors.save(dict(saved().arrays), {"a": "b"}))
    header = b'{"__metadata__": null}'
    assert "--architecture, --scale" in refused(len(header).to_bytes(8, "little") + header)
    assert "--architecture, --scale" in refused(b"PK\x03\x04, as .pth files begin")


@pytest.mark.parametrize("card", ["", "{}", "[]", "3", "null", '{"crc32": 0}'])
def test_metadata_of_another_kind_is_refused(card):
    assert "is damaged" in refused(safetensors.save(dict(saved().arrays), {"jaxsr": card}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing.safetensors: No such file"):
        jaxsr.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="Is a directory"):
        jaxsr.load(tmp_path)


def test_a_network_of_another_kind_is_not_saved(tmp_path):
    model = drawn(CONSTRUCTORS["edsr"])
    with pytest.raises(InputError, match="do not fit this EDSR.*of another shape: body"):
        jaxsr.save(model, tmp_path / "it.safetensors", architecture="edsr", scale=4)
    assert not list(tmp_path.iterdir())


DATA = network_files.to_bytes(saved(loss="l1", seed=3))


@settings(max_examples=200)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_one_changed_byte_is_found(position, change):
    damaged = bytearray(DATA)
    damaged[position] ^= change
    try:
        network = network_files.from_bytes(bytes(damaged), "it")
    except InputError:
        refused(bytes(damaged))
    else:  # a blank of the header became another
        assert_equal(network, network_files.from_bytes(DATA, "it"))


@settings(max_examples=50)
@given(st.integers(0, len(DATA) - 1))
def test_a_truncated_file_is_refused(length):
    assert "is damaged" in refused(DATA[:length])


@given(st.binary(max_size=64) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_any_other_file_is_refused(content):
    body = content if isinstance(content, bytes) else content.encode()
    refused(body)
    refused(len(body).to_bytes(8, "little") + body)
