import functools
import io
import itertools

import numpy as np
import pytest

from jaxfleet import checkpoints, resumable, trainer
from jaxfleet.progress import Progress
from jaxfleet.resumable import Resumable


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def train(bowls, tmp_path, monkeypatch):
    """Trains the bowls, then a second time from where they came; returns losses and lines."""
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(resumable, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(resumable, "SAVE_SHARE", 1e9)
    save = checkpoints.Checkpoints.save

    def call(*, saves=None, identity="mine", folder=tmp_path / "kept", within=None, **options):
        left, lines = itertools.count(1), []

        def counted(self, tree):  # the last one before the kill alone, as each takes its time
            if next(left) == saves:
                save(self, tree)
                raise Killed

        monkeypatch.setattr(checkpoints.Checkpoints, "save", counted)
        kept = Resumable(folder, note=lines.append, within=within)
        with Progress(22, 1e4, stream=io.StringIO()) as display:
            kept.claim(identity, display)

            def bowl(shift):
                def work():
                    hyper = bowls.jobs()
                    hyper["start"] += np.float32(shift)
                    make = functools.partial(bowls.trainer, hyper, **options)
                    found = {}
                    for _, finished in kept.train(make):
                        found |= {one.job: one for one in finished}
                    return [found[job].losses for job in sorted(found)]

                return work

            first = kept.once(bowl(0.0))
            second = kept.once(bowl(float(first[3][-1])))
        assert display._before + display._fits == 22
        return [*first, *second], lines

    return call


def test_the_display_of_the_whole_tells_what_trains_and_counts_nothing(train):
    told = []
    whole = Progress(1, 1.0, stream=io.StringIO())
    whole.update = lambda work, **given: told.append((work, len(given["underway"])))
    train(within=whole)
    assert {work for work, _ in told} == {0.0}
    assert max(count for _, count in told) > 0


def assert_equal(found, expected):
    assert len(found) == len(expected) == 22
    for losses, others in zip(found, expected, strict=True):
        np.testing.assert_array_equal(losses, others)


@pytest.mark.parametrize("saves", [1, 4, 9, 20])
def test_killed_at_any_time_it_comes_to_the_same(train, tmp_path, saves):
    expected, _ = train(folder=None)
    with pytest.raises(Killed):
        train(saves=saves)
    found, lines = train()
    assert lines == [f"Goes on from {tmp_path / 'kept'}."]
    assert_equal(found, expected)


def test_other_work_and_damage_are_told_and_begun_again(train, tmp_path):
    expected, _ = train(folder=None)
    with pytest.raises(Killed):
        train(saves=9)
    found, lines = train(identity="yours")
    assert lines == [
        f"{tmp_path / 'kept'} was left by work on other input or settings, and is not used."
    ]
    assert_equal(found, expected)
    for path in (tmp_path / "kept").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    found, lines = train()
    assert lines == [f"{tmp_path / 'kept'} is damaged, and nothing of it is used."]
    assert_equal(found, expected)


def test_a_training_of_another_number_of_slots_begins_again(train):
    expected, _ = train(folder=None)
    with pytest.raises(Killed):
        train(saves=5)
    found, lines = train(slots_per_shard=6)
    assert lines[1:] == ["The training in flight was of another machine, and begins again."]
    assert_equal(found, expected)


def test_clearing_removes_the_folder_and_seconds_add_up(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(resumable.time, "monotonic", lambda: now[0])
    kept = Resumable(tmp_path / "kept")
    kept.claim("mine")
    now[0] = 20.0
    kept._save()
    again = Resumable(tmp_path / "kept")
    again.claim("mine")
    now[0] = 25.0
    assert again.seconds == 25.0
    again.clear()
    assert not (tmp_path / "kept").exists()
