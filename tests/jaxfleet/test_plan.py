import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxfleet import plan
from jaxfleet.errors import InputError


def axis(*texts, integer=True, lower=1, upper=1000):
    return plan.parse_axis("width", texts, integer=integer, lower=lower, upper=upper)


def test_values_come_once_each_in_their_order():
    assert axis("16", "8", "16").values == (16, 8)
    assert axis("choice:16,8", "choice:4").values == (16, 8, 4)
    assert axis("2e-4", integer=False, lower=0).values == (2e-4,)


def test_a_range_keeps_its_law_and_bounds():
    assert axis("log:2:64") == plan.Axis("width", law="log", low=2, high=64, integer=True)
    assert axis("uniform:1.5:2", integer=False).low == 1.5


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "--width has no value; give at least one"),
        (["wide"], "--width=wide: expected a whole number, uniform:LOW:HIGH"),
        (["8.5"], "--width=8.5: expected a whole number"),
        (["choice:8,"], "--width=: expected a whole number"),
        (["0"], "--width=0: expected a number from 1 to 1000"),
        (["1001"], "--width=1001: expected a number from 1 to 1000"),
        (["uniform:0:5"], "--width=0: expected a number from 1"),
        (["uniform:5"], "--width=uniform:5: a range is one uniform:LOW:HIGH"),
        (["log:5:4"], "--width=log:5:4: a range is one log:LOW:HIGH, LOW <= HIGH"),
        (["log:1:4", "8"], "--width=log:1:4: a range is one"),
        (["8", "log:1:4"], "--width=log:1:4: expected a whole number"),
    ],
)
def test_bad_axis_is_named(texts, message):
    with pytest.raises(InputError, match=message):
        axis(*texts)


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_axis_is_finite(text):
    with pytest.raises(InputError, match=f"--width={text}: expected a number from 0 to inf"):
        axis(text, integer=False, lower=0, upper=math.inf)


def test_log_range_starts_above_zero():
    with pytest.raises(InputError, match="--width=log:0:4: a log range needs LOW above 0"):
        axis("log:0:4", lower=0)


def test_grid_runs_through_the_last_axis_fastest():
    axes = [plan.Axis("a", values=(1, 2)), plan.Axis("b", values=(3, 4, 5))]
    assert [tuple(p.values()) for p in plan.grid(axes)] == list(product((1, 2), (3, 4, 5)))


def test_grid_of_a_range_is_refused():
    with pytest.raises(InputError, match="--width is a range; .*--sampling=random"):
        plan.grid([axis("log:1:8")])


AXES = [axis("log:1:100"), plan.Axis("seed", values=(0, 1, 2))]


def test_sample_is_decided_by_its_seed_and_a_longer_one_begins_like_a_shorter():
    assert plan.sample(AXES, 30, 7)[:20] == plan.sample(AXES, 20, 7) != plan.sample(AXES, 20, 8)


def test_sample_holds_what_passes_the_filter():
    drawn = plan.sample(AXES, 200, 0, lambda values: values["width"] < 10)
    assert len(drawn) == 200
    assert {values["width"] for values in drawn} == set(range(1, 10))


def test_filter_that_nothing_passes_is_refused():
    with pytest.raises(InputError, match="fewer than one .* in 1000 passes"):
        plan.sample(AXES, 1, 0, lambda values: False)


@pytest.mark.parametrize(
    ("text", "straighten"), [("uniform:10:1000", float), ("log:10:1000", math.log)]
)
def test_draws_are_uniform_once_the_law_is_undone(text, straighten):
    drawn = plan.sample([axis(text, integer=False, lower=0)], 4000, 0)
    low, high = straighten(10), straighten(1000)
    place = np.sort([(straighten(v["width"]) - low) / (high - low) for v in drawn])
    # Kolmogorov's distance; exceeded once in 10,000 seeds.
    assert np.abs(place - (np.arange(4000) + 0.5) / 4000).max() < 2.23 / math.sqrt(4000)


def test_whole_draws_reach_both_ends_and_stay_inside():
    for law in ("uniform", "log"):
        drawn = plan.sample([axis(f"{law}:2:5")], 300, 0)
        assert {values["width"] for values in drawn} == {2, 3, 4, 5}
        assert all(type(values["width"]) is int for values in drawn)


def contiguous_partitions(count):
    """Every way to cut range(count) into runs, as the last index of each element's run."""
    for cuts in product([False, True], repeat=count - 1):
        ends = [i for i, cut in enumerate(cuts) if cut] + [count - 1]
        yield [next(end for end in ends if end >= i) for i in range(count)]


@given(
    sizes=st.sets(st.integers(1, 40), min_size=1, max_size=7).map(sorted),
    work=st.lists(st.integers(0, 1000), min_size=7, max_size=7),
    overhead=st.integers(0, 20_000),
)
def test_partition_is_the_cheapest_of_all(sizes, work, overhead):
    def seconds(padded):
        members = zip(sizes, work, padded, strict=False)
        return sum(w * p**2 for _, w, p in members) + overhead * len(set(padded))

    weight = dict(zip(sizes, work, strict=False))
    found = plan.partition(sizes, lambda size, padded: weight[size] * padded**2, overhead)
    assert sorted(found) == sizes
    assert all(size <= padded for size, padded in found.items())
    best = min(seconds([sizes[i] for i in ends]) for ends in contiguous_partitions(len(sizes)))
    assert seconds([found[size] for size in sizes]) == best
