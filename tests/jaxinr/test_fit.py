import dataclasses
import json
import logging
import os
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import jaxinr
from jaxfleet import trainer
from jaxinr import buckets, siren, trainers
from tests.jaxinr.fitted import SIZES, TRIALS, alike, picture, psnr_db, same


@pytest.fixture(scope="module", params=["numba", "xla"])
def kernel(request):
    return request.param


@pytest.fixture(scope="module")
def mixed(kernel):
    """Six networks on three pictures: `images`, their `fits`, and `again` to fit them otherwise."""
    pictures = [picture(*size, phase) for phase, size in enumerate(SIZES)]
    images = [pictures[i % 3] for i in range(6)]

    def again(trials=TRIALS, images=images, **options):
        return jaxinr.fit(images, trials, **{"kernel": kernel, **options})

    return types.SimpleNamespace(images=images, fits=again(), again=again)


# ---------------------------------------------------------------------------- batch equals loop


@pytest.mark.parametrize("i", range(6))
def test_network_of_a_mixed_fleet_equals_itself_alone(mixed, i):
    alone = mixed.again([TRIALS[i]], [mixed.images[i]])
    assert alone.params(0)[0]["weight"].shape == (TRIALS[i].layer_size, 2)
    alike(mixed.fits.fits[i], alone.fits[0])


def test_fleet_of_mixed_depths_keeps_the_order_of_the_trials(mixed):
    deeper = dataclasses.replace(TRIALS[4], num_layers=1)
    images = [mixed.images[4], mixed.images[3], mixed.images[4]]
    fits = mixed.again([TRIALS[4], TRIALS[3], deeper], images)
    assert [len(fit.params) for fit in fits.fits] == [3, 3, 2]
    alike(fits.fits[0], mixed.fits.fits[4])
    alike(fits.fits[1], mixed.fits.fits[3])


def test_a_lone_cpu_device_in_a_running_process_gives_the_same(mixed, kernel, tmp_path):
    # A notebook: JAX has started with one CPU device; every core is to work all the same.
    arrays = {f"image_{i}": image for i, image in enumerate(mixed.images)}
    np.savez(tmp_path / "images.npz", **arrays)
    rows = [dataclasses.asdict(trial) for trial in TRIALS]
    (tmp_path / "trials.json").write_text(json.dumps(rows))
    script = """
import json, sys
import jax
import jax.numpy as jnp
assert len(jax.devices()) == 1
import numpy as np
import jaxinr
from jaxfleet import trainer
assert [mesh.size for mesh in trainer.lanes()] == [1] * trainer.usable_cores()
with np.load("images.npz") as file:
    images = [file[name] for name in file.files]
trials = [jaxinr.Trial(**row) for row in json.load(open("trials.json"))]
fits = jaxinr.fit(images, trials, kernel=sys.argv[1])
np.savez("fits.npz", iterations=fits.iterations, psnr_db=fits.psnr_db, best=fits.best_psnr_db)
"""
    dropped = ("XLA_FLAGS", "PYTHONPATH", "JAX_NUM_CPU_DEVICES")
    environment = {k: v for k, v in os.environ.items() if k not in dropped}
    environment["JAX_PLATFORMS"] = "cpu"
    run = subprocess.run(
        [sys.executable, "-c", script, kernel],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "fits.npz") as fits:
        np.testing.assert_array_equal(fits["iterations"], mixed.fits.iterations)
        np.testing.assert_allclose(fits["psnr_db"], mixed.fits.psnr_db, rtol=0, atol=1e-3)
        np.testing.assert_allclose(fits["best"], mixed.fits.best_psnr_db, rtol=0, atol=1e-3)


# ---------------------------------------------------------------------------- what comes back


def test_networks_learned_something(mixed):
    for fit in mixed.fits.fits:
        assert fit.best_psnr_db > fit.psnr_history[0] + 0.2
        assert fit.best_psnr_db >= np.max(fit.psnr_history) - 1e-5
        assert fit.status == "done"
        assert fit.seconds > 0


