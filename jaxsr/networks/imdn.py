"""IMDN: blocks that set a quarter of their channels aside at each step, and weigh them all."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers

_REDUCTION = 16

_lrelu = layers.leaky_relu(0.05)


class ContrastAwareChannelAttention(nnx.Module):
    """x times a weight in (0, 1) for each channel, from its mean and standard deviation."""

    def __init__(self, num_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """C is `num_features`; 16 times fewer inside."""
        conv = functools.partial(layers.conv, kernel_size=1, dtype=dtype, rngs=rngs)
        self.conv_du = nnx.Sequential(
            conv(num_features, num_features // _REDUCTION),
            jax.nn.relu,
            conv(num_features // _REDUCTION, num_features),
            jax.nn.sigmoid,
        )

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        mean = jnp.mean(x, axis=(1, 2), keepdims=True)
        return x * self.conv_du(mean + jnp.std(x, axis=(1, 2), keepdims=True))


class InformationMultiDistillationBlock(nnx.Module):
    """x + fusion(attention(what four convolutions set aside)); the rest goes on to the next."""

    def __init__(
        self, num_features: int, distillation_rate: float, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `num_features`; a share of `distillation_rate` is set aside at each step."""
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.distilled = int(num_features * distillation_rate)
        remaining = num_features - self.distilled
        self.c1 = conv(num_features, num_features)
        self.c2 = conv(remaining, num_features)
        self.c3 = conv(remaining, num_features)
        self.c4 = conv(remaining, self.distilled)
        self.cca = ContrastAwareChannelAttention(4 * self.distilled, dtype=dtype, rngs=rngs)
        self.c5 = conv(4 * self.distilled, num_features, 1)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        remaining, distilled = x, []
        for conv in (self.c1, self.c2, self.c3):
            kept, remaining = jnp.split(_lrelu(conv(remaining)), [self.distilled], axis=-1)
            distilled.append(kept)
        distilled.append(self.c4(remaining))
        return x + self.c5(self.cca(jnp.concatenate(distilled, axis=-1)))


class IMDN(nnx.Module):
    """Information multi-distillation network.

    Source: Hui et al., "Lightweight image super-resolution with information multi-distillation
    network", 2019; names as in Zheng222/IMDN.
    """

    OFFICIAL_NAMES = {"blocks": lambda i: f"IMDB{i + 1}", "fusion": "c.0"}

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 64,
        num_blocks: int = 6,
        distillation_rate: float = 0.25,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: any from 1 on.
            num_features: channels of the body.
            num_blocks: distillation blocks.
            distillation_rate: share of the channels that each step sets aside.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.
        """
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        block = functools.partial(
            InformationMultiDistillationBlock,
            num_features,
            distillation_rate,
            dtype=dtype,
            rngs=rngs,
        )
        self.scale = scale
        self.fea_conv = conv(3, num_features)
        self.blocks = nnx.List(block() for _ in range(num_blocks))
        self.fusion = conv(num_features * num_blocks, num_features, 1)
        self.LR_conv = conv(num_features, num_features)
        self.upsampler = layers.one_step_upsampler(scale, num_features, conv)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        shallow = self.fea_conv(images.astype(jnp.float32))
        x, outputs = shallow, []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        fused = _lrelu(self.fusion(jnp.concatenate(outputs, axis=-1)))
        return self.upsampler(shallow + self.LR_conv(fused)).astype(jnp.float32)
