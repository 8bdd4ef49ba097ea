"""What results show of themselves in a notebook."""

import csv
import inspect
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import jaxfleet
import jaxinr
import jaxsr
from jaxfleet.results import store
from jaxfleet.results.showing import Tabular, counted, three_digits
from jaxinr import Fit, Fits, Forecast, Recommendation
from jaxsr.gallery.answer import Identification

TRIALS = jaxinr.grid(layer_size=[4, 8], num_layers=2, learning_rate=1e-3, num_iters=20)
SCHEMA = pa.schema([("trial_id", pa.int64()), ("weights", pa.list_(pa.float32()))])
PACKAGES = (jaxfleet, jaxinr, jaxsr)


def fit_of(status, best_psnr_db):
    nothing = np.zeros(0)
    return Fit((), status, 20.0, best_psnr_db, 19.0, 0.5, 7, nothing, nothing, 0.1)


def table_in(folder, rows):
    results = store.Store(folder, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    results.add(rows)
    results.flush()
    results.close()
    return jaxfleet.open(folder)


TWO = np.float32([21.0, 25.0])
FORECAST = Forecast(TWO, np.float32([1.0, 2.0]), ("w0 3",), tuple(TRIALS))
RECOMMENDATION = Recommendation(TRIALS[1], 25.0, 2.0, 3.25, TRIALS, FORECAST, 1.5, 3.0, "a machine")
FITS = Fits(
    (fit_of("done", 25.0), fit_of("done", math.inf), fit_of("diverged", 9.0)),
    np.zeros(0),
    np.zeros((3, 0)),
    (*TRIALS, TRIALS[0]),
)
RESULTS = {  # of each public class, how to make one; folder -> result
    jaxinr.Trial: lambda _: TRIALS[0],
    Fit: lambda _: FITS.fits[0],
    Fits: lambda _: FITS,
    Forecast: lambda _: FORECAST,
    Recommendation: lambda _: RECOMMENDATION,
    jaxinr.Tradeoff: lambda _: jaxinr.Tradeoff(tuple(TRIALS), *[TWO] * 5, TWO > 23, "a machine"),
    jaxfleet.Table: lambda folder: table_in(folder, [{"trial_id": 1, "weights": [0.5]}]),
    jaxsr.Gallery: lambda _: jaxsr.Gallery.open(),
    Identification: lambda _: Identification(
        (("a", 0.7), ("b", 0.3)), {}, None, 0.0, None, 0.5, num_tiles=1
    ),
}


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_every_result_is_one_line_and_each_table_one_of_a_notebook(kind, tmp_path):
    result = RESULTS[kind](tmp_path / "run")
    assert repr(result).startswith(f"{kind.__name__}(")
    assert "\n" not in repr(result)
    assert len(repr(result)) < 300
    if isinstance(result, Tabular):
        frame = result.to_pandas()
        assert len(frame) > 0
        assert f"<th>{frame.columns[0]}</th>" in result._repr_html_()


def test_no_public_class_is_without_an_example():
    public = {getattr(package, name) for package in PACKAGES for name in package.__all__}
    kinds = {one for one in public if inspect.isclass(one) and not issubclass(one, Exception)}
    assert kinds | set(Tabular.__subclasses__()) == set(RESULTS)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_dir_shows_the_public_names_and_modules(package):
    shown = [name for name in dir(package) if not name.startswith("_")]
    assert set(package.__all__) <= set(shown)
    others = set(shown) - set(package.__all__)
    assert [name for name in others if not inspect.ismodule(getattr(package, name))] == []


def test_a_grid_has_every_combination_and_the_last_axis_fastest():
    trials = jaxinr.grid(layer_size=[8, 16], num_layers=3, seed=range(2), network="finer")
    assert [(t.layer_size, t.seed) for t in trials] == [(8, 0), (8, 1), (16, 0), (16, 1)]
    assert {(t.num_layers, t.network) for t in trials} == {(3, "finer")}
    assert jaxinr.grid() == [jaxinr.Trial()]
    assert len(jaxinr.grid(w0_initial=np.array([10.0, 20.0]))) == 2
    with pytest.raises(TypeError, match="depth"):
        jaxinr.grid(depth=3)


def test_fits_are_one_line_and_a_table():
    assert repr(FITS) == "Fits(3 networks, 1 diverged, mean best PSNR 25.00 dB and 1 exact)"
    assert repr(FITS.fits[1]) == "Fit(done, best PSNR exact at iteration 7)"
    frame = FITS.to_pandas()
    assert frame["layer_size"].tolist() == [4, 8, 4]
    assert frame["best_psnr_db"].tolist() == [25.0, math.inf, 9.0]
    assert not {"params", "psnr_history"} & set(frame)


def test_forecasts_are_one_line_and_a_table():
    assert repr(FORECAST) == (
        "Forecast(2 networks: 21.0 to 25.0 dB, partly outside the training range)"
    )
    assert FORECAST.to_pandas()[["layer_size", "mean_db"]].to_numpy().tolist() == [[4, 21], [8, 25]]
    curve = Forecast(
        np.float32([[1, 2, 3], [4, 5, 6]]), np.ones((2, 3)), (), tuple(TRIALS), (10, 20, 30)
    )
    frame = curve.to_pandas()
    assert frame["num_iters"].tolist() == [10, 20, 30] * 2
    assert frame["mean_db"].tolist() == [1, 2, 3, 4, 5, 6]
    assert "2 layers of 8 units" in repr(RECOMMENDATION)
    assert "25.0 ± 2.0 dB at 3.25 bits per pixel, best of 2" in repr(RECOMMENDATION)
    pd.testing.assert_frame_equal(RECOMMENDATION.to_pandas(), FORECAST.to_pandas())


def test_a_table_shows_numbers_without_histories(tmp_path):
    empty = table_in(tmp_path / "run", [])
    assert empty._repr_html_() == repr(empty) == f"Table({tmp_path / 'run'}: 0 rows, 0 columns)"
    found = table_in(tmp_path / "run", [{"trial_id": 12345, "weights": [0.5]}])
    assert repr(found).endswith("run: 1 row, 2 columns)")
    assert "12345" in found._repr_html_()
    assert "weights" not in found._repr_html_()


def test_progress_goes_to_a_function_and_pictures_are_clipped(tmp_path, capsys):
    images = [np.full((8, 8, 3), 255, np.uint8)] * 2
    with (tmp_path / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        fits = jaxinr.fit(images, TRIALS, progress=lambda sample: writer.writerow(sample.values()))
    with (tmp_path / "progress.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows[0]) == 5
    assert float(rows[-1][1]) == 2
    assert capsys.readouterr().err == ""
    whole = jaxinr.render(fits.params(0), TRIALS[0], (8, 8))
    clipped = jaxinr.render(fits.params(0), TRIALS[0], (8, 8), clip=True)
    np.testing.assert_array_equal(clipped, np.clip(whole, 0, 1))


def test_counts_of_one_are_singular():
    said = [counted(0, "fit"), counted(1, "fit"), counted(2, "class"), counted(1200, "open set")]
    assert said == ["0 fits", "1 fit", "2 classes", "1,200 open sets"]


def test_three_digits_or_all_before_the_point():
    said = [three_digits(value) for value in (4.4e-5, 0.0286, 12.345, 999.4, 4806.2, 79391.0)]
    assert said == ["4.4e-05", "0.0286", "12.3", "999", "4,806", "79,391"]
