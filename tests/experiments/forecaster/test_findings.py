"""The paper's findings, looked for where they were put."""

import numpy as np
import pandas as pd
import pytest

from experiments.forecaster import findings, jpeg
from jaxinr.forecaster import inputs

PICTURES = 30


def drawn(drawing):
    """The axes of a figure that can be drawn."""
    figure = drawing.draw()
    figure.draw_without_rendering()
    return figure.axes


def test_spread_over_seeds_by_width():
    rng = np.random.default_rng(0)
    picture, width, seed = np.meshgrid(range(PICTURES), [8, 16, 32], range(16), indexing="ij")
    frame = pd.DataFrame({"layer_size": width.ravel(), "seed": seed.ravel()})
    frame["image_id"] = picture.ravel().astype(str)
    same = "image_height image_width num_layers w0_initial w0 learning_rate num_iters".split()
    frame[same] = 1
    mean_db = 20 + picture.ravel() / 3
    frame["best_psnr_db"] = mean_db + rng.normal(size=len(frame)) * 8 / frame["layer_size"]
    spread, drawing = findings.seed_spread(pd.concat([frame, frame[:100]]))
    assert list(spread["layer_size"]) == [8, 16, 32]
    np.testing.assert_allclose(spread["std_db"], [1, 0.5, 0.25], rtol=0.12)
    np.testing.assert_allclose(spread["mean_db"], mean_db.mean(), atol=0.2)
    assert list(spread["groups"]) == [PICTURES] * 3
    assert list(spread["fits"]) == [16 * PICTURES] * 3  # none twice
    assert f"{spread['std_db'][0]:.2f} dB at 8 units" in drawing.caption
    assert "at 32 units" in drawing.caption
    drawn(drawing)


def test_line_from_jpeg():
    rng = np.random.default_rng(0)
    bits = rng.uniform(9, 10, (PICTURES, 1)) + np.arange(5)
    noise = rng.normal(0, 2, (PICTURES, 5)).cumsum(1)  # each size another order of the pictures
    files = np.concatenate([25 + 3 * (bits + noise) - 30, bits], 1)
    picture = np.repeat(np.arange(PICTURES), 8)
    jpeg_db = jpeg.at_bits(files, np.full(PICTURES, 11.4))
    psnr_db = 4 + 0.9 * jpeg_db[picture] + rng.normal(0, 1, len(picture))
    line, drawing = findings.jpeg_line(psnr_db, picture, files)
    assert np.log2(line.bits) == pytest.approx(11.4, abs=0.1)
    assert line.slope == pytest.approx(0.9, abs=0.05)
    assert line.offset_db == pytest.approx(4, abs=1.5)
    assert line.r2_fits < line.r2_means
    assert line.r2_means > 0.99
    assert line.pictures == PICTURES
    assert f"{100 * line.r2_means:.1f} %" in drawing.caption
    drawn(drawing)


def test_gain_per_doubling_of_parameters():
    rng = np.random.default_rng(0)
    picture, layers = rng.integers(0, PICTURES, 2000), rng.integers(3, 6, 2000)
    parameters = np.round(2 ** rng.uniform(9, 13, 2000))
    gain = 1.5 + 0.25 * (layers - 3)  # 1.5, 1.75, 2
    psnr_db = 30 + picture + gain * np.log2(parameters / 2**11) + rng.normal(0, 0.1, 2000)
    gains, drawing = findings.gain_per_doubling(parameters, layers, picture, psnr_db)
    assert list(gains["num_layers"]) == [0, 3, 4, 5]
    np.testing.assert_allclose(gains["gain_db"], [1.75, 1.5, 1.75, 2], atol=0.03)
    assert gains["fits"][0] == 2000
    assert f"gains {gains['gain_db'][0]:.2f} dB" in drawing.caption
    drawn(drawing)


def test_gain_is_not_that_of_the_pictures():
    """Easy pictures happen to have the large networks."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, PICTURES, 1000)
    parameters = 2 ** (9 + picture / 10 + rng.uniform(0, 1, 1000))
    psnr_db = 20 + picture + 2 * np.log2(parameters)
    gains, _ = findings.gain_per_doubling(parameters, np.full(1000, 4), picture, psnr_db)
    np.testing.assert_allclose(gains["gain_db"][0], 2, atol=1e-6)


def test_one_size_for_each_picture_tells_no_gain():
    picture = np.array([0, 0, 1, 1])
    assert not findings.varies_by_picture(np.array([5.0, 5.0, 9.0, 9.0]), picture)
    assert findings.varies_by_picture(np.array([5.0, 5.0, 9.0, 8.0]), picture)


@pytest.mark.parametrize("budget", [60, 915, 5000])
def test_grid_takes_the_widest_networks_that_fit(budget):
    rows = findings.grid(budget, [1, 2, 4, 8], [10.0, 30.0], learning_rate=1e-3, side=48)
    assert rows.shape == (4, 2, len(inputs.TRIAL))
    wider = rows.copy()
    wider[..., 0] += 1
    fits = inputs.parameters(rows) <= budget
    assert (fits | (rows[..., 0] == 1)).all()
    assert (inputs.parameters(wider) > budget).all()
    assert rows[0, 1].tolist()[1:] == [1, 30.0, 1e-3, 48, 48]


def test_best_settings_where_pictures_agree_on_the_layers():
    rows = findings.grid(915, [3, 4, 5], [10.0, 20.0, 40.0], learning_rate=1e-3, side=48)

    def forecast(picture, rows):
        """Every fourth picture is best with twice the w0_initial, by 0.5 dB."""
        best = np.where(picture % 4 == 0, 40, 20)
        return 30.0 - abs(rows[:, 1] - 4) - 0.5 * np.abs(np.log2(rows[:, 2] / best))

    found, drawing = findings.best_settings(forecast, np.arange(40), rows)
    assert found.common[:3].tolist() == [16, 4, 20]
    assert found.share_layers == 1
    assert found.share_w0_initial == found.share_both == 0.75
    assert found.loss_db == pytest.approx(0.25 * 0.5)
    assert found.loss_95_db == pytest.approx(0.5)
    assert "4 × 16 with ω₀ 20" in drawing.caption
    drawn(drawing)
