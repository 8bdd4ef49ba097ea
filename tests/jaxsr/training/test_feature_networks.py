"""Feature networks against NumPy, and a golden."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxsr.training import feature_networks, losses

RNG = np.random.default_rng(0)
IMAGES = RNG.random((2, 39, 32, 3))


def draw(*shape):
    return RNG.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))


# ---------------------------------------------------------------------------- NumPy, in float64


def conv(x, kernel, bias=None, stride=1):
    """[N, H, W, in] with PyTorch's [out, in, k, k], zeros around."""
    side = kernel.shape[-1]
    padded = np.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)))
    height, width = ((size - 1) // stride + 1 for size in x.shape[1:3])
    y = sum(
        padded[:, i : i + stride * height : stride, j : j + stride * width : stride][:, :height]
        @ kernel[:, :, i, j].T
        for i in range(side)
        for j in range(side)
    )
    return y if bias is None else y + bias


def max_pool(x, size, around):
    """Windows of size x size every two pixels, `around` pixels of nothing on each side."""
    padded = np.pad(x, ((0, 0), (around,) * 2, (around,) * 2, (0, 0)), constant_values=-np.inf)
    height, width = ((n + 2 * around - size) // 2 + 1 for n in x.shape[1:3])
    parts = [
        padded[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2]
        for i in range(size)
        for j in range(size)
    ]
    return np.max(parts, axis=0)


def standardised(images):
    return (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


VGG19_LAYERS = "0 2 P 5 7 P 10 12 14 16 P 19 21 23 25 P 28 30 32 34".split()


def vgg19(arrays, images):
    x = standardised(images)
    for layer in VGG19_LAYERS:
        if layer == "P":
            x = max_pool(x, 2, 0)
        else:
            name = f"features.{layer}"
            x = conv(np.maximum(x, 0) if layer != "0" else x, *of(arrays, name, "weight", "bias"))
    return x


def of(arrays, layer, *parts):
    return [arrays[f"{layer}.{part}"] for part in parts]


def normalised(arrays, x, layer):
    weight, bias, mean, var = of(arrays, layer, "weight", "bias", "running_mean", "running_var")
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def resnet18(arrays, images):
    def conv_norm(x, conv_name, norm_name, stride):
        return normalised(arrays, conv(x, arrays[f"{conv_name}.weight"], stride=stride), norm_name)

    x = np.maximum(conv_norm(standardised(images), "conv1", "bn1", 2), 0)
    x = max_pool(x, 3, 1)
    for stage in (1, 2, 3):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = np.maximum(conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride), 0)
            y = conv_norm(y, f"{name}.conv2", f"{name}.bn2", 1)
            if stride == 2:
                x = conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", 2)
            x = np.maximum(x + y, 0)
    return x


def vgg19_arrays(widths=(2, 3, 4, 4, 5)):
    arrays, before, block = {"classifier.0.weight": draw(2, 2)}, 3, 0
    for layer in VGG19_LAYERS:
        if layer == "P":
            block += 1
            continue
        arrays[f"features.{layer}.weight"] = draw(widths[block], before, 3, 3)
        arrays[f"features.{layer}.bias"] = 0.1 * draw(widths[block])
        before = widths[block]
    return arrays


def resnet18_arrays(widths=(3, 4, 5)):
    arrays = {"fc.weight": draw(2, 2)}

    def add(conv_name, norm_name, *shape):
        arrays[f"{conv_name}.weight"] = draw(*shape)
        for part in ("weight", "running_var"):
            arrays[f"{norm_name}.{part}"] = RNG.uniform(0.5, 1.5, shape[0])
        for part in ("bias", "running_mean"):
            arrays[f"{norm_name}.{part}"] = RNG.normal(size=shape[0])
        arrays[f"{norm_name}.num_batches_tracked"] = np.asarray(7)

    add("conv1", "bn1", widths[0], 3, 7, 7)
    before = widths[0]
    for stage, width in enumerate(widths, start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            add(f"{name}.conv1", f"{name}.bn1", width, before, 3, 3)
            add(f"{name}.conv2", f"{name}.bn2", width, width, 3, 3)
            if stage > 1 and block == 0:
                add(f"{name}.downsample.0", f"{name}.downsample.1", width, before, 1, 1)
            before = width
    return arrays


NETWORKS = {
    "vgg19": (feature_networks.load_vgg19, vgg19, vgg19_arrays),
    "resnet18": (feature_networks.load_resnet, resnet18, resnet18_arrays),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    """Ours with small random weights, and NumPy's function of images in float64."""
    load, reference, make_arrays = NETWORKS[request.param]
    arrays = make_arrays()
    return load(arrays), lambda images: reference(arrays, images)


def test_a_network_is_that_of_numpy(network):
    ours, reference = network
    expected = reference(IMAGES)
    features = jax.jit(lambda network, images: network(images))(ours, IMAGES.astype(np.float32))
    assert features.dtype == jnp.float32
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())


def test_the_gradient_of_a_feature_distance_is_that_of_finite_differences(network):
    ours, reference = network
    output, target = IMAGES[:1], IMAGES[1:]
    direction = RNG.normal(size=output.shape)
    step = 1e-6

    def distance(output):
        return np.mean((reference(output) - reference(target)) ** 2)

    expected = distance(output + step * direction) - distance(output - step * direction)
    gradient = jax.jit(jax.grad(losses.feature_distance, argnums=1))(
        ours, output.astype(np.float32), target.astype(np.float32)
    )
    assert np.all(np.isfinite(gradient))
    np.testing.assert_allclose(np.sum(gradient * direction), expected / (2 * step), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "size", "around"),
    [
        ((8, 6), 2, 0),
        ((9, 7), 2, 0),
        ((8, 6), 3, 1),
        ((9, 7), 3, 1),
        ((3, 2), 3, 1),
        ((2, 2), 2, 0),
    ],
)
def test_max_pooling_and_its_gradient_are_of_the_largest_in_each_window(shape, size, around):
    x = RNG.permuted(np.arange(2 * np.prod(shape) * 3.0)).reshape(2, *shape, 3)  # no two alike
    expected = max_pool(x, size, around)
    weights = RNG.normal(size=expected.shape)

    def pooled(x):
        return feature_networks._max_pool(x, size=size, padding=(around, around))

    np.testing.assert_array_equal(pooled(jnp.float32(x)), expected)
    gradient = jax.grad(lambda x: jnp.sum(jnp.float32(weights) * pooled(x)))(jnp.float32(x))
    by_value = dict.fromkeys(x.ravel().tolist(), 0.0)
    for value, weight in zip(expected.ravel().tolist(), weights.ravel().tolist(), strict=True):
        by_value[value] += weight
    wanted = np.vectorize(by_value.__getitem__)(x)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-6)


def test_max_pooling_with_one_side_padded_is_that_of_nothing_there():
    x = jnp.float32(-1.0 - RNG.random((1, 5, 4, 2)))  # below the zeros that would be wrong
    pooled = feature_networks._max_pool(x, size=3, padding=(0, 1))
    padded = np.pad(np.asarray(x), ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    np.testing.assert_array_equal(pooled, max_pool(padded, 3, 0))


# ---------------------------------------------------------------------------- VGG19


@pytest.fixture(scope="module")
def vgg19_file(shared_data):
    return shared_data / "weights" / "vgg19_imagenet_conv_uint8.npz"


def test_vgg19_of_keras_is_that_of_the_golden(shared_data, vgg19_file):
    with np.load(shared_data / "golden" / "vgg19_features.npz") as golden:
        images, expected = (np.moveaxis(golden[key], 1, -1) for key in ("input", "output"))
    network = feature_networks.load_vgg19(vgg19_file)
    features = jax.jit(lambda network, images: network(images))(network, images)
    difference = np.max(np.abs(features - expected))
    sys.stdout.write(f"vgg19 {difference:.1e} of {np.max(np.abs(expected)):.0f}\n")
    assert difference <= 10 * 5.4e-5  # ten times what float32 and float64 differ by


def keras_arrays(arrays):
    """Keras' names, layout and colours, for the same function on colours that count to 255."""
    layers = [layer for layer in VGG19_LAYERS if layer != "P"]
    blocks = [(b, c + 1) for b, count in enumerate((2, 2, 4, 4, 4), 1) for c in range(count)]
    keras = {}
    for layer, (block, number) in zip(layers, blocks, strict=True):
        kernel, bias = of(arrays, f"features.{layer}", "weight", "bias")
        kernel = kernel[:, ::-1] if layer == "0" else kernel  # blue, green, red
        keras[f"block{block}_conv{number}/kernel"] = kernel.transpose(2, 3, 1, 0)
        keras[f"block{block}_conv{number}/bias"] = bias
    return keras


def test_vgg19_of_keras_standardises_in_its_own_way():
    arrays = vgg19_arrays()
    ours = feature_networks.load_vgg19(keras_arrays(arrays))
    means = np.asarray([123.68, 116.779, 103.939])
    alike = (IMAGES * 255 - means) * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
    expected = vgg19(arrays, alike)
    features = jax.jit(ours)(IMAGES.astype(np.float32))
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())
    assert ours.unit == 12.75


def test_bytes_stand_for_a_scale_and_a_least_value(tmp_path):
    keras = {name: array.astype(np.float32) for name, array in keras_arrays(vgg19_arrays()).items()}
    name = "block3_conv2/kernel"
    scale, least = np.float32(0.02), np.float32(-2.5)
    levels = np.clip(np.round((keras[name] - least) / scale), 0, 255).astype(np.uint8)
    packed = keras | {name: levels, f"{name}/scale_min": np.asarray([scale, least])}
    np.savez(tmp_path / "vgg19.npz", **packed)
    network = feature_networks.load_vgg19(tmp_path / "vgg19.npz")
    np.testing.assert_allclose(network.convs[5].kernel, keras[name], atol=0.0101)
    np.testing.assert_array_equal(network.convs[5].kernel, levels * scale + least)
    np.testing.assert_array_equal(network.convs[6].kernel, keras["block3_conv3/kernel"])


# ---------------------------------------------------------------------------- refusals


def test_weights_that_are_missing_or_of_another_network_are_refused():
    with pytest.raises(InputError, match="VGG19 need its weights. Give .* vgg19-dcbb9e9d.pth"):
        feature_networks.load_vgg19(None)
    with pytest.raises(InputError, match="a ResNet need its weights. Give .*open-nsfw.onnx"):
        feature_networks.load_resnet(None)
    with pytest.raises(InputError, match="no features.0.weight; they have fc.weight"):
        feature_networks.load_vgg19(resnet18_arrays())
    with pytest.raises(InputError, match="larger ResNet than ResNet18"):
        feature_networks.load_resnet(resnet18_arrays() | {"layer1.2.conv1.weight": draw(1)})
    vgg = vgg19_arrays()
    del vgg["features.28.bias"]
    with pytest.raises(InputError, match="no features.28.bias"):
        feature_networks.load_vgg19(vgg)
    with pytest.raises(InputError, match=r"features.2.weight must be .* got shape \(2, 3\)"):
        feature_networks.load_vgg19(vgg19_arrays() | {"features.2.weight": draw(2, 3)})
    with pytest.raises(InputError, match="not those of this VGG19: "):
        feature_networks.load_vgg19(vgg19_arrays() | {"features.2.weight": draw(2, 3, 3, 3)})


def test_images_of_other_kinds_are_refused():
    network = feature_networks.load_vgg19(vgg19_arrays())
    with pytest.raises(TypeError, match="must be float"):
        network(jnp.zeros((1, 32, 32, 3), jnp.uint8))
    with pytest.raises(ValueError, match=r"\[N, H, W, 3\]; got shape \(32, 32, 3\)"):
        network(jnp.zeros((32, 32, 3)))
    small = jnp.zeros((1, 8, 8, 3))
    with pytest.raises(ValueError, match=r"\(1, 8, 8, 3\) have no features. Use larger crops"):
        losses.feature_distance(network, small, small)
