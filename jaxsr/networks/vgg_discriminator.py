"""VGG-style discriminator of photographs and generated images of, say, 128 x 128 pixels."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers

_lrelu = layers.leaky_relu(0.2)
_WIDTHS = (1, 2, 4, 8, 8, 8)  # of the sizes, in `num_features`
_MOMENTUM, _EPSILON = 0.1, 1e-5  # of the batch normalisation, as in PyTorch
_LAST_SIZE = 4  # pixels of a side at the end

SIZES = (32, 64, 128, 256)  # of pictures, pixels


class BatchNorm(nnx.Module):
    """Normalises each channel over the batch, or with running statistics after `model.eval()`.

    As PyTorch has it: running values move by a tenth, the variance that they take is the
    unbiased one. While training, a call changes them.
    """

    OFFICIAL_NAMES = {"mean": "running_mean", "var": "running_var"}

    def __init__(self, num_features: int, *, dtype: DTypeLike) -> None:
        """C is `num_features`."""
        self.dtype = dtype
        self.use_running_average = False
        self.scale = nnx.Param(jnp.ones((num_features,)))
        self.bias = nnx.Param(jnp.zeros((num_features,)))
        self.mean = nnx.BatchStat(jnp.zeros((num_features,)))
        self.var = nnx.BatchStat(jnp.ones((num_features,)))

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        x = x.astype(jnp.float32)
        mean, var = self.mean[...], self.var[...]
        if not self.use_running_average:
            count = x.shape[0] * x.shape[1] * x.shape[2]
            new_mean, new_var = jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2))
            unbiased = jax.lax.stop_gradient(new_var) * (count / (count - 1))
            self.mean[...] = mean + _MOMENTUM * (jax.lax.stop_gradient(new_mean) - mean)
            self.var[...] = var + _MOMENTUM * (unbiased - var)
            mean, var = new_mean, new_var
        gain = self.scale[...] * jax.lax.rsqrt(var + _EPSILON)
        gain, mean, bias = (v.reshape(1, 1, 1, -1) for v in (gain, mean, self.bias[...]))
        return ((x - mean) * gain + bias).astype(self.dtype)


class VGGStyleDiscriminator(nnx.Module):
    """Pairs of convolutions that halve the size down to 4 x 4 pixels, and two dense layers.

    All convolutions but the first are normalised over the batch.

    Source: Ledig et al., "Photo-realistic single image super-resolution using a generative
    adversarial network", 2017, section 2.1.1; names as in BasicSR's VGGStyleDiscriminator.
    """

    OFFICIAL_NAMES = {
        "convs": lambda i: f"conv{i // 2}_{i % 2}",
        "norms": lambda i: f"bn{(i + 1) // 2}_{(i + 1) % 2}",
    }

    def __init__(
        self,
        *,
        num_features: int = 64,
        input_size: int = 128,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            num_features: channels at full size.
            input_size: side of the pictures in pixels: 128 or 256 as in BasicSR, 32 or 64 in
                the same manner.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at another size.
        """
        if input_size not in SIZES:
            sizes = ", ".join(map(str, SIZES))
            raise ValueError(f"The discriminator takes pictures of {sizes}; got {input_size}.")
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        num_sizes = (input_size // _LAST_SIZE).bit_length() - 1
        self.input_size = input_size
        self.convs: nnx.List[nnx.Conv] = nnx.List()
        self.norms: nnx.List[BatchNorm] = nnx.List()
        before = 3
        for width in (num_features * factor for factor in _WIDTHS[:num_sizes]):
            self.convs.append(conv(before, width, use_bias=not len(self.convs)))
            self.convs.append(conv(width, width, 4, stride=2, padding=1, use_bias=False))
            self.norms.extend(BatchNorm(width, dtype=dtype) for _ in range(2))
            before = width
        self.norms.pop(0)
        self.linear1 = layers.linear(before * _LAST_SIZE**2, 100, dtype=dtype, rngs=rngs)
        self.linear2 = layers.linear(100, 1, dtype=dtype, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        """Map [N, size, size, 3] float in [0, 1] to [N, 1] float32 logits."""
        layers.check_images(images)
        if images.shape[1:3] != (self.input_size, self.input_size):
            raise ValueError(
                f"This discriminator takes {self.input_size} x {self.input_size} pixels; got "
                f"shape {images.shape}. Crop the images."
            )
        x = _lrelu(self.convs[0](images.astype(jnp.float32)))
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = _lrelu(norm(conv(x)))
        flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # PyTorch's order, channels first
        return self.linear2(_lrelu(self.linear1(flat))).astype(jnp.float32)
