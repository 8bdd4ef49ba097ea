"""What the page is made of: charts, uploads, turns, flags. No Gradio is needed here."""

import itertools
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.app import charts, markup, turns, uploads
from experiments.app.charts import Series
from experiments.app.config import AppConfig
from experiments.app.turns import Stops, Turns
from jaxfleet.errors import InputError
from launch import flagdefs


def test_the_page_itself_has_less_than_600_lines():
    folder = Path(markup.__file__).parent
    files = [folder / "page.py", *(folder / "tabs").glob("*.py")]
    assert len(files) > 3
    assert sum(len(path.read_text().splitlines()) for path in files) < 600


# -------------------------------------------------------------------------------------- charts


def drawn(*series):
    return charts.chart(series, title="a <title>", x_label="updates", y_label="dB")


def test_a_line_goes_from_edge_to_edge_and_its_values_stand_where_they_belong():
    svg = drawn(Series("one", np.array([1.0, 10, 100]), np.array([0.0, 5, 10])))
    (path,) = re.findall(r'class="line c0" d="M([^"]+)"', svg)
    points = np.array([point.split() for point in path.split("L")], float)
    left, right = charts.LEFT, charts.WIDTH - charts.RIGHT
    np.testing.assert_allclose(points[:, 0], [left, (left + right) / 2, right], atol=0.1)
    assert points[0, 1] > points[1, 1] > points[2, 1]  # more is higher
    np.testing.assert_allclose(points[1, 1], points[[0, 2], 1].mean(), atol=0.1)


def test_a_chart_says_what_it_shows_and_escapes_names():
    svg = drawn(Series("<b>", np.array([1.0, 2]), np.array([3.0, 4])))
    assert 'aria-label="a &lt;title&gt;"' in svg
    assert "&lt;b&gt;" in svg
    assert "<b>" not in svg


def test_points_that_are_not_finite_are_left_out_and_a_chart_of_none_is_empty():
    svg = drawn(Series("one", np.arange(4.0), np.array([1.0, 2, np.inf, 4]), kind="points"))
    assert svg.count("<circle") == 2
    assert drawn(Series("none", np.ones(1), np.array([np.nan]))) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (21.2, 24.1, [21.5, 22, 22.5, 23, 23.5, 24])],
)
def test_ticks_are_round_numbers_within(low, high, expected):
    assert charts.ticks(low, high) == expected


def test_log_ticks_have_one_digit_and_are_few():
    assert charts.log_ticks(10, 1000) == [10, 20, 50, 100, 200, 500, 1000]
    assert charts.log_ticks(0.15, 0.8) == [0.2, 0.3, 0.5, 0.7]
    assert len(charts.log_ticks(1e-3, 1e9)) <= 8


def test_text_from_outside_cannot_become_markup():
    for made in (
        markup.error("<script>"),
        markup.status("<script>", 0.5),
        markup.facts({"<script>": "<script>"}),
        markup.table("<script>", ["<script>"], [["<script>"]]),
        markup.picture(np.zeros((4, 4, 3), np.uint8), '"><script>'),
    ):
        assert "<script>" not in made
        assert "&lt;script&gt;" in made


# ------------------------------------------------------------------------------------- uploads


def test_an_upload_is_read_upright(tmp_path):
    path = tmp_path / "one.jpg"
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (6, 4), (200, 100, 50)).save(path, exif=turned)
    pixels = uploads.read(path)
    assert pixels.shape == (6, 4, 3)
    np.testing.assert_allclose(pixels[0, 0], (200, 100, 50), atol=4)


def test_what_is_no_picture_is_named_without_its_folder(tmp_path, monkeypatch):
    path = tmp_path / "secret" / "one.png"
    path.parent.mkdir()
    with pytest.raises(InputError, match="'one.png' is no longer here"):
        uploads.read(path)
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="'one.png' is not a picture") as caught:
        uploads.read(path)
    assert "secret" not in str(caught.value)
    monkeypatch.setattr(uploads, "MAX_BYTES", 5)
    with pytest.raises(InputError, match="'one.png' has 0 MB, above the limit"):
        uploads.read(path)


