"""What pages say of few photographs and of equal results."""

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
