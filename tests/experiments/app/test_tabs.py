"""What the tabs compute, without a browser."""

import hashlib
import html
import json
import re
import shutil
import threading

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import jaxinr
from experiments.app import forecasts, runs, samples, training, uploads, which
from experiments.gallery import identify
from jaxfleet.errors import InputError
from jaxfleet.imaging.pixels import psnr_8bit_db
from jaxinr.codec import api as codec
from jaxsr.gallery.answer import Identification

KNOBS = (2, 12, 30.0, 200, 1e-3)


@pytest.fixture(scope="module")
def image():
    return forecasts.fitted_image(samples.pixels("chelsea"), 48)


# ------------------------------------------------------------------------------------ forecasts


def test_sliders_and_networks_are_the_same():
    trial = forecasts.trial_of(*KNOBS)
    assert (trial.num_layers, trial.layer_size, trial.num_iters) == (2, 12, 200)
    assert (trial.w0_initial, trial.learning_rate) == (30.0, 1e-3)
    assert forecasts.knobs_of(trial) == KNOBS


def test_an_image_keeps_its_shape_and_is_never_enlarged(image):
    height, width = samples.pixels("chelsea").shape[:2]
    assert image.shape == (round(48 * height / width), 48, 3)
    assert forecasts.fitted_image(image, 100) is image


@pytest.fixture(scope="module")
def known():
    subject = forecasts.subject(samples.pixels("chelsea"), 48)
    return list(forecasts.with_more(subject))[-1]


def test_an_outlook_ends_where_the_forecast_of_the_network_does(known):
    trial = forecasts.trial_of(*KNOBS)
    found = forecasts.outlook(known, trial)
    expected = jaxinr.forecast(known.image, [trial])
    assert found.iterations[-1] == trial.num_iters
    assert found.mean_db[-1] == pytest.approx(expected.mean_db[0], abs=1e-3)
    assert found.std_db[-1] == pytest.approx(expected.std_db[0], abs=1e-3)
    assert (np.diff(found.mean_db) >= 0).all()
    said = forecasts.describe(found, {})
    assert f"{trial.parameters:,} weights" in said
    assert f"{found.mean_db[-1]:.1f} dB" in said
    assert f"by the speed of {found.device}" in said


def test_a_picture_too_small_for_a_forecast_is_refused():
    with pytest.raises(InputError, match="7 x 7 pixels; a forecast needs at least 8 x 8"):
        forecasts.subject(np.zeros((7, 7, 3), np.uint8), 48)


def test_the_best_networks_keep_within_every_limit_and_say_how_the_sliders_stand(known):
    everything = forecasts.best_networks(known.best, dict.fromkeys(forecasts.LIMITS))
    assert len(everything) == len(known.best.trials)
    limits = dict(zip(forecasts.LIMITS, (4.0, 20.0, 5.0, 25.0), strict=True))
    best = forecasts.best_networks(known.best, limits)
    assert 0 < len(best) < len(everything)
    assert best["bits per pixel"].max() <= 4
    assert best["s to fit"].max() <= 20
    assert best["ms to draw"].max() <= 5
    assert best["PSNR (dB)"].min() >= 25
    first = forecasts.within(known.best, limits)[0]
    trial = known.best.trials[first]
    assert forecasts.trial_of(*best.iloc[0, :5]).parameters == trial.parameters


def test_the_recommendation_is_within_the_limits_and_impossible_ones_are_refused(known):
    trial = forecasts.trial_of(*KNOBS)
    best, said = forecasts.recommend(known, trial, {"bits_per_pixel": 3.0})
    assert best.bits_per_pixel(*known.image.shape[:2]) <= 3.0
    assert best.num_iters == trial.num_iters
    assert "networks within the limits" in said
    quick, _ = forecasts.recommend(known, trial, {"encode_seconds": 0.5, "bits_per_pixel": None})
    assert forecasts.outlook(known, quick).encode_seconds <= 0.5
    with pytest.raises(InputError, match="smallest takes"):
        forecasts.recommend(known, trial, {"bits_per_pixel": 1e-4})
    with pytest.raises(
        InputError,
        match="Give at least one of bits per pixel, PSNR in dB, seconds to fit, mill",
    ):
        forecasts.recommend(known, trial, {})
    with pytest.raises(InputError, match="reaches 90 dB within iterations 200; the best is"):
        forecasts.recommend(known, trial, {"target_psnr_db": 90.0})


