"""Kinds in trials, tables, exports and PyTorch names; and what is for SIRENs alone."""

import dataclasses
import functools
import io
import json
import logging

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import jaxinr
from jaxfleet.results import table
from jaxinr import Trial, export
from jaxinr.kernels import choice
from jaxinr.networks.registry import KINDS, init, meanings
from jaxinr.trial import require_sirens

TRIALS = {name: Trial(network=name, layer_size=4, num_layers=3) for name in KINDS}
EACH = pytest.mark.parametrize("name", list(KINDS))


# ----------------------------------------------------------- trials


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"network": "mlp"},
            ValueError,
            "network must be one of siren, finer, gauss, wire",
        ),
        ({"network": "gauss", "w0": 20.0}, ValueError, "a gauss network has no w0; .*It has sigma"),
        ({"sigma": 0.2}, ValueError, "a siren network has no sigma; .* It has w0_initial, w0"),
        ({"network": "wire", "sigma": 0.2}, ValueError, "a wire network has no .* omega0, s0"),
        ({"network": "gauss", "sigma": 0.0}, ValueError, "sigma must be positive and finite"),
        ({"network": "gauss", "sigma": "1"}, TypeError, "sigma must be a number"),
        (
            {"network": "relu_fourier", "num_frequencies": 2.5},
            TypeError,
            "num_frequencies must be a whole number",
        ),
        (
            {"network": "gauss", "simga": 1.0},
            TypeError,
            "a trial has no 'simga'; a gauss network has network, .*layer_size, .*sigma",
        ),
    ],
)
def test_what_a_kind_does_not_have_is_refused_with_what_it_has(fields, error, message):
    with pytest.raises(error, match=message) as caught:
        Trial(**fields)
    assert "\n" not in str(caught.value)


def test_a_hyperparameter_of_several_kinds_has_one_meaning_or_several():
    assert meanings()["w0"] == "frequency factor of the other layers (siren, finer)"
    bell, frequencies = "width of the bell (gauss)", "deviation of the random frequencies"
    assert meanings()["sigma"] == f"{bell}; {frequencies} (relu_fourier)"


def test_defaults_are_those_of_the_kind():
    assert Trial(network="gauss").sigma == 0.1
    assert Trial(network="relu_fourier").sigma == 5.0
    assert (Trial().sigma, Trial().omega0) == (None, None)
    assert Trial(network="gauss", w0=30.0) == Trial(network="gauss")  # not given, as it were
    assert type(Trial(network="relu_fourier").num_frequencies) is int


@EACH
def test_row_of_a_trial_has_null_for_what_its_kind_lacks(name):
    trial = TRIALS[name]
    row = trial.as_row()
    others = {one for kind in KINDS.values() for one in kind.hyperparameters}
    others -= set(KINDS[name].hyperparameters)
    assert {key for key, value in row.items() if value is None} == others
    assert Trial.from_row(row) == trial
    as_pandas = {key: np.nan if value is None else value for key, value in row.items()}
    if row["num_frequencies"] is not None:
        as_pandas["num_frequencies"] = float(row["num_frequencies"])
    assert Trial.from_row(as_pandas) == trial


# ----------------------------------------------------------- weights elsewhere


