"""EDSR: residual blocks without batch normalisation, on sub-pixel upsampling."""

import functools
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers


class ResidualBlock(nnx.Module):
    """x + s conv(relu(conv(x)))."""

    def __init__(
        self, num_features: int, res_scale: float, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `num_features`, s is `res_scale`."""
        self.res_scale = res_scale
        self.conv1 = layers.conv(num_features, num_features, dtype=dtype, rngs=rngs)
        self.conv2 = layers.conv(num_features, num_features, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x + self.res_scale * self.conv2(jax.nn.relu(self.conv1(x)))


class LongSkipNetwork(nnx.Module):
    """Blocks with a long skip around them, then sub-pixel upsampling: the frame of EDSR and RCAN.

    The mean colour is subtracted at the beginning and added at the end. Names as in BasicSR.
    """

    def __init__(
        self,
        block: Callable[[], nnx.Module],
        num_blocks: int,
        scale: int,
        num_features: int,
        img_range: float,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights; `block` makes each of the `num_blocks`, the rest as in `EDSR`.

        Raises:
            ValueError: at a scale that is not made of x2 and x3.
        """
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.scale, self.img_range = scale, img_range
        self.conv_first = conv(3, num_features)
        self.body = nnx.Sequential(*(block() for _ in range(num_blocks)))
        self.conv_after_body = conv(num_features, num_features)
        self.upsample = layers.upsampler(scale, num_features, conv)
        self.conv_last = conv(num_features, 3)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        shallow = self.conv_first(layers.subtract_mean(images, self.img_range))
        deep = shallow + self.conv_after_body(self.body(shallow))
        return layers.add_mean(self.conv_last(self.upsample(deep)), self.img_range)


class EDSR(LongSkipNetwork):
    """Enhanced deep super-resolution network.

    Source: Lim et al., "Enhanced deep residual networks for single image super-resolution",
    2017; names and mean colour as in BasicSR's EDSR.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 256,
        num_blocks: int = 32,
        res_scale: float = 0.1,
        img_range: float = 255.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: 2, 3, 4 or 8.
            num_features: channels of the body.
            num_blocks: residual blocks.
            res_scale: what residuals are multiplied by; the paper needs it at 256 features.
            img_range: range that colours have inside the network.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at a scale that is not made of x2 and x3.
        """
        block = functools.partial(ResidualBlock, num_features, res_scale, dtype=dtype, rngs=rngs)
        super().__init__(block, num_blocks, scale, num_features, img_range, dtype=dtype, rngs=rngs)

    def original_names(self, name: str) -> str:
        """Return what EDSR-PyTorch, the authors' code, calls the array of `name`."""
        last = len(self.body.layers)  # the convolution after the blocks counts as one of them
        for pattern, original in (
            (r"conv_first\.", "head.0."),
            (r"body\.(\d+)\.conv1\.", r"body.\1.body.0."),
            (r"body\.(\d+)\.conv2\.", r"body.\1.body.2."),
            (r"conv_after_body\.", f"body.{last}."),
            (r"upsample\.", "tail.0."),
            (r"conv_last\.", "tail.1."),
        ):
            name, found = re.subn(f"^{pattern}", original, name)
            if found:
                break
        return name