def test_other_codecs_and_the_best_networks_are_drawn_beside_the_network(known):
    assert "JPEG" in known.curves
    found = forecasts.outlook(known, forecasts.trial_of(*KNOBS))
    chart = forecasts.size_chart(found, known, {})
    assert all(name in chart for name in (*known.curves, "this network", "best SIRENs<"))
    limited = forecasts.size_chart(found, known, {"bits_per_pixel": 2.0})
    assert "best SIRENs within the limits" in limited


# ------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(image):
    return list(training.train(image, forecasts.trial_of(*KNOBS)))[-1]


def test_a_training_shows_its_picture_and_where_it_ended(trained, image):
    assert trained.share == 1.0
    assert trained.picture.shape == image.shape
    assert psnr_8bit_db(trained.picture, image) == pytest.approx(trained.moment.psnr_db, abs=0.3)
    assert "Done after 200 updates" in training.describe(trained)
    shown = training.show(trained)
    assert shown.count("<img") == 4  # original and network, network and error
    assert [shown.count(f'value="{start}"') for start in (0, 50)] == [1, 1]


def test_weights_and_file_of_a_training_hold_the_same_network(trained, image, tmp_path):
    from safetensors.numpy import load_file

    arrays = load_file(training.save_weights(trained, tmp_path))
    for mine, theirs in zip(jaxinr.from_torch(arrays), trained.moment.params, strict=True):
        np.testing.assert_array_equal(mine["weight"], theirs["weight"])
    path, said = training.save_file(trained, tmp_path)
    assert f"{path.stat().st_size:,} bytes" in said
    assert psnr_8bit_db(jaxinr.decode(path.read_bytes()), image) > trained.moment.psnr_db - 1.5
    assert codec.inspect(path.read_bytes()).header.layer_size == 12


# ----------------------------------------------------------------------------------------- runs


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(InputError, match=r"--runs=.* holds no run"):
        runs.find([str(tmp_path)])
    with pytest.raises(InputError, match=r"--runs=.* holds no run"):
        runs.find([str(tmp_path / "none")])


def test_tables_pictures_and_reports_of_runs(grids):
    found = runs.find([str(grids)])
    assert list(found) == ["first", "second"]
    table = runs.table(found["first"])
    assert table["best_psnr_db"].is_monotonic_decreasing
    shown = runs.describe(found["first"], table)
    assert "mean best PSNR" in shown
    trial_id = int(table["trial_id"][0])
    pixels, said = runs.picture(found["first"], trial_id)
    assert pixels.shape == (12, 12, 3)
    assert said.startswith(f"Trial {trial_id}: ")
    with pytest.raises(InputError, match="no row with trial_id 999"):
        runs.picture(found["first"], 999)
    assert "&lt;h1&gt;The report" in runs.report(found["first"])
    assert "sandbox" in runs.report(found["first"])


def test_two_runs_are_compared_where_their_designs_agree(grids):
    found = runs.find([str(grids)])
    said, rows = runs.compare(found["first"], found["second"])
    assert said.startswith("1 design is in both.")  # widths 4 and 6 in one, 4 and 8 in the other
    np.testing.assert_allclose(rows["gain_db"], rows["second"] - rows["first"], atol=2e-3)
    same, _ = runs.compare(found["first"], found["first"])
    assert "+0.00 dB" in same


def test_a_run_of_other_networks_is_not_compared(grids, tmp_path):
    other = shutil.copytree(grids / "first", tmp_path / "other")
    for part in (other / "parts").glob("*.parquet"):
        table = pyarrow.parquet.read_table(part)
        pyarrow.parquet.write_table(table.drop_columns(["best_psnr_db"]), part)
    with pytest.raises(InputError, match="other is no run of SIRENs, so it cannot be compared"):
        runs.compare(grids / "first", other)


# ---------------------------------------------------------------------------------------- which


