"""Layers that the networks share: convolutions as PyTorch initialises them, shuffles, means.

Letters: N images, H height, W width, C channels, r scale. Features are `[N, H, W, C]`, kernels
`[height, width, in, out]`. Parameters are float32; `dtype` is what convolutions compute in.

Attributes are called as in the code that the published weights belong to. Where a class differs,
its `OFFICIAL_NAMES` has {attribute: name in the state_dict}, for a list {attribute: index -> name}.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import convolution

# Mean colour of DIV2K's training photographs, red, green, blue in [0, 1].
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)

Initializer = Callable[..., Array]  # of a key, a shape and a dtype


class Frozen(nnx.Variable):
    """A weight that references count and save among their parameters, and never train."""


def uniform_init(fan_in: int) -> Initializer:
    """Return PyTorch's default, Kaiming-uniform with a = sqrt(5): uniform in +-1 / sqrt(fan in)."""
    bound = 1.0 / math.sqrt(fan_in)
    return _drawn_flat(
        lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)
    )


def normal_init(deviation: float) -> Initializer:
    """Return an initialiser: normal with this standard deviation, mean zero."""
    return _drawn_flat(lambda key, shape: deviation * jax.random.normal(key, shape))


def _drawn_flat(draw: Callable[[Array, tuple[int]], Array]) -> Initializer:
    # The numbers are the same as with all axes; XLA compiles it three times as fast.
    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return draw(key, (math.prod(shape),)).reshape(shape).astype(dtype)

    return init


def small_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Draw weights of SwinIR and ConvNeXt: normal with a standard deviation of 0.02."""
    return normal_init(0.02)(key, shape, dtype)


def conv(
    in_features: int,
    out_features: int,
    kernel_size: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    use_bias: bool = True,
    kernel_init: Initializer | None = None,
    bias_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """Return a convolution of [N, H, W, in] to [N, H / stride, W / stride, out], zeros around.

    Args:
        in_features: channels that come in.
        out_features: channels that go out.
        kernel_size: side of the kernel, in pixels.
        stride: pixels from one output to the next.
        padding: zeros on each side; None keeps the size of a picture at stride 1.
        use_bias: whether a number is added to each channel.
        kernel_init: `uniform_init` unless given.
        bias_init: `uniform_init` unless given.
        dtype: of the computation.
        rngs: where initial values are drawn.

    Raises:
        ValueError: if there are no channels on one side.
    """
    if min(in_features, out_features) < 1:
        raise ValueError(
            f"No convolution takes {in_features} channels to {out_features}: choose more features "
            "or a smaller reduction."
        )
    padding = kernel_size // 2 if padding is None else padding
    default_init = uniform_init(in_features * kernel_size**2)
    return nnx.Conv(
        in_features,
        out_features,
        (kernel_size, kernel_size),
        strides=stride,
        padding=((padding, padding), (padding, padding)),
        use_bias=use_bias,
        kernel_init=kernel_init or default_init,
        bias_init=bias_init or default_init,
        dtype=dtype,
        conv_general_dilated=convolution.conv_general_dilated,
        rngs=rngs,
    )


def linear(in_features: int, out_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a dense layer [..., in] to [..., out]; initial values as in `conv`."""
    return nnx.Linear(
        in_features,
        out_features,
        kernel_init=uniform_init(in_features),
        bias_init=uniform_init(in_features),
        dtype=dtype,
        rngs=rngs,
    )


def small_linear(
    in_features: int, out_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs
) -> nnx.Linear:
    """Return a dense layer whose weights are drawn by `small_init`, and biases 0."""
    return nnx.Linear(in_features, out_features, kernel_init=small_init, dtype=dtype, rngs=rngs)


class MLP(nnx.Module):
    """Two dense layers with GELU between."""

    def __init__(
        self, features: int, hidden_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `features`; `hidden_features` between."""
        self.fc1 = small_linear(features, hidden_features, dtype=dtype, rngs=rngs)
        self.fc2 = small_linear(hidden_features, features, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [..., C] to the same."""
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=False))


class PReLU(nnx.Module):
    """max(x, 0) + a min(x, 0), with a slope a for each channel, 0.25 at first."""

    def __init__(self, num_features: int) -> None:
        """C is `num_features`."""
        self.weight = nnx.Param(jnp.full((num_features,), 0.25))

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same shape and dtype."""
        slope = self.weight[...].astype(x.dtype).reshape(1, 1, 1, -1)
        return jnp.maximum(x, 0) + slope * jnp.minimum(x, 0)


class PixelShuffle(nnx.Module):
    """`pixel_shuffle` as a layer; of two networks they compare equal, as partials would not."""

    def __init__(self, scale: int) -> None:
        """`scale` is r."""
        self.scale = scale

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C r r] to [N, rH, rW, C]."""
        return pixel_shuffle(x, self.scale)


