"""Every kind of network against NumPy in float64: values, gradients, training, padding, draws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxinr
from jaxinr import Trial, buckets
from jaxinr import kind as kinds
from jaxinr.networks.registry import KINDS, init, owners
from jaxinr.trial import flops_per_pixel

TRIALS = {
    "siren": Trial(layer_size=5, num_layers=3, w0_initial=12.0, w0=20.0, seed=1),
    "finer": Trial(
        network="finer", layer_size=5, num_layers=3, w0_initial=7.0, w0=9.0, first_bias_scale=0.8
    ),
    "gauss": Trial(network="gauss", layer_size=5, num_layers=3, sigma=0.3, seed=2),
    "wire": Trial(network="wire", layer_size=4, num_layers=3, omega0=4.0, s0=1.5, seed=3),
    "relu_fourier": Trial(
        network="relu_fourier", layer_size=5, num_layers=3, sigma=0.8, num_frequencies=6, seed=4
    ),
}
assert set(TRIALS) == set(KINDS)
POINTS = np.random.default_rng(0).uniform(-1.4, 1.4, (2, 40)).astype(np.float32)
COLOURS = np.random.default_rng(1).uniform(0.0, 1.0, (3, 40))


# ----------------------------------------------------------- the reference: float64, by hand


def activation(trial, depth, z):
    """Value, and the derivatives by z and by its conjugate: g(dz) = by_z dz + by_conjugate dz'."""
    if trial.network in ("siren", "finer"):
        omega = trial.w0_initial if depth == 0 else trial.w0
        bend, slope = (np.abs(z) + 1, 2 * np.abs(z) + 1) if trial.network == "finer" else (1, 1)
        return np.sin(omega * bend * z), omega * slope * np.cos(omega * bend * z), 0.0 * z
    if trial.network == "gauss":
        value = np.exp(-(z**2) / (2 * trial.sigma**2))
        return value, -z / trial.sigma**2 * value, 0.0 * z
    if trial.network == "wire":
        value = np.exp(1j * trial.omega0 * z - np.abs(trial.s0 * z) ** 2)
        by_z = value * (1j * trial.omega0 - trial.s0**2 * np.conj(z))
        return value, by_z, -(trial.s0**2) * z * value
    return np.maximum(z, 0.0), (z > 0).astype(float), 0.0 * z


def prepared(trial, params, points):
    """Features of the first trained layer; layers in float64, complex where the kind is."""
    points = np.asarray(points, np.float64)
    if trial.network == "wire":
        (first, *hidden, last) = params
        layers = [{"weight": first["weight"], "bias": first["bias"]}]
        layers += [{k: x[0::2] + 1j * x[1::2] for k, x in layer.items()} for layer in hidden]
        weight = last["weight"][:, 0::2] + 1j * last["weight"][:, 1::2]
        return points, [*layers, {"weight": weight, "bias": last["bias"]}]
    if trial.network == "relu_fourier":
        angles = 2 * np.pi * (params[0]["weight"] @ points + params[0]["bias"][:, None])
        return np.concatenate([np.sin(angles), np.cos(angles)]), params[1:]
    return points, params


def loss_and_gradient(trial, params, points, colours):
    """Mean squared error, its gradient by reverse accumulation, and the picture."""
    features, layers = prepared(trial, params, points)
    tape = []
    for depth, layer in enumerate(layers[:-1]):
        z = layer["weight"] @ features + layer["bias"][:, None]
        value, by_z, by_conjugate = activation(trial, depth, z)
        tape.append((features, by_z, by_conjugate))
        features = value
    picture = np.real(layers[-1]["weight"] @ features) + layers[-1]["bias"][:, None]
    error = picture - colours
    back = 2 * error / error.size  # of x + i y: the derivative by x, plus i times that by y
    found = [
        {"weight": back @ np.conj(features).T, "bias": back.sum(axis=1)},
    ]
    back = np.conj(layers[-1]["weight"]).T @ back
    for (inputs, by_z, by_conjugate), layer in zip(tape[::-1], layers[-2::-1], strict=True):
        back = np.conj(by_z) * back + by_conjugate * np.conj(back)
        if not np.iscomplexobj(layer["weight"]):
            back = np.real(back)
        found.insert(0, {"weight": back @ np.conj(inputs).T, "bias": back.sum(axis=1)})
        back = np.conj(layer["weight"]).T @ back
    return np.mean(error**2), as_stored(trial, params, found), picture


