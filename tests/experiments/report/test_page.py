"""What pages say of few photographs and of equal results."""

import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.report import page


@pytest.mark.parametrize(
    ("photographs", "said"),
    [(0, ""), (1, "of 1 photograph."), (9, "of 9 photographs."), (10, "")],
)
def test_few_photographs_are_said_to_be_few(photographs, said):
    assert said in page.few(photographs)
    assert bool(page.few(photographs)) == bool(said)


def test_equals_are_named_together():
    means = pd.Series({"dct": 1.0, "linear": 1.0 - 1e-12, "prnu": 0.25})
    assert page.leaders(means) == "dct and linear alike"
    assert page.leaders(means.drop("dct")) == "linear"
    assert page.leaders(pd.Series(dict.fromkeys("abcde", 0.5))) == "5 of 5 alike"
    two = pd.Series({("dct", "clean"): 0.5, ("ncc", "jpeg"): 0.25})
    assert page.leaders(two, lambda method, learned: f"{method} on {learned}") == "dct on clean"


def test_settings_are_said_in_words():
    settings = {
        "dry_run": False,
        "size": (2, 0.25),
        "versions": {"python": "3.11", "<jax>": "0.10"},
    }
    said = page.definitions(settings)
    assert "<dd>2, 0.25</dd>" in said
    assert "dry_run" not in said
    assert "<dd>python 3.11, &lt;jax&gt; 0.10</dd>" in said


@pytest.mark.parametrize(("width_in", "is_wide"), [(5.4, False), (8.5, True)])
def test_a_wide_figure_has_a_row_of_its_own(tmp_path, width_in, is_wide):
    drawing = page.Drawing("it", "It", "A caption.", lambda: Figure(figsize=(width_in, 1)))
    assert ('class="plot wide"' in page.plot(tmp_path, drawing)) is is_wide
    assert (tmp_path / "it.png").exists()


def test_a_table_that_is_wider_than_the_page_is_several_with_the_names_in_each():
    names = [f"column number {number}" for number in range(30)]
    rows = pd.DataFrame([{"name": "a b", "kind": "k", **dict.fromkeys(names, 0.5)}] * 2)
    columns = {"name": ("name", "{}"), "kind": ("kind", "{}")}
    columns |= {name: (name, "{:.2f}") for name in names}
    tables = page.table(rows, columns, leading=2).split("<table")[1:]
    assert len(tables) == 3  # 118 - 12 characters over 8 each: 13 columns
    heads = [re.findall("<th>(.*?)</th>", one) for one in tables]
    assert [head[:2] for head in heads] == [["name", "kind"]] * 3
    assert sum((head[2:] for head in heads), []) == names
    assert all(one.count("<td>a b</td><td>k</td><td>0.50</td>") == 2 for one in tables)
    assert page.table(rows, dict(list(columns.items())[:15]), leading=2).count("<table") == 1


@pytest.mark.slow
def test_wide_tables_are_shown_whole_in_a_browser(cut_off, tmp_path):
    headings = ["Set14: over bicubic (dB)", "trained on perturbed, how sure (%)", "images"]
    rows = pd.DataFrame({"network": ["edsr-quarter-x4-resnet_adv-s1"], "set": ["a b c"]})
    columns = {"network": ("network", "{}"), "trained on": ("set", "{}")}
    for number in range(24):
        heading = f"{headings[number % 3]} {number}"
        rows[heading] = ["31.92 ± 0.04", "1,234", "88.0%"][number % 3]
        columns[heading] = (heading, "{}")
    table = page.table(rows, columns, leading=2)
    assert table.count("<table") > 1
    path = page.write(tmp_path, "Wide", {"a tile": "1"}, {"A table": table})
    assert cut_off(path.read_text()) == []
    page.write(tmp_path, "Wide", {}, {"A line": '<p class="long">a<b>&nbsp;</b></p>'})
    too_wide = path.read_text().replace("<b>", '<b style="display: block; width: 2000px">')
    assert any("P long" in part for part in cut_off(too_wide))
