"""The page of a zoo: what it shows of complete runs and of others, and that no name is a tag."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from flax import nnx
from PIL import Image

import jaxsr
from experiments.zoo import crops as zoo_crops
from experiments.zoo import evaluate as zoo_evaluate
from experiments.zoo import figures as zoo_figures
from experiments.zoo import report as zoo_report
from experiments.zoo import run as zoo_run
from experiments.zoo import tables as zoo_tables
from jaxfleet.errors import InputError
from jaxfleet.results.store import Store

SIZE = {"num_features": 3, "num_convs": 1}
ODD = "<i>-A-x2-l1-s2"
FIGURES = {"validation.png", "loss.png", "sharpness.png", "spectra.png"}


def row(number, name, loss="l1", seed=1, status="done"):
    return {
        "trial_id": number,
        "network": name,
        "architecture": name.partition("-")[0],
        "overrides": json.dumps(SIZE),
        "scale": 2,
        "loss": loss,
        "training_set": "A",
        "seed": seed,
        "num_iters": 20,
        "status": status,
        "parameters": 1234,
        "psnr_y_db": 21.5,
        "ssim_y": 0.75,
        "iteration_history": [10, 20],
        "loss_history": [0.5, 0.25],
        "validation_iterations": [10, 20],
        "validation_psnr_y_db": [19.25, 20.0 + number],
        "seconds": 40.0,
    }


ROWS = [
    row(0, "tiny-A-x2-l1-s1"),
    row(1, "tiny-A-x2-l1-s2", seed=2),
    row(2, "tiny-A-x2-vgg_adv-s1", "vgg_adv"),
    row(3, ODD, seed=2),
    row(4, "lost-A-x2-l1-s1", status="diverged"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that was evaluated on two pictures, one with a busy corner, and what they lie in."""
    home = tmp_path_factory.mktemp("zoo")
    run_dir = home / "run"
    store = Store(run_dir, {}, zoo_run.schema(), network={})
    store.add(ROWS)
    store.flush()
    store.close()
    (run_dir / "networks").mkdir()
    for number, one in enumerate(ROWS[:4]):
        model = jaxsr.build("srvgg", scale=2, rngs=nnx.Rngs(number), **SIZE)
        path = zoo_evaluate.network_path(run_dir, one["network"])
        jaxsr.save(model, path, architecture="srvgg", scale=2, overrides=SIZE)
    (home / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name, height in (("d<u>sk", 120), ("dawn", 100)):
        pixels = np.full((height, 100, 3), 128, np.uint8)
        pixels[:30, :40] = rng.integers(0, 256, (30, 40, 3))
        Image.fromarray(pixels).save(home / "photos" / f"{name}.png")
    zoo_evaluate.evaluate(run_dir, [f"Two=folder:{home / 'photos'}"])
    (run_dir / "flags.txt").write_text("# Repeats:\n--scale=2\n--loss=l1\n--loss=<b>\n")
    (run_dir / "DONE").write_bytes(b"")
    return home


@pytest.fixture
def run_dir(finished, tmp_path):
    return shutil.copytree(finished / "run", tmp_path / "run")


@pytest.fixture(scope="module")
def page_path(finished):
    return zoo_report.write(shutil.copytree(finished / "run", finished / "reported"))


def test_benchmarks_that_were_trained_on_are_named(finished):
    source = f"folder:{finished / 'photos'}"
    measured = zoo_evaluate.read(finished / "run")
    assert (measured["source"] == source).all()
    said = zoo_report._overlap({"training_set": [f"mine={source} fraction=0.5"]}, measured)
    assert "trained on photographs of Two," in said
    assert zoo_report._overlap({"training_set": ["mine=packaged"]}, measured) == ""
    assert zoo_report._overlap({}, measured) == ""


def test_photographs_that_two_sources_share_are_counted_by_their_files(tmp_path):
    assert zoo_report.overlap(["packaged:train"], "packaged:test") == 0
    assert zoo_report.overlap(["packaged:train", "tfds:kodak"], "packaged") == 6
    gone = f"folder:{tmp_path / 'gone'}"
    assert (zoo_report.overlap([gone], gone), zoo_report.overlap([], gone)) == (1, 0)


def test_page_of_a_complete_run(page_path):
    text, run_dir = page_path.read_text(), page_path.parent
    assert page_path.name == "report.html"
    assert "not complete" not in text
    names = {path.name for path in (run_dir / "figures").iterdir()}
    own = {"crops_x2_1_d_u_sk.png", "crops_x2_2_dawn.png", "spectrum_maps_x2.png"}
    assert names == FIGURES | own
    for shown in ("Two: PSNR-Y (dB)", "best over bicubic at ×2", "bicubic-x2", "3 min 20 s"):
        assert shown in text
    assert "<dt>diverged</dt><dd>1</dd>" in text
    assert "lost-A-x2-l1-s1" in text.partition("Diverged networks")[2]
    assert "validation set:" not in text  # since every network was measured


def test_nothing_from_outside_becomes_a_tag(page_path):
    text = page_path.read_text()
    for name in ("<i>", "d<u>sk", "<b>"):
        assert name not in text
        assert name.replace("<", "&lt;").replace(">", "&gt;") in text


def test_page_of_an_incomplete_run_says_so(run_dir):
    (run_dir / "DONE").unlink()
    rows = zoo_evaluate.read(run_dir)
    rows[rows["network"] != ODD].to_parquet(run_dir / zoo_evaluate.FILE, index=False)
    text = zoo_report.write(run_dir).read_text()
    assert "5 networks have ended so far" in text
    assert "1 trained networks are not measured on benchmark sets yet" in text
    assert "validation set: PSNR-Y (dB)" in text


def test_page_of_a_run_that_was_not_evaluated(run_dir):
    (run_dir / zoo_evaluate.FILE).unlink()
    text = zoo_report.write(run_dir).read_text()
    assert "4 trained networks are not measured" in text
    assert "<td>21.50 ± 0.00</td>" in text
    names = {path.name for path in (run_dir / "figures").iterdir()}
    assert names == {"validation.png", "loss.png"}


def test_page_without_photographs_and_networks(run_dir, tmp_path):
    rows = zoo_evaluate.read(run_dir)
    rows = rows.assign(source=f"folder:{tmp_path / 'none'}")
    rows.to_parquet(run_dir / zoo_evaluate.FILE, index=False)
    (tmp_path / "none").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "none" / "small.png")  # other photographs now
    for _ in range(2):
        text = zoo_report.write(run_dir).read_text()
        assert "Two: PSNR-Y (dB)" in text
        assert "<h2>Pictures</h2>" not in text
        shutil.rmtree(run_dir / "networks", ignore_errors=True)
        shutil.rmtree(tmp_path / "none", ignore_errors=True)


