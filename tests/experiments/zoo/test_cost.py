"""What a dry run says of a zoo, and that it trains nothing."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from experiments.zoo import run as zoo_run
from experiments.zoo.config import ZooConfig
from jaxfleet.errors import InputError
from jaxsr.training import cost as training_cost
from jaxsr.training import trainer as sr_trainer
from jaxsr.training.program import TrainingProgram, TrainingRecipe

SIZE = {"num_features": 4, "num_convs": 1}
RECIPE = TrainingRecipe(batch_size=3, crop_px=16)
RATE = 1e9  # FLOPs in a second, on each of the devices
DEVICES = 2


@pytest.fixture(scope="module")
def program():
    return TrainingProgram("srvgg", 2, SIZE, RECIPE)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A zoo of two fleets of three networks; nothing may be trained."""
    monkeypatch.setattr(training_cost, "flops_per_second", lambda devices: len(devices) * RATE)
    monkeypatch.setattr(sr_trainer, "ZooTrainer", None)
    for name in ("a", "benchmark"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(tmp_path / name / "photo.png")
    return ZooConfig(
        architecture=("small=srvgg num_features=4 num_convs=1", "srvgg num_features=6 num_convs=1"),
        scale=(2,),
        loss=("l1",),
        training_set=(f"A=folder:{tmp_path}/a",),
        num_iters=1000,
        batch_size=3,
        crop_px=16,
        benchmark=(f"Two=folder:{tmp_path}/benchmark",),
        dry_run=True,
    )


def test_a_dry_run_sums_up_the_fleets_and_leaves_nothing(config, tmp_path, program, foreign):
    answer = zoo_run.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    header, *rows = [line.split() for line in answer.splitlines()[:3]]
    assert header[:3] == ["fleet", "networks", "updates"]
    assert [row[:3] for row in rows] == [
        ["small-x2-l1", "3", "1000"],
        ["srvgg-x2-l1", "3", "1000"],
    ]
    flops = training_cost.flops_per_update(program)
    assert float(rows[0][3]) == pytest.approx(flops / 1e9, rel=1e-3)
    total = sum(3 * 1000 * 1e9 * float(row[3]) for row in rows)
    counted, told, clocked = answer.splitlines()[3:]
    assert counted.startswith(
        f"6 networks in 2 fleets on {DEVICES} x cpu, up to {min(DEVICES, 3)} side by side"
    )
    pflop = re.match(r"([\d.e-]+) PFLOP, about ", told)
    assert float(pflop[1]) == pytest.approx(total / 1e15, rel=1e-3)
    seconds = round(total / (DEVICES * RATE))
    assert seconds >= 2
    assert clocked.startswith(f"about {seconds // 60}:{seconds % 60:02}, compilation not counted")
    with pytest.raises(InputError, match="and no run; give another folder"):
        zoo_run.run(config, foreign)


def test_a_dry_run_of_a_shard_tells_its_share(config, tmp_path):
    counts = []
    for index in range(2):
        share = dataclasses.replace(config, shard=index, num_shards=2)
        answer = zoo_run.run(share, tmp_path / "run")
        counts.append(int(re.search(r"^(\d+) networks in ", answer, re.MULTILINE)[1]))
    assert sum(counts) == 6
    assert min(counts) >= 2
