"""COIN's sizes as jobs, photographs made smaller, and what is measured of networks and codecs."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxinr
from experiments.coin import figures as coin_figures
from experiments.coin import kodak as coin_kodak
from experiments.coin import measures as coin_measures
from experiments.coin import report as coin_report
from experiments.coin.kodak import CoinConfig, make_jobs, reduced
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.photos import Photo
from jaxinr import quantise, siren
from jaxinr.trial import Trial

# ---------------------------------------------------------------------------- the plan


def blank(name, height=8, width=8):
    return Photo(name, np.zeros((height, width, 3), np.uint8))


def test_defaults_are_the_five_sizes_and_the_recipe_of_the_paper():
    jobs = make_jobs(CoinConfig(), [blank("a"), blank("b")])
    assert [job.trial_id for job in jobs] == list(range(10))
    assert [job.photo for job in jobs] == [0] * 5 + [1] * 5
    sizes = [(5, 20), (5, 30), (10, 28), (10, 40), (13, 49)]
    expected = [
        Trial(num_layers=n, layer_size=w, num_iters=50_000, learning_rate=2e-4, w0=30, seed=0)
        for n, w in sizes
    ]
    assert [job.trial for job in jobs] == 2 * expected
    # The published sizes are those of 16 bits a weight, and a little for what COIN also stores.
    bits = [trial.bits_per_pixel(512, 768) for trial in expected]
    np.testing.assert_allclose(coin_measures.PUBLISHED[1:, 0], bits, rtol=0.015)


def test_every_flag_reaches_the_networks_and_the_engine():
    config = CoinConfig(
        size=("2x7", "3x5", "2x7"), w0_initial=9.5, w0=12.0, learning_rate=3e-3, num_iters=77,
        seed=4, log_every=7, checkpoint_minutes=1.5,
    )  # fmt: skip
    first, second = make_jobs(config, [blank("a")])
    shared = {"w0_initial": 9.5, "w0": 12.0, "learning_rate": 3e-3, "num_iters": 77, "seed": 4}
    assert first.trial == Trial(num_layers=2, layer_size=7, **shared)
    assert second.trial == Trial(num_layers=3, layer_size=5, **shared)
    grid = config.grid()
    assert (grid.log_every, grid.checkpoint_minutes, grid.image_size) == (7, 1.5, ("0",))
    values = {axis.name: axis.values for axis in grid.axes()}
    assert values == {
        **{k: (v,) for k, v in shared.items()},
        "num_layers": (2, 3),
        "layer_size": (7, 5),
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": ("10",)}, "--size=10: expected LAYERSxUNITS, such as 10x28"),
        ({"size": ("10x28x3",)}, "--size=10x28x3: expected"),
        ({"size": ("0x28",)}, "--num_layers=0: expected a number from 1 to 256"),
        ({"size": ()}, "--size has no value"),
        ({"num_iters": 0}, "--num_iters=0: expected a number from 1"),
        ({"learning_rate": float("nan")}, "--learning_rate=nan: expected a number"),
    ],
)
def test_what_no_network_can_be_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        CoinConfig(**values)


# ---------------------------------------------------------------------------- smaller photographs


def test_reduced_photograph_is_what_pillow_makes_of_it():
    # Pillow's kernel is the same; it rounds between the two passes and has its own borders.
    photo = photos.load("packaged", max_images=2)[1]
    height, width = (side // 3 for side in photo.pixels.shape[:2])
    assert photo.pixels.shape == (300, 451, 3)
    small = reduced(photo, 3)
    assert small.image_id == photo.image_id
    assert small.pixels.shape == (100, 150, 3)
    assert small.pixels.dtype == np.uint8
    whole = photo.pixels[:, :450]  # of one column left over, none is cut on the left
    other = Image.fromarray(whole).resize((width, height), Image.Resampling.BICUBIC)
    difference = np.abs(small.pixels.astype(int) - np.asarray(other))[4:-4, 4:-4]
    assert difference.max() <= 1
    assert reduced(photo, 1) is photo


def test_rows_and_columns_left_over_are_cut_evenly():
    pixels = np.zeros((11, 8, 3), np.uint8)
    pixels[1:9] = 200  # 3 of 11 rows are left over for a factor of 4: one above, two below
    small = reduced(Photo("a", pixels), 4).pixels
    assert small.shape == (2, 2, 3)
    np.testing.assert_array_equal(small, 200)
    with pytest.raises(InputError, match="a is smaller than --reduce=9"):
        reduced(Photo("a", pixels), 9)


# ---------------------------------------------------------------------------- networks

TRIALS = [
    Trial(num_layers=2, layer_size=6, seed=1),
    Trial(num_layers=3, layer_size=4, w0_initial=11.0, w0=20.0, seed=2),
]
SHAPES = {"wide": (20, 31), "tall": (29, 18)}  # one more than a block of pixels, one just less


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for name, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def fitted():
    """Rows as a run's table has them, of networks with their initial weights."""
    return pd.DataFrame(
        [
            {
                "trial_id": i,
                "image_id": name,
                "parameters": trial.parameters,
                **dataclasses.asdict(trial),
            }
            for i, (name, trial) in enumerate((n, t) for n in SHAPES for t in TRIALS)
        ]
    )


