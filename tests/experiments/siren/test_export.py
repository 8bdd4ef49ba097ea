"""Which networks of a run become files, where, and what the index says of them."""

import csv
import dataclasses
import errno
import json
import os
import sys

import numpy as np
import pyarrow as pa
import pytest
import safetensors
from safetensors import numpy as safetensors_numpy

import jaxfleet
import jaxinr
from experiments.siren import export as siren_export
from experiments.siren import grid as siren_grid
from experiments.siren.export import ExportConfig
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.results import store
from jaxfleet.results.table import flatten

PLAN = {"coordinates": "symmetric", "w0": ["20"]}
NETWORK = {"inputs": 2, "outputs": 3}
# image_id, num_layers, layer_size, best_psnr_db
NETWORKS = [
    ("dawn", 2, 4, 20.5),
    ("dawn", 2, 6, 23.0),
    ("dawn", 3, 6, 23.0),
    ("late night/2", 2, 4, np.nan),
    ("late night/2", 2, 6, 18.0),
    ("007", 2, 4, np.inf),
]
NAMES = [
    "dawn_2x4_trial0",
    "dawn_2x6_trial1",
    "dawn_3x6_trial2",
    "late_night_2_2x4_trial3",
    "late_night_2_2x6_trial4",
    "007_2x4_trial5",
]
SUFFIXES = {"torch": ".pt", "npz": ".npz", "safetensors": ".safetensors", "json": ".json"}


def row(trial_id):
    """A row of the table, with weights of its own."""
    image_id, num_layers, layer_size, best_psnr_db = NETWORKS[trial_id]
    trial = jaxinr.Trial(num_layers=num_layers, layer_size=layer_size, w0=20.0)
    draw = np.random.default_rng(trial_id)
    return {
        **dataclasses.asdict(trial),
        "trial_id": trial_id,
        "image_id": image_id,
        "image_height": 8,
        "image_width": 10,
        "status": "done",
        "parameters": trial.parameters,
        "hp_bpp": trial.bits_per_pixel(8, 10),
        "best_psnr_db": best_psnr_db,
        "psnr_8bit_db": best_psnr_db,
        "ssim": 0.5,
        "weights": np.float32(draw.uniform(-0.3, 0.3, trial.parameters)),
    }


def make_run(run_dir, rows, *, plan=PLAN, schema=None, network=NETWORK, done=True):
    """A run directory that holds these rows, two a part."""
    results = store.Store(run_dir, plan, schema or siren_grid.schema(), network=network)
    for start in range(0, len(rows), 2):
        results.add(rows[start : start + 2])
        results.flush()
    results.close()
    if done:
        (run_dir / "DONE").touch()
    return run_dir


@pytest.fixture
def run_dir(tmp_path):
    return make_run(tmp_path / "run", [row(i) for i in range(len(NETWORKS))])


def index(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(path):
    """(arrays, hyperparameters or None) of a file of any format."""
    if path.suffix == ".json":
        content = json.loads(path.read_bytes())
        arrays = {name: np.array(v, np.float32) for name, v in content["weights"].items()}
        return arrays, content["hyperparameters"]
    if path.suffix == ".npz":
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("hyperparameters")))
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, framework="np") as file:
            facts = json.loads(file.metadata()["hyperparameters"])
        return safetensors_numpy.load_file(path), facts
    torch = pytest.importorskip("torch")
    state = torch.load(path, weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}, None


# ---------------------------------------------------------------------------- files and index


@pytest.mark.parametrize("name", SUFFIXES)
def test_every_network_becomes_a_file_of_its_weights(run_dir, tmp_path, name):
    if name == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    folder = tmp_path / "new" / "networks"
    answer = siren_export.run(ExportConfig(format=name, output=str(folder)), run_dir)
    assert answer == f"6 networks written to {folder}, listed in {folder}/index.csv."
    expected = [f"{stem}{SUFFIXES[name]}" for stem in NAMES]
    assert sorted(files(folder)) == sorted([*expected, "index.csv"])
    assert [line["file"] for line in index(folder)] == expected
    table = jaxfleet.open(run_dir)
    for trial_id, file in enumerate(expected):
        arrays, facts = read(folder / file)
        params = jaxinr.from_torch(arrays)
        np.testing.assert_array_equal(flatten(params), row(trial_id)["weights"])
        np.testing.assert_array_equal(flatten(table.weights(trial_id)), flatten(params))
        if facts is not None:
            others = {"first_bias_scale", "sigma", "omega0", "s0", "num_frequencies"}
            assert list(facts) == [name for name in siren_export.CARRIED if name not in others]
            psnr_db = facts.pop("best_psnr_db")
            wanted = {**row(trial_id), "coordinates": "symmetric"}
            assert facts == {key: wanted[key] for key in facts}
            exact = wanted["best_psnr_db"] == np.inf
            assert psnr_db == ("Infinity" if exact else wanted["best_psnr_db"] if psnr_db else None)
            assert (psnr_db is None) == np.isnan(wanted["best_psnr_db"])


