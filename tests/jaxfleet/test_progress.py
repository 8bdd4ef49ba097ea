import contextlib
import io
import math
import os
import re
import types

import pytest

from jaxfleet import progress
from jaxfleet.progress import Progress, Underway


@pytest.fixture
def now(monkeypatch):
    """Hands of the clock: a list whose only entry is the time in seconds."""
    hands = [1000.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: hands[0]))
    return hands


def test_numbers_by_hand(now):
    log, samples = io.StringIO(), []
    with Progress(10, 4000.0, fits_done=2, stream=log) as display:
        display.on_sample = samples.append
        now[0] += 4
        display.update(100.0)
        now[0] += 6  # 10 s: 500 of 4000 steps, so 70 s to go
        display.update(400.0, psnr_db=[20.0, math.nan, 30.0])
        now[0] += 10
        display.update(3500.0, psnr_db=[25.0] * 5)
    assert log.getvalue().splitlines() == [
        "5/10 fits, 0.30 fits/s, 50 pixel-steps/s, mean PSNR so far 25.00 dB of 3 new, "
        "1:10 left, 0:10 passed",
        "10/10 fits, 0.40 fits/s, 200 pixel-steps/s, mean PSNR 25.00 dB of 8 new, 0:20 passed",
    ]
    expected = {"seconds": 10.0, "fits": 5.0, "pixel_steps": 500.0, "mean_psnr_db": 25.0}
    assert {name: samples[1][name] for name in expected} == expected
    assert math.isnan(samples[1]["training_psnr_db"])
    assert math.isnan(samples[0]["mean_psnr_db"])


def test_few_long_fits_show_their_share_of_the_work(now):
    log, samples = io.StringIO(), []
    with Progress(1, 4000.0, stream=log) as display:
        assert display._counts() == "0/1 fits, starting ..."
        display.on_sample = samples.append
        now[0] += 10
        display.update(1000.0, training_mse=[0.01])
    assert log.getvalue().splitlines() == [
        "0/1 fits, 25% of the work, 100 pixel-steps/s, in training 20.00 dB, 0:30 left, 0:10 passed"
    ]
    assert samples[0]["training_psnr_db"] == pytest.approx(20.0)


def test_few_long_fits_tell_the_iteration_of_the_one_that_is_behind(now):
    log = io.StringIO()
    with Progress(10, 4000.0, fits_done=5, stream=log) as display:
        now[0] += 1
        networks = [Underway(700, 1000, 0.5), Underway(1200, 50_000, 0.1)]
        display.update(100.0, underway=networks)
        assert "iteration" not in display._counts()
        display.update(100.0, psnr_db=[20.0], underway=networks)
        assert "6/10 fits, iteration 1,200 of 50,000, 1.00 fits/s" in display._counts()


def test_the_training_of_a_part_is_told_and_counts_for_nothing(now):
    with Progress(8, 8.0, stream=io.StringIO(), unit="files", work="files") as display:
        now[0] += 10
        display.update(0.0, training_mse=[0.01], underway=[Underway(300, 1000, 0.5)])
        told = "0/8 files, iteration 300 of 1,000, 0% of the work, in training 20.00 dB"
        assert display._counts() == told
        assert display._times() == "? left, 0:10 passed"
        now[0] += 10
        display.update(1.0, psnr_db=[20.0])
        assert display._counts().startswith("1/8 files, 180.0 files/h, mean PSNR so far 20.00 dB")
        assert display._times() == "2:20 left, 0:20 passed"


def test_what_a_checkpoint_brings_is_not_counted_again(now):
    with Progress(2, 4000.0, stream=io.StringIO()) as display:
        display.take_up(2000.0, fits=1)
        now[0] += 10
        display.update(1000.0)  # of the 2000 that are left
        assert display._times() == "0:10 left, 0:10 passed"
        assert display._counts().startswith("1/2 fits, 50% of the work, ")


def test_the_time_to_compile_does_not_count_for_the_time_left(now):
    with Progress(2, 4000.0, stream=io.StringIO()) as display:
        now[0] += 30
        display.update(10.0)
        assert display._times() == "? left, 0:30 passed"
        now[0] += 1
        display.update(190.0)  # of 4000, and 3800 are to come
        assert display._times() == "0:20 left, 0:31 passed"


def test_exact_networks_are_counted_and_hide_no_mean(now):
    log = io.StringIO()
    with Progress(3, 300.0, stream=log) as display:
        now[0] += 1
        display.update(300.0, psnr_db=[20.0, math.inf, math.nan])
    assert "mean PSNR 20.00 dB and 1 exact" in log.getvalue()