def as_stored(trial, params, layers):
    """Gradients in the real numbers that a network is stored in."""
    if trial.network == "wire":
        first, *hidden, last = layers
        hidden = [
            {k: np.stack([x.real, x.imag], 1).reshape(-1, *x.shape[1:]) for k, x in layer.items()}
            for layer in hidden
        ]
        weight = np.stack([last["weight"].real, last["weight"].imag], 2).reshape(3, -1)
        return (first, *hidden, {"weight": weight, "bias": last["bias"]})
    fixed = params[: len(params) - len(layers)]
    return (*jax.tree.map(np.zeros_like, fixed), *layers)


def to_float64(params):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tuple(params))


@pytest.mark.parametrize("name", TRIALS)
def test_reference_gradient_is_that_of_finite_differences(name):
    trial = TRIALS[name]
    params = to_float64(init(trial))
    gradient = loss_and_gradient(trial, params, POINTS, COLOURS)[1]
    step = 1e-6
    for layer, slopes in zip(params[KINDS[name].fixed_layers :], gradient[-4:], strict=True):
        for part, leaf in layer.items():
            for place in list(np.ndindex(leaf.shape))[::3]:
                middle = leaf[place]
                ends = []
                for side in (step, -step):
                    leaf[place] = middle + side
                    ends.append(loss_and_gradient(trial, params, POINTS, COLOURS)[0])
                leaf[place] = middle
                slope = (ends[0] - ends[1]) / (2 * step)
                np.testing.assert_allclose(slopes[part][place], slope, rtol=1e-5, atol=1e-7)


# ----------------------------------------------------------- values, gradients, padding


@pytest.mark.parametrize("extra", [0, 3])
@pytest.mark.parametrize("name", TRIALS)
def test_values_and_gradients_at_any_padding(name, extra):
    trial, kind = TRIALS[name], KINDS[name]
    own = init(trial)
    wider = kind.shapes(trial.layer_size + extra, trial.num_layers, *trial.static)
    values, colours = kind.traced_values(trial), COLOURS.astype(np.float32)

    @jax.jit
    def measure(params):
        def loss(params):
            picture = kind.apply(params, values, POINTS, "float32")
            return jnp.mean((picture - colours) ** 2), picture

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, picture), gradient = measure(kinds.pad(own, wider))
    expected = loss_and_gradient(trial, to_float64(own), POINTS, COLOURS)
    # Sums of float32 through three layers of slope up to 20 or so.
    np.testing.assert_allclose(picture, expected[2], rtol=0, atol=5e-5)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-4)
    mine = kinds.crop(gradient, trial.layer_shapes)
    for found, wanted in zip(jax.tree.leaves(mine), jax.tree.leaves(expected[1]), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5)
    jax.tree.map(np.testing.assert_array_equal, kinds.pad(mine, wider), gradient)


def test_an_unmasked_bell_would_be_seen():
    # exp(0) = 1: with padded units that count, the last layer's gradient is not zero there.
    trial, kind = TRIALS["gauss"], KINDS["gauss"]
    padded = kinds.pad(init(trial), kind.shapes(8, 3))
    values = kind.traced_values(trial)

    @jax.jit
    def slope(size):
        def total(params):
            return kind.apply(params, {**values, "layer_size": size}, POINTS, "float32").sum()

        return jax.grad(total)(padded)[-1]["weight"]

    assert (slope(np.int32(5))[:, 5:] == 0).all()
    assert (slope(np.int32(8))[:, 5:] != 0).all()


