"""RLFN: residual blocks of three convolutions with light spatial attention, made to be fast."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers

_IMG_RANGE = 255.0  # what the published weights take and give
_MIN_SIZE = 15  # pixels that the attention's stride and pooling need

_lrelu = layers.leaky_relu(0.05)


class EnhancedSpatialAttention(nnx.Module):
    """x times a weight in (0, 1) for each pixel and channel, seen from a sixth of the size."""

    def __init__(
        self, num_features: int, esa_channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `num_features`; `esa_channels` inside."""
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.conv1 = conv(num_features, esa_channels, 1)
        self.conv_f = conv(esa_channels, esa_channels, 1)
        self.conv2 = conv(esa_channels, esa_channels, stride=2, padding=0)
        self.conv3 = conv(esa_channels, esa_channels)
        self.conv4 = conv(esa_channels, num_features, 1)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        height, width = x.shape[1:3]
        reduced = self.conv1(x)
        pooled = nnx.max_pool(self.conv2(reduced), (7, 7), strides=(3, 3))
        coarse = layers.bilinear_resize(self.conv3(pooled), height, width)
        return x * jax.nn.sigmoid(self.conv4(coarse + self.conv_f(reduced)))


class ResidualLocalFeatureBlock(nnx.Module):
    """attention(conv(x + three convolutions(x)))."""

    def __init__(
        self,
        num_features: int,
        mid_features: int,
        esa_channels: int,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """C is `num_features`; `mid_features` inside, `esa_channels` in the attention."""
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.c1_r = conv(num_features, mid_features)
        self.c2_r = conv(mid_features, mid_features)
        self.c3_r = conv(mid_features, num_features)
        self.c5 = conv(num_features, num_features, 1)
        self.esa = EnhancedSpatialAttention(num_features, esa_channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        residual = _lrelu(self.c3_r(_lrelu(self.c2_r(_lrelu(self.c1_r(x))))))
        return self.esa(self.c5(x + residual))


class RLFN(nnx.Module):
    """Residual local feature network.

    Source: Kong et al., "Residual local feature network for efficient super-resolution", 2022;
    names as in bytedance/RLFN. Images of fewer than 15 rows or columns, which that code refuses,
    are mirrored up to 15.
    """

    OFFICIAL_NAMES = {"blocks": lambda i: f"block_{i + 1}"}

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 52,
        num_blocks: int = 6,
        mid_features: int | None = None,
        esa_channels: int = 16,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: any from 1 on.
            num_features: channels of the body: 52, of RLFN-S 48.
            num_blocks: residual local feature blocks.
            mid_features: channels inside a block; None for as many.
            esa_channels: channels of the attention.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.
        """
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        block = functools.partial(
            ResidualLocalFeatureBlock,
            num_features,
            mid_features or num_features,
            esa_channels,
            dtype=dtype,
            rngs=rngs,
        )
        self.scale = scale
        self.conv_1 = conv(3, num_features)
        self.blocks = nnx.List(block() for _ in range(num_blocks))
        self.conv_2 = conv(num_features, num_features)
        self.upsampler = layers.one_step_upsampler(scale, num_features, conv)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        height, width = images.shape[1:3]
        padded = layers.pad_to(images, max(height, _MIN_SIZE), max(width, _MIN_SIZE))
        shallow = self.conv_1(padded.astype(jnp.float32) * _IMG_RANGE)
        deep = shallow
        for block in self.blocks:
            deep = block(deep)
        enlarged = self.upsampler(shallow + self.conv_2(deep)).astype(jnp.float32) / _IMG_RANGE
        return enlarged[:, : height * self.scale, : width * self.scale]
