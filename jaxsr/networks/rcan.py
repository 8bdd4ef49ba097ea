"""RCAN: residual groups of blocks that weigh their channels, with long and short skips."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers
from jaxsr.networks.edsr import LongSkipNetwork


class ChannelAttention(nnx.Module):
    """x times a weight in (0, 1) for each channel, from the means over the picture."""

    def __init__(
        self, num_features: int, reduction: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `num_features`; `reduction` times fewer inside."""
        conv = functools.partial(layers.conv, kernel_size=1, dtype=dtype, rngs=rngs)
        self.attention = nnx.Sequential(
            global_average,
            conv(num_features, num_features // reduction),
            jax.nn.relu,
            conv(num_features // reduction, num_features),
            jax.nn.sigmoid,
        )

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x * self.attention(x)


class ResidualChannelAttentionBlock(nnx.Module):
    """x + s attention(conv(relu(conv(x))))."""

    def __init__(
        self,
        num_features: int,
        reduction: int,
        res_scale: float,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """C is `num_features`, s is `res_scale`; `reduction` is that of the attention."""
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.res_scale = res_scale
        self.rcab = nnx.Sequential(
            conv(num_features, num_features),
            jax.nn.relu,
            conv(num_features, num_features),
            ChannelAttention(num_features, reduction, dtype=dtype, rngs=rngs),
        )

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x + self.res_scale * self.rcab(x)


class ResidualGroup(nnx.Module):
    """x + conv(blocks(x)), the short skip."""

    def __init__(
        self,
        num_features: int,
        num_blocks: int,
        reduction: int,
        res_scale: float,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """C is `num_features`; `num_blocks` blocks."""
        block = functools.partial(
            ResidualChannelAttentionBlock,
            num_features,
            reduction,
            res_scale,
            dtype=dtype,
            rngs=rngs,
        )
        self.residual_group = nnx.Sequential(*(block() for _ in range(num_blocks)))
        self.conv = layers.conv(num_features, num_features, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x + self.conv(self.residual_group(x))


class RCAN(LongSkipNetwork):
    """Residual channel attention network.

    Source: Zhang et al., "Image super-resolution using very deep residual channel attention
    networks", 2018; names and mean colour as in BasicSR's RCAN.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 64,
        num_groups: int = 10,
        num_blocks: int = 20,
        reduction: int = 16,
        res_scale: float = 1.0,
        img_range: float = 255.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: 2, 3, 4 or 8.
            num_features: channels of the body.
            num_groups: residual groups.
            num_blocks: blocks of a group.
            reduction: how many times fewer channels the attention has inside.
            res_scale: what the residual of a block is multiplied by.
            img_range: range that colours have inside the network.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at a scale that is not made of x2 and x3.
        """
        group = functools.partial(
            ResidualGroup, num_features, num_blocks, reduction, res_scale, dtype=dtype, rngs=rngs
        )
        super().__init__(group, num_groups, scale, num_features, img_range, dtype=dtype, rngs=rngs)


def global_average(x: Array) -> Array:
    """Map [N, H, W, C] to [N, 1, 1, C]."""
    return jnp.mean(x, axis=(1, 2), keepdims=True)
