import io
import sys
import types
import zipfile

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from safetensors import numpy as safetensors

import jaxsr
from jaxsr.files import torch as torch_files
from jaxsr.state_dicts import names as torch_names
from jaxsr.state_dicts import search as state_dicts

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


def edsr(source=None):
    if source is None:
        return jaxsr.build("edsr", scale=2, **SIZE)
    return jaxsr.load_torch(nnx.eval_shape(lambda: jaxsr.build("edsr", scale=2, **SIZE)), source)


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
    with pytest.raises(ValueError, match=r"fit this EDSR.*They hold conv_first.weight \(open\)"):
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


# ---------------------------------------------------------------------------- where weights lie


def prefixed(arrays, prefix):
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def zeros(arrays):
    return {name: np.zeros_like(array) for name, array in arrays.items()}


def original(arrays):
    """By the names of EDSR-PyTorch, with its mean colours."""
    names = {
        "conv_first": "head.0",
        "body.0.conv1": "body.0.body.0",
        "body.0.conv2": "body.0.body.2",
        "conv_after_body": "body.1",
        "upsample.0": "tail.0.0",
        "conv_last": "tail.1",
    }
    renamed = {}
    for name, array in arrays.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names[layer]}.{kind}"] = array
    mean = {"weight": np.eye(3, dtype=np.float32)[..., None, None], "bias": np.ones(3, np.float32)}
    return renamed | prefixed(mean, "sub_mean.") | prefixed(mean, "add_mean.")


# In words, what makes a tree of the arrays; each is read.
TREES = (
    ("names of BasicSR", dict),
    ("names of the authors of EDSR", original),
    *(
        (f"prefix `{prefix}`", lambda arrays, prefix=prefix: prefixed(arrays, prefix))
        for prefix in (
            *("module.", "params.", "params_ema.", "generator_ema.", "netG.", "model."),
            *("_orig_mod.", "module._orig_mod.", "a.name.nobody.knows."),
        )
    ),
    *(
        (f"nested under `{name}`", lambda arrays, name=name: {"epoch": 3, name: arrays})
        for name in ("params", "state_dict", "model_state_dict", "g_ema", "net", "any_name")
    ),
    (
        "nested twice, with a prefix",
        lambda arrays: {"a": {"state_dict": prefixed(original(arrays), "module.")}},
    ),
    (
        "averaged weights beside raw ones",
        lambda arrays: {"g": zeros(arrays), "g_ema": arrays, "optimizer": {"state": {0: {}}}},
    ),
    (
        "another network beside it",
        lambda arrays: prefixed(arrays, "netG.") | {"netD.conv.weight": np.ones(3)},
    ),
    (
        "other objects, counters and masks beside it",
        lambda arrays: arrays | {"name": "edsr", "options": [1], "step": np.array(7), "none": None},
    ),
    ("the same weights twice", lambda arrays: {"a": arrays, "b": dict(arrays)}),
)


@pytest.mark.parametrize("make", [make for _, make in TREES], ids=[what for what, _ in TREES])
def test_weights_are_found_by_structure(arrays, make):
    assert_loaded(make(arrays), arrays)


def test_two_sets_that_fit_alike_are_named(arrays):
    with pytest.raises(ValueError, match=r"Several sets of weights fit alike: a, b\. Give one of"):
        edsr({"a": arrays, "b": zeros(arrays)})


def test_the_set_with_the_right_shapes_is_taken(arrays):
    narrow = {name: array[:1] for name, array in arrays.items()}
    assert_loaded({"student": narrow, "teacher": arrays}, arrays)


def test_what_lies_on_top_is_said_where_nothing_fits(arrays):
    tree = {"epoch": 3, "encoder": prefixed(arrays, "x"), "mean": np.zeros(3)}
    with pytest.raises(ValueError, match="do not fit this EDSR") as caught:
        edsr(tree)
    assert "They hold epoch (int), encoder (12 entries), mean (array (3,))." in str(caught.value)


def test_the_largest_mapping_is_the_state_dict(arrays):
    tree = {"epoch": 3, "g": zeros(arrays), "g_ema": arrays, "scales": {"a": np.ones(2)}}
    found = state_dicts.largest(tree)
    assert found.keys() == arrays.keys()
    np.testing.assert_array_equal(found["conv_last.bias"], arrays["conv_last.bias"])
    assert state_dicts.largest({"epoch": 3}) == {}


# ---------------------------------------------------------------------------- files of others


def in_npz(arrays, **more):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **more)
    return buffer.getvalue()


def in_torch(tree, **options):
    torch = pytest.importorskip("torch")
    buffer = io.BytesIO()
    torch.save(tree, buffer, **options)
    return buffer.getvalue()