def test_page_of_a_run_where_all_diverged(tmp_path):
    run_dir = tmp_path / "run"
    store = Store(run_dir, {}, zoo_run.schema(), network={})
    store.add([ROWS[4] | {"validation_psnr_y_db": None, "loss_history": None}])
    store.flush()
    store.close()
    text = zoo_report.write(run_dir, planned=1).read_text()
    assert "<dt>networks trained</dt><dd>0</dd>" in text
    assert "lost-A-x2-l1-s1" in text
    assert "Means over seeds" not in text
    assert "not complete" not in text
    assert "1 of 9 networks have ended" in zoo_report.write(run_dir, planned=9).read_text()


def test_directories_without_a_run_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        zoo_report.write(tmp_path)


# ------------------------------------------------------------------------------------- the tables


def test_scatter_is_the_standard_deviation_over_seeds():
    facts = {"scale": 4, "loss": "l1", "training_set": "A", "set": "S", "pictures": 2, "exact": 0}
    values = {"ssim_y": 0.5, "gain_db": 1.0, "sharpness_db": np.nan, "vgg_distance": np.nan}
    rows = pd.DataFrame(
        [("a", 1, 30.0), ("a", 2, 32.0), ("b", 1, 33.0)],
        columns=["architecture", "seed", "psnr_y_db"],
    ).assign(**facts, **values, network=["a1", "a2", "b1"])
    frame, columns = zoo_tables.summary(rows)
    assert frame["architecture"].tolist() == ["b", "a"]  # best first
    assert frame[columns["S: PSNR-Y (dB)"][0]].tolist() == ["33.00", "31.00 ± 1.41"]
    assert "S: sharpness (dB)" not in columns
    assert "S: exact" not in columns


