"""Networks trained side by side equal those trained alone, killed or not."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from jaxfleet.checkpoints import Checkpoints
from jaxsr.datasets import training_sets
from jaxsr.training import strategy as training_strategy
from jaxsr.training.program import TrainingProgram, TrainingRecipe
from jaxsr.training.strategy import Strategy
from jaxsr.training.trainer import TrainingJob, ZooTrainer

SIZE = {"num_features": 4, "num_convs": 1}
RECIPE = TrainingRecipe(num_iters=7, batch_size=2, crop_px=16, learning_rate=1e-2)
# Three seeds on the first set and one of them on the second, as in a zoo.
JOBS = [TrainingJob(1), TrainingJob(2), TrainingJob(3), TrainingJob(1, dataset=1)]
SINGLE = Strategy()


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    """Programs are compiled once for all trainers of a kind."""
    compiled = functools.cache(training_strategy.compiled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_strategy, "compiled", compiled)
        yield


@pytest.fixture(scope="module")
def program():
    return TrainingProgram("srvgg", 2, SIZE, RECIPE)


@pytest.fixture(scope="module")
def datasets():
    """Two sets of a picture each."""
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, (2, 10, 12, 3), dtype=np.uint8)
    return [training_sets.pack([one.repeat(4, axis=0).repeat(4, axis=1)], 2) for one in shades]


@pytest.fixture
def make(program, datasets):
    """Makes a trainer on the first device, or on those that are given."""

    def call(jobs=JOBS, strategy=SINGLE, *, devices=None, **options):
        devices = jax.devices()[:1] if devices is None else devices
        options = {"log_every": 3, "validate_every": 4, **options}
        return ZooTrainer(program, jobs, datasets, strategy=strategy, devices=devices, **options)

    return call


@pytest.fixture
def make_short(make):
    """Makes trainers whose segments are a single call of each device."""
    return functools.partial(make, wanted_seconds=0.0)


def finish(trainer):
    """TrainingJob -> `TrainedNetwork`, each once."""
    done = {}
    while (finished := trainer.step()) is not None:
        for one in finished:
            assert one.job not in done
            done[one.job] = one
    return done


def copied(trained):
    """Everything but the time that it took."""
    return dataclasses.asdict(dataclasses.replace(trained, seconds=0.0))


def assert_same(one, other):
    """Bit for bit, NaN where NaN is."""
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_near(one, other, tolerance=1e-5):
    def check(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)

    jax.tree.map(check, one.params, other.params)
    check(one.losses, other.losses)
    check(one.scores, other.scores)
    np.testing.assert_array_equal(one.iterations, other.iterations)
    np.testing.assert_array_equal(one.scored, other.scored)


def score(model):
    """A number that depends on all the weights."""
    return float(sum(np.square(np.asarray(leaf)).sum() for leaf in jax.tree.leaves(model)))


@pytest.fixture(scope="module")
def alone(program, datasets, _compiled_once):
    """Each job by the program's updates in a plain loop: its losses and averages."""
    update = training_strategy.compiled(program, SINGLE, None)
    results = []
    for job in JOBS:
        state, noted = program.init(job.seed), []
        for iteration in range(RECIPE.num_iters):
            key = jax.random.fold_in(jax.random.key(job.seed), 2 * iteration)
            batch = training_sets.sample(key, datasets[job.dataset], batch_size=2, crop_px=16)
            one = tuple(side[None] for side in batch)
            (state,) = update((state,), program.constants, (one,))
            noted.append(float(state.loss))
        results.append((jax.device_get(state.average), noted))
    return results


@pytest.fixture(scope="module")
def whole(program, datasets, _compiled_once):
    """All jobs, one after the other on one device, never interrupted."""
    options = {"log_every": 3, "validate_every": 4, "validate": score}
    devices = jax.devices()[:1]
    return finish(ZooTrainer(program, JOBS, datasets, strategy=SINGLE, devices=devices, **options))


# ---------------------------------------------------------------------------- groups


@pytest.mark.skipif(len(jax.devices()) < 2, reason="needs two devices")
def test_a_lone_network_trains_on_all_devices_as_on_one(make, whole):
    devices, strategy = jax.devices()[:2], Strategy(spread=True)
    spread = finish(make(JOBS[:1], strategy, devices=devices, validate=score))[0]
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        spread.params,
        whole[0].params,
    )
    np.testing.assert_allclose(spread.losses, whole[0].losses, rtol=1e-4)