def test_histories_are_noted_every_ten_iterations_and_at_the_end(mixed):
    for trial, fit in zip(TRIALS, mixed.fits.fits, strict=True):
        expected = sorted({*range(0, trial.num_iters, 10), trial.num_iters})
        assert fit.iteration_history.tolist() == expected
        assert fit.psnr_history[-1] == np.float32(fit.psnr_db)
    assert mixed.fits.iterations.tolist() == [0, 7, 10, 20, 25, 30, 33, 40, 47, 50, 60]
    for fit, row in zip(mixed.fits.fits, mixed.fits.psnr_db, strict=True):
        noted = np.isin(mixed.fits.iterations, fit.iteration_history)
        np.testing.assert_array_equal(row[noted], fit.psnr_history)
        assert np.isnan(row[~noted]).all()


def test_best_psnr_is_that_of_the_kept_weights(mixed):
    for i, (image, trial, fit) in enumerate(
        zip(mixed.images, TRIALS, mixed.fits.fits, strict=True)
    ):
        raw = jaxinr.render(mixed.fits.params(i), trial, image.shape[:2])
        assert fit.best_psnr_db == pytest.approx(psnr_db(raw, image), abs=1e-3)
        assert fit.best_psnr_db == mixed.fits.best_psnr_db[i]


def test_8bit_measures_against_scikit_image(mixed):
    for image, trial, fit in zip(mixed.images, TRIALS, mixed.fits.fits, strict=True):
        raw = jaxinr.render(fit.params, trial, image.shape[:2])
        decoded = np.rint(np.clip(raw, 0, 1) * 255).astype(np.uint8)
        # 2e-3: a channel that lies between two levels may round the other way.
        expected_db = peak_signal_noise_ratio(image, decoded)
        assert fit.psnr_8bit_db == pytest.approx(expected_db, abs=2e-3)
        if min(image.shape[:2]) < 11:
            assert np.isnan(fit.ssim)
            continue
        expected = structural_similarity(
            image, decoded, channel_axis=-1, data_range=255, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        assert fit.ssim == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kernel", ["xla"], scope="module", indirect=True)
def test_padded_weights_and_moments_are_exactly_zero_after_training(mixed):
    sizes = [image.shape[:2] for image in mixed.images]
    shards = sum(mesh.size for mesh in trainer.lanes())
    (bucket,) = buckets.make_buckets(TRIALS, sizes, shards=shards, platform="cpu", kernel="xla")
    assert bucket.program.width == 8
    team = trainers.make_trainer(bucket, TRIALS, mixed.images[:3], [0, 1, 2, 0, 1, 2])

    def check(tree, job):
        own = siren.crop(tree, TRIALS[job].layer_size)
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(own))
        jax.tree.map(np.testing.assert_array_equal, tree, siren.pad(own, 8))

    finished = team.step()
    state = jax.device_get(team.states[0])
    for slot in np.flatnonzero(team.training):
        for tree in (state.params, state.mean, state.square, state.best):
            check(jax.tree.map(lambda leaf, slot=slot: leaf[slot], tree), team.job[slot])
    while (more := team.step()) is not None:
        finished += more
    assert sorted(one.job for one in finished) == list(range(6))
    for one in finished:
        check(one.params, one.job)


def test_kernels_agree(mixed, kernel):
    other = mixed.again(kernel="xla" if kernel == "numba" else "numba")
    for one, fit in zip(other.fits, mixed.fits.fits, strict=True):
        alike(one, fit)
        assert one.psnr_8bit_db == pytest.approx(fit.psnr_8bit_db, abs=2e-3)


# ---------------------------------------------------------------------------- a decaying rate