def test_frequencies_are_not_trained():
    trial, kind = TRIALS["relu_fourier"], KINDS["relu_fourier"]
    slope = jax.jit(jax.grad(lambda p: kind.apply(p, {}, POINTS, "float32").sum()))
    gradient = slope(init(trial))
    assert not any(np.any(leaf) for leaf in gradient[0].values())
    assert np.any(gradient[1]["weight"])


# ----------------------------------------------------------- training


def adam(trial, params, points, colours, num_iters):
    """Losses before each update and after the last, and the weights then, in float64."""
    params = to_float64(params)
    mean, square = (jax.tree.map(np.zeros_like, params) for _ in range(2))
    losses = []
    for age in range(1, num_iters + 1):
        loss, gradient, _ = loss_and_gradient(trial, params, points, colours)
        losses.append(loss)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, gradient)
        params = jax.tree.map(
            lambda p, m, v, age=age: (
                p
                - trial.learning_rate * m / (1 - 0.9**age) / (np.sqrt(v / (1 - 0.999**age)) + 1e-8)
            ),
            params,
            mean,
            square,
        )
    losses.append(loss_and_gradient(trial, params, points, colours)[0])
    return np.array(losses), params


def test_kinds_and_widths_train_side_by_side_as_each_would_alone():
    size, num_iters = (6, 8), 8
    image = np.random.default_rng(2).integers(0, 256, (*size, 3)).astype(np.uint8)
    trials = [
        dataclasses.replace(one, layer_size=width, num_iters=num_iters)
        for one in TRIALS.values()
        for width in (one.layer_size, one.layer_size + 2)
    ]
    sizes = [size] * len(trials)
    plan = buckets.make_buckets(trials, sizes, shards=2, platform="cpu", kernel="xla")
    assert sorted(bucket.program.network for bucket in plan) == sorted(KINDS)  # one for each kind
    fits = jaxinr.fit([image] * len(trials), trials, coordinates="symmetric", log_every=1)
    grid = np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 8), indexing="ij")
    points, colours = np.stack(grid).reshape(2, -1), image.reshape(-1, 3).T / 255
    assert fits.status == ["done"] * len(trials)
    for i, trial in enumerate(trials):
        losses, params = adam(trial, init(trial), points, colours, num_iters)
        np.testing.assert_allclose(fits.psnr_db[i], -10 * np.log10(losses), atol=2e-3)
        assert fits.fits[i].best_iteration == losses.argmin()
        if losses.argmin() == num_iters:
            for mine, wanted in zip(
                jax.tree.leaves(fits.params(i)), jax.tree.leaves(params), strict=True
            ):
                assert mine.shape == wanted.shape
                np.testing.assert_allclose(mine, wanted, atol=2e-4)
        drawn = jaxinr.render(fits.params(i), trial, size, coordinates="symmetric")
        assert -10 * np.log10(np.mean((drawn - image / 255) ** 2)) == pytest.approx(
            fits.best_psnr_db[i], abs=1e-3
        )


# ----------------------------------------------------------- initial weights


