"""The CPU kernel on its own: against float64, in parts and whole, killed and resumed."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxfleet import executors, fleet
from jaxfleet.results import table
from jaxinr import Trial, pixels, siren
from jaxinr.kernels import cpu, host
from jaxinr.kernels.network import Network, aligned, render

# Widths with every remainder by four and by three, depths from one on, pictures with rests.
SHAPES = [(1, 1), (2, 1), (3, 2), (5, 2), (8, 3), (13, 4), (28, 2), (34, 3)]


def picture(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def network(trial, image, *, cores=2, log_every=10, target_loss=0.0, first_layer=0):
    count = image.shape[0] * image.shape[1]
    return Network(
        0, trial, image, siren.init(trial), coordinates="coin", target_loss=target_loss,
        log_at=pixels.log_points(trial, count, log_every, "linear"), cores=cores,
        first_layer=first_layer,
    )  # fmt: skip


def scratch(trial):
    return aligned(cpu.scratch_size(trial.num_layers, trial.layer_size))


def by_hand(params, trial, image, chosen):
    """Loss and gradient in float64: squared errors of some pixels, over their number."""
    height, width, _ = image.shape
    points = siren.places(chosen, height, width, "coin").astype(float)
    wanted = image.reshape(-1, 3)[chosen].T / 255
    inputs, slopes = [points], []
    for depth, layer in enumerate(params[:-1]):
        omega = trial.w0 if depth else trial.w0_initial
        z = omega * (layer["weight"].astype(float) @ inputs[-1] + layer["bias"][:, None])
        inputs.append(np.sin(z))
        slopes.append(omega * np.cos(z))
    last = params[-1]
    error = last["weight"].astype(float) @ inputs[-1] + last["bias"][:, None] - wanted
    cotangent = 2 * error / error.size
    flat = []
    for depth in reversed(range(len(params))):
        flat.append(np.append((cotangent @ inputs[depth].T).ravel(), cotangent.sum(axis=1)))
        if depth:
            weight = params[depth]["weight"].astype(float)
            cotangent = (weight.T @ cotangent) * slopes[depth - 1]
    return np.mean(error**2), np.concatenate(flat[::-1])


def learnt(one):
    """Loss and gradient as Adam's first moments have them after one update."""
    loss = one._arrays._losses.sum() / (3 * one.update_pixels)
    return loss, one._arrays.mean / (1 - fleet.ADAM_DECAY_MEAN)


@pytest.mark.parametrize(("layer_size", "num_layers"), SHAPES)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 47)])
def test_loss_and_gradient_against_float64(layer_size, num_layers, size):
    trial = Trial(
        layer_size=layer_size, num_layers=num_layers, w0_initial=17.0, w0=23.0, num_iters=5
    )
    image = picture(*size)
    one = network(trial, image)
    one._arrays.run(cpu.TRAIN, one._pixels, scratch(trial), count=1)
    expected = by_hand(siren.init(trial), trial, image, np.arange(size[0] * size[1]))
    loss, gradient = learnt(one)
    assert loss == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=3e-6 * abs(expected[1]).max())


@pytest.mark.parametrize("first_layer", range(4))
def test_layers_before_the_first_that_is_trained_stay_as_they_are(first_layer):
    trial, image = Trial(layer_size=7, num_layers=3, num_iters=5), picture(9, 14)
    one = network(trial, image, first_layer=first_layer)
    one._arrays.run(cpu.TRAIN, one._pixels, scratch(trial), count=1)
    _, expected = by_hand(siren.init(trial), trial, image, np.arange(126))
    kept = table.flatten(siren.init(trial)[:first_layer]) if first_layer else np.zeros(0)
    expected[: len(kept)] = 0.0
    np.testing.assert_allclose(learnt(one)[1], expected, rtol=0, atol=3e-6 * expected.max())
    np.testing.assert_array_equal(one._arrays.params[: len(kept)], kept)
    assert (one._arrays.params != table.flatten(siren.init(trial)))[len(kept) :].all()


def test_an_update_takes_the_next_pixels_of_a_shuffled_picture():
    trial = Trial(layer_size=6, num_layers=2, num_iters=9, seed=3, pixels_per_update=50)
    image = picture(9, 13)
    order, first = pixels.order(117), pixels.first_of(trial, 117)
    assert sorted(order.tolist()) == list(range(117))
    one = network(trial, image)
    for update in range(5):  # once round and more
        start = (first + (update % 3) * 50) % 117  # three updates are a round
        chosen = order[(start + np.arange(50)) % 117]
        params = table.unflatten_layers(one._arrays.params.copy(), trial.layer_shapes)
        mean = one._arrays.mean.copy()
        one._arrays.run(cpu.TRAIN, one._pixels, scratch(trial), count=1)
        gradient = (one._arrays.mean - 0.9 * mean) / (1 - fleet.ADAM_DECAY_MEAN)
        _, expected = by_hand(params, trial, image, chosen)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5 * abs(expected).max())
        assert one.record.iteration == update + 1


