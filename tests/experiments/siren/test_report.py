"""The report of a synthetic run: what it leaves, what it quotes, and what it survives."""

import html.parser
import pathlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.report import figures
from experiments.siren import drawings
from experiments.siren import report as siren_report
from jaxfleet.imaging import codecs

SHAPES = {"square": (32, 32), "wide & <low>": (20, 48), "kodak/tall $x$": (40, 24)}
TITLE = "Does width <b>matter</b> & how?"
SETTINGS = {"layer_size": (4, 8), "device": "abacus <2 rods>", "wall_seconds": 20.0}


def make_row(image_id, width, depth, w0_initial, seed, *, status="done", psnr_db=None):
    rng = np.random.default_rng([width, depth, int(w0_initial), seed])
    height, image_width = SHAPES[image_id]
    parameters = 2 * width + width + (depth - 1) * (width**2 + width) + 3 * width + 3
    num_iters = 50 if seed else 80  # histories of two lengths
    final_db = 20.0 + np.log2(parameters) + rng.normal() if psnr_db is None else psnr_db
    iterations = np.arange(10, num_iters + 1, 10)
    return {
        "trial_id": f"{image_id}-{width}-{depth}-{w0_initial}-{seed}",
        "image_id": image_id,
        "split": "train",
        "image_height": height,
        "image_width": image_width,
        "layer_size": width,
        "num_layers": depth,
        "w0_initial": w0_initial,
        "w0": 30.0,
        "learning_rate": 2e-4,
        "num_iters": num_iters,
        "seed": seed,
        "status": status,
        "parameters": parameters,
        "hp_bpp": 16.0 * parameters / (height * image_width),
        "fp_bpp": 32.0 * parameters / (height * image_width),
        "psnr_db": final_db,
        "best_psnr_db": final_db,
        "psnr_8bit_db": final_db,
        "ssim": 0.9,
        "best_iteration": num_iters,
        "iteration_history": iterations,
        "psnr_history": final_db - 50.0 / iterations,
        "seconds": 0.5,
        "weights": np.zeros(parameters, np.float32),
    }


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for name, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def table():
    rows = [
        make_row(image_id, width, depth, w0_initial, seed)
        for image_id in SHAPES
        for width in (4, 8)
        for depth in (2, 3)
        for w0_initial in (10.0, 30.0)
        for seed in (0, 1)
    ]
    lost = make_row("square", 8, 3, 99.0, 5, status="diverged", psnr_db=float("nan"))
    return pd.DataFrame([*rows, lost])


@pytest.fixture(scope="module")
def write(photos):
    def write(run_dir, table, progress=()):
        def render(row):
            return photos[row["image_id"]] / 255.0 + 0.1

        path = siren_report.write_report(
            run_dir, table, photos, render, title=TITLE, settings=SETTINGS, progress=progress
        )
        return path, Page(path.read_text(encoding="utf-8"))

    return write


@pytest.fixture(scope="module")
def run(tmp_path_factory, table, write):
    run_dir = tmp_path_factory.mktemp("run")
    progress = [
        {"seconds": s, "fits": 2 * s, "pixel_steps": 1e6 * s, "mean_psnr_db": 25.0}
        for s in (1.0, 4.0, 8.0)
    ]
    return write(run_dir, table, progress)


