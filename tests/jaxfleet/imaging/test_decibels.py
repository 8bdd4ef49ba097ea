"""One convention for exact (inf) and unknown (NaN) PSNRs."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxfleet.imaging import decibels

INF, NAN = math.inf, math.nan


def test_errors_become_decibels_exact_or_unknown():
    found = decibels.of_error([0.01, 0.0, NAN, INF])
    np.testing.assert_array_equal(found, [20.0, INF, NAN, NAN])


@pytest.mark.parametrize(
    ("values", "expected", "text"),
    [
        ([20.0, 30.0], (25.0, 2, 0), "25.00 dB"),
        ([20.0, 30.0, INF, NAN, -INF], (25.0, 2, 1), "25.00 dB and 1 exact"),
        ([INF, INF, NAN], (INF, 0, 2), "exact"),
        ([NAN, None], (NAN, 0, 0), "unknown"),
        ([], (NAN, 0, 0), "unknown"),
    ],
)
def test_mean_is_of_finite_values_and_counts_exact_ones(values, expected, text):
    found = decibels.mean(values)
    np.testing.assert_array_equal(found, expected)
    assert str(found) == text


@given(st.lists(st.floats(0, 100), min_size=1), st.integers(0, 9))
def test_exact_images_never_move_a_mean(values, exact):
    found = decibels.mean([*values, *[INF] * exact])
    assert found.db == pytest.approx(np.mean(values))
    assert (found.finite, found.exact) == (len(values), exact)


psnrs = st.lists(st.floats(0, 100) | st.just(INF) | st.just(NAN))


@given(psnrs, psnrs)
def test_means_join_to_the_mean_of_all(first, second):
    found = decibels.mean(first).joined(decibels.mean(second))
    np.testing.assert_allclose(found, decibels.mean(first + second))


def test_differences_exist_between_finite_values_alone():
    found = decibels.difference(pd.Series([30.0, INF, INF, 3.0, NAN]), [20.0, INF, 2.0, INF, 1.0])
    np.testing.assert_array_equal(found, [10.0, NAN, NAN, NAN, NAN])


def test_json_tells_exact_from_unknown():
    text = f"[{', '.join(map(decibels.to_json, (1.5, INF, NAN, None)))}]"
    assert text == "[1.5, Infinity, null, null]"
    assert json.loads(text) == [1.5, INF, None, None]