@pytest.fixture(scope="module")
def quantised(fitted, pictures):
    return coin_measures.quantisation(fitted, lambda row: siren.init(Trial.from_row(row)), pictures)


def test_rates_are_those_of_the_bits(quantised):
    assert len(quantised) == 4 * 15
    rows = quantised[(quantised["trial_id"] == 3)].set_index(["weights", "weight_bits"])
    # 3 layers of 4 units: (2 + 1) 4 + 2 (4 + 1) 4 + (4 + 1) 3 weights, and 2 steps for each of 4.
    count, pixels = 12 + 40 + 15, 29 * 18
    assert rows["parameters"].eq(count).all()
    bits = rows["bits_per_pixel"] * pixels
    np.testing.assert_allclose(bits["float32", 32], 32 * count)
    np.testing.assert_allclose(bits["float16", 16], 16 * count)
    for k in (4, 9, 16):
        np.testing.assert_allclose(bits["codes", k], k * count + 32 * 8)
        coded = quantise.quantise(siren.init(TRIALS[1]), k)
        entropy = rows["entropy_bpp"]["codes", k] * pixels
        np.testing.assert_allclose(entropy, coded.entropy_bits + 32 * 8)
        assert entropy < bits["codes", k]
    assert rows["entropy_bpp"][["float32", "float16"]].isna().all()


@pytest.mark.parametrize("trial_id", range(4))
def test_psnr_is_that_of_the_picture_that_render_makes(quantised, fitted, pictures, trial_id):
    row = fitted.iloc[trial_id]
    trial, target = Trial.from_row(row), pictures[row["image_id"]] / 255.0
    params = siren.init(trial)
    networks = {
        ("float32", 32): params,
        ("float16", 16): coin_measures.float16(params),
        **{("codes", k): quantise.quantise(params, k).params for k in range(4, 17)},
    }
    rows = quantised[quantised["trial_id"] == trial_id].set_index(["weights", "weight_bits"])
    assert set(rows.index) == set(networks)
    for precision, network in networks.items():
        decoded = jaxinr.render(network, trial, target.shape[:2]).astype(float)
        seen = np.round(255 * np.clip(decoded, 0, 1)) / 255
        expected = [-10 * np.log10(np.mean((x - target) ** 2)) for x in (decoded, seen)]
        got = rows.loc[precision, ["psnr_db", "psnr_8bit_db"]].to_numpy(float)
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_float16_is_what_numpy_rounds_to():
    params = siren.init(TRIALS[0])
    half = coin_measures.float16(params)
    assert half[1]["weight"].dtype == np.float32
    np.testing.assert_array_equal(half[1]["weight"], np.float16(params[1]["weight"]))
    assert (half[1]["weight"] != params[1]["weight"]).any()


# ---------------------------------------------------------------------------- curves


def points(image_id, method, *pairs):
    bits, psnr_db = zip(*pairs, strict=True)
    return pd.DataFrame(
        {"image_id": image_id, "method": method, "bits_per_pixel": bits, "psnr_db": psnr_db}
    )


def test_mean_is_of_decibels_at_equal_rates_where_all_are_known():
    rates = pd.concat(
        [
            points("a", "JPEG", (0.25, 20.0), (4.0, 28.0)),  # 2 dB for each doubling
            points("b", "JPEG", (0.5, 30.0), (1.0, 31.0), (8.0, 34.0)),  # 1 dB
            points("a", "AVIF", (1.0, 40.0), (2.0, 41.0)),
            points("b", "AVIF", (3.0, 40.0), (4.0, 41.0)),
        ]
    )
    curves = coin_measures.mean_curves(rates)
    assert list(curves) == ["JPEG", "AVIF"]
    bits, psnr_db = curves["JPEG"]
    np.testing.assert_allclose(bits[[0, -1]], [0.5, 4.0])
    np.testing.assert_allclose(psnr_db, 26.0 + 1.5 * np.log2(bits / 0.5))
    assert len(curves["AVIF"][0]) == 0