def test_a_trainer_makes_the_updates_of_the_program(whole, alone):
    for job, (average, noted) in enumerate(alone):
        assert whole[job].status == "done"
        assert_same(whole[job].params, average)
        np.testing.assert_array_equal(whole[job].losses, np.float32([noted[2], noted[5], noted[6]]))
    params = [jax.tree.leaves(whole[job].params)[0] for job in range(4)]
    for i in range(4):
        assert all(np.any(params[i] != params[j]) for j in range(i))


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(3),
        Strategy(4, stacked=True),
        pytest.param(Strategy(2, updates=3), marks=pytest.mark.slow),
        pytest.param(Strategy(2, stacked=True, updates=2), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_networks_of_a_group_are_as_if_alone(make, whole, strategy):
    done = finish(make(strategy=strategy, validate=score))
    assert sorted(done) == [0, 1, 2, 3]
    for job, one in done.items():
        assert_near(one, whole[job])


@pytest.mark.parametrize(
    ("jobs", "group", "lanes", "sizes"),
    [
        (4, 1, 2, [1, 1, 1, 1]),
        (5, 4, 1, [3, 2]),
        (5, 4, 2, [3, 2]),
        (9, 4, 2, [3, 3, 3]),
        (16, 4, 2, [4, 4, 4, 4]),
        (1, 4, 2, [1]),
        (0, 4, 2, []),
    ],
)
def test_groups_are_as_equal_as_can_be(make, jobs, group, lanes, sizes):
    devices = jax.devices()[:lanes]
    trainer = make([TrainingJob(seed) for seed in range(jobs)], Strategy(group), devices=devices)
    assert [len(one.jobs) for one in trainer._waiting] == sizes
    assert [job for one in trainer._waiting for job in one.jobs] == list(range(jobs))


def test_devices_train_side_by_side_and_give_the_same(make, whole):
    trainer = make(devices=jax.devices()[:2], validate=score)
    done = finish(trainer)
    for job, one in done.items():
        assert_same(copied(one), copied(whole[job]))


def test_a_program_is_traced_once_whatever_its_weights_come_from(make, whole, monkeypatch):
    calls = []
    update = TrainingProgram.update
    monkeypatch.setattr(
        TrainingProgram, "update", lambda *args, **how: calls.append(1) or update(*args, **how)
    )
    monkeypatch.setattr(training_strategy, "compiled", training_strategy.compiled.__wrapped__)
    begun = TrainingJob(5, start=lambda: whole[0].params)  # numpy arrays, as of a file
    finish(make([TrainingJob(1), begun], log_every=2, validate_every=7))
    assert len(calls) == 1


def test_a_start_is_gone_on_from(datasets, whole):
    still = TrainingProgram(
        "srvgg", 2, SIZE, dataclasses.replace(RECIPE, num_iters=1, warmup_iters=1)
    )
    jobs, first = [TrainingJob(5, start=lambda: whole[0].params)], jax.devices()[:1]
    done = finish(ZooTrainer(still, jobs, datasets, strategy=SINGLE, devices=first))
    assert_same(done[0].params, whole[0].params)  # since the first rate is zero


def test_batches_are_of_the_seed_whatever_the_network(datasets):
    drawn = []
    for name, size in (("srvgg", SIZE), ("edsr", {"num_features": 4, "num_blocks": 1})):
        program = TrainingProgram(name, 2, size, RECIPE)
        lows = []

        def advance(states, constants, batches, lows=lows):
            lows.append(np.asarray(batches[0][0]))
            return states

        trainer = ZooTrainer(
            program,
            [TrainingJob(3)],
            datasets,
            strategy=SINGLE,
            devices=jax.devices()[:1],
            log_every=7,
        )
        trainer._advance = advance
        finish(trainer)
        drawn.append(np.concatenate(lows))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert len({batch.tobytes() for batch in drawn[0]}) == RECIPE.num_iters


def test_skipped_jobs_are_not_trained(make, whole):
    done = finish(make(skip=[0, 2], validate=score))
    assert sorted(done) == [1, 3]
    for job, one in done.items():
        assert_same(copied(one), copied(whole[job]))
    assert make(skip=range(4)).step() is None


# ---------------------------------------------------------------------------- histories, divergence


@pytest.mark.parametrize("updates", [1, 5])
def test_histories_do_not_depend_on_segments(make_short, whole, updates):
    trainer = make_short(JOBS[:1], Strategy(updates=updates), validate=score)
    done, work = {}, 0.0
    while (finished := trainer.step()) is not None:
        work += trainer.work_done
        done.update({one.job: one for one in finished})
    assert work == RECIPE.num_iters
    assert done[0].iterations.tolist() == [3, 6, 7]
    assert done[0].scored.tolist() == [4, 7]
    assert done[0].losses.dtype == done[0].scores.dtype == np.float32
    assert done[0].iterations.dtype == done[0].scored.dtype == np.int32
    assert_near(done[0], whole[0])
    assert done[0].scores[-1] == np.float32(score(done[0].params))


def test_without_validation_there_are_no_scores(make):
    done = finish(make(JOBS[:1]))
    assert done[0].scores.shape == done[0].scored.shape == (0,)
    assert done[0].iterations.tolist() == [3, 6, 7]


def test_what_is_shown_while_networks_train(make_short):
    trainer = make_short(devices=jax.devices()[:2], work=2.5, validate=lambda model: 20.0)
    assert trainer.training.size == trainer.losses().size == 0
    trainer.step()
    assert trainer.work_done == 2 * 2.5
    assert trainer.training.tolist() == [True, True]
    for _ in range(4):
        trainer.step()
    np.testing.assert_allclose(trainer.losses(), [0.01, 0.01])  # 20 dB
    finish(trainer)
    assert trainer.training.size == trainer.losses().size == 0


def infinite(params):
    return jax.tree.map(lambda leaf: np.full_like(leaf, np.inf), params)


@pytest.mark.parametrize("strategy", [SINGLE, Strategy(3), Strategy(4, stacked=True)], ids=str)
def test_a_network_that_diverges_takes_none_along(make, whole, strategy):
    jobs = [JOBS[0], TrainingJob(2, start=lambda: infinite(whole[1].params)), *JOBS[2:]]
    done = finish(make(jobs, strategy, validate=score))
    assert [done[job].status for job in range(4)] == ["done", "diverged", "done", "done"]
    assert np.isnan(done[1].losses).all()
    assert np.isinf(jax.tree.leaves(done[1].params)[0]).all()
    for job in (0, 2, 3):
        assert_near(done[job], whole[job])
    # Nothing is spent on a group of diverged networks: it ends where that is noticed.
    last = 3 if strategy == SINGLE else 7
    assert done[1].iterations[-1] == done[1].scored[-1] == last


# ---------------------------------------------------------------------------- kill and resume


def interrupted(trainer, segments):
    """What finished before, and the snapshot after so many segments."""
    done = {}
    for _ in range(segments):
        done.update({one.job: one for one in trainer.step()})
    return done, trainer.snapshot()


def through_disk(snapshot, folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(snapshot)
    return checkpoints.load()


@pytest.mark.parametrize(
    ("lanes", "lanes_after", "segments"), [(1, 1, 5), (2, 1, 8), (1, 2, 12), (2, 2, 3)]
)
def test_killed_and_resumed_is_bit_for_bit_the_same(
    make_short, whole, tmp_path, lanes, lanes_after, segments
):
    done, snapshot = interrupted(
        make_short(devices=jax.devices()[:lanes], validate=score), segments
    )
    trainer = make_short(devices=jax.devices()[:lanes_after], validate=score, skip=list(done))
    assert trainer.restore(through_disk(snapshot, tmp_path), done=list(done))
    assert trainer.training.size == min(lanes, 4 - len(done))
    done |= finish(trainer)
    assert sorted(done) == [0, 1, 2, 3]
    for job, one in done.items():
        assert_same(copied(one), copied(whole[job]))


@pytest.mark.parametrize("strategy", [Strategy(3), Strategy(4, stacked=True)], ids=str)
def test_groups_are_killed_and_resumed(make_short, tmp_path, strategy):
    expected = finish(make_short(strategy=strategy, validate=score))
    _, snapshot = interrupted(make_short(strategy=strategy, validate=score), 5)
    trainer = make_short(strategy=strategy, validate=score)
    assert trainer.restore(through_disk(snapshot, tmp_path))
    for job, one in finish(trainer).items():
        assert_same(copied(one), copied(expected[job]))


def test_a_snapshot_is_not_changed_by_what_comes_after(make_short):
    trainer = make_short(JOBS[:1])
    _, snapshot = interrupted(trainer, 3)
    before = jax.tree.map(np.copy, snapshot)
    finish(trainer)
    assert_same(snapshot, before)


def test_a_snapshot_between_networks_is_empty_and_restores(make_short, whole, tmp_path):
    done, snapshot = interrupted(make_short(JOBS[:2], validate=score), RECIPE.num_iters)
    assert sorted(done) == [0]
    assert snapshot == {"groups": []}
    saved = through_disk({**snapshot, "trial_ids": np.arange(2)}, tmp_path)
    trainer = make_short(JOBS[:2], skip=[0], validate=score)
    assert trainer.restore(saved, done=[0])
    assert_same(copied(finish(trainer)[1]), copied(whole[1]))


def test_groups_that_are_done_are_left(make_short):
    _, snapshot = interrupted(make_short(devices=jax.devices()[:2]), 2)
    trainer = make_short(skip=[0])
    assert trainer.restore(snapshot, done=[0])
    assert trainer.training.size == 1
    assert sorted(finish(trainer)) == [1, 2, 3]


def test_a_snapshot_of_other_networks_is_refused_and_changes_nothing(make_short, program, whole):
    trainer = make_short(JOBS[:1], validate=score)
    _, snapshot = interrupted(trainer, 2)
    (group,) = snapshot["groups"]
    other = jax.eval_shape(lambda: TrainingProgram("srvgg", 2, {"num_features": 5}, RECIPE).shapes)
    wide = [np.zeros(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(other)]
    begun = make_short(JOBS[:1], validate=score)
    for members in ([wide], [group["states"][0][:-1]]):
        assert not begun.restore({"groups": [{**group, "states": members}]})
        assert begun.training.size == 0
    assert_same(copied(finish(begun)[0]), copied(whole[0]))
