"""SRVGGNetCompact: a chain of convolutions that adds detail to the nearest-neighbour image."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers


class SRVGGNetCompact(nnx.Module):
    """A compact network in the manner of VGG.

    Source: Wang et al., "Real-ESRGAN: training real-world blind super-resolution with pure
    synthetic data", 2021, whose small models it is; names as in BasicSR's SRVGGNetCompact.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 64,
        num_convs: int = 16,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: any from 1 on.
            num_features: channels of the body.
            num_convs: convolutions between the first and the last.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.
        """
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.scale = scale
        body: list[Callable] = [conv(3, num_features), layers.PReLU(num_features)]
        for _ in range(num_convs):
            body += [conv(num_features, num_features), layers.PReLU(num_features)]
        self.body = nnx.Sequential(*body, conv(num_features, 3 * scale**2))

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        images = images.astype(jnp.float32)
        detail = layers.pixel_shuffle(self.body(images).astype(jnp.float32), self.scale)
        return detail + layers.nearest_upsample(images, self.scale)