def test_best_number_of_bits_is_chosen_for_each_photograph(quantised):
    rates = coin_measures.network_rates(quantised)
    assert set(rates["image_id"]) == set(SHAPES)
    assert (rates[rates["image_id"] == "wide"]["image_width"] == 31).all()
    half = rates[rates["method"] == coin_measures.FLOAT16]
    assert len(half) == 4
    for method, column in (
        (coin_measures.FIXED, "bits_per_pixel"),
        (coin_measures.IDEAL, "entropy_bpp"),
    ):
        own = rates[(rates["method"] == method) & (rates["image_id"] == "tall")]
        codes = quantised[(quantised["weights"] == "codes") & (quantised["image_id"] == "tall")]
        for _, row in own.iterrows():
            affordable = codes[codes[column] <= row["bits_per_pixel"]]
            assert row["psnr_db"] == affordable["psnr_db"].max()
        assert own["bits_per_pixel"].max() == codes[column].max()


def test_codecs_are_measured_on_every_photograph():
    tiny = [reduced(photo, 8) for photo in photos.load("packaged", max_images=2)]
    rates = coin_measures.codec_rates(tiny)
    assert {"JPEG", "WebP"} <= set(rates["method"])
    for (image_id, _), own in rates.groupby(["image_id", "method"]):
        shape = next(photo.pixels.shape for photo in tiny if photo.image_id == image_id)
        assert (own[["image_height", "image_width"]].to_numpy() == shape[:2]).all()
        assert (np.diff(own["bits_per_pixel"]) > 0).all()
        assert (np.diff(own["psnr_db"]) > 0).all()


# ---------------------------------------------------------------------------- the page


def test_published_points_belong_to_the_whole_of_kodak():
    kodak = [blank(f"kodim{i:02}", *((512, 768) if i % 5 else (768, 512))) for i in range(1, 25)]
    assert coin_measures.is_published_set(kodak)
    assert not coin_measures.is_published_set(kodak[:-1])
    assert not coin_measures.is_published_set([*kodak[:-1], blank("kodim24", 256, 384)])
    assert not coin_measures.is_published_set([*kodak[:-1], blank("kodim25", 512, 768)])


@pytest.mark.parametrize(
    ("published", "apart", "marked"),
    [(False, False, [0]), (True, False, [1]), (True, True, [0, 1])],
    ids=["not Kodak", "full size", "reduced"],
)
def test_published_points_stand_at_their_own_size_only(
    quantised, monkeypatch, tmp_path, published, apart, marked
):
    drawn = []
    monkeypatch.setattr(coin_report.figures, "rate_distortion", drawn.append)
    rates = pd.concat([coin_measures.network_rates(quantised), points("wide", "JPEG", (1, 20))])
    whole = pd.concat([points("wide", "JPEG", (1, 20), (2, 25))]) if apart else None
    if apart:
        whole = whole.assign(image_height=512, image_width=768)
    means = coin_measures.size_means(quantised)
    curves = coin_measures.mean_curves(rates)
    drawing = coin_report.rate_distortion(means, rates, curves, whole, published=published)
    drawing.draw()
    panels = drawn[0]
    assert [coin_report.PUBLISHED_NAME in panel.points for panel in panels] == [
        bool(n) for n in marked
    ]
    assert ("published points" in drawing.caption) == apart
    if apart:
        assert panels[1].title.startswith("768 × 512 pixels")
        assert not panels[1].networks


def test_figures_draw_what_they_are_given():
    line = (np.array([0.5, 1.0, 2.0]), np.array([20.0, 25.0, 30.0]))
    panel = coin_figures.Panel(
        "small", {"COIN": line}, {"JPEG": line}, {"COIN": line, "said": line}
    )
    figure = coin_figures.rate_distortion(
        [panel, panel._replace(networks={}, points={"said": line})]
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["small", "small"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["COIN", "JPEG", "said"]
    psnr_db = np.array([[20.0, 24.0, 25.1], [22.0, 29.0, 29.9]])
    figure = coin_figures.quantisation(
        ["2 × 6", "3 × 9"], [4, 5, 6], psnr_db, np.array([[25, 25], [30, 30]])
    )
    above, below = figure.axes
    np.testing.assert_array_equal(above.lines[0].get_ydata(), psnr_db[0])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [5.0, 1.0, coin_figures.LEAST_LOSS_DB])
    assert [t.get_text() for t in below.get_xticklabels()][-3:] == ["6", "float\n16", "float\n32"]


def test_run_of_which_every_network_diverged_says_what_to_do(monkeypatch, tmp_path):
    frame = pd.DataFrame({"status": ["diverged"], "best_psnr_db": [30.0]})
    table = types.SimpleNamespace(to_pandas=lambda: frame)
    monkeypatch.setattr(coin_kodak.jaxfleet, "open", lambda run_dir: table)
    with pytest.raises(InputError, match="every network diverged; give a new --run_dir, a lower"):
        coin_kodak.measure(CoinConfig(), tmp_path, [], [])
