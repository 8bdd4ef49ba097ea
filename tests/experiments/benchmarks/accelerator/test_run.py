import json
import os
import time

import jax
import numpy as np
import pytest

from experiments.benchmarks import siren as siren_benchmark
from experiments.benchmarks.accelerator import engines, limits, tables
from experiments.benchmarks.accelerator import run as accelerator_benchmark
from experiments.benchmarks.accelerator.collection_hours import HoursForecast
from experiments.benchmarks.accelerator.engines import BASELINE, PORTABLE, Engine, Exactness, Rate
from experiments.benchmarks.accelerator.limits import Limits, Sizes
from experiments.benchmarks.accelerator.run import Attempts
from experiments.benchmarks.config import BenchmarkConfig, Shape
from experiments.siren.config import GridConfig
from jaxfleet import trainer
from jaxinr import siren
from jaxinr.buckets import Bucket
from jaxinr.program import SirenProgram
from jaxinr.trial import Trial, flops_per_pixel

# A round H200: 4.3 TB/s, 67 TFLOP/s in float32, 790 in bfloat16, 3.7e12 sines a second.
H200 = Limits(4.3e12, {"float32": 67e12, "tf32": 400e12, "bfloat16": 790e12}, 3.7e12, 1e12)
FUSED = Engine("pallas", "float32")
BROKEN = Engine("xla", "tf32")
TINY = accelerator_benchmark.Scale(
    sizes=Sizes(copied=1 << 12, matrix=32, sines=1 << 10),
    shapes=(Shape(2, 8, 12, 2, 8),),
    short_fit=Shape(2, 8, 12, 2, 8),
    short_fit_iters=20,
    tile_shapes=(Shape(8, 8, 12, 2, 8),),
    blocks=(128,),
    groups=(4,),
    collection=GridConfig(
        image_size=("16",),
        sampling="random",
        num_trials=24,
        layer_size=("4",),
        num_layers=("1",),
        num_repeats=24,
        repeat_layer_size=8,
        repeat_num_layers=2,
        num_iters=("100",),
    ),
    draws=2,
    most_seconds=0.01,
    remark="tiny",
)


# Worked by hand: W = (L - 1) w^2 + 5 w weights, 6 W - 4 w FLOP, 44 w L bytes.
@pytest.mark.parametrize(
    ("num_layers", "layer_size", "flops", "moved"),
    [
        (2, 18, 2_412, 1_584),
        (2, 64, 26_240, 5_632),
        (3, 32, 13_120, 4_224),
        (5, 32, 25_408, 7_040),
        (5, 20, 10_120, 4_400),
        (10, 28, 43_064, 12_320),
        (13, 49, 174_146, 28_028),
    ],
)
def test_work_of_a_pixel_step(num_layers, layer_size, flops, moved):
    assert flops_per_pixel(layer_size, num_layers) == flops
    assert limits.unfused_bytes(layer_size, num_layers) == moved
    assert limits.sines(layer_size, num_layers) == 2 * layer_size * num_layers


def test_seconds_at_the_limits_of_a_fit_to_a_kodak_picture():
    # 10 x 28, 393,216 pixels, 50,000 iterations, by hand: 1.97e10 pixel-steps.
    least = limits.least_seconds(H200, 28, 10, products="float32", fused=False)
    fit = {name: seconds * 393_216 * 50_000 for name, seconds in least.items()}
    assert fit == pytest.approx({"memory": 56.3, "products": 12.6, "sines": 2.98}, rel=5e-3)
    fused = limits.least_seconds(H200, 28, 10, products="bfloat16", fused=True)
    assert max(fused, key=fused.get) == "sines"
    assert fused["memory"] * 393_216 * 50_000 == pytest.approx(0.0549, rel=5e-3)


def test_reference_gradient_is_the_slope_of_the_loss():
    trial = Trial(layer_size=3, num_layers=2, w0_initial=5.0, w0=4.0, seed=1)
    draw = np.random.default_rng(0)
    points, target = draw.uniform(-1, 1, (7, 2)), draw.uniform(0, 1, (7, 3))
    params = jax.tree.map(lambda leaf: leaf.astype(float), siren.init(trial))
    _, gradient = engines.reference(params, trial, points, target)
    for depth in range(3):
        for name in ("weight", "bias"):
            for place in np.ndindex(params[depth][name].shape):
                losses = []
                for step in (1e-6, -1e-6):
                    moved = jax.tree.map(np.copy, params)
                    moved[depth][name][place] += step
                    losses.append(engines.reference(moved, trial, points, target)[0])
                slope = (losses[0] - losses[1]) / 2e-6
                assert gradient[depth][name][place] == pytest.approx(slope, abs=1e-7)