class Page(html.parser.HTMLParser):
    """The page's text, headings, tags that stay open and links."""

    VOID = frozenset({"meta", "img", "source", "br"})

    def __init__(self, text):
        super().__init__()
        self.source, self.text, self.open, self.links, self.headings = text, "", [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [v for k, v in attributes if k in {"src", "srcset", "href", "data", "action"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
            return
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        self.text += f"{data}\n"


def test_files_left_behind(run):
    path, _ = run
    assert path.name == "report.html"
    names = {file.name for file in (path.parent / "figures").iterdir()}
    assert names == {
        "rate_distortion.png",
        "iterations.png",
        "effect_w0_initial.png",
        "effect_layer_size.png",
        "effect_num_layers.png",
        "effect_num_iters.png",
        "depth_by_width.png",
        "throughput.png",
        *(name for name in names if name.startswith(("pictures_", "sizes_"))),
    }
    assert sum(name.startswith("pictures_") for name in names) == len(SHAPES)
    assert sum(name.startswith("sizes_") for name in names) == 1
    for name in names:
        Image.open(path.parent / "figures" / name).verify()
    assert {file.name for file in path.parent.iterdir()} == {"report.html", "figures"}


def test_page_is_whole_and_self_contained(run):
    path, page = run
    assert page.open == []
    assert page.links
    assert all(link.startswith("data:image/") for link in page.links)
    assert "://" not in page.source
    assert "http" not in page.text
    assert path.stat().st_size < 6e6


def test_names_are_escaped(run):
    _, page = run
    assert "<b>" not in page.source
    for text in (TITLE, "wide & <low>", "abacus <2 rods>"):
        assert text in page.text


def test_numbers_are_those_of_the_table(run, table):
    _, page = run
    finite = table["best_psnr_db"].dropna()
    assert f"{len(table)} (1 diverged)" in page.text
    assert f"{finite.mean():.2f} dB" in page.text
    assert f"{finite.max():.2f} dB" in page.text
    assert f"{len(table) / 20.0:.3g}" in page.text.split("fits per second")[1][:10]
    for _, rows in table.groupby("image_id"):
        assert f"{rows['best_psnr_db'].max():.2f}" in page.text
    lost = table["trial_id"].iloc[-1]
    assert lost in page.text.split("Diverged fits")[1]


def test_the_table_is_the_pareto_set_of_a_loop():
    rng = np.random.default_rng(3)
    fits = pd.DataFrame({"hp_bpp": rng.integers(1, 9, 40), "best_psnr_db": rng.integers(9, 30, 40)})
    kept = {
        (one.hp_bpp, one.best_psnr_db)
        for one in fits.itertuples()
        if not any(
            other.hp_bpp <= one.hp_bpp
            and other.best_psnr_db >= one.best_psnr_db
            and (other.hp_bpp, other.best_psnr_db) != (one.hp_bpp, one.best_psnr_db)
            for other in fits.itertuples()
        )
    }
    found = siren_report._pareto(fits)
    assert set(zip(found["hp_bpp"], found["best_psnr_db"], strict=True)) == kept
    assert len(found) == len(kept)
    assert found["hp_bpp"].is_monotonic_increasing


def test_depth_and_width_together_are_means_of_a_whole_grid(table):
    fitted = table[table["status"] == "done"]
    assert "Mean PSNR (dB) of the 12 fits" in drawings._depth_by_width(fitted).caption
    assert drawings._depth_by_width(fitted.iloc[1:]) is None  # cells that do not compare
    assert drawings._depth_by_width(fitted[fitted["num_layers"] == 2]) is None


def test_one_fit_makes_a_page_without_the_rest(tmp_path, table, write):
    row = table.iloc[[3]]
    record = {"seconds": 3.0, "fits": 1.0, "pixel_steps": 5e4, "mean_psnr_db": 25.0}
    path, page = write(tmp_path, row, [record])
    assert page.headings == [
        "Photographs and their best networks",
        "Measurements",
        "Networks that no smaller one matches",
        "Settings",
        "The table behind this page",
    ]
    assert f"{row['best_psnr_db'].iloc[0]:.2f} dB" in page.text
    assert {file.name for file in (path.parent / "figures").iterdir()} == {
        "iterations.png",
        "pictures_1_square.png",
    }


def test_run_in_which_all_diverged(tmp_path, table, write):
    _, page = write(tmp_path, table[table["status"] == "diverged"])
    assert "1 (1 diverged)" in page.text
    assert page.headings == ["Diverged fits", "Settings", "The table behind this page"]


def test_exact_fits_hide_nothing_and_are_counted(tmp_path, table, write):
    exact = table.iloc[[0, 1]].assign(best_psnr_db=np.inf, psnr_8bit_db=np.inf)
    rest = table.iloc[2:]
    _, page = write(tmp_path, pd.concat([exact, rest]))
    mean = rest["best_psnr_db"].dropna().mean()
    assert f"{mean:.2f} dB and 2 exact" in page.text
    assert f"2 of {len(table) - 1} fits are exact, so the figures leave them out." in page.text
    assert page.text.split("best PSNR")[1].split()[:1] == ["exact"]
    for word in ("inf", "nan"):
        assert f"{word} " not in page.text


def test_run_in_which_all_are_exact(tmp_path, table, write):
    path, page = write(tmp_path, table.iloc[:4].assign(best_psnr_db=np.inf, psnr_8bit_db=np.inf))
    assert "4 of 4 fits are exact" in page.text
    assert "rate_distortion.png" not in {file.name for file in (path.parent / "figures").iterdir()}


def test_random_sample_of_settings(tmp_path, write):
    rng = np.random.default_rng(1)
    rows = [make_row("square", 4, 2, float(w0), 0) for w0 in rng.uniform(5, 60, 30)]
    rows += [make_row("square", 4, 2, 20.0, seed) for seed in (1, 2)]
    path, page = write(tmp_path, pd.DataFrame(rows))
    names = {file.name for file in (path.parent / "figures").iterdir()}
    assert {"effect_w0_initial.png", "seeds.png"} <= names
    assert "rate_distortion.png" not in names
    assert "minus its photograph's mean" in page.text


def test_rates_of_a_resumed_run():
    records = [(10, 5, 100.0), (20, 15, 400.0), (4, 16, 440.0), (8, 24, 480.0)]
    progress = [dict(zip(("seconds", "fits", "pixel_steps"), r, strict=True)) for r in records]
    wall_s, rates = figures.rates(progress)
    np.testing.assert_allclose(wall_s, [10, 20, 24, 28])
    np.testing.assert_allclose(rates["fits per second"], [1.0, np.nan, 2.0])
    np.testing.assert_allclose(rates["pixel-steps per second"], [30.0, np.nan, 10.0])


def test_rates_of_no_or_one_record():
    assert figures.rates([])[0].size == 0
    wall_s, rates = figures.rates([{"seconds": 3.0, "fits": 1.0, "pixel_steps": 9.0}])
    np.testing.assert_allclose(wall_s, [3.0])
    assert all(rate.size == 0 for rate in rates.values())


def test_best_curve_keeps_what_nothing_smaller_beats():
    bits, psnr_db = figures.best_curve(
        np.asarray([1.0, 0.5, 1.0, 2.0, 4.0]), np.asarray([25.0, 22.0, 24.0, 23.0, 24.5])
    )
    np.testing.assert_array_equal(bits, [0.5, 1.0, 4.0])
    np.testing.assert_array_equal(psnr_db, [22.0, 25.0, 25.0])


def test_mean_curves_end_before_what_is_exact():
    flat = (np.array([1.0, 2.0]), np.array([np.inf, np.inf]))
    line = (np.array([1.0, 4.0, 8.0]), np.array([20.0, 30.0, np.inf]))
    bits, psnr_db = figures.mean_curve([flat, line], (0.0, np.inf))
    np.testing.assert_allclose(bits[[0, -1]], [1.0, 4.0])
    np.testing.assert_allclose(psnr_db[[0, -1]], [20.0, 30.0])
    assert figures.mean_curve([flat], (0.0, np.inf))[0].size == 0


def test_mean_curve_of_lines_in_log_size():
    low, high = np.asarray([0.1, 10.0]), np.asarray([1.0, 100.0])
    curves = [(low, np.asarray([20.0, 30.0])), (high, np.asarray([30.0, 40.0]))]
    bits, psnr_db = figures.mean_curve(curves, (0.0, np.inf))
    np.testing.assert_allclose(bits[[0, -1]], [1.0, 10.0])
    np.testing.assert_allclose(psnr_db, 27.5 + 5.0 * np.log10(bits))
    assert figures.mean_curve(curves, (20.0, 50.0))[0].size == 0


def test_curve_of_jpeg_is_that_of_the_codec(tmp_path, table, photos, write, monkeypatch):
    averaged = []

    def mean_curve(curves, limits):
        averaged.append(curves)
        return curves[0]

    monkeypatch.setattr(figures, "mean_curve", mean_curve)
    write(tmp_path, table)
    best, jpeg = averaged
    assert len(best) == len(jpeg) == len(SHAPES)
    from_worst = table.groupby("image_id")["best_psnr_db"].max().sort_values()
    for name, curve in zip(from_worst.index, jpeg, strict=True):
        np.testing.assert_array_equal(curve, codecs.rate_distortion(photos[name], codecs.JPEG))


def test_page_without_photographs_says_so(tmp_path, table):
    def render(row):
        raise AssertionError("there is nothing to compare with")

    path = siren_report.write_report(
        tmp_path, table, {}, render, title=TITLE, settings=SETTINGS, progress=()
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert "The photographs are not at hand, so pictures and the curve of JPEG" in page.text
    assert "Dashed" not in page.text
    assert "Solid: the best network up to that size." in page.text
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"rate_distortion.png", "iterations.png"} <= names
    assert not [name for name in names if name.startswith(("pictures", "sizes"))]


def test_writing_leaves_the_old_file_when_it_fails(tmp_path: pathlib.Path, table, write):
    write(tmp_path, table.iloc[[0]])
    old = (tmp_path / "report.html").read_bytes()
    with pytest.raises(KeyError, match="status"):
        write(tmp_path, table.iloc[[0]].drop(columns="status"))
    assert (tmp_path / "report.html").read_bytes() == old
