import functools
import json

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxfleet.fleet import compiler_options
from jaxinr import Trial, buckets, from_torch, program, siren

# ---------------------------------------------------------------------------- sine


@pytest.fixture(scope="module")
def half_turns():
    """Arguments x of sin(pi x) with |pi x| <= 1000: even, random, and around multiples of 1/2."""
    edge = np.float32(1000 / np.pi)
    even = np.linspace(-edge, edge, 1 << 20, dtype=np.float32)
    random = np.random.default_rng(0).uniform(-edge, edge, 1 << 20).astype(np.float32)
    near = [np.arange(-636, 637, dtype=np.float32) / 2]
    for direction in (-np.inf, np.inf):
        step = near[0]
        for _ in range(3):
            step = np.nextafter(step, np.float32(direction))
            near.append(step)
    small = 10.0 ** np.arange(-12, 0.0)
    return np.concatenate([even, random, *near, small, -small]).astype(np.float32)


@pytest.fixture(scope="module", params=["as the fleet", "as jit"])
def sine_and_slope(request, half_turns):
    """Forward value, forward value under differentiation, and derivative over pi."""
    options = compiler_options("cpu") if request.param == "as the fleet" else None

    def measure(x):
        value, pull = jax.vjp(siren.sinpi, x)
        return siren.sinpi(x), value, pull(jnp.ones_like(x))[0] / jnp.pi

    return jax.jit(measure, compiler_options=options), half_turns


def test_sine_and_its_derivative_against_float64(sine_and_slope):
    measure, x = sine_and_slope
    angle = np.pi * np.remainder(x.astype(np.float64), 2.0)  # the remainder is exact
    plain, value, slope = measure(x)
    np.testing.assert_allclose(plain, value, rtol=0, atol=1.2e-7)  # one unit in the last place
    np.testing.assert_allclose(value, np.sin(angle), rtol=0, atol=3e-7)
    np.testing.assert_allclose(slope, np.cos(angle), rtol=0, atol=3e-7)


def test_sine_of_what_is_not_finite_is_nan(sine_and_slope):
    measure, x = sine_and_slope
    bad = x.copy()
    bad[::3], bad[1::3], bad[2::3] = np.nan, np.inf, -np.inf
    for values in measure(bad):
        assert np.isnan(values).all()


def test_sine_is_odd_and_zero_at_zero(sine_and_slope):
    # A padded unit must stay at exactly zero.
    measure, x = sine_and_slope
    np.testing.assert_array_equal(measure(x)[0], -measure(-x)[0])
    assert (measure(np.zeros_like(x))[0] == 0).all()


# ---------------------------------------------------------------------------- affine


@pytest.mark.parametrize(("out", "fan_in"), [(7, 2), (5, 5), (3, 7)])
def test_gradient_of_affine_is_that_of_autodiff(key, out, fan_in):
    keys = jax.random.split(key, 4)
    shapes = [(out, fan_in), (out,), (fan_in, 33), (out, 33)]
    *arguments, cotangent = (
        jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True)
    )

    def plain(weight, bias, inputs):
        return weight @ inputs + bias[:, None]

    def value_and_gradients(function):
        value, pull = jax.vjp(function, *arguments)
        return value, *pull(cotangent)

    found, expected = jax.jit(lambda: [*map(value_and_gradients, (siren.affine, plain))])()
    for mine, theirs in zip(found, expected, strict=True):
        # 1e-5: sums of up to 33 products of order one, in another order.
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------- apply and the loss


def forward_float64(params, w0_initial, w0, points):
    """SIREN in numpy: [2, P] -> [3, P]."""
    features = np.asarray(points, np.float64)
    for depth, layer in enumerate(params):
        features = np.asarray(layer["weight"], np.float64) @ features + layer["bias"][:, None]
        if depth < len(params) - 1:
            features = np.sin((w0_initial if depth == 0 else w0) * features)
    return features


def to_float64(params):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def test_apply_against_float64():
    params = siren.init(Trial(layer_size=8, num_layers=3, seed=3))
    points = np.random.default_rng(1).uniform(-1.7, 1.7, (2, 200)).astype(np.float32)
    colours = jax.jit(siren.apply)(params, np.float32(25), np.float32(30), points)
    expected = forward_float64(to_float64(params), 25, 30, points)
    # First-layer angles reach 60, where float32 is spaced by 4e-6; two more sines of slope about 5
    # each make that 1e-4 at worst.
    np.testing.assert_allclose(colours, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["5x20", "3x64"])
