"""The forecast on the command line: what it prints, writes and refuses."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxinr
from experiments.forecaster.forecast import ForecastConfig, _grid, run
from experiments.siren.config import GridConfig
from jaxfleet.errors import InputError
from jaxinr.forecaster.trained import packaged
from launch import flagdefs


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    y, x = np.mgrid[:60, :90] / 60
    waves = np.stack([np.sin(9 * x + 3 * y), np.cos(7 * y), np.sin(5 * x * y)], -1)
    Image.fromarray((127 + 100 * waves).astype(np.uint8)).save(path)
    return str(path)


def ask(*flags):
    return run(flagdefs.parse(ForecastConfig, list(flags))[0])


def test_names_the_best_network_of_a_size(photo, tmp_path):
    output = tmp_path / "all.csv"
    text = ask(f"--input={photo}", "--image_size=48", "--bits_per_pixel=3", f"--output={output}")
    assert text.startswith(f"{photo} at 48 x 48 pixels (--image_size=0 takes the whole picture)\n")
    assert "networks within 3 bits per pixel" in text
    assert "JPEG of this size" in text
    assert "90 % between" in text
    assert "after" in text
    table = pd.read_csv(output)
    assert (table["bits_per_pixel"] <= 3).all()
    assert (table["mean_db"] - 0.25 * table["std_db"]).is_monotonic_decreasing
    best = table.iloc[0]
    first = text.splitlines()[3].split()
    assert first[:2] == [f"{best[name]:.0f}" for name in ("num_layers", "layer_size")]


def test_forecasts_a_grid(photo):
    text = ask(
        *(f"--input={photo}", "--image_size=48", "--num_layers=2", "--num_layers=4"),
        *("--layer_size=8", "--layer_size=16", "--num_iters=100", "--num_iters=1000"),
    )
    rows = [line for line in text.splitlines() if " dB  " in line]
    assert len(rows) == 8
    assert "JPEG" not in text


def test_shows_what_size_and_time_buy(photo, tmp_path):
    page = tmp_path / "photo.html"
    text = ask(f"--input={photo}", "--image_size=48", f"--report={page}")
    assert "networks that no other beats in size, time and PSNR" in text
    assert " s  " in text
    rows = [line.split() for line in text.splitlines() if " ms " in line]
    sizes = [int(row[5].replace(",", "")) for row in rows]
    assert len(sizes) > 10
    assert all(1.1 < b / a < 3 for a, b in itertools.pairwise(sizes))  # each size once
    told = page.read_text()
    assert "until 30 dB" in told
    best = told[told.index("The best network of each size") : told.index("What size and time buy")]
    cells = re.findall(r"<tr><td[^>]*>([^<]*)", best)
    assert len(cells) > 10
    assert np.all(np.diff([float(cell) for cell in cells]) > 0)  # sizes, none of them 0.000
    assert (tmp_path / "photo" / "rate_distortion.png").exists()


def test_keeps_to_a_time(photo):
    text = ask(f"--input={photo}", "--image_size=48", "--target_psnr_db=20", "--encode_seconds=5")
    assert "networks within 20 dB, 5 s to fit" in text
    assert "s to fit and" in text


def test_defaults_are_those_of_the_grid_that_is_forecast_and_of_a_trial():
    forecast, grid, trial = ForecastConfig(), GridConfig(), jaxinr.Trial()
    assert [str(forecast.image_size)] == list(grid.image_size)
    assert forecast.image_fit == grid.image_fit
    assert [float(value) for value in grid.w0_initial] == list(forecast.w0_initial)
    (asked,) = _grid(ForecastConfig(layer_size=(8,), num_layers=(2,)))
    for name in ("learning_rate", "num_iters"):
        assert [float(value) for value in getattr(grid, name)] == [getattr(asked, name)]
    coin = {"layer_size": 28, "num_layers": 10, "w0": 30, "w0_initial": 30, "learning_rate": 2e-4}
    assert coin == {name: getattr(trial, name) for name in coin}
    for name in [*coin, "num_iters", "seed"]:
        assert [float(value) for value in getattr(grid, name)] == [getattr(trial, name)]


def test_larger_networks_than_are_compared_are_said(tmp_path):
    """At 768 x 512 pixels the largest network that it knows is far below 4 bits per pixel."""
    path = tmp_path / "large.png"
    y, x = np.mgrid[:512, :768] / 512
    waves = np.stack([np.sin(9 * x + 3 * y), np.cos(70 * y * x), np.sin(50 * x * y)], -1)
    Image.fromarray((127 + 100 * waves).astype(np.uint8)).save(path)
    text = ask(f"--input={path}", "--image_size=0", "--bits_per_pixel=4")
    largest = packaged().card["range"]["weights"][1] * 16 / (768 * 512)
    assert f"networks of {largest:.3g} to 4 bits per pixel, so none of them was compared" in text
    assert "w0_initial" not in text[text.index("JPEG of this size") :]


def test_what_was_not_trained_on_is_said(photo):
    text = ask(f"--input={photo}", "--image_size=0", "--num_layers=30", "--layer_size=16")
    assert "Not trained on, so less sure: num_layers 30" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--input=FILE names the picture"),
        (
            ("--input={photo}", "--layer_size=8", "--num_layers=2", "--encode_seconds=1"),
            "Give either",
        ),
        (
            ("--input={photo}", "--bits_per_pixel=1", "--num_iters=1", "--num_iters=2"),
            "only a grid",
        ),
        (("--input={photo}", "--report=x.pdf"), "ends in .html"),
        (("--input={photo}", "--speed={text}"), "holds no speed of a device"),
        (("--input={photo}", "--layer_size=8"), "belong together"),
        (("--input={photo}", "--layer_size=8", "--num_layers=0"), "at least 1"),
        (("--input={photo}", "--bits_per_pixel=1", "--output=x.txt"), "ends in .csv"),
        (("--input={photo}", "--image_size=48", "--bits_per_pixel=0.001"), "the smallest takes"),
        (("--input={photo}", "--image_size=400", "--bits_per_pixel=1"), "smaller than image_size"),
        (("--input={empty}", "--bits_per_pixel=1"), "empty.png' is empty"),
        (("--input={text}", "--bits_per_pixel=1"), "text.png' is not a picture"),
        (("--input={point}", "--image_size=0", "--bits_per_pixel=1"), "1 x 1 pixels"),
        (("--input={absent}", "--bits_per_pixel=1"), "absent.png"),
        (("--input={photo}", "--bits_per_pixel=1", "--forecaster={text}"), "no forecaster"),
    ],
)
def test_bad_input_is_one_line(photo, tmp_path, flags, said):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "point.png")
    paths = {name: tmp_path / f"{name}.png" for name in ("empty", "text", "point", "absent")}
    flags = [flag.format(photo=photo, **paths) for flag in flags]
    with pytest.raises(InputError, match=said) as error:
        ask(*flags)
    assert "\n" not in str(error.value)
