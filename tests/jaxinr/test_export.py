"""Files of one network: read by their own libraries, and drawn by PyTorch as COIN does."""

import io
import json
import sys

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from safetensors import numpy as safetensors_numpy

import jaxinr
from jaxinr import Trial, export

TRIAL = Trial(layer_size=6, num_layers=3, w0_initial=12.5, w0=20.0)
FACTS = {"image_id": "café", "image_height": 9, "w0": 20.0, "best_psnr_db": 31.4159}


def network(trial):
    """Weights of any size that would be drawn, [out, in], and biases."""
    draw = np.random.default_rng(trial.layer_size)
    return tuple(
        {
            "weight": np.float32(draw.uniform(-0.3, 0.3, shape)),
            "bias": np.float32(draw.uniform(-0.3, 0.3, shape[0])),
        }
        for shape in trial.layer_shapes
    )


PARAMS = network(TRIAL)
ARRAYS = jaxinr.to_torch(PARAMS)


def same(arrays, expected=ARRAYS):
    assert list(arrays) == list(expected)
    for name, values in expected.items():
        assert np.asarray(arrays[name]).dtype == np.float32
        np.testing.assert_array_equal(np.asarray(arrays[name]), values)


def test_npz_is_read_without_pickle():
    with np.load(io.BytesIO(export.as_npz(PARAMS, FACTS)), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    assert json.loads(str(arrays.pop("hyperparameters"))) == FACTS
    same(arrays)


def test_safetensors_and_its_metadata(tmp_path):
    path = tmp_path / "one.safetensors"
    path.write_bytes(export.as_safetensors(PARAMS, FACTS))
    arrays = safetensors_numpy.load_file(path)
    same({name: arrays[name] for name in ARRAYS})
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert list(metadata) == ["hyperparameters"]
    assert json.loads(metadata["hyperparameters"]) == FACTS


def test_json_has_hyperparameters_and_nested_lists():
    read = json.loads(export.as_json(PARAMS, FACTS))
    assert list(read) == ["hyperparameters", "weights"]
    assert read["hyperparameters"] == FACTS
    same({name: np.array(values, np.float32) for name, values in read["weights"].items()})


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_every_float32_comes_back_from_json(values):
    params = ({"weight": np.zeros((3, 1), np.float32), "bias": np.array(values, np.float32)},) * 2
    bias = json.loads(export.as_json(params, {}))["weights"]["net.0.linear.bias"]
    np.testing.assert_array_equal(np.array(bias, np.float32), params[0]["bias"])


@pytest.mark.parametrize(("value", "expected"), [(np.nan, None), (np.inf, "Infinity")])
def test_json_is_strict_where_numbers_are_not_finite(value, expected):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    text = export.as_json(PARAMS, {"best_psnr_db": value})
    assert json.loads(text, parse_constant=refuse)["hyperparameters"] == {"best_psnr_db": expected}
    broken = network(TRIAL)
    broken[1]["bias"][2] = value
    with pytest.raises(ValueError, match="JSON compliant"):
        export.as_json(broken, FACTS)


@pytest.mark.parametrize("name", ["npz", "safetensors", "json"])
def test_the_same_network_gives_the_same_bytes(name):
    as_bytes = export.FORMATS[name][1]
    assert len({as_bytes(PARAMS, FACTS) for _ in range(20)}) == 1


def test_only_torch_needs_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    for name, (_, as_bytes) in export.FORMATS.items():
        if name == "torch":
            continue
        export.require(name)
        assert as_bytes(PARAMS, FACTS)
    with pytest.raises(ImportError):
        export.require("torch")


# ---------------------------------------------------------------------------- PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")


@pytest.fixture
def loaded(torch):
    """A SIREN written as PyTorch modules whose names are COIN's, with the weights of a file."""

    class Layer(torch.nn.Module):
        def __init__(self, fan_in, out, omega):
            super().__init__()
            self.linear, self.omega = torch.nn.Linear(fan_in, out), omega

        def forward(self, features):
            sums = self.linear(features)
            return sums if self.omega is None else torch.sin(self.omega * sums)

    class Siren(torch.nn.Module):
        def __init__(self, trial):
            super().__init__()
            shapes, omegas = trial.layer_shapes, [trial.w0_initial] + [trial.w0] * trial.num_layers
            layers = [Layer(i, o, w) for (o, i), w in zip(shapes[:-1], omegas, strict=False)]
            self.net = torch.nn.Sequential(*layers)
            self.last_layer = Layer(trial.layer_size, 3, None)

        def forward(self, points):
            return self.last_layer(self.net(points))

    def load(trial, data):
        siren = Siren(trial)
        siren.load_state_dict(torch.load(io.BytesIO(data), weights_only=True))  # strict
        return siren

    return load


def test_state_dict_is_read_as_tensors(torch):
    state = torch.load(io.BytesIO(export.as_torch(PARAMS, FACTS)), weights_only=True)
    same({name: tensor.numpy() for name, tensor in state.items()})


@pytest.mark.parametrize("size", [(9, 14), (14, 9)])
def test_pytorch_draws_the_same_picture(torch, loaded, size):
    height, width = size
    row, column = np.mgrid[:height, :width]  # as COIN: both are divided by the height - 1
    points = 2 * (np.stack([row, column], axis=-1) / (height - 1) - 0.5)
    with torch.no_grad():
        drawn = loaded(TRIAL, export.as_torch(PARAMS, FACTS))(torch.tensor(np.float32(points)))
    expected = jaxinr.render(PARAMS, TRIAL, size)
    assert np.ptp(expected) > 0.3  # there is something in it
    np.testing.assert_allclose(drawn.numpy(), expected, rtol=0, atol=1e-4)


def test_network_of_coin_draws_what_coin_drew(torch, loaded, shared_data):
    with np.load(shared_data / "golden" / "coin" / "siren_5x20.npz") as golden:
        arrays = {
            key.removeprefix("final/"): golden[key]
            for key in golden.files
            if key.startswith("final/")
        }
        points, expected = golden["coordinates"], golden["final_output"]
    trial = Trial(layer_size=20, num_layers=5)
    with torch.no_grad():
        data = export.as_torch(jaxinr.from_torch(arrays), {})
        drawn = loaded(trial, data)(torch.tensor(points)).numpy()
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-4)
    picture = jaxinr.render(jaxinr.from_torch(arrays), trial, (48, 64))
    np.testing.assert_allclose(picture.reshape(-1, 3), drawn, rtol=0, atol=1e-4)
