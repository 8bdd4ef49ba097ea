import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxfleet.errors import InputError
from jaxsr.networks import VGGStyleDiscriminator
from jaxsr.training import losses

RNG = np.random.default_rng(0)
LOGITS = np.asarray([[-30.0], [-1.5], [0.0], [0.7], [40.0]])


class Rows:
    """Features that can be worked by hand: the mean of each row and colour."""

    unit = 2.0

    def __call__(self, images):
        """[N, H, W, 3] to [N, H, 3]."""
        return jnp.mean(images, axis=2)


def test_l1_is_the_mean_absolute_error(key):
    target = jax.random.uniform(key, (2, 3, 4, 3))
    np.testing.assert_allclose(losses.l1(target - 0.25, target), 0.25, rtol=1e-6)
    gradient = jax.grad(losses.l1)(target - 0.25, target)
    np.testing.assert_allclose(gradient, -1 / 72, rtol=1e-6)


def test_adversarial_losses_are_binary_cross_entropies():
    is_photograph = 1 / (1 + np.exp(-LOGITS))
    np.testing.assert_allclose(
        losses.adversarial(jnp.float32(LOGITS)), -np.log(is_photograph).mean()
    )
    assert losses.adversarial(jnp.zeros((3, 1))) == pytest.approx(np.log(2))
    real = losses.discriminator(jnp.float32(LOGITS), jnp.full((4, 1), -1e3))  # output surely made
    np.testing.assert_allclose(real, -np.log(is_photograph).mean(), rtol=1e-6)
    made = losses.discriminator(jnp.full((4, 1), 1e3), -jnp.float32(LOGITS))
    np.testing.assert_allclose(made, -np.log(is_photograph).mean(), rtol=1e-6)


def test_gradients_of_adversarial_losses_stay_finite_for_sure_discriminators():
    logits = jnp.asarray([[-1e4], [1e4]])
    gradient = jax.grad(losses.adversarial)(logits)
    np.testing.assert_allclose(gradient, [[-0.5], [0.0]])  # (D - 1) / N
    for argument, expected in ((0, [[-0.5], [0.0]]), (1, [[0.0], [0.5]])):
        gradient = jax.grad(losses.discriminator, argnums=argument)(logits, logits)
        np.testing.assert_allclose(gradient, expected)


def test_the_feature_distance_is_a_mean_square_in_units_of_the_network(key):
    target = jax.random.uniform(key, (2, 5, 4, 3))
    np.testing.assert_allclose(
        losses.feature_distance(Rows(), target + 0.4, target), 0.04, rtol=1e-5
    )
    assert losses.feature_distance(Rows(), target[:, :, ::-1], target) < 1e-12


def test_perceptual_adversarial_is_the_distance_and_a_thousandth(key):
    target, logits = jax.random.uniform(key, (2, 5, 4, 3)), jnp.zeros((2, 1))
    loss = losses.perceptual_adversarial(Rows(), target + 0.4, target, logits)
    np.testing.assert_allclose(loss, 0.04 + 1e-3 * np.log(2), rtol=1e-5)
    loss = losses.perceptual_adversarial(Rows(), target, target, logits, adversarial_weight=1.0)
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-5)


def test_a_gradient_reaches_the_output_through_the_discriminator(key):
    output, target = jax.random.uniform(key, (2, 2, 128, 128, 3))
    # Weights of shapes only, filled by NumPy: drawing them compiles for seconds.
    shapes = nnx.eval_shape(lambda: VGGStyleDiscriminator(num_features=2, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(shapes)
    state = jax.tree.map(lambda leaf: jnp.float32(0.2 * RNG.normal(size=leaf.shape)), state)

    def loss(output):
        logits = nnx.merge(graph, state, copy=True)(output)  # in training
        return losses.perceptual_adversarial(Rows(), output, target, logits)

    gradient = jax.jit(jax.grad(loss))(output)
    distance = jax.grad(losses.feature_distance, argnums=1)(Rows(), output, target)
    assert np.all(np.isfinite(gradient))
    assert np.max(np.abs(gradient - distance)) > 1e-3 * np.max(np.abs(distance))


def test_batches_that_differ_in_shape_are_refused():
    images, others = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 9, 3))
    expected = r"output is \(1, 8, 8, 3\) and target is \(1, 8, 9, 3\)"
    with pytest.raises(ValueError, match=expected):
        losses.l1(images, others)
    with pytest.raises(ValueError, match=expected):
        losses.feature_distance(Rows(), images, others)


def test_losses_by_name():
    assert list(losses.LOSSES) == ["l1", "vgg_adv", "resnet_adv"]
    assert losses.load_features("l1", None) is None
    with pytest.raises(InputError, match="VGG19 need its weights"):
        losses.load_features("vgg_adv", None)
    with pytest.raises(InputError, match="ResNet need its weights"):
        losses.load_features("resnet_adv", None)
    with pytest.raises(InputError, match="Unknown loss 'l2'. Use one of: l1, vgg_adv, resnet_adv"):
        losses.load_features("l2", None)
