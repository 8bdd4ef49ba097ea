"""Plans of several picture sizes and under budgets."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import jaxfleet
from experiments.siren import completeness, grid
from experiments.siren import jobs as siren_jobs
from experiments.siren import plan as siren_plan
from experiments.siren.config import GridConfig
from jaxfleet import histories
from jaxfleet.errors import InputError
from jaxfleet.imaging import albums
from jaxfleet.imaging.photos import Photo
from jaxfleet.results import store
from jaxinr.kernels import host
from jaxinr.trial import Trial, flops_per_pixel


def square(name, side):
    return Photo(name, np.zeros((side, side, 3), np.uint8))


SIDES = {"small": 10, "tall": 40, "wide": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    key = np.random.default_rng(0)
    for name, side in SIDES.items():
        pixels = key.integers(0, 256, (side, side + 3, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{name}.png")
    return path


@pytest.fixture
def sample(folder):
    return GridConfig(
        photos=f"folder:{folder}",
        sampling="random",
        num_trials=300,
        image_size=("log:8:64",),
        layer_size=("uniform:4:20",),
        num_layers=("uniform:1:4",),
        num_iters=("log:100:2000",),
        learning_rate=("log:1e-4:5e-3",),
        seed=("uniform:0:999999",),
    )


def sides(pictures, jobs):
    return np.array([albums.shapes_of(pictures)[job.photo][0] for job in jobs])


def gflop(pictures, jobs):
    pixels = np.prod(albums.shapes_of(pictures), axis=1)
    return [
        pixels[job.photo]
        * job.trial.num_iters
        * flops_per_pixel(job.trial.layer_size, job.trial.num_layers)
        / 1e9
        for job in jobs
    ]


def test_sizes_are_drawn_and_no_photograph_is_enlarged(sample):
    pictures, jobs = siren_plan.load(sample)
    assert len(jobs) == 300
    found = sides(pictures, jobs)
    assert set(found) > {8, 9, 10}
    assert found.max() > 55
    for job, side in zip(jobs, found, strict=True):
        picture = pictures[job.photo]
        assert picture.pixels.shape == (side, side, 3)
        assert side <= SIDES[picture.image_id]
    assert len({job.photo for job in jobs}) == len(pictures)  # none is there for nothing
    again, same = siren_plan.load(sample)
    assert same == jobs
    assert list(again._entries) == list(pictures._entries)


def test_no_network_is_above_the_budget(sample):
    limited = dataclasses.replace(sample, max_gflop=0.5)
    pictures, jobs = siren_plan.load(limited)
    spent = gflop(pictures, jobs)
    assert len(jobs) == 300
    assert 0.45 < max(spent) <= 0.5
    assert max(gflop(*siren_plan.load(sample))) > 0.5


def test_networks_of_a_draw_differ_in_the_size_of_their_picture_alone(sample):
    pictures, jobs = siren_plan.load(dataclasses.replace(sample, sizes_per_draw=3, num_trials=31))
    assert len(jobs) == 31
    found = sides(pictures, jobs)
    for start in range(0, 31, 3):
        family = jobs[start : start + 3]
        assert len({job.trial for job in family}) == 1
        assert len({pictures[job.photo].image_id for job in family}) == 1
        assert len(set(found[start : start + 3])) == len(family)


def test_repeated_networks_have_axes_of_their_own(sample):
    config = dataclasses.replace(
        sample,
        num_repeats=200,
        repeat_layer_size=6,
        repeat_num_layers=2,
        repeat_w0_initial=("log:5:50",),
        repeat_learning_rate=("1e-3",),
        repeat_num_iters=("choice:50,60",),
        repeat_image_size=("8", "10"),
    )
    pictures, jobs = siren_plan.load(config)
    alone = siren_plan.load(dataclasses.replace(config, num_repeats=0, repeat_image_size=()))[1]
    assert [job.trial for job in jobs[:300]] == [job.trial for job in alone]
    trials = [job.trial for job in jobs[300:]]
    assert {(t.layer_size, t.num_layers, t.learning_rate) for t in trials} == {(6, 2, 1e-3)}
    assert {t.num_iters for t in trials} == {50, 60}
    assert len({t.w0_initial for t in trials}) == 200
    assert Counter(sides(pictures, jobs[300:])).keys() == {8, 10}


def test_a_grid_goes_through_the_sizes_of_each_photograph(folder):
    config = GridConfig(photos=f"folder:{folder}", image_size=("32", "8"), seed=("0", "1"))
    pictures, jobs = siren_plan.load(config)
    order = [(pictures[j.photo].image_id, *sides(pictures, [j]), j.trial.seed) for j in jobs]
    expected = [("small", 8), ("tall", 32), ("tall", 8), ("wide", 32), ("wide", 8)]
    assert order == [(*one, seed) for one in expected for seed in (0, 1)]


def test_limits_that_leave_nothing_are_named(folder):
    grid = GridConfig(photos=f"folder:{folder}", image_size=("80", "90"))
    with pytest.raises(InputError, match="every photograph is smaller than --image_size; lower it"):
        siren_plan.load(grid)
    black = [Photo("a", np.zeros((8, 8, 3), np.uint8))]
    with pytest.raises(InputError, match="--max_gflop leaves no network; raise it"):
        siren_plan.make_jobs(GridConfig(max_gflop=1e-9), black)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": ("uniform:0:9",)}, "--image_size=uniform:0:9: a range of sizes starts at"),
        ({"sizes_per_draw": 2, "image_size": ("8", "9")}, "needs --sampling=random"),
        ({"sizes_per_draw": 2}, "--sizes_per_draw needs as many values of --image_size"),
        ({"repeat_num_iters": ("0",)}, "--repeat_num_iters=0: expected a number from 1"),
    ],
)
def test_flags_that_contradict_each_other(values, message):
    with pytest.raises(InputError, match=message):
        GridConfig(**values)


def test_facts_of_one_size_are_those_of_before_there_could_be_several():
    black = [Photo("a", np.zeros((8, 8, 3), np.uint8))]
    facts = siren_jobs._facts(GridConfig(), black)
    assert (facts["image_size"], facts["repeat_w0_initial"]) == (120, 30.0)
    new = {"log_spacing", "keep_weights", "max_gflop", "sizes_per_draw", "repeat_num_iters"}
    assert not new & facts.keys()
    changed = siren_jobs._facts(GridConfig(image_size=("8", "16"), keep_weights=False), black)
    assert (changed["image_size"], changed["keep_weights"]) == ("8,16", False)


# ---------------------------------------------------------------------------- kinds of networks


def test_a_grid_takes_of_each_kind_the_axes_that_it_has():
    config = GridConfig(
        network=("siren", "gauss", "relu_fourier"),
        layer_size=("4",),
        w0_initial=("10", "20"),
        sigma=("0.1", "0.5", "2"),
        num_frequencies=("8", "16"),
        num_layers=("2",),
    )
    jobs = siren_plan.make_jobs(config, [square("a", 8)])
    found = [job.trial for job in jobs]
    size = {"layer_size": 4, "num_layers": 2}
    expected = [Trial(**size, w0_initial=w0) for w0 in (10.0, 20.0)]
    expected += [Trial(**size, network="gauss", sigma=sigma) for sigma in (0.1, 0.5, 2.0)]
    expected += [
        Trial(**size, network="relu_fourier", sigma=sigma, num_frequencies=count)
        for sigma in (0.1, 0.5, 2.0)
        for count in (8, 16)
    ]
    assert found == expected


def test_a_sample_of_several_kinds_has_them_all_and_keeps_what_a_sample_of_sirens_was():
    flags = {"sampling": "random", "num_trials": 60, "layer_size": ("uniform:4:40",)}
    pictures = [square("a", 8), square("b", 9)]
    sirens = [job.trial for job in siren_plan.make_jobs(GridConfig(**flags), pictures)]
    both = GridConfig(**flags, network=("siren", "wire"), omega0=("log:1:20",))
    mixed = [job.trial for job in siren_plan.make_jobs(both, pictures)]
    assert {trial.network for trial in mixed} == {"siren", "wire"}
    assert [trial.layer_size for trial in mixed] == [trial.layer_size for trial in sirens]
    assert len({trial.omega0 for trial in mixed if trial.network == "wire"}) > 10


def test_limits_count_the_weights_of_each_kind():
    # 2 x 6: of a SIREN 81 weights, of a WIRE 141 with the real and the imaginary parts.
    flags = {"layer_size": ("6",), "num_layers": ("2",), "network": ("siren", "wire")}
    for most, expected in ((141, ["siren", "wire"]), (140, ["siren"])):
        config = GridConfig(**flags, max_bits_per_pixel=16 * most / 64)
        jobs = siren_plan.make_jobs(config, [square("a", 8)])
        assert [job.trial.network for job in jobs] == expected
        assert jobs[-1].trial.parameters <= most


def test_a_hyperparameter_of_no_kind_at_hand_is_refused():
    with pytest.raises(InputError, match="--sigma is of gauss and relu_fourier networks, and --n"):
        GridConfig(network=("siren", "wire"), sigma=("1",))
    with pytest.raises(InputError, match="--network has no value"):
        GridConfig(network=())


# ---------------------------------------------------------------------------- a collection


@pytest.mark.parametrize("kernel", ["numba", pytest.param("xla", marks=pytest.mark.slow)])
def test_a_small_collection_is_stopped_resumed_and_checked(sample, tmp_path, monkeypatch, kernel):
    monkeypatch.setattr(host, "SEGMENT_SECONDS", 0.0)
    config = dataclasses.replace(
        sample,
        **{"num_trials": 16, "num_repeats": 8, "repeat_layer_size": 4, "repeat_num_layers": 1},
        **{"layer_size": ("4", "6"), "num_layers": ("1",), "num_iters": ("log:20:60",)},
        **{"image_size": ("8", "12"), "log_every": 5, "log_spacing": "log"},
        **{"keep_weights": False, "kernel": kernel, "checkpoint_minutes": 0},
    )
    flush = store.Store.flush

    def flush_or_stop(self):
        if self.done:  # some are on disk, others in a checkpoint
            raise KeyboardInterrupt
        flush(self)

    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "flush", flush_or_stop)
        with pytest.raises(KeyboardInterrupt):
            grid.run(config, tmp_path)
    partial = completeness.check(tmp_path)
    assert 0 < partial.rows < 24
    assert not partial.complete
    grid.run(config, tmp_path)
    assert completeness.check(tmp_path).complete
    frame = jaxfleet.open(tmp_path).to_pandas(grid.schema().names)
    pictures, jobs = siren_plan.load(config)
    assert frame["image_height"].tolist() == sides(pictures, jobs).tolist()
    assert frame["image_id"].tolist() == [pictures[job.photo].image_id for job in jobs]
    assert frame["num_iters"].tolist() == [job.trial.num_iters for job in jobs]
    assert (frame["weights"].map(len) == 0).all()
    for at, num_iters in zip(frame["iteration_history"], frame["num_iters"], strict=True):
        np.testing.assert_array_equal(at, histories.log_points(num_iters, 5, "log"))
    assert "the photographs have several sizes" in (tmp_path / "report.html").read_text()