def test_index_has_what_a_state_dict_cannot_carry(run_dir):
    siren_export.run(ExportConfig(), run_dir)
    for trial_id, line in enumerate(index(run_dir / "export")):
        expected = {**row(trial_id), "coordinates": "symmetric", "format": "safetensors"}
        assert set(siren_export.CARRIED) <= set(line)
        for name in set(line) - {"file", "plan"}:
            value = expected[name]
            assert line[name] == ("" if value is None else str(value)), name


def test_names_hold_nothing_that_a_file_system_refuses():
    def name(image_id):
        return siren_export.file_name({**row(0), "image_id": image_id}, ".npz")

    assert name("kodim03") == "kodim03_2x4_trial0.npz"
    assert name("../.été: 1") == "t_1_2x4_trial0.npz"
    assert name("写真") == "image_2x4_trial0.npz"
    assert len(name("x" * 1000)) < 128


# ---------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"trial_id": (4, 1, 4)}, [1, 4]),
        ({"image_id": ("dawn",)}, [0, 1, 2]),
        ({"image_id": ("007", "late night/2")}, [3, 4, 5]),
        ({"layer_size": (6,)}, [1, 2, 4]),
        ({"layer_size": (6,), "num_layers": (2,)}, [1, 4]),
        ({"best_per_image": True}, [1, 4, 5]),  # the first of equals
        ({"best_per_image": True, "layer_size": (4,)}, [0, 5]),
        ({"best_per_image": True, "trial_id": (0, 4), "max_files": 2}, [0, 4]),
        ({"max_files": 0}, [0, 1, 2, 3, 4, 5]),
    ],
    ids=str,
)
def test_selection(run_dir, flags, expected):
    siren_export.run(ExportConfig(**flags), run_dir)
    assert [int(line["trial_id"]) for line in index(run_dir / "export")] == expected
    assert len(files(run_dir / "export")) == len(expected) + 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"trial_id": (1, 9)}, r"--trial_id=9: no finished network; there are 0, 1, 2, 3, 4 and m"),
        ({"image_id": ("dwan",)}, r"--image_id=dwan: no finished network; did you mean dawn\?"),
        ({"layer_size": (28,)}, r"--layer_size=28: no finished network; there are 4, 6\."),
        ({"image_id": ("007",), "layer_size": (6,)}, "is all of what the flags ask for; ask for l"),
        ({"trial_id": (3,), "best_per_image": True}, "is all of what the flags ask for; ask for l"),
        ({"max_files": 5}, r"6 networks would be 6 files; choose with .* allow .*--max_files=6\."),
    ],
    ids=str,
)
def test_selection_that_cannot_be_met(run_dir, flags, message):
    with pytest.raises(InputError, match=message):
        siren_export.run(ExportConfig(**flags), run_dir)
    assert not (run_dir / "export").exists()


# ---------------------------------------------------------------------------- again and again


def test_the_same_command_again_changes_nothing(run_dir):
    siren_export.run(ExportConfig(), run_dir)
    before = files(run_dir)
    siren_export.run(ExportConfig(), run_dir)
    assert files(run_dir) == before


def test_more_is_added_and_what_was_deleted_leaves_the_index(run_dir):
    folder = run_dir / "export"
    siren_export.run(ExportConfig(trial_id=(0, 1)), run_dir)
    (folder / f"{NAMES[0]}.safetensors").unlink()
    siren_export.run(ExportConfig(trial_id=(1, 2), format="json"), run_dir)
    expected = [f"{NAMES[1]}.safetensors", f"{NAMES[1]}.json", f"{NAMES[2]}.json"]
    assert [line["file"] for line in index(folder)] == expected
    assert set(files(folder)) == {*expected, "index.csv"}


