"""RDN: residual dense blocks, whose outputs are all fused at the end."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers


class DenseLayer(nnx.Module):
    """[x, relu(conv(x))], one beside the other."""

    def __init__(
        self, in_features: int, growth_rate: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `in_features`, G is `growth_rate`."""
        self.conv = layers.conv(in_features, growth_rate, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to [N, H, W, C + G]."""
        return jnp.concatenate([x, jax.nn.relu(self.conv(x))], axis=-1)


class RDB(nnx.Module):
    """x + fusion(dense layers(x))."""

    def __init__(
        self,
        num_features: int,
        growth_rate: int,
        num_layers: int,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """C is `num_features`; `num_layers` dense layers add `growth_rate` channels each."""
        widths = [num_features + growth_rate * i for i in range(num_layers + 1)]
        self.layers = nnx.Sequential(
            *(DenseLayer(width, growth_rate, dtype=dtype, rngs=rngs) for width in widths[:-1])
        )
        self.lff = layers.conv(widths[-1], num_features, 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x + self.lff(self.layers(x))


class RDN(nnx.Module):
    """Residual dense network.

    Source: Zhang et al., "Residual dense network for image super-resolution", 2018; names as in
    yjn870/RDN-pytorch, which subtracts no mean.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 64,
        growth_rate: int = 64,
        num_blocks: int = 16,
        num_layers: int = 8,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: 2, 3, 4 or 8.
            num_features: channels between blocks, the paper's G0.
            growth_rate: channels that each dense layer adds, G.
            num_blocks: residual dense blocks, D.
            num_layers: dense layers of a block, C.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at a scale that is not made of x2 and x3.
        """
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        block = functools.partial(
            RDB, num_features, growth_rate, num_layers, dtype=dtype, rngs=rngs
        )
        self.scale = scale
        self.sfe1 = conv(3, num_features)
        self.sfe2 = conv(num_features, num_features)
        self.rdbs = nnx.List(block() for _ in range(num_blocks))
        self.gff = nnx.Sequential(
            conv(num_features * num_blocks, num_features, 1), conv(num_features, num_features)
        )
        self.upscale = layers.upsampler(scale, num_features, conv)
        self.output = conv(num_features, 3)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        shallow = self.sfe1(images)
        x, local = self.sfe2(shallow), []
        for block in self.rdbs:
            x = block(x)
            local.append(x)
        dense = shallow + self.gff(jnp.concatenate(local, axis=-1))
        return self.output(self.upscale(dense)).astype(jnp.float32)