def test_engine_that_leaves_the_networks_to_another_is_not_measured():
    trials = [Trial(layer_size=200, num_layers=2)]  # the fused kernel has at most 128 units
    with pytest.raises(ValueError, match="left to xla"):
        engines.make_bucket(FUSED, trials, [(8, 8)])


SHAPE = Shape(2, 10, 10, 10, 28)
MEASURED = {
    (BASELINE, SHAPE): Rate(1e8, 3.0),
    (PORTABLE, SHAPE): Rate(2e8, 4.0),
    (FUSED, SHAPE): "ValueError: no such layout",
}


def test_row_of_a_shape():
    row = tables.shape_rows(MEASURED, H200)[1]
    # 2e8 steps of 12,320 bytes are 2.464 TB/s of 4.3, of 43,064 FLOP 8.613 TFLOP/s of 67.
    assert row == {
        **{"shape": "2 x 100, 10 x 28", "engine": "xla, float32", "remark": ""},
        **{"pixel_steps_per_s": 2e8, "gflop_per_s": pytest.approx(8612.8)},
        **{"ratio_to_plain_vmap": 2.0, "share_of_products": pytest.approx(0.12855, rel=1e-4)},
        **{"share_of_limit": pytest.approx(0.57302, rel=1e-4), "limit": "memory"},
        "compile_seconds": 4.0,
    }


def test_engine_that_fails_has_a_row_that_says_why():
    row = tables.shape_rows(MEASURED, H200)[2]
    assert row["engine"] == "pallas, float32"
    assert row["remark"] == "ValueError: no such layout"
    assert row["pixel_steps_per_s"] is None
    assert tables.fastest(MEASURED) == PORTABLE


def test_means_are_geometric():
    other = Shape(2, 10, 10, 3, 32)
    measured = MEASURED | {(BASELINE, other): Rate(1e8, 1.0), (PORTABLE, other): Rate(8e8, 1.0)}
    row = tables.mean_rows(measured, H200)[1]
    assert row["shapes"] == 2
    assert row["ratio_to_plain_vmap"] == pytest.approx(4.0)  # of 2 and 8


def test_wanted_figures_are_judged():
    means = [
        {"engine": "plain vmap, float32", "shapes": 4, **dict.fromkeys(tables.MEANS, 1.0)},
        {"engine": "pallas, float32", "shapes": 4, **dict.fromkeys(tables.MEANS, 6.0)},
        {"engine": "pallas, tf32", "shapes": 4, **dict.fromkeys(tables.MEANS, 9.0)},
        {"engine": "xla, float32", "shapes": 3, **dict.fromkeys(tables.MEANS, 99.0)},
    ]
    forecast = HoursForecast((), 300_000, 562, 20.0, 1.5, 3.0, 2.0)
    rows = tables.forecast_rows({FUSED: forecast, PORTABLE: "RuntimeError: out of memory"})
    ratio, share, hours = tables.wanted(means, rows, 4)
    assert ratio == "Times plain vmap in float32: 6 (pallas, float32); wanted 5, reached."
    assert "9 (pallas, tf32); wanted 0.35, reached" in share
    assert "25 (pallas, float32)" in hours
    assert "wanted 24, not reached" in hours
    assert tables.wanted([], [], 4)[2] == "Hours for the collection: no forecast."


def test_cost_in_db_is_against_the_portable_path_and_wrong_gradients_stand_out():
    found = {
        PORTABLE: Exactness(1e-7, 1e-6, 30.0),
        BROKEN: Exactness(1e-4, 1e-3, 29.75),
        FUSED: Exactness(1e-4, 0.5, 12.0),
        Engine("pallas", "tf32"): "RuntimeError: no",
    }
    rows = tables.exactness_rows(found)
    assert [row["cost_db"] for row in rows] == [0.0, 0.25, 18.0, None]
    assert [row["agrees"] for row in rows] == ["yes", "yes", "NO", None]
    assert rows[3]["remark"] == "RuntimeError: no"


def test_attempt_gives_the_first_line_of_an_error():
    def fail():
        raise RuntimeError("out of memory\nand a long story")

    assert Attempts(time.time() + 60)(fail) == "RuntimeError: out of memory"
    assert Attempts(time.time() - 1)(fail) == accelerator_benchmark.TIME_UP


