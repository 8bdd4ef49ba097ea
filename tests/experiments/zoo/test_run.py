"""The zoo: its plan, what a run leaves, and that a run taken up again is the same run."""

import functools
import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx
from PIL import Image

import jaxfleet
import jaxsr
from experiments.zoo import plan as zoo_plan
from experiments.zoo import report as zoo_report
from experiments.zoo import run as zoo_run
from experiments.zoo.config import ZooConfig
from jaxfleet.errors import InputError
from jaxsr.datasets.training_sets import TrainingSet
from jaxsr.files import networks as network_files
from jaxsr.state_dicts import names as torch_names
from jaxsr.training import cost as training_cost
from jaxsr.training import losses
from jaxsr.training import strategy as training_strategy
from jaxsr.training import trainer as sr_trainer
from jaxsr.training.program import TrainingProgram
from launch import flagdefs

FLAGFILES = Path(flagdefs.__file__).parent / "flagfiles" / "sr_zoo"
TINY = "tiny=srvgg num_features=4 num_convs=1"
NAMES = [  # in the order of the plan
    *("tiny-A-x2-l1-s1", "tiny-A-x2-l1-s2", "tiny-B-x2-l1-s1"),
    *("tiny-A-x2-resnet_adv-s1", "tiny-A-x2-resnet_adv-s2", "tiny-B-x2-resnet_adv-s1"),
]


class Rows:
    """Features that can be worked by hand: the mean of each row and colour."""

    unit = 1.0

    def __call__(self, images):
        """[N, H, W, 3] to [N, H, 3]."""
        return jnp.mean(images, axis=2)


jax.tree_util.register_static(Rows)


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    """Runs of this module share programs; features are `Rows`."""
    compiled, flops, features = training_strategy.compiled, training_cost.flops_per_update, Rows()
    made = {}

    def program(*args):
        if repr(args) not in made:
            made[repr(args)] = TrainingProgram(*args)
        return made[repr(args)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo_plan, "TrainingProgram", program)
        patch.setattr(training_cost, "flops_per_update", functools.cache(flops))
        patch.setattr(training_strategy, "compiled", functools.cache(compiled))
        patch.setattr(
            losses, "LOSSES", {"l1": None, "vgg_adv": None, "resnet_adv": lambda path: features}
        )
        yield


def draw(folder, count, seed, size=(40, 48)):
    """Smooth pictures of an even number of rows and columns."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        small.resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"photo{number}.png")


def make_config(home, **changes):
    defaults = {
        **{"architecture": (TINY,), "scale": (2,), "loss": ("resnet_adv", "l1"), "seed": (1, 2)},
        "training_set": (f"A=folder:{home}/a", f"B=folder:{home}/b reduce_by=1"),
        "benchmark": (f"Two=folder:{home}/benchmark",),
        **{"pretraining": "l1", "num_iters": 4, "adversarial_iters": 3, "learning_rate": 1e-2},
        **{"batch_size": 2, "crop_px": 32, "discriminator_features": 2},
        **{"resnet_weights": "of.npz", "log_every": 2, "checkpoint_minutes": 0.0},
    }
    return ZooConfig(**{**defaults, **changes})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Photographs: training sets a and b, and a benchmark."""
    path = tmp_path_factory.mktemp("home")
    draw(path / "a", 2, 0)
    draw(path / "b", 1, 1)
    draw(path / "benchmark", 1, 2)
    return path


