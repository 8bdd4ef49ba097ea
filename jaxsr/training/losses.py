"""What the networks of the zoo minimise: l1, vgg_adv and resnet_adv.

l1          mean absolute error of the pixels
vgg_adv     distance of VGG19's features + 1e-3 adversarial
resnet_adv  distance of a ResNet's features + 1e-3 adversarial

The adversary is a discriminator, `jaxsr.networks.VGGStyleDiscriminator` as a rule, whose logits are
the log-odds that a picture is a photograph; it is trained beside the network, by `discriminator`.
All are means over the batch. Letters: N images, H height, W width.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 3; Ledig et
al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017,
section 2.2.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from jaxfleet.errors import InputError
from jaxsr.training import feature_networks

ADVERSARIAL_WEIGHT = 1e-3


class FeatureNetwork(Protocol):
    """A function of images, such as those of `jaxsr.training.feature_networks`."""

    @property
    def unit(self) -> float:
        """What a difference of features is divided by before it is squared."""

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, ..., C] float32."""


# Name -> what loads the network whose features are compared; None compares pixels.
LOSSES: Mapping[str, Callable[[feature_networks.Weights | None], FeatureNetwork] | None] = {
    "l1": None,
    "vgg_adv": feature_networks.load_vgg19,
    "resnet_adv": feature_networks.load_resnet,
}


def load_features(
    loss: str, path_or_arrays: feature_networks.Weights | None
) -> FeatureNetwork | None:
    """Load the feature network of a loss; None where it compares pixels.

    Args:
        loss: one of `LOSSES`.
        path_or_arrays: weights, as `jaxsr.training.feature_networks` reads them; not looked at for
            l1.

    Raises:
        InputError: if the name is not known, or the weights are missing or of another network.
        ValueError, FileNotFoundError, ImportError: if the file cannot be read.
    """
    if loss not in LOSSES:
        raise InputError(f"Unknown loss '{loss}'. Use one of: {', '.join(LOSSES)}.")
    load = LOSSES[loss]
    return None if load is None else load(path_or_arrays)


def l1(output: Array, target: Array) -> Array:
    """Return the mean absolute error.

    Args:
        output: [N, H, W, 3] float.
        target: [N, H, W, 3] float in [0, 1].

    Returns:
        [] float.

    Raises:
        ValueError: if the shapes differ.
    """
    _check_same_shape(output, target)
    return jnp.mean(jnp.abs(output - target))


def feature_distance(features: FeatureNetwork, output: Array, target: Array) -> Array:
    """Return the mean squared difference of the features of two batches, in units of the network.

    Args:
        features: the network.
        output: [N, H, W, 3] float, nominally in [0, 1], not clipped.
        target: [N, H, W, 3] float in [0, 1].

    Returns:
        [] float32.

    Raises:
        ValueError: if the shapes differ, or the images are too small to have features.
    """
    _check_same_shape(output, target)
    ours, theirs = features(output), features(target)
    if ours.size == 0:
        raise ValueError(f"Images of shape {output.shape} have no features. Use larger crops.")
    return jnp.mean(((ours - theirs) / features.unit) ** 2)


def adversarial(output_logits: Array) -> Array:
    """Return -log D(output): what the output lacks to pass for a photograph.

    Args:
        output_logits: [N, 1] float, of the discriminator on the output.

    Returns:
        [] float: binary cross-entropy against "photograph".
    """
    return jnp.mean(jax.nn.softplus(-output_logits))


def perceptual_adversarial(
    features: FeatureNetwork,
    output: Array,
    target: Array,
    output_logits: Array,
    *,
    adversarial_weight: float = ADVERSARIAL_WEIGHT,
) -> Array:
    """Return vgg_adv or resnet_adv: `feature_distance` + 1e-3 `adversarial`.

    Args:
        features: from `load_features`.
        output: [N, H, W, 3] float.
        target: [N, H, W, 3] float in [0, 1].
        output_logits: [N, 1] float, of the discriminator on the output.
        adversarial_weight: of the second term.

    Returns:
        [] float32.

    Raises:
        ValueError: if the shapes differ, or the images are too small to have features.
    """
    distance = feature_distance(features, output, target)
    return distance + adversarial_weight * adversarial(output_logits)


def discriminator(target_logits: Array, output_logits: Array) -> Array:
    """Return the loss of the discriminator: -log D(target) - log(1 - D(output)).

    Args:
        target_logits: [N, 1] float, on photographs.
        output_logits: [N, 1] float, on outputs, through which no gradient should flow back.

    Returns:
        [] float: sum of the two binary cross-entropies.
    """
    return jnp.mean(jax.nn.softplus(-target_logits)) + jnp.mean(jax.nn.softplus(output_logits))


def _check_same_shape(output: Array, target: Array) -> None:
    if output.shape != target.shape:
        raise ValueError(
            f"`output` and `target` must have one shape; output is {output.shape} and target is "
            f"{target.shape}."
        )
