"""One update of a network against the same written out, and what keeps it from going wrong."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxsr
from jaxfleet.errors import InputError
from jaxsr.training import losses
from jaxsr.training import program as training_program
from jaxsr.training.program import TrainingProgram, TrainingRecipe

SIZE = {"num_features": 4, "num_convs": 1}
TINY = TrainingRecipe(num_iters=40, batch_size=2, crop_px=16, learning_rate=1e-2)
LEAST = 1e-8  # Adam's epsilon


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Features that can be worked by hand: the mean of each row and colour, times a gain."""

    gain: jax.Array

    @property
    def unit(self):
        return 2.0

    def __call__(self, images):
        """[N, H, W, 3] to [N, H, 3]."""
        return self.gain * jnp.mean(images, axis=2)


def program(features=None, **changes):
    return TrainingProgram("srvgg", 2, SIZE, dataclasses.replace(TINY, **changes), features)


@pytest.fixture(scope="module")
def batches():
    """Ten of low and high resolution; the low one is the mean of 2 x 2 pixels."""
    high = np.random.default_rng(0).random((10, 2, 16, 16, 3), np.float32)
    return high.reshape(10, 2, 8, 2, 8, 2, 3).mean((3, 5)), high


@pytest.fixture(scope="module")
def plain():
    return program()


@pytest.fixture(scope="module")
def start(plain):
    return plain.init(1)


@pytest.fixture(scope="module")
def update(plain):
    return jax.jit(plain.update)


def leaves(tree):
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def assert_near(ours, expected, **tolerance):
    for one, other in zip(leaves(ours), leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def assert_same(ours, expected):
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


class Adam:
    """Adam as its paper has it, in float64, with the betas of BasicSR's SRGAN."""

    def __init__(self, params):
        self.params, self.count = leaves(params), 0
        self.first, self.second = ([np.zeros_like(p) for p in self.params] for _ in range(2))

    def move(self, gradient, rate):
        self.count += 1
        for i, g in enumerate(leaves(gradient)):
            self.first[i] = 0.9 * self.first[i] + 0.1 * g
            self.second[i] = 0.99 * self.second[i] + 0.01 * g**2
            first = self.first[i] / (1 - 0.9**self.count)
            second = self.second[i] / (1 - 0.99**self.count)
            self.params[i] = self.params[i] - rate * first / (np.sqrt(second) + LEAST)


def cosine(iteration, recipe=TINY):
    """The rate: from its highest to a hundredth of it."""
    share = (1 + np.cos(np.pi * iteration / recipe.num_iters)) / 2
    return recipe.learning_rate * (0.01 + 0.99 * share)


# ---------------------------------------------------------------------------- updates


def test_updates_are_adam_on_the_l1_loss_with_running_means(plain, start, update, batches):
    @jax.jit
    def loss_and_gradient(params, low, high):
        def loss(params):
            return losses.l1(plain.model(params)(low), high)

        return jax.value_and_grad(loss)(params)

    state, adam, average, noted = start, Adam(start.params), leaves(start.params), 0.0
    for iteration, (low, high) in enumerate(zip(*batches, strict=True)):
        loss, gradient = loss_and_gradient(state.params, low, high)
        adam.move(gradient, cosine(iteration))
        decay = min(TINY.ema_decay, (1 + iteration) / (10 + iteration))
        average = [decay * a + (1 - decay) * p for a, p in zip(average, adam.params, strict=True)]
        noted = 0.98 * noted + 0.02 * float(loss) if iteration else float(loss)
        state = update(state, plain.constants, low, high)
        # Where a gradient is next to nothing, its sign decides the first steps.
        assert_near(state.params, adam.params, rtol=1e-4, atol=2e-6)
        assert_near(state.average, average, rtol=1e-4, atol=2e-6)
        assert float(state.loss) == pytest.approx(noted, rel=1e-5)
        assert int(state.iteration) == iteration + 1
        assert bool(state.is_finite)
    assert int(state.seed) == 1


def test_averages_of_long_trainings_follow_slowly(plain, start, update, batches):
    low, high = (side[0] for side in batches)
    late = dataclasses.replace(start, iteration=jnp.int32(100_000))
    after = update(late, plain.constants, low, high)
    moved = jax.tree.map(lambda old, new: old + 0.001 * (new - old), late.params, after.params)
    assert_near(after.average, moved, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "constant"}, {0: 1.0, 17: 1.0, 39: 1.0, 90: 1.0}),
        ({}, {0: 1.0, 20: 0.505, 40: 0.01, 90: 0.01}),
        ({"warmup_iters": 10}, {0: 0.0, 5: 0.5, 10: 1.0, 25: 0.505, 40: 0.01}),
        ({"warmup_iters": 10, "schedule": "constant"}, {0: 0.0, 1: 0.1, 10: 1.0, 40: 1.0}),
        ({"warmup_iters": 100}, {0: 0.0, 39: 0.39}),  # a training that ends before
    ],
    ids=["constant", "cosine", "warmup", "warmup, constant", "only warmup"],
)
def test_rates_follow_their_schedule(changes, expected):
    recipe = dataclasses.replace(TINY, **changes)
    optimiser = training_program._adam(recipe)
    ones = {"x": jnp.ones(3)}  # of a steady gradient, a step of Adam is as long as the rate
    with jax.numpy_dtype_promotion("standard"):
        opt_state, steps = optimiser.init(ones), []
        step = jax.jit(optimiser.update)
        for _ in range(91):
            moved, opt_state = step(ones, opt_state, ones)
            steps.append(-moved["x"][0])
    for iteration, share in expected.items():
        assert steps[iteration] == pytest.approx(share * recipe.learning_rate, rel=1e-4, abs=1e-9)


