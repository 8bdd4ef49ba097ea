import types

import pytest

from experiments.attribution.sharing import progress_callback


def test_parts_that_are_done_add_up_and_none_counts_twice():
    told = []
    on_progress = progress_callback(types.SimpleNamespace(update=told.append), 200)
    for part in (0.1, 0.5, 0.25, 0.5, 1.0):  # taken up again at a quarter
        on_progress(part)
    assert told == pytest.approx([20, 80, 0, 0, 100])