def test_process_that_dies_is_survived():
    answer = Attempts(time.time() + 60)(lambda: siren_benchmark.alone(os._exit, 1))
    assert answer.startswith("BrokenProcessPool: ")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """The whole part and the tiles at tiny size, in this process, with one broken engine."""
    folder = tmp_path_factory.mktemp("accelerator")
    rate = engines.rate

    def rate_or_fail(engine, *args, **options):
        if engine == BROKEN:
            raise RuntimeError("no such product\non this device")
        return rate(engine, *args, **options)

    config = BenchmarkConfig(part=("accelerator", "accelerator_tiles"), rounds=1)
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(siren_benchmark, "alone", lambda part, config: part(config))
        patch.setattr(accelerator_benchmark, "CPU", TINY)
        patch.setattr(accelerator_benchmark, "OTHERS", (Engine("pallas", "tf32"), BROKEN))
        patch.setattr(engines, "rate", rate_or_fail)
        patch.setattr(trainer, "SEGMENT_SECONDS", 0.01)
        text = accelerator_benchmark.run(config, folder)
    (folder / "text").write_text(text)
    return folder


@pytest.mark.slow
def test_command_measures_every_engine(run_dir):
    content = json.loads((run_dir / "accelerator_benchmark.json").read_text())
    rows = {(row["shape"], row["engine"]): row for row in content["shapes"]}
    assert len(rows) == len(TINY.shapes) * 5
    for shape in TINY.shapes:
        plain, own = rows[str(shape), str(BASELINE)], rows[str(shape), str(PORTABLE)]
        ratio = own["pixel_steps_per_s"] / plain["pixel_steps_per_s"]
        assert own["ratio_to_plain_vmap"] == pytest.approx(ratio)
        assert rows[str(shape), str(FUSED)]["remark"] == accelerator_benchmark.INTERPRETED
        assert rows[str(shape), str(BROKEN)]["remark"] == "RuntimeError: no such product"
    exact = {row["engine"]: row for row in content["exactness"]}
    for engine in (BASELINE, PORTABLE):
        assert exact[str(engine)]["gradient_error"] < 1e-5
        assert exact[str(engine)]["loss_error"] < 1e-5
    assert exact[str(BASELINE)]["cost_db"] == pytest.approx(0, abs=0.01)
    assert content["device"][0]["jax"] == jax.__version__
    assert {row["program"] for row in content["programs"]} >= {"2 x 8, xla"}
    (forecast,) = [row for row in content["collection"] if row["engine"] == str(PORTABLE)]
    assert forecast["networks"] == 48
    assert forecast["hours"] > 0
    assert len(content["wanted"]) == 3


@pytest.mark.slow
def test_command_leaves_its_tables_as_markdown(run_dir):
    text = (run_dir / "accelerator_benchmark.md").read_text()
    assert text.startswith("tiny\n")
    assert text in (run_dir / "text").read_text()
    assert all(heading in text for heading in tables.HEADINGS.values())


@pytest.mark.slow
def test_tiles_are_tried(run_dir):
    device, row = json.loads((run_dir / "accelerator_tiles.json").read_text())
    assert "cpu" in device["device"]
    assert (row["group"], row["block"], row["pixels_of_blocks"]) == (4, 128, 128)
    assert row["pixel_steps_per_s"] > 0


def test_tile_of_a_bucket():
    program = SirenProgram(num_layers=2, width=8, blocks=1, block=256, group=8)
    bucket = Bucket(program, np.arange(10), 8, pixel_steps=1.0, flops=1.0)
    # Two devices have five networks each, in two groups of three; 96 pixels are three blocks of 32.
    tiled = accelerator_benchmark.with_tile(bucket, group=3, block=32, pixels=96)
    assert (tiled.program.group, tiled.slots_per_shard) == (3, 6)
    assert (tiled.program.blocks, tiled.program.block) == (3, 32)
    assert accelerator_benchmark.with_tile(bucket, 64, 32, 96).program.group == 5


def test_accelerators_train_the_shapes_that_are_wanted():
    shapes = accelerator_benchmark.ACCELERATOR.shapes
    wanted = [(3, 32), (4, 32), (5, 64), (10, 28)]
    assert [(shape.num_layers, shape.layer_size) for shape in shapes] == wanted
