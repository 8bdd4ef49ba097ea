"""Weights of k bits: how near, how far out, and how few bits they need."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxinr.quantise import MAX_BITS, MIN_BITS, Quantised, largest_code, quantise

BITS = range(MIN_BITS, MAX_BITS + 1)


def network(seed, scale=1.0, layer_size=5):
    """Two layers whose biases are a thousandth of their weights."""
    draw = np.random.default_rng(seed)
    return tuple(
        {
            "weight": np.float32(scale * draw.normal(size=(out, fan_in))),
            "bias": np.float32(1e-3 * scale * draw.normal(size=out)),
        }
        for out, fan_in in ((layer_size, 2), (3, layer_size))
    )


def arrays(layers):
    """Weights and biases of the layers in turn."""
    return [np.asarray(layer[kind]) for layer in layers for kind in ("weight", "bias")]


@given(st.integers(0, 2**32 - 1), st.sampled_from(BITS), st.sampled_from([1e-30, 1e-3, 1.0, 1e30]))
def test_no_weight_moves_by_more_than_half_a_step(seed, bits, scale):
    params = network(seed, scale)
    quantised = quantise(params, bits)
    assert quantised.steps.dtype == np.float32
    triples = zip(arrays(params), arrays(quantised.params), quantised.steps, strict=True)
    for exact, rounded, step in triples:
        assert rounded.dtype == np.float32
        assert rounded.shape == exact.shape
        # Beside the half step: float32's own rounding of step, quotient and product.
        allowed = 0.5 * step + 4e-7 * np.abs(exact)
        assert (np.abs(np.float64(rounded) - exact) <= allowed).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from(BITS), st.sampled_from([1e-30, 1.0, 1e30]))
def test_the_largest_weight_of_each_array_has_the_outermost_code(seed, bits, scale):
    params = network(seed, scale)
    for exact, codes in zip(arrays(params), arrays(quantise(params, bits).codes), strict=True):
        assert codes.dtype == np.int32
        assert np.abs(codes).max() == 2 ** (bits - 1) - 1 == largest_code(bits)
        at = np.unravel_index(np.abs(exact).argmax(), exact.shape)
        assert codes[at] == np.sign(exact[at]) * largest_code(bits)


def test_codes_by_hand():
    params = ({"weight": [[0.7, -1.4], [0.2, 0.0]], "bias": [-0.003, 0.0012]},)
    quantised = quantise(params, 3)  # codes from -3 to 3
    (layer,) = quantised.codes
    np.testing.assert_array_equal(layer["weight"], [[2, -3], [0, 0]])  # of 1.4 / 3
    np.testing.assert_array_equal(layer["bias"], [-3, 1])
    np.testing.assert_allclose(quantised.steps, [1.4 / 3, 0.001], rtol=1e-6)
    np.testing.assert_allclose(quantised.params[0]["bias"], [-0.003, 0.001], rtol=1e-6)


def test_codes_are_symmetric_about_zero():
    params = network(0)
    negated = jax.tree.map(np.negative, params)
    pairs = zip(arrays(quantise(params, 4).codes), arrays(quantise(negated, 4).codes), strict=True)
    for codes, others in pairs:
        np.testing.assert_array_equal(codes, -others)


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_zeros_stay_zeros_and_cost_nothing(bits):
    params = jax.tree.map(np.zeros_like, network(0))
    quantised = quantise(params, bits)
    assert (quantised.steps == 0).all()
    assert quantised.entropy_bits == 0
    jax.tree.map(np.testing.assert_array_equal, quantised.params, params)


def test_quantising_again_changes_no_code():
    once = quantise(network(1), 6)
    twice = quantise(once.params, 6)
    jax.tree.map(np.testing.assert_array_equal, twice.codes, once.codes)


def test_one_array_does_not_change_the_codes_of_another():
    params = network(2)
    wider = ({**params[0], "weight": 100 * params[0]["weight"]}, params[1])
    pairs = zip(arrays(quantise(params, 8).codes), arrays(quantise(wider, 8).codes), strict=True)
    for codes, others in list(pairs)[1:]:
        np.testing.assert_array_equal(codes, others)


@pytest.mark.parametrize("bits", [1, 17, 0, -8])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(ValueError, match=f"bits must be from 2 to 16; got {bits}"):
        quantise(network(0), bits)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_weights_that_are_not_finite_are_refused(value, kind):
    params = network(0)
    params[1][kind][..., -1] = value
    with pytest.raises(ValueError, match="a weight is not finite"):
        quantise(params, 8)


# ---------------------------------------------------------------------------- entropy


def entropy_bits(weight, bias=(0,)):
    codes = ({"weight": np.array(weight, np.int32), "bias": np.array(bias, np.int32)},)
    return Quantised(codes, np.ones(2, np.float32)).entropy_bits


@pytest.mark.parametrize("b", [0, 1, 4, 10])
def test_uniform_codes_need_b_bits_each(b):
    assert entropy_bits(np.tile(np.arange(2**b), 3).reshape(-1, 1)) == pytest.approx(b * 3 * 2**b)


def test_entropy_of_unequal_codes_by_hand():
    # 1/2, 1/4, 1/8, 1/8: 1 3/4 bits each. Biases are counted by themselves: 2 fair coins.
    codes = [[0, 0, 0, 0, -1, -1, 2, 3]]
    assert entropy_bits(codes) == pytest.approx(14)
    assert entropy_bits(codes, bias=[0, 5]) == pytest.approx(14 + 2)


@given(st.integers(0, 2**32 - 1), st.sampled_from(BITS))
def test_entropy_is_at_most_the_bits_of_the_codes(seed, bits):
    params = network(seed, layer_size=40)
    weights = sum(array.size for array in arrays(params))
    assert 0 < quantise(params, bits).entropy_bits <= weights * bits
