"""The forecaster's network: picture and hyperparameters in, mean and spread of the PSNR out.

As in Vonderfecht & Liu (TMLR 2024), section 6: features of the picture from a convolutional
network, a positional encoding of the hyperparameters, and a multilayer perceptron on both. Beside
it go the picture's descriptors and what they say of a network of this size. A second perceptron
sees the hyperparameters alone and says how much each of a few sums of the picture's numbers counts
for such a network. The two err differently, so their mean is better than either. An ensemble is
trained and asked at once, its parameters stacked in front.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from jaxinr.forecaster import descriptors
from jaxinr.forecaster.inputs import AXES, CROSSED, PIXELS

PATCH = 4  # pixels a side of what becomes one of their places
OCTAVES = 3  # of the positional encoding
POSITIONS = CROSSED + AXES + 2 * OCTAVES * (AXES - 1)  # numbers that it makes of a fit

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Shape:
    """Size of a network.

    Attributes:
        width: units of a layer.
        blocks: residual layers.
        features: numbers that the convolutions find in a picture; 0 for no convolutions.
        products: of the second perceptron's outputs with sums of the picture's numbers; 0 for no
            second perceptron.
    """

    width: int = 128
    blocks: int = 3
    features: int = 8
    products: int = 16


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


class Perceptron(nnx.Module):
    """Residual layers on the encoded hyperparameters."""

    def __init__(self, shape: Shape, outputs: int, *, rngs: nnx.Rngs) -> None:
        """Random weights; at first it says 0 of everything."""
        width = shape.width
        self.enter = nnx.Linear(POSITIONS, width, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(shape.blocks)])
        self.head = nnx.Linear(width, outputs, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, positions: Array, added: Array | float) -> Array:
        """[..., outputs] of positions [..., inputs]; `added` [..., width] joins the first layer."""
        x = self.enter(positions) + added
        for block in self.blocks:
            x = x + block(nnx.gelu(x))
        return self.head(nnx.gelu(x))


class Forecaster(nnx.Module):
    """One member of the ensemble: a perceptron that adds the picture, one that multiplies by it."""

    def __init__(self, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Random weights; at first it says 0 of everything."""
        self.shape = shape
        if shape.features:
            self.look = PictureFeatures(shape.features, rngs=rngs)
        numbers = len(descriptors.NAMES) + shape.features
        self.of_picture = nnx.Linear(numbers, shape.width + shape.products, rngs=rngs)
        self.adding = Perceptron(shape, 2, rngs=rngs)
        if shape.products:
            self.multiplying = Perceptron(shape, 2 + shape.products, rngs=rngs)

    def pictures(self, described: Array, thumbnails: Array) -> Array:
        """[N, width + products]: all that depends on the picture alone.

        Args:
            described: [N, D] descriptors, standardised.
            thumbnails: [N, S, S, 3] in [-1, 1]; of no effect without features.
        """
        if self.shape.features:
            described = jnp.concatenate([described, self.look(thumbnails)], -1)
        return self.of_picture(described)

    def __call__(self, pictures: Array, fits: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the scaled target, [K, ...] each: of the K perceptrons.

        Args:
            pictures: [..., width + products], of `pictures`.
            fits: [..., AXES + CROSSED], scaled.
        """
        added, factors = jnp.split(pictures, [self.shape.width], -1)
        positions = _positions(fits)
        answers = [self.adding(positions, added)]
        if self.shape.products:
            other = self.multiplying(positions, 0.0)
            weighted = jnp.sum(other[..., 2:] * factors, -1) / self.shape.products**0.5
            answers.append(other[..., :2].at[..., 0].add(weighted))
        mean, spread = jnp.moveaxis(jnp.stack(answers), -1, 0)
        return mean, jax.nn.softplus(spread - 1.0) + 1e-3


def _positions(fits: Array) -> Array:
    """Sines and cosines of the axes, beside themselves.

    Collections have few sizes of pictures: with waves of them, sizes between would be anything.
    """
    axes = jnp.clip(fits[..., :AXES], -0.5, 1.5)
    waving = jnp.delete(axes, PIXELS, -1)
    waves = [f(jnp.pi * 2.0**k * waving) for k in range(OCTAVES) for f in (jnp.sin, jnp.cos)]
    return jnp.concatenate([fits[..., AXES:], axes, *waves], -1)
