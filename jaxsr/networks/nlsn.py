"""NLSN: EDSR's body with non-local sparse attention, which looks for similar pixels by hashing.

Letters: L pixels of an image, C channels, h rounds of hashing, b buckets.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jaxsr.networks import edsr, layers

_BLOCKS_BETWEEN_ATTENTION = 8
_MAX_BUCKETS = 128


class ResBlock(edsr.ResidualBlock):
    """EDSR's block under the names of the reference."""

    OFFICIAL_NAMES = {"conv1": "body.0", "conv2": "body.2"}


class NonLocalSparseAttention(nnx.Module):
    """x + s times what pixels of the same hash bucket, anywhere in the image, hold."""

    OFFICIAL_NAMES = {"conv_match": "conv_match.0", "conv_assembly": "conv_assembly.0"}

    def __init__(
        self,
        num_features: int,
        reduction: int,
        chunk_size: int,
        res_scale: float,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        """C is `num_features`, s is `res_scale`; the rest as in `NLSN`."""
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        self.chunk_size, self.res_scale = chunk_size, res_scale
        self.conv_match = conv(num_features, num_features // reduction)
        self.conv_assembly = conv(num_features, num_features, 1)

    def __call__(self, x: Array, rotation: Array) -> Array:
        """Map [N, H, W, C] and a rotation [C / reduction, h, b / 2] to [N, H, W, C]."""
        n, height, width, features = x.shape
        matches = self.conv_match(x).reshape(n, height * width, -1)
        values = self.conv_assembly(x).reshape(n, height * width, -1)
        attend = functools.partial(sparse_attention, chunk_size=self.chunk_size)
        attended = jax.vmap(attend, in_axes=(0, 0, None))(matches, values, rotation)
        return x + self.res_scale * attended.reshape(n, height, width, features)


class NLSN(nnx.Module):
    """Non-local sparse network.

    The hashing is random. `rotations` draws it; without, it is that of key 0, so that the same
    image gives the same result. Training draws anew at each step, as the reference always does.

    Source: Mei, Fan and Zhou, "Image super-resolution with non-local sparse attention", 2021;
    names as in HarukiYqM/Non-Local-Sparse-Attention. Hash codes are sorted stably, where the
    reference leaves the order in a bucket open; images smaller than a chunk repeat themselves.
    """

    OFFICIAL_NAMES = {"head": "head.0"}

    def __init__(
        self,
        *,
        scale: int,
        num_features: int = 256,
        num_blocks: int = 32,
        reduction: int = 4,
        chunk_size: int = 144,
        num_hashes: int = 4,
        res_scale: float = 0.1,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights.

        Args:
            scale: 2, 3, 4 or 8.
            num_features: channels of the body.
            num_blocks: residual blocks; attention comes first and after every eighth.
            reduction: how many times fewer channels pixels are matched by.
            chunk_size: pixels that attend together, and to the chunks before and after.
            num_hashes: rounds of hashing.
            res_scale: what residuals are multiplied by.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: at a scale that is not made of x2 and x3.
        """
        conv = functools.partial(layers.conv, dtype=dtype, rngs=rngs)
        block = functools.partial(ResBlock, num_features, res_scale, dtype=dtype, rngs=rngs)
        attention = functools.partial(
            NonLocalSparseAttention,
            num_features,
            reduction,
            chunk_size,
            res_scale,
            dtype=dtype,
            rngs=rngs,
        )
        self.scale, self.chunk_size = scale, chunk_size
        self.num_matched, self.num_hashes = num_features // reduction, num_hashes
        self.sub_mean = layers.MeanShift(-1)
        self.head = conv(3, num_features)
        self.body: nnx.List[nnx.Module] = nnx.List([attention()])
        for index in range(1, num_blocks + 1):
            self.body.append(block())
            if index % _BLOCKS_BETWEEN_ATTENTION == 0:
                self.body.append(attention())
        self.body.append(conv(num_features, num_features))
        self.tail = nnx.Sequential(
            layers.upsampler(scale, num_features, conv), conv(num_features, 3)
        )
        self.add_mean = layers.MeanShift(1)

    def rotations(self, key: Array, height: int, width: int) -> list[Array]:
        """Draw what images of a size are hashed with, [C / reduction, h, b / 2] by layer.

        Args:
            key: randomness.
            height: pixels of the images that come in.
            width: pixels of the images that come in.
        """
        count = sum(isinstance(layer, NonLocalSparseAttention) for layer in self.body)
        buckets = num_buckets(height * width, self.chunk_size)
        shape = (self.num_matched, self.num_hashes, buckets // 2)
        return [jax.random.normal(k, shape) for k in jax.random.split(key, count)]

    def __call__(self, images: Array, rotations: Sequence[Array] | None = None) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, rH, rW, 3] float32, not clipped.

        Args:
            images: what to enlarge.
            rotations: from the method of that name; None for those of key 0.
        """
        layers.check_images(images)
        if rotations is None:
            rotations = self.rotations(jax.random.key(0), *images.shape[1:3])
        shallow = self.head(self.sub_mean(images.astype(jnp.float32)))
        deep, drawn = shallow, iter(rotations)
        for layer in self.body:
            if isinstance(layer, NonLocalSparseAttention):
                deep = layer(deep, next(drawn))
            else:
                deep = layer(deep)
        return self.add_mean(self.tail(shallow + deep).astype(jnp.float32))


def num_buckets(num_pixels: int, chunk_size: int) -> int:
    """Return about one bucket for each chunk: even, 2 to 128."""
    chunks = num_pixels // chunk_size
    return min(max(chunks + chunks % 2, 2), _MAX_BUCKETS)


def sparse_attention(matches: Array, values: Array, rotation: Array, chunk_size: int) -> Array:
    """Gather for each pixel of one image from its hash bucket.

    Args:
        matches: [L, C / reduction], by which pixels are compared.
        values: [L, C], what they hold.
        rotation: [C / reduction, h, b / 2] float32.
        chunk_size: pixels that attend together.

    Returns:
        [L, C]: rounds of hashing weighed by how much each found.
    """
    # Spherical hashing: the nearest of +-b/2 axes after a random rotation.
    rotated = jnp.einsum("lc,chb->hlb", matches.astype(jnp.float32), rotation)
    codes = jnp.argmax(jnp.concatenate([rotated, -rotated], axis=-1), axis=-1)
    attend = functools.partial(_attend_in_buckets, chunk_size=chunk_size)
    gathered, scores = jax.vmap(attend, in_axes=(None, None, 0))(matches, values, codes)
    weights = jax.nn.softmax(scores, axis=0).astype(values.dtype)
    return jnp.sum(gathered * weights[..., None], axis=0)


def _attend_in_buckets(
    matches: Array, values: Array, codes: Array, chunk_size: int
) -> tuple[Array, Array]:
    """Attend once: codes [L] to what pixels gather, [L, C], and how much they found, [L]."""
    length = len(codes)
    order = jnp.argsort(codes, stable=True)
    # The last chunk is filled up with the last pixels once more.
    padding = -length % chunk_size
    padded = np.concatenate([np.arange(length), np.arange(length - padding, length) % length])
    chunks = order[padded].reshape(-1, chunk_size)

    queries = matches[chunks].astype(jnp.float32)  # [chunks, chunk_size, C / reduction]
    squares = jnp.sum(queries**2, axis=-1, keepdims=True)
    keys = _with_neighbours(queries * jax.lax.rsqrt(jnp.maximum(squares, 5e-5**2)))
    scores = jnp.einsum("kie,kje->kij", queries, keys)
    found = jax.nn.logsumexp(scores, axis=-1)
    attention = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    gathered = jnp.einsum("kij,kje->kie", attention, _with_neighbours(values[chunks]))

    restore = jnp.argsort(order)
    return gathered.reshape(-1, values.shape[-1])[restore], found.reshape(-1)[restore]


def _with_neighbours(chunks: Array) -> Array:
    """Map [chunks, size, C] to [chunks, 3 size, C]: each with the one before and the one after."""
    return jnp.concatenate([chunks, jnp.roll(chunks, 1, axis=0), jnp.roll(chunks, -1, axis=0)], 1)