def test_slow_work_is_told_by_the_hour_and_in_its_own_words(now):
    log = io.StringIO()
    with Progress(8, 4000.0, stream=log, unit="networks", work="GFLOP") as display:
        now[0] += 100  # 400 of 4000, so 900 s to go
        display.update(400.0, psnr_db=[30.0])
    assert log.getvalue().splitlines()[-1] == (
        "1/8 networks, 36.0 networks/h, 4 GFLOP/s, mean PSNR so far 30.00 dB, 15:00 left, "
        "1:40 passed"
    )


def test_work_far_below_one_unit_has_its_own_time_left(now):
    with Progress(4, 0.02, stream=io.StringIO(), work="GFLOP") as display:
        now[0] += 10
        display.update(0.005, psnr_db=[30.0])  # a quarter, so 30 s to go
        assert display._times() == "0:30 left, 0:10 passed"
        display.take_up(0.01)
        assert display._times() == "0:10 left, 0:10 passed"


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(0.0, "0.00 fits/s"), (0.05, "180.0 fits/h"), (0.1, "0.10 fits/s"), (12.345, "12.35 fits/s")],
)
def test_rates_by_the_second_or_hour(per_second, text):
    assert progress._rate(per_second, "fits") == text


def test_log_grows_slowly_but_never_falls_silent(now):
    log = io.StringIO()
    at = []
    with Progress(1, 1e6, stream=log) as display:
        for second in range(3600):
            lines = log.getvalue().count("\n")
            now[0] += 1
            display.update(1.0)
            if log.getvalue().count("\n") > lines:
                at.append(second)
    waits = [b - a for a, b in zip(at, at[1:], strict=False)]
    assert at[0] <= 6
    assert waits == sorted(waits)
    assert waits[-1] <= 61
    assert len(at) < 80


def test_nothing_done_says_nothing(now):
    log = io.StringIO()
    with Progress(3, 100.0, stream=log):
        now[0] += 100
    assert log.getvalue() == ""


def test_last_line_comes_also_when_interrupted(now):
    log = io.StringIO()
    with contextlib.suppress(KeyboardInterrupt), Progress(3, 100.0, stream=log) as display:
        now[0] += 1
        display.update(50.0, psnr_db=[30.0])
        display.note("one part was damaged")
        raise KeyboardInterrupt
    assert log.getvalue().splitlines() == [
        "one part was damaged",
        "1/3 fits, 1.00 fits/s, 50 pixel-steps/s, mean PSNR so far 30.00 dB, 0:01 left, "
        "0:01 passed",
    ]


END = "<end of test>"


def read_to_end(master):
    """All that was written to a terminal, which hands it on in pieces, up to END."""
    text = b""
    while not text.endswith(END.encode()):
        text += os.read(master, 1 << 16)
    return text.decode().removesuffix(END)


def on_terminal(work, columns, monkeypatch):
    """What a terminal gets of work(display)."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as stream:
        with Progress(4, 100.0, stream=stream) as display:
            work(display)
        stream.write(END)
        stream.flush()
        text = read_to_end(master)
    os.close(master)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), text


def test_terminal_shows_one_display_that_is_redrawn(monkeypatch):
    def work(display):
        display.update(25.0, psnr_db=[20.0])
        display.note("part [red] was damaged: its fits are made again")
        display.update(75.0, psnr_db=[22.0, 24.0, 26.0])

    plain, raw = on_terminal(work, 100, monkeypatch)
    assert "\x1b[" in raw
    assert "part [red] was damaged: its fits are made again" in plain
    last = plain.strip().splitlines()[-2:]
    assert "100%" in last[0]
    assert last[1].startswith("4/4 fits, ")
    assert "mean PSNR 23.00 dB" in last[1]


def test_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as stream:
        with Progress(1, 1.0, stream=stream) as display:
            display.update(1.0, psnr_db=[20.0])
        stream.write(END)
        stream.flush()
        text = read_to_end(master)
    os.close(master)
    assert text.startswith("1/1 fits")
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (7.4, "0:07"),
        (59.6, "1:00"),
        (754, "12:34"),
        (3599.6, "1:00:00"),
        (18_000, "5:00:00"),
        (360_000, "100:00:00"),
        (math.inf, "?"),
        (math.nan, "?"),
    ],
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_what_has_no_quality_is_counted_alone():
    stream = io.StringIO()
    samples = []
    with progress.Progress(2, 10.0, stream=stream, unit="parsers") as display:
        display.on_sample = samples.append
        display.update(4.0, finished=1)
        display.update(6.0, finished=1)
    assert [sample["fits"] for sample in samples] == [1.0, 2.0]
    assert math.isnan(samples[-1]["mean_psnr_db"])
    assert stream.getvalue().startswith("2/2 parsers")
    assert "PSNR" not in stream.getvalue()
