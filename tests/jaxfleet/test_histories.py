import numpy as np
import pytest

from jaxfleet import histories, trainer


def test_linear_points_are_all_multiples_and_the_end():
    assert histories.log_points(25, 10).tolist() == [0, 10, 20, 25]
    assert histories.log_points(20, 10, "linear").tolist() == [0, 10, 20]
    assert histories.log_points(1, 10).tolist() == [0, 1]


def test_logarithmic_points_by_hand():
    found = histories.log_points(210, 5, "log")
    multiples = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40]
    assert found.tolist() == [5 * m for m in multiples] + [210]
    assert found.dtype == np.int32


@pytest.mark.parametrize(("num_iters", "count"), [(100, 10), (2000, 28), (50_000, 46)])
def test_logarithmic_histories_are_short(num_iters, count):
    assert len(histories.log_points(num_iters, 10, "log")) == count


@pytest.mark.parametrize("spacing", histories.SPACINGS)
def test_a_longer_budget_keeps_the_points_of_a_shorter_one(spacing):
    short, long = (histories.log_points(n, 3, spacing) for n in (100, 5000))
    np.testing.assert_array_equal(short[:-1], long[long < 100])


def test_unknown_spacing_is_named():
    with pytest.raises(ValueError, match="spacing must be one of linear, log; got 'cubic'"):
        histories.log_points(5, 1, "cubic")


def test_trainer_notes_the_logarithmic_points_of_the_linear_history(bowls, monkeypatch):
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 0.0)
    done = bowls.finish(bowls.trainer(log_spacing="log"))
    log_every = bowls.Program().log_every
    for job, whole in bowls.done.items():
        kept = histories.is_log_point(whole.iterations, log_every, "log")
        kept[-1] = True
        np.testing.assert_array_equal(done[job].iterations, whole.iterations[kept])
        np.testing.assert_array_equal(done[job].losses, whole.losses[kept])
        assert done[job].best_loss == whole.best_loss