def test_pictures_are_answered_one_after_the_other_and_bad_files_named(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    good = samples.save(samples.ENLARGED, tmp_path)
    desk = which.Desk()
    desk.take("", [str(bad), str(good)])
    *steps, last = which.examine_all(desk, threading.Event())
    assert len(steps) == 3  # two files looked at, one drawn
    assert "'bad.png' is not a picture" in html.unescape(desk.show_errors())
    assert str(tmp_path) not in desk.show_errors()
    assert "Done: 1 of 2" in last
    assert desk.show().count("<details") == 1
    assert f"Enlarged by {samples.ENLARGED_BY}" in desk.show()
    assert "By a network of which family?" in desk.show()
    assert "tiles speak for a network" in desk.show()
    assert str(tmp_path) not in desk.show()
    *_, (done, files) = which.save(tmp_path, desk, threading.Event())
    assert done == 1
    as_json, as_page, as_pdf = files
    facts = json.loads(as_json.read_text())
    answered, refused = facts["pictures"]
    assert refused == {"file": "bad.png", "error": refused["error"]}
    assert answered["sha256"] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert len(facts["settings"]["gallery_sha256"]) == 64
    assert answered["ranking"][0][0] == samples.ENLARGED_BY
    assert samples.ENLARGED_BY in as_page.read_text()
    pdf = as_pdf.read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 3  # answer, figure, settings and refused
    assert facts["settings"]["gallery_sha256"] in as_page.read_text()
    assert 'class="remove"' not in as_page.read_text()


@pytest.fixture
def paths(tmp_path):
    """Three small pictures: 0.png, 1.png, 2.png."""
    rng, made = np.random.default_rng(0), [tmp_path / f"{k}.png" for k in range(3)]
    for path in made:
        Image.fromarray(rng.integers(0, 256, (240, 240, 3)).astype(np.uint8)).save(path)
    return [str(path) for path in made]


def names(desk):
    return [answer.name for answer in desk.answers.values()]


def test_a_stop_ends_after_the_picture_at_hand(paths, tmp_path):
    desk, stop = which.Desk(), threading.Event()
    desk.take("", paths)
    steps = which.examine_all(desk, stop)
    next(steps)
    stop.set()
    *_, last = steps
    assert "Cancelled: 1 of 3" in last
    *_, (_, files) = which.save(tmp_path, desk, stop)  # stopped, too: without the PDF
    assert [path.suffix for path in files] == [".json", ".html"]


def test_only_new_files_are_answered_and_an_answer_can_be_removed(paths, tmp_path, monkeypatch):
    examine, looked_at = which.examine, []

    def watched(gallery, path, number):
        looked_at.append(path.name)
        return examine(gallery, path, number)

    monkeypatch.setattr(which, "examine", watched)
    desk = which.Desk()
    desk.take("", paths[:2])
    list(which.examine_all(desk, threading.Event()))
    desk.take("", paths[1:])
    *_, last = which.examine_all(desk, threading.Event())
    assert "Done: 1 of 1" in last
    assert looked_at == names(desk) == ["0.png", "1.png", "2.png"]
    entries = desk.show().split("</details>")
    assert ['<details class="answer" open>' in one for one in entries] == [
        False,
        False,
        True,
        False,
    ]
    assert "Remove the answer for 1.png" in entries[1] + entries[2]
    desk.remove(2)
    desk.remove(2)  # it is no longer there
    assert names(desk) == ["0.png", "2.png"]
    *_, (_, files) = which.save(tmp_path, desk, threading.Event())
    found = json.loads(files[0].read_text())["pictures"]
    assert [one["file"] for one in found] == names(desk)
    desk.take("another gallery", [])
    assert names(desk) == []


def test_files_may_be_dropped_and_removed_while_others_are_answered(paths, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILES", 3)
    desk = which.Desk()
    desk.take("", paths[:1])
    steps = which.examine_all(desk, threading.Event())
    next(steps)
    next(steps)  # answered, but the evidence is not drawn
    desk.remove(1)
    desk.take("", [*paths, "a.png", "b.png"])
    assert desk.show_errors().count("Only 3 pictures are answered at a time") == 1
    *_, last = steps
    assert "Done: 3 of 3" in last
    assert names(desk) == ["1.png", "2.png"]


def test_classes_without_a_spectrum_are_left_out_of_the_figure():
    gallery = which.open_gallery()
    ranking = (("a class of the judge alone", 0.9), (gallery.names[0], 0.1))
    found = Identification(ranking, {}, None, 0.0, None, 0.5, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (240, 240, 3)).astype(np.uint8)
    figure = identify.draw(gallery, found, pixels)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["this picture", f"{gallery.names[0]}\n10.0%"]