def test_whole_pictures_are_measured_at_points_that_cost_a_tenth():
    trial = Trial(layer_size=6, num_layers=2, num_iters=100, pixels_per_update=64)
    # 1200 / 3 operations to measure, 64 an update: every 62.5 updates a tenth, so every 70.
    assert pixels.log_points(trial, 1200, 10, "linear").tolist() == [0, 70, 100]
    whole = dataclasses.replace(trial, pixels_per_update=1200)
    assert pixels.log_points(whole, 1200, 50, "linear").tolist() == [0, 50, 100]
    one = network(trial, picture(30, 40))
    while one.is_running:
        one.advance(scratch(trial))
    done = one.finish()
    assert done.iterations.tolist() == [0, 70, 100]
    loss, _ = by_hand(done.params, trial, picture(30, 40), np.arange(1200))
    assert done.best_loss == pytest.approx(loss, rel=1e-5)
    assert done.best_loss == min(done.losses)
    assert done.iterations[np.argmin(done.losses)] == done.best_iteration


@pytest.mark.parametrize("pixels_per_update", [0, 700])
def test_all_cores_on_one_network_change_no_bit(monkeypatch, pixels_per_update):
    monkeypatch.setattr("jaxinr.kernels.network.SPLIT_FLOPS", 0.0)
    trial = Trial(
        layer_size=9, num_layers=3, num_iters=37, learning_rate=1e-3,
        pixels_per_update=pixels_per_update,
    )  # fmt: skip
    alone, shared = (network(trial, picture(40, 50)) for _ in range(2))
    assert alone.record.parts > 1
    while alone.is_running:
        alone.advance(scratch(trial))
    memory = scratch(trial)

    def each(work, parts):
        for part in reversed(range(parts)):
            work(part, memory)

    while shared.is_running:
        shared.advance_together(each)
    assert_same(alone.finish(), shared.finish())


def assert_same(one, other):
    """Equal bit for bit, but for the time that they took."""
    for name in ("job", "status", "loss", "best_loss", "best_iteration"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("iterations", "losses", "result"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for mine, theirs in zip(one.params, other.params, strict=True):
        for kind in ("weight", "bias"):
            np.testing.assert_array_equal(mine[kind], theirs[kind])


TRIALS = [
    Trial(layer_size=7, num_layers=2, num_iters=40_000, learning_rate=1e-3, seed=seed)
    for seed in range(5)
] + [Trial(layer_size=12, num_layers=1, num_iters=30, seed=9, pixels_per_update=20)]


def team(cores=2, skip=()):
    image = picture(12, 11)

    def begin(job):
        one = network(TRIALS[job], image, cores=cores)
        one.job = job
        return one

    costs = np.array([trial.num_iters * trial.parameters for trial in TRIALS])
    return host.Team(begin, work=np.full(6, 132), costs=costs, cores=cores, skip=skip)


def test_each_few_networks_are_a_sample_and_the_heaviest_come_first(monkeypatch):
    monkeypatch.setattr(host, "SORTED", 4)
    costs = np.array([1, 5, 2, 8, 7, 4, 3, 9, 6, 10])
    assert host.in_turn(costs).tolist() == [9, 3, 6, 0, 7, 4, 1, 8, 5, 2]
    assert host.in_turn(np.zeros(0)).tolist() == []


def test_a_snapshot_goes_on_as_if_nothing_had_been(monkeypatch):
    whole = {one.job: one for some in executors.train(team()) for one in some}
    assert sorted(whole) == list(range(6))
    monkeypatch.setattr(host, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr("jaxinr.kernels.network.TURN_FLOPS", 1e8)
    first = team()
    found = {one.job: one for one in first.step()}
    snapshot = first.snapshot()
    assert 0 < first.training.sum() <= 2
    second = team(cores=3, skip=list(found))  # another number of cores: the parts are the same
    assert second.restore(snapshot, done=list(found))
    for some in executors.train(second):
        found |= {one.job: one for one in some}
    assert sorted(found) == list(range(6))
    for job, one in whole.items():
        assert_same(one, found[job])


def test_a_snapshot_of_another_kernel_is_not_taken():
    assert not team().restore({"states": []})


def test_done_jobs_of_a_snapshot_are_left_out(monkeypatch):
    monkeypatch.setattr(host, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr("jaxinr.kernels.network.TURN_FLOPS", 1e8)
    first = team()
    first.step()
    snapshot = first.snapshot()
    jobs = [int(one[0][0]) for one in snapshot["networks"]]
    second = team(skip=jobs)
    assert second.restore(snapshot, done=jobs)
    assert not len(second.training)


def test_work_done_counts_all_updates():
    trainer, work = team(), 0.0
    for _ in executors.train(trainer):
        work += trainer.work_done
    assert work == 132 * sum(trial.num_iters for trial in TRIALS)


def test_rendering_in_blocks(monkeypatch):
    trial = Trial(layer_size=5, num_layers=2)
    params = siren.init(trial)
    whole = render(params, trial, (13, 17), "centers")
    monkeypatch.setattr("jaxinr.kernels.network.RENDER_PIXELS", 50)
    np.testing.assert_array_equal(render(params, trial, (13, 17), "centers"), whole)
    points = siren.places(np.arange(221), 13, 17, "centers")
    expected = jax.jit(siren.apply)(params, np.float32(30), np.float32(30), points)
    np.testing.assert_allclose(whole.reshape(-1, 3).T, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("coordinates", siren.COORDINATES)
def test_places_are_the_points_of_the_program(coordinates):
    points_of = jax.jit(siren.points_of, static_argnums=3)
    for height, width in ((1, 1), (1, 9), (9, 1), (23, 37)):
        index = np.arange(height * width)
        expected = points_of(index.astype(np.int32), height, width, coordinates)
        found = siren.places(index, height, width, coordinates)
        np.testing.assert_allclose(found, expected, rtol=3e-7, atol=2e-7)
