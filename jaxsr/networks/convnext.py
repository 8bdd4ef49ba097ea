"""ConvNeXt: a classifier of pictures, of convolutions alone.

Names of weights are timm's, `stages.0.blocks.0.conv_dw.weight`; `with_timm_names` gives them to
arrays that are called as in torchvision's or in the authors' files.

Letters: N images, H height, W width, C channels, K classes, s stride of the stem.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from jax.typing import DTypeLike

from jaxsr.networks import depthwise, layers
from jaxsr.networks.swinir import LayerNorm
from jaxsr.state_dicts import names as torch_names

STEM_PX = 4  # side of the first kernel, and its stride in the paper
STEM_STRIDES = (1, 2, 4)
_LAYER_SCALE = 1e-6  # of the branches, at the beginning

# Zeros before and after each axis, so that H / s rows come out of H at stride s.
_STEM_PADDING = {1: (1, 2), 2: (1, 1), 4: (0, 0)}


class Size(NamedTuple):
    """Blocks and channels of the four stages."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]


# The paper's from tiny on; timm's below; the smallest is ours.
SIZES: Mapping[str, Size] = {
    "zepto": Size((1, 1, 2, 1), (16, 32, 64, 128)),
    "atto": Size((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": Size((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": Size((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": Size((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": Size((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": Size((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": Size((3, 3, 27, 3), (128, 256, 512, 1024)),
}


class Block(nnx.Module):
    """x + gain (a depthwise convolution, a normalisation and an MLP, one after the other)."""

    def __init__(self, features: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """C is `features`."""
        self.conv_dw = nnx.Conv(
            features,
            features,
            (7, 7),
            padding=((3, 3), (3, 3)),
            feature_group_count=features,
            kernel_init=layers.small_init,
            bias_init=nnx.initializers.zeros,
            dtype=dtype,
            conv_general_dilated=depthwise.conv_general_dilated,
            rngs=rngs,
        )
        self.norm = LayerNorm(features, epsilon=1e-6, dtype=dtype)
        self.mlp = layers.MLP(features, 4 * features, dtype=dtype, rngs=rngs)
        self.gamma = nnx.Param(jnp.full((features,), _LAYER_SCALE))

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, C] to the same."""
        gain = self.gamma[...].reshape(1, 1, 1, -1).astype(x.dtype)
        return x + gain * self.mlp(self.norm(self.conv_dw(x)))


class Stage(nnx.Module):
    """Half the rows and columns, unless it is the first stage; then blocks."""

    def __init__(
        self, before: int | None, features: int, depth: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        """`before` channels come in, None at the first stage; C is `features`; `depth` blocks."""
        reduce: list[nnx.Module] = []
        if before is not None:
            reduce.append(LayerNorm(before, epsilon=1e-6, dtype=dtype))
            reduce.append(_patch_conv(before, features, 2, 2, (0, 0), dtype=dtype, rngs=rngs))
        self.downsample = nnx.Sequential(*reduce)
        self.blocks = nnx.Sequential(
            *(Block(features, dtype=dtype, rngs=rngs) for _ in range(depth))
        )

    def __call__(self, x: Array) -> Array:
        """Map [N, H, W, before] to [N, H // 2, W // 2, C]; at the first stage of the same size."""
        for layer in self.downsample.layers:
            x = layer(x)
        return self.blocks(x)


class Head(nnx.Module):
    """The layers from the mean over pixels to logits."""

    def __init__(self, features: int, classes: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """C is `features`, K is `classes`."""
        self.norm = LayerNorm(features, epsilon=1e-6, dtype=jnp.float32)
        self.fc = layers.small_linear(features, classes, dtype=dtype, rngs=rngs)

    def __call__(self, features: Array) -> Array:
        """Map [N, C], normalised, to [N, K] float32 logits."""
        return self.fc(features).astype(jnp.float32)


class ConvNeXt(nnx.Module):
    """Four stages of blocks, each of half the size, and a linear classifier of their mean.

    Without the stochastic depth of the authors' training.

    Source: Liu et al., "A ConvNet for the 2020s", 2022; names and the sizes below tiny as in timm
    (huggingface/pytorch-image-models).
    """

    def __init__(
        self,
        *,
        classes: int,
        size: str = "tiny",
        stem_stride: int = STEM_PX,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        """Draw the initial weights, as the authors do; see `draw_weights` for others.

        Args:
            classes: K.
            size: one of `SIZES`.
            stem_stride: s, pixels from one output of the first convolution to the next: 4 as in
                the paper; 2 or 1, at 4 or 16 times the cost, keep what varies faster.
            dtype: of the computation; parameters are float32.
            rngs: where initial values are drawn.

        Raises:
            ValueError: if there is no such size or stride.
        """
        if size not in SIZES:
            raise ValueError(f"No ConvNeXt of size {size!r}; there are {', '.join(SIZES)}.")
        if stem_stride not in STEM_STRIDES:
            raise ValueError(f"`stem_stride` is 1, 2 or 4; got {stem_stride}.")
        depths, widths = SIZES[size]
        self.stem = nnx.Sequential(
            _patch_conv(
                *(3, widths[0], STEM_PX, stem_stride, _STEM_PADDING[stem_stride]),
                dtype=dtype,
                rngs=rngs,
            ),
            LayerNorm(widths[0], epsilon=1e-6, dtype=dtype),
        )
        self.stages = nnx.Sequential(
            *(
                Stage(before, features, depth, dtype=dtype, rngs=rngs)
                for before, features, depth in zip((None, *widths), widths, depths, strict=False)
            )
        )
        self.head = Head(widths[-1], classes, dtype=dtype, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float about zero to [N, K] float32 logits; H, W at least 8 s."""
        return self.head(self.features(images))

    def features(self, images: Array) -> Array:
        """Map [N, H, W, 3] float about zero to [N, C] float32, which the head takes."""
        layers.check_images(images)
        x = self.stages(self.stem(images))
        mean = jnp.mean(x.astype(jnp.float32), axis=(1, 2), keepdims=True)
        return self.head.norm(mean)[:, 0, 0]


def draw_weights(model: ConvNeXt, seed: int) -> None:
    """Draw initial weights for training from scratch, in place.

    The authors' own, of deviation 0.02 and with branches that begin at a millionth, are for 300
    epochs of ImageNet. Here kernels have a variance of one over the inputs of an output and
    branches begin whole, so that a small network learns in some hundreds of updates. NumPy draws
    them, so that nothing is compiled.

    Args:
        model: may be of shapes only, from `nnx.eval_shape`.
        seed: of the kernels; the rest is constant.
    """
    rng = np.random.default_rng(seed)
    constants = {"bias": 0.0, "scale": 1.0, "gamma": 1.0}

    def drawn(path: tuple[Any, ...], leaf: Any) -> Array:
        name = next(key.key for key in reversed(path) if hasattr(key, "key"))
        if name in constants:
            return jnp.asarray(np.full(leaf.shape, constants[name], np.float32))
        inputs = np.prod(leaf.shape[:-1], dtype=np.float32)
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32) / np.sqrt(inputs))

    nnx.update(model, jax.tree_util.tree_map_with_path(drawn, nnx.state(model, nnx.Param)))


def load_weights(model: ConvNeXt, arrays: Mapping[str, Any], *, head: bool) -> None:
    """Load published weights, or those of one of our networks, in place.

    Args:
        model: of the size that the weights have.
        arrays: names and layouts as in timm, in torchvision or in the authors' code.
        head: whether the last layer is wanted too; otherwise it stays, and its classes may differ.

    Raises:
        ValueError: naming what is missing, not known, of another shape, or not finite.
    """
    named = with_timm_names(arrays)
    if not head:
        own = torch_names.to_arrays(model)
        named |= {name: own[name] for name in ("head.fc.weight", "head.fc.bias")}
    torch_names.load_arrays(model, named)


def with_timm_names(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays by timm's names and in its shapes, from torchvision's or the authors' too.

    1 x 1 convolutions, which timm's smaller sizes have for dense layers, become those.
    """
    renamed = {}
    for name, array in arrays.items():
        for pattern, replacement in _TORCHVISION + _AUTHORS:
            if re.match(pattern, name):
                name = re.sub(pattern, replacement, name)
                break
        renamed[name] = _squeezed(name, np.asarray(array))
    return renamed


def _torchvision() -> list[tuple[str, str]]:
    """Return the patterns of names, and what they become; even features are between the stages."""
    inside = {"0": "conv_dw", "2": "norm", "3": "mlp.fc1", "5": "mlp.fc2"}
    pairs = [(r"^features\.0\.([01])\.", r"stem.\1."), (r"^classifier\.0\.", "head.norm.")]
    pairs.append((r"^classifier\.2\.", "head.fc."))
    for stage in range(4):
        features, ours = rf"^features\.{2 * stage + 1}\.(\d+)\.", rf"stages.{stage}.blocks.\1."
        pairs += [(rf"{features}block\.{i}\.", ours + name + ".") for i, name in inside.items()]
        pairs.append((rf"{features}layer_scale$", ours + "gamma"))
        if stage:
            pairs.append((rf"^features\.{2 * stage}\.([01])\.", rf"stages.{stage}.downsample.\1."))
    return pairs


_TORCHVISION = _torchvision()
_AUTHORS = [
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample."),
    (r"^stages\.(\d)\.(\d+)\.dwconv\.", r"stages.\1.blocks.\2.conv_dw."),
    (r"^stages\.(\d)\.(\d+)\.pwconv(\d)\.", r"stages.\1.blocks.\2.mlp.fc\3."),
    (r"^stages\.(\d)\.(\d+)\.(norm|gamma)", r"stages.\1.blocks.\2.\3"),
    (r"^norm\.", "head.norm."),
    (r"^head\.(weight|bias)$", r"head.fc.\1"),
]


def _squeezed(name: str, array: np.ndarray) -> np.ndarray:
    if name.endswith(".gamma"):
        return array.reshape(-1)
    is_dense = re.search(r"\.fc\d?\.weight$", name) and array.shape[2:] == (1, 1)
    return array[:, :, 0, 0] if is_dense else array


def _patch_conv(
    in_features: int,
    out_features: int,
    side: int,
    stride: int,
    padding: tuple[int, int],
    *,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    return nnx.Conv(
        in_features,
        out_features,
        (side, side),
        strides=stride,
        padding=(padding, padding),
        kernel_init=layers.small_init,
        bias_init=nnx.initializers.zeros,
        dtype=dtype,
        conv_general_dilated=_convolve_patches,
        rngs=rngs,
    )


def _convolve_patches(
    images: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **options: Any,
) -> Array:
    """Return `jax.lax.conv_general_dilated`, by a matrix product if windows do not overlap."""
    side = kernel.shape[0]
    if any(stride != side for stride in strides) or any(tuple(pair) != (0, 0) for pair in padding):
        return lax.conv_general_dilated(images, kernel, strides, padding, **options)
    n, height, width, features = images.shape
    rows, columns = height // side, width // side
    whole = images[:, : rows * side, : columns * side]
    patches = whole.reshape(n, rows, side, columns, side, features).transpose(0, 1, 3, 2, 4, 5)
    return patches.reshape(n, rows, columns, -1) @ kernel.reshape(-1, kernel.shape[-1])
