"""The time of fits: a model got back from measurements that follow it, and its file."""

import dataclasses

import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxinr.forecaster import inputs, speed
from jaxinr.trial import Trial, flops_per_pixel

SPEED = speed.Speed(
    fit=(0.01, 1e-4, 1e-9, 2e-10, 5e-12),
    shared=(6e-4, 2e-9, 1e-10, 3e-12),
    shared_from=1e8,
    render=(1e-3, 2e-9, 1e-10, 1e-12),
    device="a machine",
)
TRIALS = [Trial(layer_size=w, num_layers=d) for w in (8, 24, 40) for d in (2, 5, 10)]


def rows(side: int) -> np.ndarray:
    return inputs.trial_rows(TRIALS, side, side)


def test_seconds_by_hand() -> None:
    row = inputs.trial_rows([Trial(layer_size=10, num_layers=3)], 20, 30)
    each = 1e-4 + 600 * (1e-9 + 30 * 2e-10 + flops_per_pixel(10, 3) * 5e-12)
    found = SPEED.encode_seconds(row, np.array([[1, 1000]]))
    assert found == pytest.approx(np.array([[0.01 + each, 0.01 + 1000 * each]]))
    large = inputs.trial_rows([Trial(layer_size=40, num_layers=10)], 200, 300)
    each = 6e-4 + 60_000 * (2e-9 + 400 * 1e-10 + flops_per_pixel(40, 10) * 3e-12)
    assert SPEED.update_seconds(large) == pytest.approx([each])
    render = 1e-3 + 600 * (2e-9 + 30 * 1e-10 + flops_per_pixel(10, 3) * 1e-12)
    assert SPEED.decode_seconds(row) == pytest.approx([render])


def test_a_model_is_got_back_from_what_it_says() -> None:
    shapes = np.concatenate([rows(16), rows(64), rows(256)])
    found = speed.fitted(
        shapes,
        SPEED.update_seconds(shapes),
        SPEED.decode_seconds(shapes),
        start=0.01,
        shared_from=1e8,
        device="a machine",
    )
    for name in ("fit", "shared", "render"):
        assert getattr(found, name) == pytest.approx(getattr(SPEED, name), rel=1e-3)


def test_a_file_keeps_a_speed_and_a_damaged_one_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert speed.known() == speed.TYPICAL
    path = speed.path()
    path.parent.mkdir(parents=True)
    SPEED.save(path)
    assert speed.known() == SPEED
    path.write_text('{"fit": [1, 2]}')
    assert speed.known() == speed.TYPICAL
    with pytest.raises(InputError, match="siren_speed.json holds no speed .*--part=calibrate"):
        speed.load(path)
    assert dataclasses.astuple(speed.TYPICAL)