def test_first_gradient_of_coin(shared_data, name):
    with np.load(shared_data / "golden" / "coin" / f"siren_{name}.npz") as golden:
        start, expected = (
            from_torch({k.removeprefix(p): golden[k] for k in golden.files if k.startswith(p)})
            for p in ("init/", "grad_0/")
        )
        points, loss = golden["coordinates"].T, golden["loss"][0]
        target = golden["image"].reshape(-1, 3).T.astype(np.float32) / np.float32(255)
        size = json.loads(str(golden["config"]))["args"]

    @jax.jit
    def loss_and_gradient(params, w0_initial, w0):
        def mean_square(params):
            return jnp.mean((siren.apply(params, w0_initial, w0, points) - target) ** 2)

        return jax.value_and_grad(mean_square)(params)

    value, gradient = loss_and_gradient(
        start, np.float32(size["w0_initial"]), np.float32(size["w0"])
    )
    np.testing.assert_allclose(value, loss, rtol=2e-6)
    for mine, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        # The reference itself is within 1e-6 of float64, in gradients of up to 0.5.
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=5e-6)


def test_gradient_of_the_program_against_finite_differences():
    # Pictures of two sizes in a padded block, networks of two widths and frequencies in one group.
    sizes, widths, w0_initial, w0 = [(5, 3), (2, 9)], [4, 3], [20.0, 7.0], [30.0, 11.0]
    trials = [
        Trial(layer_size=widths[n], num_layers=2, w0_initial=w0_initial[n], w0=w0[n], seed=5 + n)
        for n in range(2)
    ]
    (bucket,) = buckets.make_buckets(trials, sizes, shards=1, platform="cpu", kernel="xla")
    assert bucket.program.width == 4
    draw = np.random.default_rng(2)
    images = [draw.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    hyper = {
        "height": np.array([5, 2], np.int32),
        "width": np.array([3, 9], np.int32),
        "image": np.array([0, 1], np.int32),
        "w0_initial": np.array(w0_initial, np.float32),
        "w0": np.array(w0, np.float32),
    }
    data = program.pack(images, bucket.program.blocks, bucket.program.block)
    networks = [siren.pad(siren.init(trial), 4) for trial in trials]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *networks)

    @jax.jit
    def measure(params, hyper, data):
        batch = bucket.program.prepare(hyper, data)
        return bucket.program.loss_and_gradient(params, hyper, batch)

    losses, gradient = measure(params, hyper, data)
    for n, (height, width) in enumerate(sizes):
        rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        points = 2 * (np.stack([rows.ravel(), columns.ravel()]) / (height - 1) - 0.5)
        target = images[n].reshape(-1, 3).T / 255
        network = to_float64(siren.crop(jax.tree.map(lambda leaf, n=n: leaf[n], params), widths[n]))

        def mean_square(n=n, network=network, points=points, target=target):
            return np.mean((forward_float64(network, w0_initial[n], w0[n], points) - target) ** 2)

        np.testing.assert_allclose(losses[n], mean_square(), rtol=1e-5)
        mine = siren.crop(jax.tree.map(lambda leaf, n=n: leaf[n], gradient), widths[n])
        for leaf, slopes in zip(jax.tree.leaves(network), jax.tree.leaves(mine), strict=True):
            for place in np.ndindex(leaf.shape):
                middle, step = leaf[place], 1e-6
                leaf[place] = middle + step
                above = mean_square()
                leaf[place] = middle - step
                below = mean_square()
                leaf[place] = middle
                slope = (above - below) / (2 * step)
                # Central differences are good to 1e-8 here, float32 gradients to 1e-5 of a few.
                np.testing.assert_allclose(slopes[place], slope, rtol=2e-5, atol=2e-5)
        padded = siren.pad(mine, 4)
        for whole, real in zip(jax.tree.leaves(gradient), jax.tree.leaves(padded), strict=True):
            np.testing.assert_array_equal(whole[n], real)  # no gradient outside the true width


# ---------------------------------------------------------------------------- products


