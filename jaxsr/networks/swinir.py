"""SwinIR: residual groups of transformer blocks that attend within shifted windows.

Letters: N images, K windows of an image, T = w w pixels of a window, C channels, h heads.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import layers


class LayerNorm(nnx.Module):
    """Normalises the channels of each pixel; statistics are float32 whatever comes in."""

    def __init__(self, features: int, *, epsilon: float = 1e-5, dtype: DTypeLike) -> None:
        """C is `features`; `epsilon` is added to the variance."""
        self.epsilon, self.dtype = epsilon, dtype
        self.scale = nnx.Param(jnp.ones((features,)))
        self.bias = nnx.Param(jnp.zeros((features,)))

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        x = x.astype(jnp.float32)
        mean, var = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
        gain, bias = (v[...].reshape(1, 1, 1, -1) for v in (self.scale, self.bias))
        return ((x - mean) * jax.lax.rsqrt(var + self.epsilon) * gain + bias).astype(self.dtype)


class WindowAttention(nnx.Module):
    """Self-attention among the pixels of a window, with a bias for each relative position."""

    def __init__(
        self, embed_dim: int, num_heads: int, window_size: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """C is `embed_dim`, h is `num_heads`, w is `window_size`."""
        self.num_heads, self.window_size = num_heads, window_size
        self.qkv = layers.small_linear(embed_dim, 3 * embed_dim, dtype=dtype, rngs=rngs)
        self.proj = layers.small_linear(embed_dim, embed_dim, dtype=dtype, rngs=rngs)
        table_shape = ((2 * window_size - 1) ** 2, num_heads)
        self.relative_position_bias_table = nnx.Param(layers.small_init(rngs.params(), table_shape))

    def __call__(self, windows: Array, mask: Array) -> Array:
        """Return [N, K, T, C] and a mask [K, T, T], 0 or -100, to [N, K, T, C]."""
        n, k, t, features = windows.shape
        qkv = self.qkv(windows).reshape(n, k, t, 3, self.num_heads, features // self.num_heads)
        query, key, value = jnp.moveaxis(qkv, 3, 0)
        scores = jnp.einsum("nkihc,nkjhc->nkhij", query * query.shape[-1] ** -0.5, key)
        table = self.relative_position_bias_table[...]
        bias = table[_relative_positions(self.window_size)].transpose(2, 0, 1)[None, None]
        scores = scores.astype(jnp.float32) + bias + mask[None, :, None]
        attention = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
        gathered = jnp.einsum("nkhij,nkjhc->nkihc", attention, value)
        return self.proj(gathered.reshape(n, k, t, features))


class SwinTransformerBlock(nnx.Module):
    """Attention within windows, moved by `shift` pixels, and an MLP; both residual."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        window_size: int,
        shift: int,
        mlp_ratio: float,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """C is `embed_dim`; the MLP has `mlp_ratio` times more inside."""
        self.window_size, self.shift = window_size, shift
        self.norm1 = LayerNorm(embed_dim, dtype=dtype)
        self.attn = WindowAttention(embed_dim, num_heads, window_size, dtype=dtype, rngs=rngs)
        self.norm2 = LayerNorm(embed_dim, dtype=dtype)
        self.mlp = layers.MLP(embed_dim, int(embed_dim * mlp_ratio), dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same; H and W are multiples of the window."""
        height, width = x.shape[1:3]
        mask = jnp.asarray(_shift_mask(height, width, self.window_size, self.shift))
        shifted = jnp.roll(self.norm1(x), (-self.shift, -self.shift), axis=(1, 2))
        windows = self.attn(_to_windows(shifted, self.window_size), mask)
        attended = _from_windows(windows, self.window_size, height, width)
        x = x + jnp.roll(attended, (self.shift, self.shift), axis=(1, 2))
        return x + self.mlp(self.norm2(x))


class ResidualSwinTransformerBlock(nnx.Module):
    """x + conv(blocks(x)); every other block is shifted by half a window."""

    OFFICIAL_NAMES = {"blocks": "residual_group.blocks"}

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        window_size: int,
        mlp_ratio: float,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """`depth` transformer blocks; the rest as in `SwinTransformerBlock`."""
        self.blocks = nnx.Sequential(
            *(
                SwinTransformerBlock(
                    embed_dim,
                    num_heads,
                    window_size,
                    shift=(i % 2) * (window_size // 2),
                    mlp_ratio=mlp_ratio,
                    dtype=dtype,
                    rngs=rngs,
                )
                for i in range(depth)
            )
        )
        self.conv = layers.conv(embed_dim, embed_dim, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        return x + self.conv(self.blocks(x))


class SwinIR(nnx.Module):
    """Image restoration by a Swin transformer.

    Source: Liang et al., "SwinIR: image restoration using Swin transformer", 2021; names as in
    JingyunLiang/SwinIR and BasicSR. Without the stochastic depth of that code's training, which
    the paper does not have.
    """

    OFFICIAL_NAMES = {
        "embed_norm": "patch_embed.norm",
        "conv_before_upsample": "conv_before_upsample.0",
    }

    def __init__(
        self,
        *,
        scale: int,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 8,
        mlp_ratio: float = 2.0,
        upsampler: str = "pixelshuffle",
        num_features: int = 64,
        img_range: float = 1.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: 2, 3, 4 or 8; 4 for `nearest+conv`.
            embed_dim: channels of the body.
            depths: transformer blocks of each residual group.
            num_heads: heads of each residual group.
            window_size: side of a window, in pixels. Images are mirrored up to a multiple of it.
            mlp_ratio: how many times more channels the MLPs have inside.
            upsampler: `pixelshuffle` (classical), `pixelshuffledirect` (light), `nearest+conv`
                (real photographs).
            num_features: channels while upsampling.
            img_range: range that colours have inside the network.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at another scale or upsampler, or if depths, heads and channels do not fit.
        """
        if len(depths) != len(num_heads):
            raise ValueError(f"`depths` {depths} and `num_heads` {num_heads} must be equally long.")
        if any(embed_dim % heads for heads in num_heads):
            raise ValueError(
                f"`embed_dim` {embed_dim} must be a multiple of all heads {num_heads}."
            )
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.scale, self.window_size, self.img_range = scale, window_size, img_range
        self.upsampler = upsampler
        self.conv_first = conv(3, embed_dim)
        self.embed_norm = LayerNorm(embed_dim, dtype=dtype)
        self.layers = nnx.Sequential(
            *(
                ResidualSwinTransformerBlock(
                    embed_dim, depth, heads, window_size, mlp_ratio, dtype=dtype, rngs=rngs
                )
                for depth, heads in zip(depths, num_heads, strict=True)
            )
        )
        self.norm = LayerNorm(embed_dim, dtype=dtype)
        self.conv_after_body = conv(embed_dim, embed_dim)
        if upsampler == "pixelshuffledirect":
            self.upsample = layers.one_step_upsampler(scale, embed_dim, conv)
            return
        self.conv_before_upsample = conv(embed_dim, num_features)
        if upsampler == "pixelshuffle":
            self.upsample = layers.upsampler(scale, num_features, conv)
        elif upsampler == "nearest+conv" and scale == 4:
            self.conv_up1 = conv(num_features, num_features)
            self.conv_up2 = conv(num_features, num_features)
            self.conv_hr = conv(num_features, num_features)
        else:
            raise ValueError(
                f"No SwinIR with upsampler {upsampler!r} at scale {scale}: choose pixelshuffle, "
                "pixelshuffledirect, or nearest+conv at scale 4."
            )
        self.conv_last = conv(num_features, 3)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped."""
        layers.check_images(images)
        height, width = images.shape[1:3]
        window = self.window_size
        padded = layers.pad_to(images, height + -height % window, width + -width % window)
        shallow = self.conv_first(layers.subtract_mean(padded, self.img_range))
        deep = self.norm(self.layers(self.embed_norm(shallow)))
        enlarged = self._enlarge(shallow + self.conv_after_body(deep))
        enlarged = enlarged[:, : height * self.scale, : width * self.scale]
        return layers.add_mean(enlarged, self.img_range)

    def _enlarge(self, x: Array) -> Array:
        """Map [N, H, W, C] to [N, rH, rW, 3]."""
        if self.upsampler == "pixelshuffledirect":
            return self.upsample(x)
        x = jax.nn.leaky_relu(self.conv_before_upsample(x), 0.01)
        if self.upsampler == "pixelshuffle":
            return self.conv_last(self.upsample(x))
        for conv_up in (self.conv_up1, self.conv_up2):
            x = jax.nn.leaky_relu(conv_up(layers.nearest_upsample(x, 2)), 0.2)
        return self.conv_last(jax.nn.leaky_relu(self.conv_hr(x), 0.2))


def _to_windows(x: Array, size: int) -> Array:
    """Map [N, H, W, C] to [N, K, T, C]."""
    n, height, width, features = x.shape
    x = x.reshape(n, height // size, size, width // size, size, features)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, size * size, features)


def _from_windows(windows: Array, size: int, height: int, width: int) -> Array:
    """Invert `_to_windows`."""
    n, _, _, features = windows.shape
    x = windows.reshape(n, height // size, width // size, size, size, features)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, features)


def _relative_positions(size: int) -> np.ndarray:
    """Return [T, T]: row of the bias table for each pair of pixels of a window."""
    y, x = (axis.ravel() for axis in np.mgrid[:size, :size])
    down, across = y[:, None] - y[None], x[:, None] - x[None]
    return (down + size - 1) * (2 * size - 1) + across + size - 1


def _shift_mask(height: int, width: int, size: int, shift: int) -> np.ndarray:
    """Return [K, T, T] float32, -100 between pixels that only the cyclic shift joins."""
    region = np.zeros((height, width), np.int32)
    if shift:
        for axis, index in enumerate((np.arange(height), np.arange(width))):
            length = region.shape[axis]
            part = np.digitize(index, [length - size, length - shift])
            region += 3**axis * (part[:, None] if axis == 0 else part[None])
    tiles = region.reshape(height // size, size, width // size, size)
    windows = tiles.transpose(0, 2, 1, 3).reshape(-1, size * size)
    apart = windows[:, :, None] != windows[:, None, :]
    return np.where(apart, -100.0, 0.0).astype(np.float32)