NAMES = {
    "siren": ["net.0.linear", "net.1.linear", "net.2.linear", "last_layer.linear"],
    "finer": ["net.0.linear", "net.1.linear", "net.2.linear", "net.3"],
    "gauss": ["net.0.linear", "net.1.linear", "net.2.linear", "net.3"],
    "wire": ["net.0.linear", "net.1.linear", "net.2.linear", "net.3"],
    "relu_fourier": ["net.0", "net.2", "net.4", "net.6"],
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_pytorch_code_and_back(name):
    params = init(TRIALS[name])
    arrays = jaxinr.to_torch(params, name)
    expected = [f"{layer}.{part}" for layer in NAMES[name] for part in ("weight", "bias")]
    assert list(arrays) == (["B"] if name == "relu_fourier" else []) + expected
    again = jaxinr.from_torch(arrays, name)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    del arrays[expected[2]]
    with pytest.raises(ValueError, match=rf"missing \['{expected[2]}'\]"):
        jaxinr.from_torch(arrays, name)


def test_names_of_an_unknown_kind_are_refused():
    for function in (jaxinr.to_torch, jaxinr.from_torch):
        with pytest.raises(ValueError, match="network must be one of siren, .*; got 'mlp'"):
            function({}, "mlp")


def test_complex_weights_of_pytorch_code_draw_the_same_picture():
    # The layers of WIRE's code on complex numbers, from the names and shapes that it has.
    trial = TRIALS["wire"]
    params = init(trial)
    arrays = jaxinr.to_torch(params, "wire")
    assert [arrays[f"{layer}.weight"].dtype for layer in NAMES["wire"]] == [
        np.float32, np.complex64, np.complex64, np.complex64
    ]  # fmt: skip
    points = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    h = points
    for layer in NAMES["wire"]:
        h = h @ arrays[f"{layer}.weight"].astype(complex).T + arrays[f"{layer}.bias"]
        if layer != "net.3":
            h = np.exp(1j * trial.omega0 * h - np.abs(trial.s0 * h) ** 2)
    kind = KINDS["wire"]
    draw = jax.jit(functools.partial(kind.apply, products="float32"))
    drawn = draw(params, kind.traced_values(trial), points.T.astype(np.float32))
    np.testing.assert_allclose(drawn.T, h.real, atol=2e-5)


def pairs(array):
    return np.stack([array.real, array.imag], -1) if np.iscomplexobj(array) else array


@EACH
def test_files_hold_every_weight_and_the_kind(name):
    params, facts = init(TRIALS[name]), {"network": name, "layer_size": 4}
    arrays = jaxinr.to_torch(params, name)
    with np.load(io.BytesIO(export.as_npz(params, facts))) as file:
        for key, array in arrays.items():
            np.testing.assert_array_equal(file[key], array)
        assert json.loads(str(file["hyperparameters"])) == facts
    tensors = safetensors_numpy.load(export.as_safetensors(params, facts))
    read = json.loads(export.as_json(params, facts))
    for key, array in arrays.items():
        np.testing.assert_array_equal(tensors[key], pairs(array))
        np.testing.assert_array_equal(np.float32(read["weights"][key]), pairs(array))


@EACH
def test_flat_weights_and_shapes_give_the_network_back(name):
    trial = TRIALS[name]
    params = init(trial)
    again = table.unflatten_layers(table.flatten(params), trial.layer_shapes)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@EACH
def test_render_takes_networks_that_went_elsewhere(name):
    trial = TRIALS[name]
    params = init(trial)
    drawn = jaxinr.render(params, trial, (5, 7))
    assert np.isfinite(drawn).all()
    again = jaxinr.from_torch(jaxinr.to_torch(params, name), name)
    np.testing.assert_array_equal(jaxinr.render(again, trial, (5, 7)), drawn)
    with pytest.raises(ValueError, match="params must have the layers of its trial"):
        jaxinr.render(params[1:], trial, (5, 7))


# ----------------------------------------------------------- kernels, codec, forecaster


@pytest.mark.parametrize(
    ("kernel", "platform"), [("numba", "cpu"), ("auto", "cpu"), ("pallas", "gpu")]
)
def test_other_kinds_fall_back_to_xla_and_one_line_says_so(kernel, platform, caplog):
    choice.choose.cache_clear()
    choice._say.cache_clear()
    with caplog.at_level(logging.WARNING):
        for name in ("gauss", "wire", "finer"):
            for width in (8, 16):
                assert choice.choose(kernel, platform, 3, width, "float32", name) == "xla"
    (line,) = caplog.messages
    assert line.endswith("is not for networks other than SIRENs; those train by XLA.")


def test_codec_and_forecaster_are_for_sirens():
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="the codec is for SIRENs; got a gauss network"):
        jaxinr.encode(image, architecture=TRIALS["gauss"])
    with pytest.raises(ValueError, match="the forecaster is for SIRENs; got a wire network"):
        jaxinr.forecast(image, [TRIALS["siren"], TRIALS["wire"]])
    require_sirens([TRIALS["siren"], dataclasses.replace(TRIALS["siren"], seed=1)], "this")
