"""Discriminants of drawn pictures beside what follows from the densities they were drawn from."""

import numpy as np
import pandas as pd
import pytest

from experiments.judge import discriminants
from jaxsr.gallery import distances
from jaxsr.gallery.judge import DISCRIMINANTS, Judge
from jaxsr.gallery.state import STATE_KINDS

SIZE, EACH = 6, 4000
CENTRES = {"c": [3.0, 0, 0, 0, 0, 0], "a": [0, 2.0, 0, 0, 0, 0], "b": [0, 0, 0, 0, 0, 0.5]}


@pytest.fixture(scope="module")
def drawn():
    """Pictures of three classes with one covariance, in two kinds of state; and the covariance."""
    draw = np.random.default_rng(0)
    half = draw.normal(size=(SIZE, SIZE)) / 2 + np.eye(SIZE)
    classes = np.repeat(list(CENTRES), EACH)
    units = np.array([CENTRES[one] for one in classes]) + draw.normal(size=(3 * EACH, SIZE)) @ half
    kinds = draw.choice(STATE_KINDS[:2], len(classes))
    return units.astype(np.float32), classes, kinds, half.T @ half


def test_distances_between_centres_are_those_of_mahalanobis(drawn, monkeypatch):
    monkeypatch.setattr(discriminants, "SHRINKAGE", 0.0)
    units, classes, kinds, covariance = drawn
    found = discriminants.fit(units, classes, kinds)
    assert found["project"].shape == (len(STATE_KINDS), SIZE, 2)
    names = sorted(CENTRES)
    for place in range(len(STATE_KINDS)):
        centres = found["centres"][place]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            apart = np.subtract(CENTRES[names[first]], CENTRES[names[second]])
            expected = np.sqrt(apart @ np.linalg.solve(covariance, apart))
            assert np.linalg.norm(centres[first] - centres[second]) == pytest.approx(
                expected, rel=0.15
            )


def test_within_a_class_pictures_lie_in_a_unit_ball_around_its_centre(drawn, monkeypatch):
    monkeypatch.setattr(discriminants, "SHRINKAGE", 0.0)
    units, classes, kinds, _ = drawn
    found = discriminants.fit(units, classes, kinds)
    points = units @ found["project"][0].astype(np.float32) + found["offset"][0]
    apart = points - found["centres"][0][np.unique(classes, return_inverse=True)[1]]
    np.testing.assert_allclose(np.cov(apart.T), np.eye(2), atol=0.1)


def test_pictures_in_a_state_count_more_for_it():
    draw = np.random.default_rng(1)
    kinds = np.repeat(STATE_KINDS[:2], 100)
    classes = np.tile(["a", "b"], 100)
    units = draw.normal(size=(200, 3)).astype(np.float32)
    units[:, 0] += np.where(classes == "a", 1.0, -1.0) * np.where(kinds == STATE_KINDS[0], 4.0, 0.0)
    found = discriminants.fit(units, classes, kinds)
    gaps = [np.linalg.norm(np.subtract(*found["centres"][place])) for place in (0, 1)]
    assert gaps[0] > 1.5 * gaps[1]


def test_a_class_that_is_left_out_leaves_discriminants_of_the_others(monkeypatch):
    monkeypatch.setattr(discriminants, "STATE_KINDS", STATE_KINDS[:1])
    draw = np.random.default_rng(2)
    half = draw.normal(size=(SIZE, SIZE))
    scatter = (half @ half.T + np.eye(SIZE)).astype(np.float32)
    means = draw.normal(size=(5, SIZE)).astype(np.float32)
    wider = draw.normal(size=(5, SIZE, 2)).astype(np.float32)
    names, kept = tuple("abcde"), [0, 2, 3]

    def judge_of(places):
        project, offset, centres = discriminants._discriminants(scatter, means[places])
        # Half of each class's scatter more lies where classes differ, half of it elsewhere.
        own = [distances.spread_of(project.T @ wider[k]) for k in places]
        arrays = dict(
            zip(
                DISCRIMINANTS,
                (project[None], offset[None], centres[None], np.stack(own)[None]),
                strict=True,
            )
        )
        shown = {name: np.zeros((len(places), 2)) for name in ("profiles", "planes", "log_scales")}
        chosen = tuple(names[k] for k in places)
        return Judge(chosen, chosen, ("network",) * len(places), {**arrays, **shown}, {})

    found = discriminants.without(judge_of(range(5)), ("b", "e"))
    expected = judge_of(kept)
    assert found.names == expected.names == ("a", "c", "d")
    assert len(found.arrays["profiles"]) == 3
    units = draw.normal(size=(7, SIZE)).astype(np.float32)
    nearness = [one.nearness(units, STATE_KINDS[0]) for one in (found, expected)]
    np.testing.assert_allclose(*nearness, rtol=1e-3, atol=1e-3)
    assert not np.allclose(nearness[0], judge_of(range(5)).nearness(units, STATE_KINDS[0])[:, kept])


def test_the_directions_of_a_class_are_those_in_which_it_scatters_more(monkeypatch):
    monkeypatch.setattr(discriminants, "OWN", 1.0)
    monkeypatch.setattr(discriminants, "DIRECTIONS", 1)
    apart = np.random.default_rng(3).normal(size=(20000, 4)).astype(np.float32)
    apart[:, 2] *= 3
    spread = discriminants._spread(apart, np.float32(len(apart)))
    expected = np.zeros((1, 4))
    expected[0, 2] = np.sqrt(8 / 9)
    np.testing.assert_allclose(np.abs(spread), expected, atol=0.02)


def test_what_was_done_to_pictures_is_told_in_each_kind_of_state():
    draw = np.random.default_rng(6)
    units = draw.normal(size=(400, 5)).astype(np.float32)
    resized, kinds = np.arange(400) % 2 == 0, np.array(STATE_KINDS)[np.arange(400) // 2 % 2]
    # What tells them lies elsewhere in another kind of state.
    for place in (0, 1):
        units[resized & (kinds == STATE_KINDS[place]), place] += 4.0
    rows = pd.DataFrame({"kind": "network", "kind_of_state": kinds, "is_sharpened": False})
    found = discriminants.fit_traces(units, rows.assign(is_resized=resized))
    for place in (0, 1):
        own = kinds == STATE_KINDS[place]
        told = units[own] @ found["traces"][place] + found["traces_offset"][place]
        assert np.mean((told[:, 0] > 0) == resized[own]) > 0.9
        assert found["traces"][place, :, 0].argmax() == place
    assert not found["traces"][..., 1].any()  # none was sharpened
    # Any picture may have been sharpened; only those of networks count as resized.
    others = rows.assign(is_resized=resized, is_sharpened=resized, kind="original")
    found = discriminants.fit_traces(units, others)
    assert not found["traces"][..., 0].any()
    assert found["traces"][0, :, 1].argmax() == 0
    assert found["traces"].shape == (len(STATE_KINDS), 5, 2)
