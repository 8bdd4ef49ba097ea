import sys

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors import numpy as safetensors

import jaxsr

SIZE = {"num_features": 4, "num_blocks": 1}


@pytest.fixture
def arrays():
    """A state_dict of the small EDSR."""
    draw = np.random.default_rng(0)
    shapes = {
        "conv_first": (4, 3),
        "body.0.conv1": (4, 4),
        "body.0.conv2": (4, 4),
        "conv_after_body": (4, 4),
        "upsample.0": (16, 4),
        "conv_last": (3, 4),
    }
    return {
        f"{layer}.{kind}": draw.standard_normal(shape).astype(np.float32)
        for layer, (after, before) in shapes.items()
        for kind, shape in (("weight", (after, before, 3, 3)), ("bias", (after,)))
    }


def edsr(weights=None):
    model = jaxsr.build("edsr", scale=2, **SIZE)
    return model if weights is None else jaxsr.load_torch(model, weights)


def assert_same(model, other):
    leaves = zip(jax.tree.leaves(nnx.state(model)), jax.tree.leaves(nnx.state(other)), strict=True)
    for ours, theirs in leaves:
        np.testing.assert_array_equal(ours, theirs)


def test_layouts_are_turned(arrays):
    model = edsr(arrays)
    kernel = model.body.layers[0].conv1.kernel[...]
    np.testing.assert_array_equal(kernel[2, 1, 0, 3], arrays["body.0.conv1.weight"][3, 0, 2, 1])


def test_the_model_itself_is_changed_and_given_back(arrays):
    model = edsr()
    assert jaxsr.load_torch(model, arrays) is model
    assert_same(model, edsr(arrays))


def test_files_of_arrays(arrays, tmp_path):
    np.savez(tmp_path / "edsr.npz", **arrays)
    safetensors.save_file(arrays, tmp_path / "edsr.safetensors")
    expected = edsr(arrays)
    assert_same(edsr(tmp_path / "edsr.npz"), expected)
    assert_same(edsr(str(tmp_path / "edsr.safetensors")), expected)


@pytest.mark.parametrize("nested", [None, "params", "params_ema", "state_dict"])
def test_files_of_pytorch(arrays, tmp_path, nested):
    torch = pytest.importorskip("torch")
    state = {f"module.{name}": torch.from_numpy(array) for name, array in arrays.items()}
    if nested:
        raw = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        averaged = {"params": raw} if nested == "params_ema" else {}
        state = {"iteration": 5, **averaged, nested: state}
    torch.save(state, tmp_path / "edsr.pth")
    assert_same(edsr(tmp_path / "edsr.pth"), edsr(arrays))


def test_pickled_code_does_not_run(tmp_path):
    torch = pytest.importorskip("torch")

    class Code:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"conv_first.weight": Code()}, tmp_path / "edsr.pth")
    with pytest.raises(ValueError, match="damaged, or holds more than arrays"):
        edsr(tmp_path / "edsr.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["edsr.npz", "edsr.safetensors", "edsr.pth"])
def test_a_truncated_file_is_refused(arrays, tmp_path, name):
    path = tmp_path / name
    if path.suffix == ".pth":
        torch = pytest.importorskip("torch")
        torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.save_file(arrays, path)
    for length in (path.stat().st_size // 2, 0):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            edsr(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of weights at .*nothing.pth"):
        edsr(tmp_path / "nothing.pth")


def test_without_pytorch_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "edsr.pth").write_bytes(b"weights")
    with pytest.raises(ImportError, match=r"jaxfleet\[torch\]"):
        edsr(tmp_path / "edsr.pth")


def test_names_that_do_not_fit_are_listed_and_nothing_is_changed(arrays):
    model, before = edsr(), edsr()
    arrays["conv_extra.weight"] = arrays.pop("conv_first.bias")
    arrays["upsample.0.weight"] = arrays["upsample.0.weight"][:4]
    arrays["conv_last.bias"] = np.full(3, np.nan)
    with pytest.raises(ValueError, match="do not fit this EDSR") as caught:
        jaxsr.load_torch(model, arrays)
    message = str(caught.value)
    assert "\n" not in message
    assert "missing: conv_first.bias" in message
    assert "not known: conv_extra.weight" in message
    assert "of another shape: upsample.0.weight (4, 4, 3, 3) for (16, 4, 3, 3)" in message
    assert "not finite: conv_last.bias" in message
    assert_same(model, before)


def test_weights_of_another_network_are_refused_briefly(arrays):
    model = jaxsr.build("imdn", scale=2, num_features=16, num_blocks=1)
    with pytest.raises(ValueError, match=r"do not fit this IMDN.*missing: IMDB1.*and \d+ more"):
        jaxsr.load_torch(model, arrays)
