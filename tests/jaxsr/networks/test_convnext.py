"""ConvNeXt against NumPy and PyTorch, by three sets of names; depthwise convolution against XLA."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx
from jax import lax

from jaxsr.networks import convnext, convolution, depthwise, layers
from jaxsr.networks.convnext import ConvNeXt
from jaxsr.state_dicts import names as torch_names

# Of torchvision's convnext_tiny, _small and _base with 1000 classes.
PARAMETERS = {"tiny": 28_589_128, "small": 50_223_688, "base": 88_591_464}
# Millions, as timm lists its own sizes.
MILLIONS = {"atto": 3.70, "femto": 5.22, "pico": 9.05, "nano": 15.59}


def shapes(**options):
    options = {"classes": 3, "size": "zepto", **options}
    rngs = types.SimpleNamespace(params=lambda: jax.random.key(0))
    return nnx.eval_shape(lambda: ConvNeXt(**options, rngs=rngs))


def arrays_of(model, seed=0):
    """Random weights by timm's names, large enough for each to matter; gains about one."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in ((name, a.shape) for name, a in official_shapes(model).items()):
        is_gain = name.endswith("gamma") or ("norm" in name and name.endswith("weight"))
        fan_in = np.prod(shape[1:], dtype=int)
        drawn = rng.normal(size=shape) / np.sqrt(fan_in)
        arrays[name] = (1 + 0.2 * drawn if is_gain else drawn).astype(np.float32)
    return arrays


def official_shapes(model):
    filled = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), nnx.state(model))
    return torch_names.to_arrays(nnx.merge(nnx.graphdef(model), filled))


def filled(model, arrays, *, head=True):
    convnext.load_weights(model, arrays, head=head)
    return model


# ---------------------------------------------------------------------------- depthwise


