"""RRDBNet, the generator of ESRGAN: dense blocks within residual blocks within a residual."""

import functools
import math

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers

_RESIDUAL_SCALE = 0.2
# How many times smaller the body is than the images that come in; it enlarges by 4.
_UNSHUFFLE = {1: 4, 2: 2, 4: 1}

_lrelu = layers.leaky_relu(0.2)


class ResidualDenseBlock(nnx.Module):
    """x + 0.2 conv5(all that came before); each convolution sees what the earlier ones made."""

    def __init__(
        self, num_features: int, growth_rate: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `num_features`; the first four add `growth_rate` channels each."""
        conv = functools.partial(_small_conv, dtype=dtype, rngs=rngs)
        self.conv1 = conv(num_features, growth_rate)
        self.conv2 = conv(num_features + growth_rate, growth_rate)
        self.conv3 = conv(num_features + 2 * growth_rate, growth_rate)
        self.conv4 = conv(num_features + 3 * growth_rate, growth_rate)
        self.conv5 = conv(num_features + 4 * growth_rate, num_features)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        dense = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense = jnp.concatenate([dense, _lrelu(conv(dense))], axis=-1)
        return x + _RESIDUAL_SCALE * self.conv5(dense)


class RRDB(nnx.Module):
    """x + 0.2 times three dense blocks."""

    def __init__(
        self, num_features: int, growth_rate: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `num_features`; `growth_rate` is that of the dense blocks."""
        self.rdb1 = ResidualDenseBlock(num_features, growth_rate, dtype=dtype, rngs=rngs)
        self.rdb2 = ResidualDenseBlock(num_features, growth_rate, dtype=dtype, rngs=rngs)
        self.rdb3 = ResidualDenseBlock(num_features, growth_rate, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x + _RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nnx.Module):
    """Residual-in-residual dense blocks; always x4 inside, on shuffled pixels at x2 and x1.

    Source: Wang et al., "ESRGAN: enhanced super-resolution generative adversarial networks",
    2018; names as in BasicSR's RRDBNet, whose x2 and x1 are Real-ESRGAN's.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 64,
        num_blocks: int = 23,
        growth_rate: int = 32,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: 1, 2 or 4. At 1 and 2 images are mirrored up to a multiple of 4 and 2.
            num_features: channels of the body.
            num_blocks: residual-in-residual dense blocks.
            growth_rate: channels that each dense convolution adds.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at any other scale.
        """
        if scale not in _UNSHUFFLE:
            raise ValueError(f"RRDBNet has no scale {scale}: choose one of {list(_UNSHUFFLE)}.")
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.scale, self.unshuffle = scale, _UNSHUFFLE[scale]
        self.conv_first = conv(3 * self.unshuffle**2, num_features)
        self.body = nnx.Sequential(
            *(RRDB(num_features, growth_rate, dtype=dtype, rngs=rngs) for _ in range(num_blocks))
        )
        self.conv_body = conv(num_features, num_features)
        self.conv_up1 = conv(num_features, num_features)
        self.conv_up2 = conv(num_features, num_features)
        self.conv_hr = conv(num_features, num_features)
        self.conv_last = conv(num_features, 3)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        height, width = images.shape[1:3]
        step = self.unshuffle
        padded = layers.pad_to(images, height + -height % step, width + -width % step)
        shallow = self.conv_first(layers.pixel_unshuffle(padded, step))
        x = shallow + self.conv_body(self.body(shallow))
        for conv_up in (self.conv_up1, self.conv_up2):
            x = _lrelu(conv_up(layers.nearest_upsample(x, 2)))
        enlarged = self.conv_last(_lrelu(self.conv_hr(x))).astype(jnp.float32)
        return enlarged[:, : height * self.scale, : width * self.scale]


def _small_conv(
    in_features: int, out_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs
) -> nnx.Conv:
    """Return a convolution that starts a tenth as large as Kaiming's normal, with zero bias."""
    return layers.conv(
        in_features,
        out_features,
        kernel_init=layers.normal_init(0.1 * math.sqrt(2.0 / (9 * in_features))),
        bias_init=nnx.initializers.zeros,
        dtype=dtype,
        rngs=rngs,
    )