def uniform_within(leaf, bound):
    assert np.abs(leaf).max() <= bound * (1 + 1e-6)
    assert scipy.stats.kstest(leaf.ravel() / bound, scipy.stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_finer_spreads_its_first_biases():
    trial = Trial(network="finer", layer_size=400, num_layers=2, w0=12.0, first_bias_scale=5.0)
    first, hidden, last = init(trial)
    uniform_within(first["weight"], 0.5)  # 1 / fan_in
    uniform_within(first["bias"], 5.0)
    for layer in (hidden, last):
        uniform_within(layer["weight"], np.sqrt(6 / 400) / 12)
    uniform_within(hidden["bias"], 1 / np.sqrt(400))


@pytest.mark.parametrize("name", ["gauss", "wire"])
def test_layers_of_pytorch_are_uniform_within_the_root_of_the_fan_in(name):
    first, hidden, last = init(Trial(network=name, layer_size=300, num_layers=2, seed=5))
    uniform_within(first["weight"], 1 / np.sqrt(2))
    uniform_within(first["bias"], 1 / np.sqrt(2))
    uniform_within(hidden["weight"], 1 / np.sqrt(300))  # of 300 complex inputs, each part
    uniform_within(hidden["bias"], 1 / np.sqrt(300))
    uniform_within(last["weight"], 1 / np.sqrt(300))
    assert hidden["weight"].shape == ((600, 300) if name == "wire" else (300, 300))


def test_relu_network_draws_normal_frequencies_and_weights():
    trial = Trial(
        network="relu_fourier", layer_size=200, num_layers=2, sigma=3.0, num_frequencies=500, seed=6
    )
    fixed, *layers = init(trial)
    deviations = [np.sqrt(2 / (200 + 1000)), np.sqrt(2 / 400), np.sqrt(2 / 203)]
    for values, deviation in [
        (fixed["weight"], 3.0),
        *zip([layer["weight"] for layer in layers], deviations, strict=True),
        (layers[0]["bias"], 0.01),
    ]:
        law = scipy.stats.kstest(values.ravel() / deviation, scipy.stats.norm.cdf)
        assert law.pvalue > 0.01
    assert (fixed["bias"] == 0).all()


@pytest.mark.parametrize("name", TRIALS)
def test_draws_depend_on_the_seed_alone_and_biases_may_be_zero(name):
    trial = TRIALS[name]
    jax.tree.map(np.testing.assert_array_equal, init(trial), init(trial))
    other = dataclasses.replace(trial, seed=99)
    assert np.any(init(other)[0]["weight"] != init(trial)[0]["weight"])
    plain = init(trial, bias_init="zero")
    for drawn, still in zip(init(trial), plain, strict=True):
        np.testing.assert_array_equal(drawn["weight"], still["weight"])
        assert (still["bias"] == 0).all()


def test_draws_are_those_of_every_release():
    # Computed once by these functions: a run taken up later must start from the same weights.
    found = [init(TRIALS[name])[-1]["bias"][0] for name in KINDS]
    expected = [0.020959921, 0.38229957, 0.43100956, 0.046747409, 0.0074704355]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# ----------------------------------------------------------- sizes


def test_parameters_are_what_is_trained():
    w, depth, f = 7, 4, 9
    size = {"layer_size": w, "num_layers": depth}
    dense = 3 * w + (depth - 1) * (w * w + w) + 3 * w + 3
    for name in ("siren", "finer", "gauss"):
        assert Trial(network=name, **size).parameters == dense
    # Complex weights and biases count twice; the first layer is real, and so is the last bias.
    complex_count = 3 * w + 2 * (depth - 1) * (w * w + w) + 2 * 3 * w + 3
    assert Trial(network="wire", **size).parameters == complex_count
    fourier = Trial(network="relu_fourier", num_frequencies=f, **size)
    assert fourier.parameters == dense - 3 * w + 2 * f * w + w
    for trial in (*TRIALS.values(), fourier):
        params = init(trial)
        assert [layer["weight"].shape for layer in params] == trial.layer_shapes
        trained = params[KINDS[trial.network].fixed_layers :]
        assert sum(leaf.size for leaf in jax.tree.leaves(trained)) == trial.parameters


def test_flops_count_the_real_products():
    w, depth, f = 7, 4, 9
    of_wire = flops_per_pixel(w, depth, "wire")
    # First: forward and weights. Hidden: (2 W)^2 real products, three times. Last: 2 W x 3.
    assert of_wire == 2 * 2 * 2 * w + 6 * (depth - 1) * (2 * w) ** 2 + 6 * 3 * 2 * w
    of_fourier = flops_per_pixel(w, depth, "relu_fourier", (f,))
    assert of_fourier == 2 * 2 * f + 4 * 2 * f * w + 6 * (depth - 1) * w * w + 6 * 3 * w


def test_owners_of_a_hyperparameter():
    assert owners("sigma") == ["gauss", "relu_fourier"]
    assert owners("w0") == ["siren", "finer"]
