import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.rate_distortion import report, run
from experiments.rate_distortion.config import RateDistortionConfig
from jaxfleet.errors import InputError
from jaxinr.codec import api as codec


def test_files_of_half_the_size_have_a_bd_rate_of_minus_a_half():
    sizes, psnr_db = np.array([0.1, 0.3, 0.7, 1.5]), np.array([25.0, 28.0, 31.0, 34.0])
    assert report.bd_rate((sizes / 2, psnr_db), (sizes, psnr_db)) == pytest.approx(-0.5)
    assert report.bd_rate((sizes, psnr_db), (sizes / 2, psnr_db)) == pytest.approx(1.0)
    # Only where both have a point: the first two of one are below the other.
    cut = (sizes[2:] / 2, psnr_db[2:])
    assert report.bd_rate(cut, (sizes, psnr_db)) == pytest.approx(-0.5, abs=0.02)


def test_codecs_without_a_common_psnr_have_no_bd_rate():
    one = np.array([0.1, 0.2]), np.array([20.0, 22.0])
    other = np.array([0.1, 0.2]), np.array([30.0, 32.0])
    assert np.isnan(report.bd_rate(one, other))
    assert np.isnan(report.bd_rate((one[0][:1], one[1][:1]), one))
    assert np.isnan(report.bd_rate((one[0][:0], one[1][:0]), one))


def test_an_exact_file_is_counted_and_moves_no_mean():
    columns = ("codec", "image_id", "wanted_bpp", "bits_per_pixel", "psnr_db", "seconds")
    ours = [
        (report.OURS, image_id, size, size, psnr_db, 1.0)
        for size, values in ((0.5, (30.0, np.inf)), (1.0, (34.0, np.inf)))
        for image_id, psnr_db in zip("ab", values, strict=True)
    ]
    jpeg = [("JPEG", "a", np.nan, size, 20 + 10 * size, np.nan) for size in (0.25, 1.0, 2.0)]
    rows = pd.DataFrame([*ours, *jpeg], columns=columns).assign(float_psnr_db=lambda x: x.psnr_db)
    curves = report.mean_curves(rows)
    assert curves[report.OURS][1].tolist() == [30.0, 34.0]
    means = report.table(rows, curves)
    assert means[["psnr_db", "float_psnr_db"]].to_numpy().tolist() == [[30.0] * 2, [34.0] * 2]
    assert means["exact"].tolist() == [1, 1]
    assert np.isfinite(report.bd_rate(curves[report.OURS], curves["JPEG"]))
    black = rows[rows["image_id"] == "b"]
    assert report.mean_curves(black) == {}
    alone = report.table(black, {})
    assert report._text(alone, {}).split()[-4:] == ["1.000", "exact", "unknown", "1"]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    row, column = np.mgrid[0:48, 0:64] / 48
    for name, tone in (("dawn", 0.2), ("dusk", 0.7)):
        colours = np.stack([row, column / 2, np.full_like(row, tone)], axis=-1)
        Image.fromarray(np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)).save(
            folder / f"{name}.png"
        )
    return RateDistortionConfig(
        photos=f"folder:{folder}", bits_per_pixel=(1.5, 3.0), num_iters=40, refine_iters=2
    )


@pytest.mark.slow
def test_a_run_leaves_these_files_and_true_sizes(config, tmp_path, monkeypatch):
    text = run.run(config, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "DONE", "files.parquet", "figures", "manifest.json", "parts", "report.html", "table.csv",
    }  # fmt: skip
    rows = pd.read_parquet(tmp_path / "files.parquet")
    own = rows[rows["codec"] == report.OURS]
    assert own.groupby("image_id").size().tolist() == [2, 2]
    assert (own["bits_per_pixel"] <= own["wanted_bpp"]).all()
    assert set(rows["codec"]) >= {"JPEG", "WebP", report.OURS}
    means = pd.read_csv(tmp_path / "table.csv")
    expected = own.groupby("wanted_bpp")["psnr_db"].mean().to_numpy()
    np.testing.assert_allclose(means["psnr_db"], expected)
    assert "BD-rate against JPEG" in text

    # A second call, and one after a part was lost, encode what is missing alone.
    made = []
    compress = codec.compress

    def counted(image, **settings):
        made.append(settings["bits_per_pixel"])
        return compress(image, **settings)

    monkeypatch.setattr(codec, "compress", counted)
    assert run.run(config, tmp_path) == text
    assert made == []
    parts = {path: pd.read_parquet(path) for path in (tmp_path / "parts").iterdir()}
    lost = next(path for path, part in parts.items() if part["codec"].iloc[0] == report.OURS)
    wanted = parts[lost]["wanted_bpp"].iloc[0]
    lost.unlink()
    run.run(config, tmp_path)
    assert made == [wanted]


def test_a_dry_run_says_how_many_files(config, tmp_path, foreign):
    dry = dataclasses.replace(config, dry_run=True)
    assert run.run(dry, tmp_path / "none").startswith("4 files of 2 photographs")
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="and no run; give another folder"):
        run.run(dry, foreign)


def test_sizes_are_given_once():
    with pytest.raises(InputError, match="give each once"):
        RateDistortionConfig(bits_per_pixel=(0.1, 0.1))