def test_only_files_older_than_an_hour_are_removed_and_then_their_folders(tmp_path):
    old, new = tmp_path / "a" / "old.png", tmp_path / "b" / "new.png"
    for path, age in ((old, 3700), (new, 3500)):
        path.parent.mkdir()
        path.write_bytes(b"1")
        for one in (path, path.parent):
            os.utime(one, (1e6 - age, 1e6 - age))
    assert uploads.sweep(tmp_path, now=1e6) == 1
    assert not old.exists()
    assert new.exists()
    os.utime(old.parent, (0, 0))
    assert uploads.sweep(tmp_path, now=1e6) == 0
    assert not old.parent.exists()


# --------------------------------------------------------------------------------------- turns


def test_works_are_done_one_at_a_time_in_the_order_of_their_coming():
    turns, order = Turns(), []

    def work(name):
        order.append(f"begin {name}")
        yield name
        order.append(f"end {name}")

    first = turns.take(work("a"), threading.Event())
    second = turns.take(work("b"), threading.Event())
    assert next(first) == "a"
    assert next(second) == 1  # one ahead
    assert next(second) == 1
    assert list(first) == []
    assert list(second) == ["b"]
    assert order == ["begin a", "end a", "begin b", "end b"]


def test_who_stops_or_leaves_lets_the_next_one_begin():
    turns, stops = Turns(), [threading.Event() for _ in range(3)]
    works = [turns.take(itertools.count(10 * k), stop) for k, stop in enumerate(stops)]
    assert next(works[0]) == 0
    assert [next(works[k]) for k in (1, 2)] == [1, 2]
    stops[1].set()  # while waiting: it never begins
    assert list(works[1]) == []
    works[0].close()  # left
    assert next(works[2]) == 20
    stops[2].set()
    assert list(works[2]) == []


def test_what_is_stopped_is_left_at_once_and_errors_come_through():
    stop, begun, end = (threading.Event() for _ in range(3))

    def slow():
        begun.set()
        end.wait(60)
        return "late"

    assert turns.unless_stopped(lambda: "soon", stop) == "soon"
    with pytest.raises(ZeroDivisionError):
        turns.unless_stopped(lambda: 1 / 0, stop)
    found = turns.each_unless_stopped(iter(["first", "second"]), stop)
    assert list(found) == ["first", "second"]
    threading.Thread(target=lambda: (begun.wait(60), stop.set())).start()
    assert turns.unless_stopped(slow, stop) is None  # although nothing has ended it
    assert begun.is_set()
    assert not end.is_set()
    end.set()
    assert list(turns.each_unless_stopped(iter(["third"]), stop)) == []


def test_work_that_was_left_does_not_delay_the_end_of_the_server():
    ends = """
import threading
from experiments.app.turns import unless_stopped
stop = threading.Event()
assert unless_stopped(lambda: (stop.set(), threading.Event().wait(3600)), stop) is None
"""
    subprocess.run([sys.executable, "-c", ends], check=True, timeout=300)


def test_a_visitor_stops_his_own_work_in_one_tab():
    stops = Stops()
    mine, other_tab, other = (
        stops.begin(*who) for who in (("me", "siren"), ("me", "which"), ("you", "siren"))
    )
    stops.stop("me", "siren")
    stops.stop("me", "siren")  # nothing is going on any more
    assert [one.is_set() for one in (mine, other_tab, other)] == [True, False, False]
    assert not stops.is_superseded("me", "siren", mine)  # stopped, and nothing in its place
    again = stops.begin("you", "siren")
    assert other.is_set()
    assert stops.is_superseded("you", "siren", other)
    assert not stops.is_superseded("you", "siren", again)
    stops.stop_all("me")
    assert other_tab.is_set()
    assert not again.is_set()


# --------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_needs_no_password(host):
    assert AppConfig(host=host).is_local


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org"])
def test_other_machines_need_a_password(host):
    with pytest.raises(InputError, match=f"--host={host} lets other machines .* --password"):
        flagdefs.parse(AppConfig, [f"--host={host}"])
    assert not AppConfig(host=host, password="12345678").is_local


def test_a_short_password_is_refused_and_none_is_saved():
    with pytest.raises(ValueError, match="--password is shorter than 8"):
        AppConfig(password="1234567")
    assert "12345678" not in flagdefs.flags_text(AppConfig(password="12345678"))