class MeanShift(nnx.Module):
    """Adds sign x the mean colour; a frozen 1 x 1 convolution, as EDSR's own code has it."""

    def __init__(self, sign: int) -> None:
        """`sign` is 1 or -1."""
        self.kernel = Frozen(jnp.eye(3).reshape(1, 1, 3, 3))
        self.bias = Frozen(sign * jnp.asarray(DIV2K_MEAN))

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, 3] float32 to the same."""
        mixed = jnp.einsum("nhwi,io->nhwo", x, self.kernel[0, 0], precision="highest")
        return mixed + self.bias[...].reshape(1, 1, 1, 3)


def subtract_mean(images: Array, img_range: float) -> Array:
    """Return (images - mean) x range: [N, H, W, 3] in [0, 1] to float32 about zero."""
    return (images.astype(jnp.float32) - _mean_colour()) * img_range


def add_mean(x: Array, img_range: float) -> Array:
    """Invert `subtract_mean`, in float32."""
    return x.astype(jnp.float32) / img_range + _mean_colour()


def upsampler(scale: int, num_features: int, conv: Callable[..., nnx.Conv]) -> nnx.Sequential:
    """Return the sub-pixel convolutions: x2 as often as needed, or x3 once.

    Args:
        scale: 3, or a power of two.
        num_features: channels before and after.
        conv: makes the convolutions.

    Raises:
        ValueError: at any other scale.

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", 2016.
    """
    if scale == 3:
        factors = [3]
    elif scale > 0 and scale & (scale - 1) == 0:
        factors = [2] * (scale.bit_length() - 1)
    else:
        raise ValueError(f"Scale {scale} cannot be made of x2 and x3: choose 2, 3, 4 or 8.")
    steps: list[Callable] = []
    for factor in factors:
        steps.append(conv(num_features, factor**2 * num_features))
        steps.append(PixelShuffle(factor))
    return nnx.Sequential(*steps)


def one_step_upsampler(
    scale: int, num_features: int, conv: Callable[..., nnx.Conv]
) -> nnx.Sequential:
    """Return a convolution and a pixel shuffle: [N, H, W, C] to [N, rH, rW, 3]."""
    return nnx.Sequential(conv(num_features, 3 * scale**2), PixelShuffle(scale))


def pixel_shuffle(x: Array, scale: int) -> Array:
    """Map [N, H, W, C r r] to [N, rH, rW, C]; channels in PyTorch's order, C slowest."""
    n, height, width, features = x.shape
    x = x.reshape(n, height, width, features // scale**2, scale, scale)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(n, height * scale, width * scale, -1)


def pixel_unshuffle(x: Array, scale: int) -> Array:
    """Invert `pixel_shuffle`: [N, rH, rW, C] to [N, H, W, C r r]."""
    n, height, width, features = x.shape
    x = x.reshape(n, height // scale, scale, width // scale, scale, features)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(n, height // scale, width // scale, -1)


def nearest_upsample(x: Array, scale: int) -> Array:
    """Return each pixel r x r times: [N, H, W, C] to [N, rH, rW, C]."""
    n, height, width, features = x.shape
    repeated = jnp.broadcast_to(
        x[:, :, None, :, None, :], (n, height, scale, width, scale, features)
    )
    return repeated.reshape(n, height * scale, width * scale, features)


def bilinear_resize(x: Array, height: int, width: int) -> Array:
    """Map [N, H, W, C] to [N, height, width, C], no smaller; pixels are areas, borders continue."""
    n, _, _, features = x.shape
    return jax.image.resize(x, (n, height, width, features), "bilinear", antialias=False)


def pad_to(x: Array, height: int, width: int) -> Array:
    """Mirror [N, H, W, C] at the bottom and the right, without repeating the last pixel."""
    below, right = height - x.shape[1], width - x.shape[2]
    return jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)), mode="reflect")


def leaky_relu(negative_slope: float) -> Callable[[Array], Array]:
    """Return max(x, slope x)."""
    return functools.partial(jax.nn.leaky_relu, negative_slope=negative_slope)


def check_images(images: Array) -> None:
    """Refuse what is not [N, H, W, 3] float.

    Raises:
        ValueError: if the shape is another.
        TypeError: if the images are not float.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            f"`images` must be [N, H, W, 3]; got shape {images.shape}. Give one image with "
            "images[None], a grey one as three equal channels."
        )
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"`images` must be float in [0, 1]; got {images.dtype}. Divide by 255.")


def num_parameters(module: nnx.Module) -> int:
    """Return the numbers that a network holds, frozen ones among them, running statistics not."""
    state = nnx.state(module, nnx.Any(nnx.Param, Frozen))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))


def _mean_colour() -> Array:
    return jnp.asarray(np.asarray(DIV2K_MEAN, np.float32).reshape(1, 1, 1, 3))