def test_factors_of_hidden_layers_alone_are_rounded():
    trial = Trial(layer_size=12, num_layers=2, seed=3)
    params = siren.init(trial)
    points = siren.points_of(jnp.arange(60), 6, 10, "coin")
    omega = np.float32(30 / np.pi)
    first, hidden, last = params
    argument = siren.affine(omega * first["weight"], omega * first["bias"], points)
    sine = jax.jit(siren.sinpi)(argument)
    a, b = (jnp.asarray(x).astype(jnp.bfloat16) for x in (omega * hidden["weight"], sine))
    half_turns = np.float64(a) @ np.float64(b) + omega * hidden["bias"][:, None]
    expected = last["weight"] @ np.sin(np.pi * half_turns) + last["bias"][:, None]
    apply = jax.jit(siren.apply, static_argnums=4)
    colours = apply(params, 30.0, 30.0, points, "bfloat16")
    np.testing.assert_allclose(colours, expected, rtol=0, atol=2e-6)
    exact = apply(params, 30.0, 30.0, points)
    assert np.abs(exact - expected).max() > 1e-4


@pytest.mark.parametrize("products", siren.PRODUCTS)
def test_networks_without_hidden_products_are_float32_whatever_the_products(products):
    params = siren.init(Trial(layer_size=12, num_layers=1, seed=3))
    points = siren.points_of(jnp.arange(60), 6, 10, "coin")
    np.testing.assert_array_equal(
        siren.apply(params, 30.0, 30.0, points, products), siren.apply(params, 30.0, 30.0, points)
    )


def test_precision_of_every_product_is_stated():
    trial = Trial(layer_size=16, num_layers=2)
    points = jnp.zeros((2, 64))

    def loss(params, products):
        return jnp.sum(siren.apply(params, 30.0, 30.0, points, products))

    for products, hidden in (("float32", "HIGHEST"), ("tf32", "HIGH"), ("bfloat16", "HIGHEST")):
        gradient = jax.jit(jax.grad(loss), static_argnums=1)
        text = gradient.lower(siren.init(trial), products).as_text()
        dots = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
        assert not [line for line in dots if "DEFAULT" in line or "precision" not in line]
        stated = [line.split("precision = [")[1].split("]")[0].split(", ") for line in dots]
        assert [hidden, hidden] in stated
        assert stated.count(["HIGH", "HIGH"]) == (3 if products == "tf32" else 0)


# ---------------------------------------------------------------------------- init


def bounds_of(layer_size, num_layers, w0):
    hidden = np.sqrt(6 / layer_size) / w0
    return [0.5] + [hidden] * num_layers  # 1 / fan_in = 1/2 in the first layer


@pytest.mark.parametrize(("layer_size", "w0"), [(48, 30.0), (33, 12.5)])
def test_weights_and_biases_are_uniform_within_the_bounds_of_coin(layer_size, w0):
    params = siren.init(Trial(layer_size=layer_size, num_layers=3, w0=w0, seed=1))
    scaled = []
    for layer, bound in zip(params, bounds_of(layer_size, 3, w0), strict=True):
        for leaf in layer.values():
            assert np.abs(leaf).max() <= bound * (1 + 1e-6)
        assert np.abs(layer["weight"]).max() > 0.9 * bound
        scaled += [leaf.ravel() / bound for leaf in layer.values()]
    biases = np.concatenate(scaled[1::2])
    for values in (np.concatenate(scaled[0::2]), biases):
        law = scipy.stats.kstest(values, scipy.stats.uniform(-1, 2).cdf)
        assert law.pvalue > 0.01
    assert np.unique(biases).size == biases.size  # no row has another's bias


@pytest.mark.parametrize("name", ["5x20", "10x28", "3x64"])
def test_bounds_are_those_coin_drew_within(shared_data, name):
    with np.load(shared_data / "golden" / "coin" / f"siren_{name}.npz") as golden:
        arrays = {k.removeprefix("init/"): golden[k] for k in golden.files if k.startswith("init/")}
        size = json.loads(str(golden["config"]))["args"]
    bounds = bounds_of(size["dim_hidden"], size["num_layers"], size["w0"])
    for layer, bound in zip(from_torch(arrays), bounds, strict=True):
        for leaf in layer.values():
            assert np.abs(leaf).max() <= bound
        assert np.abs(layer["weight"]).max() > 0.9 * bound