def test_unfinished_run_gives_what_it_has(tmp_path):
    run_dir = make_run(tmp_path / "run", [row(1), row(4)], done=False)
    answer = siren_export.run(ExportConfig(), run_dir)
    assert answer.startswith("2 networks written")
    assert answer.endswith("The run is not finished; repeat the command for the rest.")
    make_run(run_dir, [row(0)])  # it went on
    assert siren_export.run(ExportConfig(), run_dir).startswith("3 networks written")
    assert [line["trial_id"] for line in index(run_dir / "export")] == ["1", "4", "0"]


def test_export_that_was_cut_short_is_taken_up_again(run_dir, monkeypatch):
    whole = storage.write_atomically

    def until_full(path, data):
        if path.name.startswith(NAMES[2]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        whole(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_atomically", until_full)
        with pytest.raises(OSError, match="No space left"):
            siren_export.run(ExportConfig(), run_dir)
    assert len(files(run_dir / "export")) == 3
    assert siren_export.run(ExportConfig(), run_dir).startswith("6 networks written")
    assert len(index(run_dir / "export")) == 6


def test_networks_without_finite_weights_are_left_out_and_counted(tmp_path):
    lost = {**row(3), "status": "diverged", "weights": np.full(47, np.nan, np.float32)}
    run_dir = make_run(tmp_path / "run", [row(0), lost])
    answer = siren_export.run(ExportConfig(), run_dir)
    assert answer.startswith("1 network written")
    assert answer.endswith("1 left out: diverged, with weights that are not finite.")
    assert [line["trial_id"] for line in index(run_dir / "export")] == ["0"]


def test_run_from_before_the_columns_of_sizes(tmp_path):
    schema = siren_grid.schema()
    fresh = {"weight_bits", "quantised_bpp", "entropy_bpp"}
    schema = pa.schema([column for column in schema if column.name not in fresh])
    run_dir = make_run(tmp_path / "run", [row(0)], schema=schema)
    assert siren_export.run(ExportConfig(), run_dir).startswith("1 network written")


# ---------------------------------------------------------------------------- refusals


def refused(run_dir, message, **flags):
    with pytest.raises(InputError, match=message) as caught:
        siren_export.run(ExportConfig(**flags), run_dir)
    assert "\n" not in str(caught.value)


def test_folder_of_something_else_is_left_alone(run_dir, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "dawn.png").write_text("mine")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "index.csv").write_bytes(b"name,age\nAda,36\n")
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "index.csv").write_bytes(b"\x00\xff\x00\n" * 9)
    before = files(tmp_path)
    for folder in (photos, foreign, binary):
        refused(run_dir, r"--output=.*: not empty and no export of this run", output=str(folder))
    refused(run_dir, "dawn.png: File exists; give another", output=str(photos / "dawn.png"))
    refused(run_dir, "Not a directory; give another", output=str(photos / "dawn.png" / "x"))
    assert files(tmp_path) == before


def test_export_of_another_run_is_left_alone(run_dir, tmp_path):
    siren_export.run(ExportConfig(output=str(tmp_path / "out")), run_dir)
    other = make_run(tmp_path / "other", [row(0)], plan={**PLAN, "w0": ["21"]})
    before = files(tmp_path / "out")
    refused(other, "not empty and no export of this run", output=str(tmp_path / "out"))
    assert files(tmp_path / "out") == before


def test_directories_that_are_no_run_of_sirens(tmp_path):
    refused(tmp_path, r"holds no manifest\.json; give the directory of a run")
    empty = make_run(tmp_path / "empty", [], done=False)
    refused(empty, "holds no finished networks yet")
    schema = pa.schema([("trial_id", pa.int64())])
    zoo = make_run(tmp_path / "zoo", [{"trial_id": 0}], plan={}, schema=schema)
    refused(zoo, r"--run_dir=.*zoo: no run of siren_grid; give one\.")


def test_damaged_part_is_named(run_dir):
    part = sorted((run_dir / "parts").iterdir())[1]
    part.write_bytes(part.read_bytes()[:-50])
    refused(run_dir, rf"{part.name}: damaged or missing; repeat the command of the run")
    assert not (run_dir / "export").exists()


def test_torch_format_without_torch(run_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    refused(run_dir, "--format=torch needs PyTorch: pip install torch, or take", format="torch")
    assert not (run_dir / "export").exists()
    siren_export.run(ExportConfig(), run_dir)
