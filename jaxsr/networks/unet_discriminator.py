"""U-Net discriminator with spectral normalisation: how real is each pixel?"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers

_lrelu = layers.leaky_relu(0.2)
_MULTIPLE = 8  # three halvings


class SpectralStat(nnx.Variable):
    """A singular vector that power iteration keeps up to date; no parameter."""


class SpectralConv(nnx.Module):
    """A convolution without bias whose kernel, as a matrix [out, in], has spectral norm 1.

    The norm is u' K v, with u and v from one power iteration before each call while training;
    after `model.eval()` the stored ones serve. Gradients see u and v as constants.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", 2018,
    algorithm 1.
    """

    OFFICIAL_NAMES = {"kernel": "weight_orig", "u": "weight_u", "v": "weight_v"}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """Arguments as of `layers.conv`; one row of zeros around."""
        conv = layers.conv(in_features, out_features, kernel_size, use_bias=False, rngs=rngs)
        self.kernel = conv.kernel
        self.stride, self.dtype = stride, dtype
        self.use_running_average = False
        self.u = SpectralStat(_direction(rngs.params(), out_features))
        self.v = SpectralStat(_direction(rngs.params(), in_features * kernel_size**2))

    def __call__(self, x: Array) -> Array:
        """[N, H, W, in] to [N, H / stride, W / stride, out]."""
        kernel = self.kernel[...]
        matrix = kernel.transpose(3, 2, 0, 1).reshape(kernel.shape[-1], -1)
        if not self.use_running_average:
            constant = jax.lax.stop_gradient(matrix)
            self.v[...] = _unit(_product(self.u[...], constant))
            self.u[...] = _unit(_product(constant, self.v[...]))
        sigma = _product(self.u[...], _product(matrix, self.v[...]))
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            (kernel / sigma).astype(self.dtype),
            (self.stride, self.stride),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class UNetDiscriminatorSN(nnx.Module):
    """Three halvings, three doublings with skips, three more convolutions.

    Source: Wang et al., "Real-ESRGAN: training real-world blind super-resolution with pure
    synthetic data", 2021, section 3.4; names as in BasicSR's UNetDiscriminatorSN.
    """

    def __init__(
        self,
        *,
        num_features: int = 64,
        skip_connection: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draws the initial weights.

        Args:
            num_features: channels at full size.
            skip_connection: whether features of the way down are added on the way up.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.
        """
        width = num_features
        conv = functools.partial(SpectralConv, dtype=dtype, rngs=rngs)
        self.skip_connection = skip_connection
        self.conv0 = layers.conv(3, width, dtype=dtype, rngs=rngs)
        self.conv1 = conv(width, 2 * width, 4, stride=2)
        self.conv2 = conv(2 * width, 4 * width, 4, stride=2)
        self.conv3 = conv(4 * width, 8 * width, 4, stride=2)
        self.conv4 = conv(8 * width, 4 * width)
        self.conv5 = conv(4 * width, 2 * width)
        self.conv6 = conv(2 * width, width)
        self.conv7 = conv(width, width)
        self.conv8 = conv(width, width)
        self.conv9 = layers.conv(width, 1, dtype=dtype, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        """[N, H, W, 3] float in [0, 1], H and W multiples of 8, to [N, H, W, 1] float32 logits."""
        layers.check_images(images)
        if images.shape[1] % _MULTIPLE or images.shape[2] % _MULTIPLE:
            raise ValueError(
                f"Height and width must be multiples of {_MULTIPLE}; got shape {images.shape}. "
                "Crop the images."
            )
        down = [_lrelu(self.conv0(images.astype(jnp.float32)))]
        for conv in (self.conv1, self.conv2, self.conv3):
            down.append(_lrelu(conv(down[-1])))
        x = down.pop()
        for conv in (self.conv4, self.conv5, self.conv6):
            height, width = x.shape[1:3]
            x = _lrelu(conv(layers.bilinear_resize(x, 2 * height, 2 * width)))
            skipped = down.pop()
            x = x + skipped if self.skip_connection else x
        x = _lrelu(self.conv8(_lrelu(self.conv7(x))))
        return self.conv9(x).astype(jnp.float32)


def _direction(key: Array, size: int) -> Array:
    return _unit(jax.random.normal(key, (size,)))


def _unit(vector: Array) -> Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