def tensors(arrays, dtype="float32"):
    torch = pytest.importorskip("torch")
    return {
        name: torch.nn.Parameter(torch.from_numpy(array).to(getattr(torch, dtype)))
        for name, array in arrays.items()
    }


def as_type(arrays, dtype):
    return {name: array.astype(dtype) for name, array in arrays.items()}


def torch_script(arrays):
    pytest.importorskip("torch")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
        archive.writestr("x/data.pkl", b"")
    return buffer.getvalue()


BFLOAT16 = ml_dtypes.bfloat16
OPTIONS = types.SimpleNamespace(scale=2)  # of a class that PyTorch does not take for data

# In words, name of the file, what makes it, type whose rounding is allowed, words of a refusal.
FILES = (
    (".npz", "a.npz", in_npz, "f4", ""),
    (".safetensors", "a.safetensors", safetensors.save, "f4", ""),
    ("ending in capitals", "A.NPZ", in_npz, "f4", ""),
    ("ending of another kind, or none", "a.pth", safetensors.save, "f4", ""),
    (
        ".safetensors of float16",
        "a.safetensors",
        lambda arrays: safetensors.save(as_type(arrays, np.float16)),
        "f2",
        "",
    ),
    (
        ".safetensors of bfloat16",
        "a.safetensors",
        lambda arrays: safetensors.save(as_type(arrays, BFLOAT16)),
        BFLOAT16,
        "",
    ),
    (".npz of bfloat16", "a.npz", lambda arrays: in_npz(as_type(arrays, BFLOAT16)), BFLOAT16, ""),
    (
        ".npz with Python objects beside the arrays",
        "a.npz",
        lambda arrays: in_npz(arrays, options=np.array([{}], object)),
        "f4",
        "",
    ),
    ("PyTorch", "a.pth", lambda arrays: in_torch(tensors(arrays)), "f4", ""),
    (
        "PyTorch's old format",
        "a.pt",
        lambda arrays: in_torch(tensors(arrays), _use_new_zipfile_serialization=False),
        "f4",
        "",
    ),
    (
        "PyTorch of bfloat16",
        "a.bin",
        lambda arrays: in_torch(tensors(arrays, "bfloat16")),
        BFLOAT16,
        "",
    ),
    (
        "PyTorch, with Python objects beside the arrays",
        "a.ckpt",
        lambda arrays: in_torch({"args": OPTIONS, "model": tensors(arrays)}),
        "f4",
        "",
    ),
    (
        "PyTorch, a whole object",
        "a.pt",
        lambda arrays: in_torch(OPTIONS),
        "",
        "holds a types.SimpleNamespace and no mapping of names to arrays. Where you trust the file,"
        " save its state_dict() alone, by PyTorch.",
    ),
    (
        "TorchScript",
        "a.pt",
        torch_script,
        "",
        "is a TorchScript program. Save its weights alone, by PyTorch: "
        "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth').",
    ),
    (
        "HDF5",
        "a.h5",
        lambda arrays: b"\x89HDF\r\n\x1a\n" + bytes(99),
        "",
        "is HDF5. Save its arrays as .npz or .safetensors.",
    ),
    (
        "file cut short",
        "a.safetensors",
        lambda arrays: safetensors.save(arrays)[:-9],
        "",
        "is damaged (SafetensorError). Fetch it again.",
    ),
)


@pytest.mark.parametrize(
    ("what", "name", "make", "dtype", "refused"), FILES, ids=[file[0] for file in FILES]
)
def test_files_of_others(arrays, tmp_path, what, name, make, dtype, refused):
    path = tmp_path / name
    path.write_bytes(make(arrays))
    if refused:
        with pytest.raises(ValueError, match=name) as caught:
            edsr(path)
        assert str(caught.value) == f"{path} {refused}"
    else:
        assert_loaded(path, as_type(as_type(arrays, dtype), "f4"))


def assert_loaded(source, arrays):
    """Compares as state_dicts, since building a network takes long."""
    found = torch_names.to_arrays(edsr(source))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_table_of_the_docs(documented):
    rows = [(what, "read") for what, _ in TREES]
    rows.append(("two sets that fit alike and differ", "refused: both are named"))
    rows += [(what, f"refused: {why}" if why else "read") for what, *_, why in FILES]
    documented("Weights of others", ("Weights", "Outcome"), rows)


def test_flat_readers_take_nested_files_too(arrays, tmp_path):
    (tmp_path / "a.pth").write_bytes(in_torch({"epoch": 1, "model": tensors(arrays)}))
    found = torch_files.read_state_dict(tmp_path / "a.pth")
    assert found.keys() == arrays.keys()
