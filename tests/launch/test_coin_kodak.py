"""The comparison with the codecs end to end, on the flagfile that takes seconds."""

import re
import shutil
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

import jaxfleet
from experiments.coin import kodak as coin_kodak
from experiments.coin import measures as coin_measures
from jaxfleet.imaging import codecs
from launch import flagdefs, report

LAUNCH = Path(flagdefs.__file__).parent
SMOKE = f"--flagfile={LAUNCH / 'flagfiles' / 'coin_kodak' / 'smoke.flags'}"
FILES = {
    "DONE", "figures", "flags.txt", "manifest.json", "parts", "progress.jsonl",
    "quantisation.parquet", "rate_distortion.parquet", "report.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def script():
    """Runs the script's main with `args`; returns the exit code."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(*args):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(LAUNCH / "coin_kodak.py"), *args])
            with pytest.raises(SystemExit) as stop:
                flagdefs.run(coin_kodak.CoinConfig, coin_kodak.run)
        return stop.value.code

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def run_dir(script, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "coin"
    assert script(SMOKE, f"--run_dir={path}") == 0
    return path


def tables(run_dir):
    return [pd.read_parquet(run_dir / f"{n}.parquet") for n in ("quantisation", "rate_distortion")]


def test_what_a_run_leaves(run_dir):
    assert {path.name for path in run_dir.iterdir() if path.name[0] != "."} == FILES
    figures = {path.name for path in (run_dir / "figures").iterdir()}
    assert {"quantisation.png", "rate_distortion.png"} < figures
    assert len([name for name in figures if name.startswith("sizes_")]) == 1
    fits = jaxfleet.open(run_dir).to_pandas()
    assert fits["image_id"].tolist() == ["astronaut"] * 2 + ["chelsea"] * 2
    assert list(zip(fits["num_layers"], fits["layer_size"], strict=True)) == 2 * [(2, 6), (3, 10)]
    assert fits["image_width"].tolist() == [32, 32, 28, 28]
    page = (run_dir / "report.html").read_text()
    assert "3 × 10" in page
    assert "published points" not in page  # these are not the photographs of Kodak
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)  # self-contained


def test_tables_agree_with_the_fits(run_dir):
    fits = jaxfleet.open(run_dir).to_pandas().set_index("trial_id")
    quantised, rates = tables(run_dir)
    assert len(quantised) == 4 * 15
    whole = quantised[quantised["weights"] == "float32"].set_index("trial_id")
    for column, own in (("best_psnr_db", "psnr_db"), ("psnr_8bit_db", "psnr_8bit_db")):
        pd.testing.assert_series_equal(whole[own], fits[column], check_names=False, atol=2e-3)
    half = quantised[quantised["weights"] == "float16"].set_index("trial_id")
    pd.testing.assert_series_equal(half["bits_per_pixel"], fits["hp_bpp"], check_names=False)
    assert list(rates) == [
        "image_id", "image_height", "image_width", "method", "bits_per_pixel", "psnr_db",
    ]  # fmt: skip
    present = {codec.name for codec in codecs.CODECS if codec.available}
    networks = {coin_measures.FLOAT16, coin_measures.FIXED, coin_measures.IDEAL}
    assert set(rates["method"]) == present | networks


def test_repeated_and_damaged_runs_end_with_the_same_tables(script, run_dir, capsys):
    before = tables(run_dir)
    damaged = max((run_dir / "parts").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-50])
    for name in ("DONE", "report.html", "rate_distortion.parquet", "quantisation.parquet"):
        (run_dir / name).unlink()
    assert script(SMOKE, f"--run_dir={run_dir}") == 0
    stdout, stderr = capsys.readouterr()
    assert stdout.startswith("4 fits, mean best PSNR ")
    assert f"{damaged.name} was damaged or missing; its fits are made again." in stderr
    for one, other in zip(before, tables(run_dir), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert {path.name for path in run_dir.iterdir()} >= FILES

    assert script(SMOKE, f"--run_dir={run_dir}", "--size=4x4") == 2
    assert 'size was ["2x6", "3x10"] is ["2x6", "3x10", "4x4"]' in capsys.readouterr().err


def test_codec_that_pillow_lacks_is_left_out(script, run_dir, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree(run_dir, tmp_path / "coin")  # other tests read the tables with AVIF
    monkeypatch.setattr(codecs.features, "check", lambda name: name != "avif")
    assert script(SMOKE, f"--run_dir={copy}") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "AVIF" in line] == [
        "AVIF is left out: this Pillow was built without it"
    ]
    assert set(tables(copy)[1]["method"]) >= {"JPEG", "WebP"}
    assert "AVIF" not in set(tables(copy)[1]["method"])


def test_dry_run_tells_the_cost_and_leaves_nothing(script, tmp_path, capsys):
    assert script(SMOKE, f"--run_dir={tmp_path / 'dry'}", "--dry_run") == 0
    text = capsys.readouterr().out
    assert "4 networks in " in text
    assert re.search(r"about \d+:\d\d in all(?s:.*)\nand about \d+:\d\d to measure networks", text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--size=28", "--size=28: expected LAYERSxUNITS, such as 10x28"),
        ("--reduce=0", "--reduce=0: expected an integer of at least 1"),
        ("--reduce=9000", "astronaut is smaller than --reduce=9000"),
        ("--learning_rate=-1", "--learning_rate=-1.0: expected a number from 1e-08 to 100"),
        ("--photos=folder:nowhere", "no folder 'nowhere' to read"),
    ],
)
def test_bad_flag_gets_one_line(script, tmp_path, capsys, flag, message):
    assert script(SMOKE, f"--run_dir={tmp_path / 'bad'}", flag) == 2
    stdout, stderr = capsys.readouterr()
    assert message in stderr
    assert (stdout, stderr.count("\n")) == ("", 1)


def test_the_report_is_made_again(run_dir, tmp_path):
    copy = shutil.copytree(run_dir, tmp_path / "coin")
    rows = tables(run_dir)
    for name in ("report.html", "rate_distortion.parquet", "quantisation.parquet"):
        (copy / name).unlink()
    answer = report.main(report.CONFIG(), copy)
    assert answer == f"Look at {copy / 'report.html'}"
    for one, other in zip(tables(copy), rows, strict=True):
        pd.testing.assert_frame_equal(one, other)