@pytest.fixture(scope="module")
def starts():
    """Seed and given start of every network that began: [(seed, parameters or None), ...]."""
    return []


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory, starts, _compiled_once):
    """The directory of a run of six networks, l1 and what goes on from it."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    init = TrainingProgram.init

    def noted(program, seed, start=None):
        if seed:  # zero where only shapes are wanted
            starts.append((seed, jax.tree.map(np.array, start)))  # a copy: arrays are donated
        return init(program, seed, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingProgram, "init", noted)
        answer = zoo_run.run(make_config(home), run_dir)
    assert answer == f"6 networks. Look at {run_dir / 'report.html'}"
    return run_dir


@pytest.fixture
def run_dir(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def trained(monkeypatch):
    """The seeds of networks that begin from now on; no page is drawn."""
    seeds = []
    monkeypatch.setattr(zoo_report, "write", lambda run_dir, planned: run_dir / "report.html")
    place = sr_trainer.ZooTrainer._place

    def noted(trainer, lane, group):
        seeds.extend(trainer._jobs[job].seed for job in group.jobs)
        place(trainer, lane, group)

    monkeypatch.setattr(sr_trainer.ZooTrainer, "_place", noted)
    return seeds


def weights_of(run_dir):
    folder = run_dir / "networks"
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def table_of(run_dir):
    return jaxfleet.open(run_dir).to_pandas().sort_values("trial_id", ignore_index=True)


# ---------------------------------------------------------------------------- a whole run


def test_l1_comes_before_what_goes_on_from_it(home):
    networks = zoo_run.make_networks(make_config(home, scale=(4, 2, 4), seed=(1, 2, 1)))
    assert [network.trial_id for network in networks] == list(range(12))
    assert [network.name for network in networks[6:]] == NAMES
    assert [network.name for network in networks[:6]] == [n.replace("x2", "x4") for n in NAMES]
    assert networks[3].name_with("l1") == networks[0].name


def test_what_a_run_leaves(finished):
    assert set(weights_of(finished)) == set(NAMES)
    assert (finished / "DONE").exists()
    assert not list(finished.glob("checkpoints*"))
    frame = table_of(finished)
    assert list(frame) == zoo_run.schema().names
    assert frame["network"].tolist() == NAMES
    assert (frame["status"] == "done").all()
    assert frame["seed"].tolist() == [1, 2, 1] * 2
    assert frame["num_iters"].tolist() == [4, 4, 4, 3, 3, 3]
    assert [list(x) for x in frame["iteration_history"]] == 3 * [[2, 4]] + 3 * [[2, 3]]
    assert [list(x) for x in frame["validation_iterations"]] == 3 * [[1, 2, 3, 4]] + 3 * [[1, 2, 3]]
    assert {json.dumps(json.loads(text)) for text in frame["overrides"]} == {
        '{"num_features": 4, "num_convs": 1}'
    }
    expected = jaxsr.count_parameters("srvgg", scale=2, num_features=4, num_convs=1)
    assert set(frame["parameters"]) == {expected}
    for psnr, scores in zip(frame["psnr_y_db"], frame["validation_psnr_y_db"], strict=True):
        assert psnr == pytest.approx(scores[-1], abs=1e-3)
        assert 5 < psnr < 60
    page = (finished / "report.html").read_text()
    assert all(name in page for name in NAMES)


def test_networks_are_measured_on_the_benchmark(finished):
    rows = pd.read_parquet(finished / "evaluation.parquet")
    assert set(rows["network"]) == {*NAMES, "bicubic-x2"}
    means = rows.set_index("network")["psnr_y_db"]
    frame = table_of(finished).set_index("network")
    for name in NAMES:
        assert means[name] == pytest.approx(frame.loc[name, "psnr_y_db"], abs=1e-4)


def test_files_say_what_they_hold(finished):
    saved = network_files.read(finished / "networks" / f"{NAMES[3]}.safetensors")
    assert (saved.architecture, saved.scale) == ("srvgg", 2)
    assert saved.facts == {
        **{"network": NAMES[3], "loss": "resnet_adv"},
        **{"training_set": "A", "seed": 1, "num_iters": 3},
    }


def test_adversarial_networks_go_on_from_the_file_of_their_l1_network(finished, starts):
    begun = starts[-3:]
    assert [start is None for _, start in starts[:3]] == [True] * 3
    assert sorted(seed for seed, _ in begun) == [1, 1, 2]
    shape = jaxsr.build("srvgg", scale=2, num_features=4, num_convs=1)
    found = set()
    for _, start in begun:
        nnx.update(shape, start)
        arrays = torch_names.to_arrays(shape)
        for name in NAMES[:3]:
            saved = network_files.read(finished / "networks" / f"{name}.safetensors").arrays
            if all(np.array_equal(saved[key], array) for key, array in arrays.items()):
                found.add(name)
    assert found == set(NAMES[:3])


def test_a_second_call_trains_nothing(home, run_dir, trained):
    before = weights_of(run_dir)
    answer = zoo_run.run(make_config(home), run_dir)
    assert answer.startswith("6 networks. Look at ")
    assert trained == []
    assert weights_of(run_dir) == before


def test_a_deleted_network_is_trained_again_and_equals_the_old_one(home, run_dir, trained):
    before, rows = weights_of(run_dir), table_of(run_dir)
    for name in (NAMES[1], NAMES[5]):
        (run_dir / "networks" / f"{name}.safetensors").unlink()
    zoo_run.run(make_config(home), run_dir)
    assert sorted(trained) == [1, 2]
    assert weights_of(run_dir) == before
    pd.testing.assert_frame_equal(
        table_of(run_dir).drop(columns="seconds"), rows.drop(columns="seconds"), check_exact=True
    )
    assert (run_dir / "DONE").exists()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"num_iters": 5}, "num_iters was 4 is 5"),
        ({"seed": (1,)}, r"seed was \[1, 2\] is \[1\]"),
        ({"pretraining": "none"}, 'pretraining was "l1" is "none"'),
    ],
    ids=["num_iters", "seed", "pretraining"],
)
def test_a_run_begun_with_other_flags_is_refused(home, run_dir, changes, difference):
    before = weights_of(run_dir)
    with pytest.raises(InputError, match=f"belongs to another plan .*{difference}"):
        zoo_run.run(make_config(home, **changes), run_dir)
    assert weights_of(run_dir) == before
    assert (run_dir / "DONE").exists()


def test_a_finished_run_is_measured_on_another_set(home, run_dir, trained):
    draw(home / "other", 1, 5)
    (one,) = make_config(home).benchmark
    rows = table_of(run_dir)
    zoo_run.run(make_config(home, benchmark=(f"Other=folder:{home}/other", one)), run_dir)
    assert trained == []
    pd.testing.assert_frame_equal(table_of(run_dir), rows)
    measured = pd.read_parquet(run_dir / "evaluation.parquet")
    assert measured.groupby("set")["network"].nunique().to_dict() == {"Other": 7, "Two": 7}


def test_a_run_keeps_to_the_set_that_it_began_with(home, run_dir, trained):
    rows = table_of(run_dir)
    draw(home / "another", 1, 6)
    (run_dir / "networks" / f"{NAMES[1]}.safetensors").unlink()
    zoo_run.run(make_config(home, benchmark=(f"Another=folder:{home}/another",)), run_dir)
    assert trained == [2]
    pd.testing.assert_series_equal(table_of(run_dir)["psnr_y_db"], rows["psnr_y_db"])


def test_damaged_weights_of_the_measures_are_found_before_any_training(home, tmp_path, trained):
    (tmp_path / "vgg.npz").write_bytes(b"damaged")
    flags = {"loss": ("l1",), "pretraining": "none", "vgg_weights": str(tmp_path / "vgg.npz")}
    with pytest.raises(InputError, match=r"--vgg_weights: .*vgg\.npz"):
        zoo_run.run(make_config(home, **flags), tmp_path / "run")
    assert trained == []
    assert not (tmp_path / "run").exists()


def test_the_plan_tells_photographs_by_their_pixels(home, tmp_path):
    pool = zoo_run._Pool(make_config(home), "Two=folder:nowhere")
    shutil.copytree(home / "a", tmp_path / "same")
    draw(tmp_path / "other", 2, 7)
    one, same, other = (
        pool.digest(TrainingSet("A", f"folder:{folder}"))
        for folder in (home / "a", tmp_path / "same", tmp_path / "other")
    )
    assert one == same != other


def test_shards_are_the_whole_run(home, finished, tmp_path, trained):
    run_dir = tmp_path / "shards"
    answers = []
    for index in (0, 1):
        config = make_config(home, shard=index, num_shards=2)
        answers.append(zoo_run.run(config, run_dir))
    own = re.fullmatch(r"Shard 0 of 2 is done, ([24]) of 6 networks in all\..*", answers[0])
    assert own, answers[0]
    assert answers[1].startswith("6 networks. Look at ")
    assert len(trained) == 6
    assert weights_of(run_dir) == weights_of(finished)
    assert table_of(run_dir)["network"].tolist() == NAMES


def test_a_run_of_which_every_network_diverged_says_what_to_do(home, tmp_path):
    config = make_config(
        home,
        loss=("l1",),
        pretraining="none",
        training_set=(f"A=folder:{home}/a",),
        learning_rate=1e38,
    )
    run_dir = tmp_path / "run"
    with pytest.raises(InputError, match="every network diverged; give a new --run_dir"):
        zoo_run.run(config, run_dir)
    assert not (run_dir / "DONE").exists()
    frame = table_of(run_dir)
    assert frame["status"].tolist() == ["diverged", "diverged"]
    assert frame["psnr_y_db"].isna().all()
    assert weights_of(run_dir) == {}


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": ("edsrr",)}, "No network is called 'edsrr'"),
        ({"architecture": (TINY, TINY)}, "--architecture: two are called tiny; write NAME="),
        ({"architecture": ()}, "There is no network to train: --architecture, --scale"),
        ({"architecture": ("srvgg depths=[2]",)}, "--architecture=srvgg: srvgg has no depths"),
        (
            {"architecture": ("rdn",), "scale": (5,), "crop_px": 40, "loss": ("l1",)},
            "--architecture=rdn: Scale 5 .*choose 2, 3",
        ),
        ({"scale": (3,)}, "crop_px is 32. Use a multiple of the scale, 3."),
        ({"loss": ("l2",), "pretraining": "none"}, "Unknown loss 'l2'"),
        ({"loss": ("resnet_adv",)}, "--pretraining=l1 goes on from l1 networks: add --loss=l1."),
        ({"crop_px": 48}, "discriminator of resnet_adv takes crops of 32, 64, 128, 256"),
        ({"resnet_weights": ""}, "--loss=resnet_adv compares .*--resnet_weights=FILE names them"),
        ({"training_set": ("folder",)}, "'folder' names no training set; write NAME=SOURCE"),
        ({"training_set": ("A=a", "A=b")}, "--training_set: two are called A"),
        ({"training_set": ("A=folder:nowhere",)}, "no folder 'nowhere'"),
        ({"seed": ()}, "There is no network to train"),
        ({"benchmark": ()}, "--benchmark is empty; name a set"),
        ({"benchmark": ("Set5",)}, "'Set5' names no benchmark set; write NAME=SOURCE"),
        ({"benchmark": ("S=folder:nowhere",)}, "no folder 'nowhere'"),
        ({"shard": 2, "num_shards": 2}, "shards count from 0"),
        ({"shard": 0}, "--shard and --num_shards belong together"),
        ({"strategy": "single", "fleet_group": 2}, "A group of 2 networks is not single"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_flags_that_cannot_be_used_are_refused_before_any_training(
    home, tmp_path, trained, changes, message
):
    with pytest.raises(InputError, match=message):
        zoo_run.run(make_config(home, **changes), tmp_path / "run")
    assert trained == []
    assert not list(tmp_path.glob("run/networks/*"))


def test_sets_of_one_name_are_refused_before_any_training(home, tmp_path, trained):
    (one,) = make_config(home).benchmark
    with pytest.raises(InputError, match="--benchmark: two are called Two"):
        zoo_run.run(make_config(home, benchmark=(one, one)), tmp_path / "run")
    assert trained == []


def test_photographs_smaller_than_the_crop_are_named(home, tmp_path, trained):
    draw(tmp_path / "small", 1, 0, (30, 48))
    sets = (f"A=folder:{home}/a", f"S=folder:{tmp_path}/small")
    with pytest.raises(InputError, match="'photo0' of 'S' has 48 x 30 pixels, fewer than a crop"):
        zoo_run.run(make_config(home, training_set=sets), tmp_path / "run")
    assert trained == []
    assert not (tmp_path / "run").exists()