def test_biases_may_start_at_zero():
    trial = Trial(layer_size=5, num_layers=2, seed=4)
    for drawn, plain in zip(siren.init(trial), siren.init(trial, bias_init="zero"), strict=True):
        np.testing.assert_array_equal(drawn["weight"], plain["weight"])
        assert (plain["bias"] == 0).all()
        assert (drawn["bias"] != 0).any()


def test_draws_depend_on_the_seed():
    seeds = [0, 7, 8, 2**31 - 1]
    networks = [siren.init(Trial(layer_size=5, num_layers=2, seed=seed)) for seed in seeds]
    again = siren.init(Trial(layer_size=5, num_layers=2, seed=7, num_iters=1))
    jax.tree.map(np.testing.assert_array_equal, networks[1], again)
    drawn = np.array([[leaf.ravel()[0] for leaf in jax.tree.leaves(one)] for one in networks])
    assert np.unique(drawn).size == drawn.size


def test_draws_are_those_of_every_release():
    # Computed once by this function: a run taken up later must start from the same weights.
    first, *_, last = siren.init(Trial(layer_size=4, num_layers=2, seed=3))
    np.testing.assert_allclose(first["weight"][0], [-0.41435084, -0.2631895], rtol=1e-6)
    np.testing.assert_allclose(last["bias"], [-0.005832, 0.02112321, 0.03090278], rtol=1e-5)


# ---------------------------------------------------------------------------- points_of

SIZES = [(1, 1), (1, 7), (7, 1), (5, 3), (512, 768)]
LARGEST = (2047, 4097)  # just below 2^23 pixels
CASES = [(size, name) for size in SIZES for name in siren.COORDINATES] + [(LARGEST, "symmetric")]


@functools.partial(jax.jit, static_argnames="coordinates")
def points_of(index, height, width, coordinates):
    return siren.points_of(index, height, width, coordinates)


@pytest.mark.parametrize(("size", "coordinates"), CASES)
def test_points_are_a_meshgrid(size, coordinates):
    height, width = size
    rows, columns = np.arange(height, dtype=float), np.arange(width, dtype=float)
    if coordinates == "centers":
        rows, columns = (2 * rows + 1) / height - 1, (2 * columns + 1) / width - 1
    else:
        last_row = max(height - 1, 1)
        last_column = last_row if coordinates == "coin" else max(width - 1, 1)
        rows, columns = 2 * rows / last_row - 1, 2 * columns / last_column - 1
    expected = np.stack(np.meshgrid(rows, columns, indexing="ij")).reshape(2, -1)
    index = np.arange(height * width, dtype=np.int32)
    points = points_of(index, np.int32(height), np.int32(width), coordinates)
    # A few roundings of numbers up to the largest coordinate.
    tolerance = 3e-7 * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(points, expected, rtol=0, atol=tolerance)


def test_points_are_those_of_coin(shared_data):
    with np.load(shared_data / "golden" / "coin" / "siren_5x20.npz") as golden:
        expected = golden["coordinates"].T
    index = np.arange(48 * 64, dtype=np.int32)
    points = points_of(index, np.int32(48), np.int32(64), "coin")
    np.testing.assert_allclose(points, expected, rtol=0, atol=1.2e-7)  # a unit in the last place


# ---------------------------------------------------------------------------- pad and crop


@hypothesis.given(
    layer_size=st.integers(1, 6), extra=st.integers(0, 5), num_layers=st.integers(1, 4)
)
def test_crop_undoes_pad(layer_size, extra, num_layers):
    shapes = Trial(layer_size=layer_size, num_layers=num_layers).layer_shapes
    params = tuple(
        {"weight": np.full(shape, 1.5, np.float32), "bias": np.full(shape[0], 2.5, np.float32)}
        for shape in shapes
    )
    padded = siren.pad(params, layer_size + extra)
    wide = Trial(layer_size=layer_size + extra, num_layers=num_layers).layer_shapes
    assert [layer["weight"].shape for layer in padded] == wide
    assert [layer["bias"].shape for layer in padded] == [(out,) for out, _ in wide]
    for mine, theirs in zip(jax.tree.leaves(padded), jax.tree.leaves(params), strict=True):
        assert mine.sum() == theirs.sum()  # nothing but zeros was added
    jax.tree.map(np.testing.assert_array_equal, siren.crop(padded, layer_size), params)