@pytest.mark.parametrize("decay", [0.6, 1.0])
def test_a_decaying_rate_is_the_cosine_of_optax(mixed, decay):
    trial = dataclasses.replace(TRIALS[0], num_iters=30, learning_rate_decay=decay)
    fits = mixed.again([trial], [mixed.images[0]], log_every=1)
    height, width = SIZES[0]
    points = siren.points_of(jnp.arange(height * width), height, width, "coin")
    target = jnp.asarray(mixed.images[0].reshape(-1, 3).T, jnp.float32) / 255
    schedule = optax.cosine_decay_schedule(trial.learning_rate, 30, alpha=1 - decay)
    optimizer = optax.adam(schedule)

    @jax.value_and_grad
    def loss(params):
        x = points
        for depth, layer in enumerate(params):
            x = layer["weight"] @ x + layer["bias"][:, None]
            if depth < trial.num_layers:
                x = jnp.sin((trial.w0 if depth else trial.w0_initial) * x)
        return jnp.mean((x - target) ** 2)

    @jax.jit
    def update(params, state):
        value, gradient = loss(params)
        steps, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, steps), state, value

    params = jax.tree.map(jnp.asarray, siren.init(trial))
    state, losses = optimizer.init(params), []
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(31):
            params, state, value = update(params, state)
            losses.append(float(value))
    np.testing.assert_allclose(fits.psnr_db[0], -10 * np.log10(losses), rtol=0, atol=2e-3)
    constant = mixed.again(
        [dataclasses.replace(trial, learning_rate_decay=0.0)], log_every=1, images=[mixed.images[0]]
    )
    assert abs(constant.psnr_db[0] - fits.psnr_db[0]).max() > 0.02


# ---------------------------------------------------------------------------- a part of the pixels


def test_kernels_agree_on_updates_of_a_part_of_the_pixels(mixed, kernel):
    parts = (50, 0, 64, 50, 7, 10_000)  # two of them are all pixels
    trials = [
        dataclasses.replace(trial, pixels_per_update=part)
        for trial, part in zip(TRIALS, parts, strict=True)
    ]
    fits = mixed.again(trials).fits
    other = mixed.again(trials, kernel="xla" if kernel == "numba" else "numba").fits
    for one, fit in zip(other, fits, strict=True):
        alike(one, fit)
    for i in (1, 5):
        alike(fits[i], mixed.fits.fits[i])
    for i in (0, 2, 3, 4):
        raw = jaxinr.render(fits[i].params, trials[i], SIZES[i % 3])
        assert fits[i].best_psnr_db == pytest.approx(psnr_db(raw, mixed.images[i]), abs=1e-3)
        assert fits[i].psnr_history[0] == pytest.approx(
            mixed.fits.fits[i].psnr_history[0], abs=1e-4
        )
        assert fits[i].best_psnr_db > fits[i].psnr_history[0]
    # 204 / 3 operations to measure, 50 an update: every 13.6 updates a tenth, so every 20.
    assert fits[0].iteration_history.tolist() == [0, 20, 25]


def test_divergence_on_a_part_of_the_pixels(mixed):
    trials = [
        dataclasses.replace(TRIALS[1], pixels_per_update=50, learning_rate=rate)
        for rate in (1e30, 5e-3)
    ]
    fits = mixed.again(trials, [mixed.images[1]] * 2)
    assert fits.status == ["diverged", "done"]
    assert np.isnan(fits.fits[0].psnr_db)
    assert fits.fits[0].best_iteration == 0


# ---------------------------------------------------------------------------- stopping


def test_target_psnr_stops_each_network_at_its_own(mixed):
    histories = [fit.psnr_history for fit in mixed.fits.fits]
    targets = [99.0] * 6
    for i in (1, 3, 5):  # what each has after 20 updates, and not yet after 10
        targets[i] = float(histories[i][2]) - 1e-3
        assert histories[i][:2].max() < targets[i]
    fits = mixed.again(target_psnr_db=targets)
    assert fits.status == ["done", "target", "done", "target", "done", "target"]
    for i in (0, 2, 4):
        same(fits.fits[i], mixed.fits.fits[i])
    for i in (1, 3, 5):
        fit = fits.fits[i]
        assert 10 < fit.iteration_history[-1] <= 20
        assert fit.best_iteration == fit.iteration_history[-1]
        assert fit.psnr_db == fit.best_psnr_db >= targets[i] - 1e-5


@pytest.mark.parametrize("i", [6, -7])
def test_a_network_that_there_is_not_is_named(mixed, i):
    with pytest.raises(IndexError, match=f"no network {i}; there are 6, counted from 0"):
        mixed.fits.params(i)
    assert mixed.fits.params(-1) is mixed.fits.params(5)


