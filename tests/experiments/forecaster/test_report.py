"""What a report leaves out of a table that cannot show it."""

import types

import numpy as np

from experiments.forecaster import report
from tests.experiments.forecaster.test_train import make_table


def test_one_large_network_for_each_picture_shows_no_gain_and_no_best_one():
    table = make_table(pictures=12, fits=60)
    size = 150 + table.frame["picture"]
    table.frame["layer_size"], table.frame["parameters"] = size, size**2
    ends = np.log2([[150, 1, 2], [170, 8, 100]])
    forecaster = types.SimpleNamespace(reach=types.SimpleNamespace(low=ends[0], high=ends[1]))
    assert set(report.findings(table, forecaster)) <= {"spread", "jpeg"}
