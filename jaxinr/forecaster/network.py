"""The forecaster's network: picture and hyperparameters in, mean and spread of the PSNR out.

As in Vonderfecht & Liu (TMLR 2024), section 6: features of the picture from a convolutional
network, a positional encoding of the hyperparameters, and a multilayer perceptron on both. Beside
it go the picture's descriptors and what they say of a network of this size. An ensemble is trained
and asked at once, its parameters stacked in front.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from jaxinr.forecaster import descriptors
from jaxinr.forecaster.inputs import AXES, CROSSED

PATCH = 4  # pixels a side of what becomes one of their places
OCTAVES = 3  # of the positional encoding

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Shape:
    """Size of a network.

    Attributes:
        width: units of a layer.
        blocks: residual layers.
        features: numbers that the convolutions find in a picture; 0 for no convolutions.
    """

    width: int = 128
    blocks: int = 3
    features: int = 8


class Convolution(nnx.Module):
    """3 x 3, same size, as one matrix product: under `vmap` over networks still a fast one."""

    def __init__(self, features_in: int, features: int, *, rngs: nnx.Rngs) -> None:
        """He's initialisation."""
        self.linear = nnx.Linear(
            9 * features_in, features, kernel_init=nnx.initializers.he_normal(), rngs=rngs
        )

    def __call__(self, x: Array) -> Array:
        """[N, H, W, C] -> [N, H, W, features]; edges are repeated."""
        height, width = x.shape[1:3]
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        shifts = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return self.linear(jnp.concatenate(shifts, -1))


class PictureFeatures(nnx.Module):
    """A few numbers that convolutions find in a thumbnail."""

    def __init__(self, features: int, *, rngs: nnx.Rngs) -> None:
        """Patches, then two convolutions, the second at half their resolution."""
        self.patches = nnx.Linear(3 * PATCH**2, 24, rngs=rngs)
        self.near = Convolution(24, 32, rngs=rngs)
        self.far = Convolution(32, 32, rngs=rngs)
        self.head = nnx.Linear(64, features, rngs=rngs)

    def __call__(self, thumbnails: Array) -> Array:
        """[N, S, S, 3] in [-1, 1] -> [N, features]."""
        x = nnx.relu(self.patches(_squares(thumbnails, PATCH)))
        x = nnx.relu(self.near(x))
        x = _squares(x, 2).reshape(*x.shape[:1], x.shape[1] // 2, x.shape[2] // 2, 4, -1).mean(3)
        x = nnx.relu(self.far(x))
        deviation = jnp.sqrt(x.var((1, 2)) + 1e-6)  # of a dead feature too there is a gradient
        return self.head(jnp.concatenate([x.mean((1, 2)), deviation], -1))


def _squares(x: Array, side: int) -> Array:
    """[N, H, W, C] -> [N, H / side, W / side, side * side * C]."""
    count, height, width, channels = x.shape
    x = x.reshape(count, height // side, side, width // side, side, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(*x.shape[:3], side * side * channels)


class Forecaster(nnx.Module):
    """One member of the ensemble."""

    def __init__(self, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Random weights; at first it says 0 of everything."""
        self.shape = shape
        if shape.features:
            self.look = PictureFeatures(shape.features, rngs=rngs)
        self.of_picture = nnx.Linear(
            len(descriptors.NAMES) + shape.features, shape.width, rngs=rngs
        )
        self.of_fit = nnx.Linear(AXES * (1 + 2 * OCTAVES) + CROSSED, shape.width, rngs=rngs)
        self.blocks = nnx.List(
            [nnx.Linear(shape.width, shape.width, rngs=rngs) for _ in range(shape.blocks)]
        )
        self.head = nnx.Linear(shape.width, 2, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def pictures(self, described: Array, thumbnails: Array) -> Array:
        """[N, width]: all that depends on the picture alone.

        Args:
            described: [N, D] descriptors, standardised.
            thumbnails: [N, S, S, 3] in [-1, 1]; of no effect without features.
        """
        if self.shape.features:
            described = jnp.concatenate([described, self.look(thumbnails)], -1)
        return self.of_picture(described)

    def __call__(self, pictures: Array, fits: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, both [...], in units of the target.

        Args:
            pictures: [..., width] of `pictures`.
            fits: [..., AXES + CROSSED]; the axes in [0, 1] over the training range, the rest
                standardised.
        """
        x = pictures + self.of_fit(_positions(fits))
        for block in self.blocks:
            x = x + block(nnx.gelu(x))
        mean, spread = jnp.moveaxis(self.head(nnx.gelu(x)), -1, 0)
        return mean, jax.nn.softplus(spread - 1.0) + 1e-3


def _positions(fits: Array) -> Array:
    """Sines and cosines of the axes, beside themselves."""
    axes = jnp.clip(fits[..., :AXES], -0.5, 1.5)
    waves = [f(jnp.pi * 2.0**k * axes) for k in range(OCTAVES) for f in (jnp.sin, jnp.cos)]
    return jnp.concatenate([fits[..., AXES:], axes, *waves], -1)