def test_one_target_serves_all(mixed):
    assert mixed.again(target_psnr_db=0.1).status == ["target"] * 6
    for one, other in zip(mixed.again(target_psnr_db=99).fits, mixed.fits.fits, strict=True):
        same(one, other)


def test_diverged_network_leaves_its_neighbours_alone(mixed):
    trials = list(TRIALS)
    trials[1] = dataclasses.replace(TRIALS[1], learning_rate=1e30)
    fits = mixed.again(trials)
    assert fits.status == ["done", "diverged", "done", "done", "done", "done"]
    for i in (0, 2, 3, 4, 5):
        same(fits.fits[i], mixed.fits.fits[i])
    lost, start = fits.fits[1], mixed.fits.fits[1]
    assert np.isnan(lost.psnr_db)
    assert lost.best_iteration == 0  # what it started with
    assert lost.best_psnr_db == pytest.approx(float(start.psnr_history[0]), abs=1e-5)
    assert lost.psnr_history[0] == start.psnr_history[0]
    assert np.isnan(lost.psnr_history[-1])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(lost.params))
    raw = jaxinr.render(lost.params, trials[1], SIZES[1])
    assert lost.best_psnr_db == pytest.approx(psnr_db(raw, mixed.images[1]), abs=1e-3)


# ---------------------------------------------------------------------------- what goes in


def test_initial_params_take_the_place_of_the_seed(mixed):
    start = [fit.params for fit in mixed.fits.fits]
    broken = jax.tree.map(np.copy, start[2])
    broken[1]["bias"][0] = np.nan
    start[2] = broken
    fits = mixed.again(initial_params=start)
    assert fits.status == ["done", "done", "diverged", "done", "done", "done"]
    for i in (0, 1, 3, 4, 5):
        expected = mixed.fits.best_psnr_db[i]
        assert fits.psnr_db[i, 0] == pytest.approx(expected, abs=1e-3)
    lost = fits.fits[2]  # never had a finite loss
    assert lost.iteration_history.tolist() == [0]
    assert np.isnan([lost.psnr_db, lost.best_psnr_db, *lost.psnr_history]).all()
    jax.tree.map(np.testing.assert_array_equal, lost.params, broken)


def test_a_perfect_start_reaches_no_target_that_nobody_set(mixed):
    start = [jax.tree.map(np.zeros_like, fit.params) for fit in mixed.fits.fits]
    black = [np.zeros_like(image) for image in mixed.images[:3]]
    fits = mixed.again(images=black * 2, initial_params=start)
    assert fits.status == ["done"] * 6
    assert (fits.best_psnr_db == np.inf).all()


@pytest.mark.parametrize("kernel", ["xla"], scope="module", indirect=True)
def test_a_picture_that_comes_twice_is_sent_once(mixed, monkeypatch):
    sent = []

    def pack(images, *layout):
        sent.append(len(images))
        return original(images, *layout)

    original = trainers.pack
    monkeypatch.setattr(trainers, "pack", pack)
    fits = mixed.again()
    assert sent == [3]
    for one, other in zip(fits.fits, mixed.fits.fits, strict=True):
        same(one, other)


def test_a_second_fit_of_the_same_shapes_traces_nothing(mixed, caplog):
    trials = [
        dataclasses.replace(trial, seed=9, w0=21.0, w0_initial=9.0, num_iters=trial.num_iters + 3)
        for trial in TRIALS
    ]
    others = [np.flip(image).copy() for image in mixed.images[:3]]

    def traced():
        return [record for record in caplog.records if "Finished tracing" in record.getMessage()]

    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        mixed.again(trials, images=others * 2)
        assert not traced()
        jax.jit(lambda x: x + 1)(np.float32(0))
        assert traced()  # the log would have told


def test_progress_goes_to_standard_error(mixed, capsys):
    mixed.again()
    assert capsys.readouterr() == ("", "")
    mixed.again(progress=True)
    output, errors = capsys.readouterr()
    assert output == ""
    assert "6/6 fits" in errors