def test_long_gradients_are_shortened_before_adam():
    gradient = {"x": jnp.float32([3.0, 0.0]), "y": jnp.float32([4.0])}  # 5 long
    for bound, length in ((0.0, 5.0), (0.5, 0.5), (7.0, 5.0)):
        optimiser = training_program._adam(dataclasses.replace(TINY, max_gradient_norm=bound))
        with jax.numpy_dtype_promotion("standard"):
            _, opt_state = jax.jit(optimiser.update)(gradient, optimiser.init(gradient), gradient)
        (first,) = [one.mu for one in jax.tree.leaves(opt_state, is_leaf=is_adam) if is_adam(one)]
        assert float(first["x"][0]) == pytest.approx(0.1 * 3 / 5 * length)
        assert float(first["y"][0]) == pytest.approx(0.1 * 4 / 5 * length)


def is_adam(node):
    return hasattr(node, "mu")


def test_bfloat16_is_computed_in_and_parameters_stay_float32(plain, start, batches):
    rough = program(dtype="bfloat16")
    low, high = (side[0] for side in batches)
    outputs = [
        jax.jit(one.apply)(start.params, one.constants, low, jax.random.key(0))
        for one in (plain, rough)
    ]
    difference = np.max(np.abs(outputs[0] - outputs[1]))
    assert 1e-5 < difference < 0.02
    shapes = jax.eval_shape(rough.update, start, rough.constants, low, high)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes.params)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("culprit", ["picture", "weight"])
def test_what_is_not_finite_changes_nothing_from_then_on(plain, start, update, batches, culprit):
    low, high = (side[0] for side in batches)
    before = update(start, plain.constants, low, high)
    if culprit == "weight":
        params = jax.tree.map(lambda leaf: leaf.at[...].set(jnp.inf), before.params)
        before = dataclasses.replace(before, params=params)
        after = update(before, plain.constants, low, high)
    else:
        after = update(before, plain.constants, np.where(low == low.max(), np.nan, low), high)
    assert not bool(after.is_finite)
    for iteration in (2, 3):
        same = dataclasses.replace(
            before, iteration=jnp.int32(iteration), is_finite=jnp.asarray(False)
        )
        assert_same(after, same)
        after = update(after, plain.constants, low, high)  # good again, and too late


