"""Networks of ONNX and ncnn files: scale and margin are measured, pictures are enlarged."""

import numpy as np
import pytest

from experiments.pictures import foreign, makers
from jaxfleet.errors import InputError


def model(path, scale=2, margin=0, sides=("h", "w")):
    """Write an ONNX network that repeats pixels, less a margin of low resolution."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    scales = helper.make_tensor("scales", kind, [4], [1.0, 1.0, scale, scale])
    roi = helper.make_tensor("roi", kind, [0], [])
    starts = helper.make_tensor("starts", onnx.TensorProto.INT64, [2], [margin, margin])
    ends = helper.make_tensor("ends", onnx.TensorProto.INT64, [2], [-margin or 2**31] * 2)
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["cut"]),
        helper.make_node(
            "Resize",
            ["cut", "roi", "scales"],
            ["y"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
    ]
    given = helper.make_tensor_value_info("x", kind, [1, 3, *sides])
    made = helper.make_tensor_value_info("y", kind, [1, 3, None, None])
    graph = helper.make_graph(nodes, "g", [given], [made], [scales, roi, starts, ends, axes])
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(whole.SerializeToString())
    return path


@pytest.mark.parametrize(("scale", "margin"), [(2, 0), (3, 0), (2, 7)])
def test_scale_and_margin_of_an_onnx_network_are_measured(tmp_path, scale, margin):
    pytest.importorskip("onnxruntime")
    enlarger = foreign.Enlarger(model(tmp_path / "m.onnx", scale, margin))
    assert (enlarger.how.scale, enlarger.how.margin) == (scale, margin)
    low = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(enlarger(low), low.repeat(scale, 0).repeat(scale, 1))


def test_a_flag_names_an_onnx_network(tmp_path):
    pytest.importorskip("onnxruntime")
    path = model(tmp_path / "m.onnx", 3)
    one = makers.parse_network(f"mine={path} loss=l1")
    assert (one.name, one.scale, one.facts["loss"], one.source) == ("mine", 3, "l1", str(path))
    with pytest.raises(InputError, match="enlarges 3 times; leave scale out"):
        makers.parse_network(f"mine={path} scale=4")
    with pytest.raises(InputError, match="'width' is not known"):
        makers.parse_network(f"mine={path} width=4")


def test_files_that_are_no_networks_are_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="no whole scale"):
        foreign.Enlarger(model(tmp_path / "half.onnx", scale=0.5))
    with pytest.raises(InputError, match=r"one of \[N, 3, h, w\] is"):
        foreign.Enlarger(model(tmp_path / "fixed.onnx", sides=(64, 64)))
    (tmp_path / "bad.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="no ONNX model"):
        foreign.Enlarger(tmp_path / "bad.onnx")
    (tmp_path / "bad.param").write_text("7767517\n")
    with pytest.raises(InputError, match="no .param file of ncnn"):
        foreign.Enlarger(tmp_path / "bad.param")


def test_the_blobs_of_an_ncnn_network_are_its_first_and_last(tmp_path):
    path = tmp_path / "m.param"
    path.write_text(
        "7767517\n3 3\nInput in 0 1 data\nConvolution c 1 1 data mid 0=3\n"
        "Interp up 1 1 mid output 0=1 1=2 2=2\n"
    )
    assert foreign._blobs(path) == ("data", "output")
