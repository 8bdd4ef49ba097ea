"""Encodings that are killed and go on."""

import itertools

import numpy as np
import pytest

from jaxfleet import resumable
from jaxfleet.checkpoints import Checkpoints
from jaxfleet.resumable import Resumable
from jaxinr.codec import api as codec
from jaxinr.kernels import host


def waves():
    """[24, 20, 3] uint8, smooth."""
    y, x = np.mgrid[:24, :20] / 8.0
    colours = np.stack([np.sin(x + y), np.cos(x - y / 2), np.sin(y)], axis=-1)
    return np.round(127.5 + 120 * colours).astype(np.uint8)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def killed_after(monkeypatch):
    """Sets after how many checkpoints, one for each few updates, a process is killed."""
    monkeypatch.setattr(resumable, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(resumable, "SAVE_SHARE", 1e9)
    monkeypatch.setattr(host, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr("jaxinr.kernels.network.TURN_FLOPS", 1e6)
    save = Checkpoints.save

    def call(saves):
        left = itertools.count(1)

        def counted(self, tree):  # the last one before the kill alone, as each takes its time
            if next(left) == saves:
                save(self, tree)
                raise Killed

        monkeypatch.setattr(Checkpoints, "save", counted)

    return call


@pytest.mark.parametrize("saves", [1, 6])
def test_killed_encodings_go_on_to_the_same_bytes(killed_after, tmp_path, saves):
    settings = {"architecture": (2, 8), "num_iters": 40, "refine_iters": 8, "learning_rate": 3e-3}
    whole = codec.compress(waves(), **settings)
    killed_after(saves)
    with pytest.raises(Killed):
        codec.compress(waves(), kept=Resumable(tmp_path / "it"), **settings)
    killed_after(None)
    lines = []
    kept = Resumable(tmp_path / "it", note=lines.append)
    assert codec.compress(waves(), kept=kept, **settings) == whole
    assert lines == [f"Goes on from {tmp_path / 'it'}."]
    for image, changes in ((waves() // 2, {}), (waves(), {"refine_iters": 4})):
        kept = Resumable(tmp_path / "it", note=lines.append)
        found = codec.compress(image, kept=kept, **(settings | changes))
        assert found == codec.compress(image, **(settings | changes))
        assert "other input or settings" in lines[-1]
