import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinr
from experiments.benchmarks import config, plain_vmap
from experiments.benchmarks import siren as siren_benchmark
from jaxinr import siren


@pytest.fixture(autouse=True)
def _optax_promotes():
    """Optax's Adam mixes integers and floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def test_engine_and_plain_vmap_train_the_same_networks():
    """Two implementations that share the initial weights alone: jnp.sin and optax.adam there."""
    picture = siren_benchmark.window(20, 30, 0)
    trials = [
        jaxinr.Trial(layer_size=12, num_layers=3, learning_rate=1e-3, num_iters=40, seed=seed)
        for seed in range(3)
    ]
    params = plain_vmap.start(trials)
    points = siren.points_of(jnp.arange(600), 20, 30, "coin").T
    target = jnp.asarray(picture.reshape(-1, 3)).astype(jnp.float32) / jnp.float32(255)
    carry = (params, optax.adam(1e-3).init(params))
    _, losses = plain_vmap.train(carry, points, jnp.stack([target] * 3), trial=trials[0], steps=40)

    fits = jaxinr.fit([picture] * 3, trials, log_every=1)

    # Rounding of the two sines and of the order of sums grows over 40 steps; 0.01 dB is 0.2 %.
    np.testing.assert_allclose(fits.psnr_db[:, :40], -10 * np.log10(losses.T), atol=0.01)


@pytest.mark.slow
def test_benchmark_leaves_its_rows(monkeypatch, tmp_path):
    monkeypatch.setattr(siren_benchmark, "alone", lambda part, config: part(config))
    monkeypatch.setattr(config, "SHAPES", (config.Shape(2, 16, 24, 2, 8),))
    text = siren_benchmark.run(
        config.BenchmarkConfig(part=("shapes",), seconds=0.1, rounds=1), tmp_path
    )

    rows = {row["engine"]: row for row in json.loads((tmp_path / "benchmark.json").read_text())}
    engines = {"jaxinr.fit", "jaxinr.fit, xla", "plain vmap"}
    if importlib.util.find_spec("torch"):
        engines.add("torch loop")
    assert set(rows) == engines
    assert set(rows["jaxinr.fit"]) == {
        "shape",
        "engine",
        "pixel_steps_per_s",
        "gflop_per_s",
        "ratio_to_xla",
        "ratio_to_plain_vmap",
        "ratio_to_torch",
        "share_of_matmul",
    }
    own = rows["jaxinr.fit"]
    assert own["shape"] == "2 x 384, 2 x 8"
    # 6 W - 4 w FLOP per pixel-step with W = 8^2 + 5 * 8 weights of width w = 8
    assert own["gflop_per_s"] == pytest.approx(own["pixel_steps_per_s"] * 592 / 1e9)
    ratio = own["pixel_steps_per_s"] / rows["plain vmap"]["pixel_steps_per_s"]
    assert own["ratio_to_plain_vmap"] == pytest.approx(ratio)
    ratio = own["pixel_steps_per_s"] / rows["jaxinr.fit, xla"]["pixel_steps_per_s"]
    assert own["ratio_to_xla"] == pytest.approx(ratio)
    assert "geometric mean" in text
