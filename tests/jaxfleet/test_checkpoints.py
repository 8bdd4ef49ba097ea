import errno
import os
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxfleet.checkpoints import Checkpoints

TREE = {
    "states": [
        [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([True, False])],
        [np.ones(4)],
    ],
    "job": np.array([3, -1, 2**40]),
    "lengths": np.array([7, 0], np.int32),
    "none": np.zeros((0, 3), np.float32),
    "half": np.array([np.nan, np.inf, -0.0], np.float16),
}


def tree(number):
    return {"a": np.full(3, number, np.int32)}


@pytest.fixture
def kept(tmp_path):
    return Checkpoints(tmp_path / "some" / "bucket")


def names(checkpoints):
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_tree_comes_back_with_its_lists_and_dtypes(kept):
    kept.save(TREE)
    back = kept.load()
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    for old, new in zip(jax.tree.leaves(TREE), jax.tree.leaves(back), strict=True):
        assert isinstance(new, np.ndarray)
        assert (new.dtype, new.shape) == (old.dtype, old.shape)
        assert new.tobytes() == old.tobytes()


def test_no_snapshot_is_none(kept):
    assert kept.load() is None
    kept.clear()


def test_latest_wins_and_is_alone(kept):
    for number in range(3):
        kept.save(tree(number))
    assert names(kept) == ["2"]
    np.testing.assert_array_equal(kept.load()["a"], [2, 2, 2])


def test_killed_between_snapshot_and_clearing_up(kept):
    kept.save(tree(0))
    shutil.copytree(kept.folder / "0", kept.folder / "10")
    kept.save(tree(11))
    assert names(kept) == ["11"]
    np.testing.assert_array_equal(kept.load()["a"], [11, 11, 11])


def test_half_written_snapshot_is_ignored_then_swept_away(kept):
    kept.save(tree(0))
    shutil.copytree(kept.folder / "0", kept.folder / "1.orbax-checkpoint-tmp")
    np.testing.assert_array_equal(kept.load()["a"], [0, 0, 0])
    kept.save(tree(1))
    assert names(kept) == ["1"]


def test_clear_forgets(kept):
    kept.save(tree(0))
    kept.clear()
    assert kept.load() is None
    assert not kept.folder.exists()


def test_damaged_snapshot_is_none(kept):
    noise = np.random.default_rng(0).normal(size=(50, 100))
    kept.save({"a": noise})
    lost = 0
    for path in [path for path in kept.folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        back = kept.load()
        lost += back is None
        if back is not None:  # a file that is not needed for reading
            np.testing.assert_array_equal(back["a"], noise)
        path.write_bytes(whole)
    assert lost >= 3


@pytest.mark.parametrize("moment", ["before", "while"])
def test_full_disk_is_an_os_error_that_names_the_place(kept, monkeypatch, moment):
    kept.save(tree(0))

    def fills(self, path, *args, **kwargs):
        (path.parent / "1.orbax-checkpoint-tmp").mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: Failed to write [os_error_code='28']")

    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20 + 11))
        else:
            patch.setattr(ocp.PyTreeCheckpointer, "save", fills)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            kept.save(tree(1))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(kept.folder / "1"))
    assert names(kept) == ["0"]
    np.testing.assert_array_equal(kept.load()["a"], [0, 0, 0])


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Checkpoints(tmp_path / "file" / "bucket").save(tree(0))