def test_states_have_the_shapes_that_are_told(plain, start):
    shapes = plain.shapes
    assert jax.tree.structure(shapes) == jax.tree.structure(start)
    for one, other in zip(jax.tree.leaves(shapes), jax.tree.leaves(start), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_seeds_draw_weights_and_a_start_takes_their_place(plain, start):
    model = jaxsr.build("srvgg", scale=2, rngs=nnx.Rngs(1), **SIZE)
    assert_same(start.params, nnx.state(model, nnx.Param))
    assert_same(start.average, start.params)
    other = plain.init(2)
    assert np.any(leaves(other.params)[0] != leaves(start.params)[0])
    begun = plain.init(2, start.params)
    assert_same(begun.params, start.params)
    assert int(begun.seed) == 2
    images = np.random.default_rng(1).random((1, 6, 5, 3), np.float32)
    np.testing.assert_array_equal(plain.model(start.params)(images), model(images))


def test_nlsn_hashes_anew_in_every_update(batches):
    size = {"num_features": 16, "num_blocks": 1, "chunk_size": 8, "num_hashes": 1}
    nlsn = TrainingProgram("nlsn", 2, size, TINY)
    start = nlsn.init(1)
    low, high = (side[0] for side in batches)

    @jax.jit
    def loss(state):
        return nlsn._gradient(state, nlsn.constants, low, high)[0]

    first = loss(start)
    assert loss(dataclasses.replace(start, iteration=jnp.int32(7))) != first
    assert loss(dataclasses.replace(start, seed=jnp.int32(2))) != first
    assert loss(start) == first


# ---------------------------------------------------------------------------- adversaries


@pytest.fixture(scope="module")
def duel():
    """A program with a discriminator of 2 channels, which counts for much."""
    return program(
        Rows(jnp.float32(3.0)),
        loss="vgg_adv",
        crop_px=32,
        discriminator_features=2,
        adversarial_weight=0.05,
        schedule="constant",
    )


@pytest.fixture(scope="module")
def duel_batch():
    """Blocks of one colour each."""
    rng = np.random.default_rng(0)
    low = rng.random((2, 4, 4, 3), np.float32).repeat(4, axis=1).repeat(4, axis=2)
    return low, low.repeat(2, axis=1).repeat(2, axis=2)


@pytest.fixture(scope="module")
def duel_update(duel, duel_batch):
    """An update on one batch, of a state."""
    update = jax.jit(duel.update)
    return lambda state: update(state, duel.constants, *duel_batch)


@pytest.fixture(scope="module")
def duel_history(duel, duel_update):
    """The states of thirty updates on one batch."""
    states = [duel.init(1)]
    for _ in range(30):
        states.append(duel_update(states[-1]))
    return states


def discriminator(duel, params):
    """A discriminator as it is drawn, so with running statistics of zero and one."""
    model = duel._build_discriminator(9)
    nnx.update(model, params)
    return model


def test_network_and_discriminator_move_against_each_other(duel, duel_batch, duel_history):
    start, after = duel_history[:2]
    low, high = duel_batch

    @jax.jit
    def reference(params, judge):
        def generator(params):
            output = duel.model(params)(low)
            distance = jnp.mean((3.0 * jnp.mean(output - high, axis=2) / 2.0) ** 2)
            logits = discriminator(duel, judge)(output)
            return distance - 0.05 * jnp.mean(jax.nn.log_sigmoid(logits))

        def judged(judge, output):
            real, made = discriminator(duel, judge)(high), discriminator(duel, judge)(output)
            return -jnp.mean(jax.nn.log_sigmoid(real)) - jnp.mean(jax.nn.log_sigmoid(-made))

        loss, gradient = jax.value_and_grad(generator)(params)
        return loss, gradient, jax.grad(judged)(judge, duel.model(params)(low))

    loss, *gradients = reference(start.params, start.discriminator)
    assert float(after.loss) == pytest.approx(float(loss), rel=1e-5)
    before, now = (start.params, start.discriminator), (after.params, after.discriminator)
    for old, new, gradient in zip(before, now, gradients, strict=True):
        adam = Adam(old)
        adam.move(gradient, TINY.learning_rate)
        for ours, expected, g in zip(leaves(new), adam.params, leaves(gradient), strict=True):
            steady = np.abs(g) > 1e-5  # elsewhere rounding decides the sign of the first step
            np.testing.assert_allclose(ours[steady], expected[steady], rtol=1e-4, atol=2e-5)
        assert sum((np.abs(g) > 1e-5).sum() for g in leaves(gradient)) > 100


def test_the_network_comes_closer_while_the_duel_goes_on(duel, duel_batch, duel_history):
    low, high = duel_batch
    outputs = (duel.model(duel_history[updates].params)(low) for updates in (0, 15))
    first, later = (float(jnp.mean((1.5 * jnp.mean(one - high, axis=2)) ** 2)) for one in outputs)
    assert later < 0.2 * first  # whatever the discriminator makes of it


def test_running_statistics_of_the_discriminator_are_not_kept(duel, duel_history):
    assert jax.tree.structure(duel_history[-1]) == jax.tree.structure(duel.shapes)
    fresh = nnx.split(duel._build_discriminator(0), nnx.Param, ...)[2]
    assert_same(duel.constants.discriminator_frozen, fresh)
    means = [leaf for leaf in jax.tree.leaves(fresh) if not np.any(leaf)]
    assert means  # zeros, as they are drawn


def test_a_discriminator_that_is_not_finite_stops_both(duel_update, duel_history):
    start = duel_history[0]
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, start.discriminator)
    state = dataclasses.replace(start, discriminator=broken)
    after = duel_update(state)
    assert not bool(after.is_finite)
    assert_same((after.params, after.average), (start.params, start.average))


# ---------------------------------------------------------------------------- batches and errors


def test_keys_of_batches_are_of_seed_and_iteration_alone():
    pairs = [(seed, iteration) for seed in (1, 2) for iteration in (0, 1, 50_000)]
    keys = [
        jax.random.key_data(
            training_program.batch_key(jnp.int32(seed), jnp.int32(iteration))
        ).tobytes()
        for seed, iteration in (*pairs, *pairs)
    ]
    assert keys[:6] == keys[6:]
    assert len(set(keys)) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "l2"}, "Unknown loss 'l2'. Use one of: l1, vgg_adv, resnet_adv."),
        ({"schedule": "step"}, "Unknown schedule 'step'. Use constant or cosine."),
        ({"num_iters": 0}, "at least one update"),
        ({"batch_size": 0}, "at least one crop"),
        (
            {"loss": "vgg_adv", "crop_px": 48},
            "crop_px is 48: the discriminator of vgg_adv takes crops of 32, 64, 128, 256 pixels",
        ),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        TrainingRecipe(**changes)


def test_programs_that_cannot_be_are_refused():
    refused = functools.partial(pytest.raises, InputError)
    with refused(match="crop_px is 16. Use a multiple of the scale, 3."):
        TrainingProgram("srvgg", 3, SIZE, TINY)
    with refused(match="The loss 'resnet_adv' needs the weights of its features."):
        program(loss="resnet_adv", crop_px=32)
    with pytest.raises(TypeError, match="srvgg has no depths; it takes"):
        TrainingProgram("srvgg", 2, {"depths": (2,)}, TINY)