@pytest.mark.parametrize(
    ("shape", "side", "bytes_"),
    [((2, 6, 5, 3), 7, 10**9), ((3, 8, 4, 2), 3, 3 * 4 * 2 * 4 * 2), ((1, 5, 7, 1), 5, 1)],
)
def test_depthwise_convolution_and_its_gradients_equal_those_of_xla(
    monkeypatch, shape, side, bytes_
):
    monkeypatch.setattr(depthwise, "BAND_BYTES", bytes_)
    rng = np.random.default_rng(0)
    images = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(side, side, 1, shape[-1])).astype(np.float32)
    given = rng.normal(size=shape).astype(np.float32)
    pad = ((side // 2, side // 2),) * 2

    def by_xla(images, kernel):
        return lax.conv_general_dilated(
            *(images, kernel, (1, 1), pad),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=shape[-1],
        )

    def ours(images, kernel):
        return depthwise.conv_general_dilated(images, kernel, (1, 1), pad)

    def value_and_gradients(function):
        value, pull = jax.vjp(function, images, kernel)
        return value, *pull(given)

    found, expected = (
        jax.jit(value_and_gradients, static_argnums=0)(function) for function in (ours, by_xla)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("height", "row_bytes", "rows"), [(56, 100_000, 2), (56, 1, 56), (7, 10**7, 1), (15, 60_000, 5)]
)
def test_bands_are_divisors_of_the_height_that_fit(height, row_bytes, rows):
    assert convolution.largest_divisor(height, depthwise.BAND_BYTES // row_bytes) == rows


def test_depthwise_convolution_refuses_strides_and_dense_kernels():
    images = jnp.zeros((1, 8, 8, 2))
    for kernel, strides, pad in [((3, 3, 1, 2), 2, 1), ((3, 3, 2, 2), 1, 1), ((3, 3, 1, 2), 1, 0)]:
        with pytest.raises(ValueError, match="depthwise"):
            depthwise.conv_general_dilated(
                images, jnp.zeros(kernel), (strides,) * 2, ((pad, pad),) * 2
            )


# ---------------------------------------------------------------------------- the network


@pytest.mark.parametrize("size", [size for size in convnext.SIZES if size != "zepto"])
def test_sizes_have_as_many_parameters_as_the_references(size):
    count = layers.num_parameters(shapes(classes=1000, size=size))
    if size in PARAMETERS:
        assert count == PARAMETERS[size]
    else:
        assert round(count / 1e6, 2) == MILLIONS[size]


def test_a_block_is_that_of_numpy():
    model = shapes()
    arrays = arrays_of(model)
    block = filled(model, arrays).stages.layers[0].blocks.layers[0]
    x = np.random.default_rng(1).normal(size=(2, 9, 8, 16))

    def of(name):
        return arrays[f"stages.0.blocks.0.{name}"].astype(np.float64)

    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    y = sum(
        padded[:, i : i + 9, j : j + 8] * of("conv_dw.weight")[:, 0, i, j]
        for i in range(7)
        for j in range(7)
    )
    y = y + of("conv_dw.bias")
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
    y = y * of("norm.weight") + of("norm.bias")
    y = y @ of("mlp.fc1.weight").T + of("mlp.fc1.bias")
    y = y * (1 + scipy.special.erf(y / np.sqrt(2))) / 2
    y = y @ of("mlp.fc2.weight").T + of("mlp.fc2.bias")
    found = jax.jit(lambda block, x: block(x))(block, x.astype(np.float32))
    np.testing.assert_allclose(found, x + of("gamma") * y, rtol=1e-4, atol=1e-4)


def by_torch(arrays, images, stride, size):
    """Logits and features of PyTorch in float64; at strides 1 and 2 zeros around the picture."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    weights = {name: torch.from_numpy(array).double() for name, array in arrays.items()}

    def of(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(x, name):
        last = x.permute(0, 2, 3, 1)
        return functional.layer_norm(last, last.shape[-1:], *of(name), 1e-6).permute(0, 3, 1, 2)

    x = torch.from_numpy(images).double().permute(0, 3, 1, 2)
    before, after = convnext._STEM_PADDING[stride]
    x = functional.pad(x, (before, after, before, after))
    x = norm(functional.conv2d(x, *of("stem.0"), stride=stride), "stem.1")
    for stage, depth in enumerate(convnext.SIZES[size].depths):
        if stage:
            x = norm(x, f"stages.{stage}.downsample.0")
            x = functional.conv2d(x, *of(f"stages.{stage}.downsample.1"), stride=2)
        for block in range(depth):
            name = f"stages.{stage}.blocks.{block}"
            y = functional.conv2d(x, *of(f"{name}.conv_dw"), padding=3, groups=x.shape[1])
            y = norm(y, f"{name}.norm").permute(0, 2, 3, 1)
            y = functional.linear(
                functional.gelu(functional.linear(y, *of(f"{name}.mlp.fc1"))),
                *of(f"{name}.mlp.fc2"),
            )
            x = x + (weights[f"{name}.gamma"] * y).permute(0, 3, 1, 2)
    features = norm(x.mean((2, 3), keepdim=True), "head.norm")[:, :, 0, 0]
    return functional.linear(features, *of("head.fc")).numpy(), features.numpy()


@pytest.mark.parametrize("stride", convnext.STEM_STRIDES)
def test_a_network_is_that_of_pytorch(stride):
    model = shapes(stem_stride=stride)
    arrays = arrays_of(model)
    # What does not fill a window is left out.
    images = np.random.default_rng(1).normal(size=(2, 9 * stride + 1, 8 * stride, 3))
    expected = by_torch(arrays, images, stride, "zepto")
    found = jax.jit(lambda model, x: (model(x), model.features(x)))(
        filled(model, arrays), images.astype(np.float32)
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def as_torchvision(name, array):
    parts = {"conv_dw": 0, "norm": 2, "mlp.fc1": 3, "mlp.fc2": 5}
    if match := re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.gamma", name):
        return f"features.{2 * int(match[1]) + 1}.{match[2]}.layer_scale", array[:, None, None]
    if match := re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.(.+)\.(\w+)", name):
        stage = 2 * int(match[1]) + 1
        return f"features.{stage}.{match[2]}.block.{parts[match[3]]}.{match[4]}", array
    name = re.sub(r"stages\.(\d)\.downsample", lambda m: f"features.{2 * int(m[1])}", name)
    name = name.replace("stem.", "features.0.").replace("head.norm", "classifier.0")
    return name.replace("head.fc", "classifier.2"), array


def as_authors(name, array):
    name = re.sub(r"^stages\.(\d)\.downsample", r"downsample_layers.\1", name)
    name = name.replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
    name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
    return name.replace("head.norm", "norm").replace("head.fc", "head"), array


def as_timm_with_convolutions(name, array):
    return name, array[:, :, None, None] if "mlp" in name and array.ndim == 2 else array


@pytest.mark.parametrize("renamed", [as_torchvision, as_authors, as_timm_with_convolutions])
def test_published_names_and_shapes_are_those_of_timm(renamed):
    arrays = arrays_of(shapes())
    theirs = dict(renamed(name, array) for name, array in arrays.items())
    found = convnext.with_timm_names(theirs)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_published_names_are_those_of_the_files():
    names = [
        *("features.0.0.weight", "features.1.0.layer_scale", "features.5.8.block.5.bias"),
        *("features.6.1.weight", "classifier.2.bias", "downsample_layers.3.1.bias"),
        *("stages.2.26.pwconv1.weight", "norm.bias", "head.weight", "stages.3.0.gamma"),
    ]
    assert list(convnext.with_timm_names({name: np.zeros((2, 2)) for name in names})) == [
        *("stem.0.weight", "stages.0.blocks.0.gamma", "stages.2.blocks.8.mlp.fc2.bias"),
        *("stages.3.downsample.1.weight", "head.fc.bias", "stages.3.downsample.1.bias"),
        *("stages.2.blocks.26.mlp.fc1.weight", "head.norm.bias", "head.fc.weight"),
        "stages.3.blocks.0.gamma",
    ]


def test_weights_of_other_classes_leave_the_last_layer_alone():
    own, theirs = arrays_of(shapes()), arrays_of(shapes(classes=5), seed=1)
    model = filled(shapes(), own)
    convnext.load_weights(model, theirs, head=False)
    found = torch_names.to_arrays(model)
    for name, array in found.items():
        expected = own if name.startswith("head.fc") else theirs
        np.testing.assert_array_equal(array, expected[name])
    with pytest.raises(ValueError, match=r"another shape: head\.fc\.bias"):
        convnext.load_weights(model, theirs, head=True)


def test_output_and_weights_are_float32_whatever_is_computed_in():
    model = shapes(dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype(jnp.float32)}
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    for function, width in ((lambda m, x: m(x), 3), (lambda m, x: m.features(x), 128)):
        output = nnx.eval_shape(function, model, images)
        assert (output.shape, output.dtype) == ((2, width), jnp.float32)


def test_sizes_and_strides_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="'huge'; there are zepto, atto"):
        shapes(size="huge")
    with pytest.raises(ValueError, match="1, 2 or 4; got 3"):
        shapes(stem_stride=3)