# -------------------------------------------------------------------------- windows and spectra


def test_the_busiest_square_is_that_of_a_loop_over_all():
    pixels = np.random.default_rng(0).integers(0, 256, (23, 29, 3)).astype(np.uint8)
    pixels[8:16, 12:22] = np.where(np.indices((8, 10)).sum(axis=0)[..., None] % 2, 255, 0)
    luma = pixels @ np.array([65.481, 128.553, 24.966]) / 255**2
    down, across = np.zeros_like(luma), np.zeros_like(luma)
    down[:-1], across[:, :-1] = np.diff(luma, axis=0) ** 2, np.diff(luma, axis=1) ** 2
    energies = {
        (y, x): np.mean((down + across)[y : y + 6, x : x + 6])
        for y in range(0, 23 - 5, 2)
        for x in range(0, 29 - 5, 2)
    }
    best = max(energies, key=energies.get)
    *found, energy = zoo_crops.busiest(pixels, 6, 2)
    assert tuple(found) == best
    np.testing.assert_allclose(energy, energies[best], rtol=1e-4)


def test_windows_hold_the_same_place_at_both_resolutions(finished, run_dir):
    (crops,) = zoo_crops.make(run_dir, zoo_evaluate.read(run_dir))
    assert (crops.scale, crops.training_set, crops.seed) == (2, "A", 1)
    assert {kind: name for kind, name in crops.networks.items() if kind[0] != "bicubic"} == {
        ("tiny", "l1"): "tiny-A-x2-l1-s1",
        ("tiny", "vgg_adv"): "tiny-A-x2-vgg_adv-s1",
    }
    for window in crops.windows:
        path = finished / "photos" / f"{window.image_id}.png"
        pixels = np.asarray(Image.open(path))
        assert window.high.shape == (100, 100, 3)
        np.testing.assert_array_equal(window.high, pixels[:100])
        assert window.low.shape == (50, 50, 3)
        rows, columns = window.shown
        assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)
        assert window.high[rows, columns][:20, :20].std() > 50  # the busy corner
    bicubic = crops.outputs["bicubic", ""].astype(int)
    truth = np.stack([window.high for window in crops.windows])
    assert np.abs(bicubic - truth)[:, 40:, 50:].max() <= 2  # flat there, and at the same place


def test_a_tone_is_a_peak_at_its_frequency():
    x = np.arange(96)
    wave = 127.5 + 100 * np.cos(2 * np.pi * x / 4)
    tone = np.broadcast_to(np.rint(wave)[None, :, None], (96, 96, 3)).astype(np.uint8)
    grey = np.full((1, 192, 192, 3), 127, np.uint8)
    spectrum = zoo_crops.spectrum_db(np.tile(tone, (2, 2, 1))[None])
    assert spectrum.shape == (96, 96)
    peak = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert (peak[0], abs(peak[1] - 48)) == (48, 24)  # a quarter of a cycle per pixel
    assert spectrum.max() - zoo_crops.spectrum_db(grey).max() > 60
    assert len(zoo_crops.radial_db(spectrum)) == 49
    np.testing.assert_allclose(zoo_crops.spectrum_db(tone[None]), spectrum, atol=1e-3)


def test_maps_of_spectra_have_axes_and_one_scale():
    maps = {name: np.full((96, 96), value) for name, value in (("a", -99.0), ("b\nl1", 0.0))}
    figure = zoo_figures.spectrum_maps(maps | dict.fromkeys("cde", np.zeros((96, 96))))
    *shown, bar = figure.axes
    assert [axes.get_title() for axes in shown[:2]] == ["a", "b\nl1"]
    assert [axes.axison for axes in shown] == [True] * 5 + [False] * 3
    (image,) = shown[0].images
    assert image.get_clim() == (-24.0, 24.0)
    assert image.get_extent() == [-0.5, 0.5, 0.5, -0.5]
    low, none = (
        axes.images[0].cmap(axes.images[0].norm(maps[name]))[0, 0]
        for axes, name in zip(shown, maps, strict=False)
    )
    assert low[2] > low[0] + 0.2  # blue
    assert none[:3].min() > 0.9
    assert bar.get_ylabel() == "power against the truth (dB)"
    assert "cycles per pixel" in figure.get_supxlabel()
