import errno
import os

import fsspec
import numpy as np
import pyarrow as pa
import pytest

import jaxfleet
from jaxfleet import storage
from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError, InUseError
from jaxfleet.results import store

SCHEMA = pa.schema(
    [
        ("trial_id", pa.int64()),
        ("layer_size", pa.int64()),
        ("num_layers", pa.int64()),
        ("weights", pa.list_(pa.float32())),
    ]
)


def row(trial_id):
    weights = trial_id + np.arange(3 + 6, dtype=np.float32)
    return {"trial_id": trial_id, "layer_size": 1, "num_layers": 1, "weights": weights}


def test_place_of_a_flag():
    assert storage.location("~/runs") == storage.Path.home() / "runs"
    assert storage.is_local(storage.location("runs/a"))
    with pytest.raises(InputError, match="ftp://a/b: give a local folder, s3:// or gs://"):
        storage.location("ftp://a/b")


def test_missing_package_is_named(monkeypatch):
    def missing(scheme):
        raise ImportError

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(InputError, match="gs://a/b: install gcsfs to write there"):
        storage.location("gs://a/b")


def test_write_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a"
    storage.write_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            storage.write_atomically(path, b"new")
    assert caught.value.filename == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["disk", "bucket"])
def test_folder_is_removed_with_all_in_it(tmp_path, request, kind):
    home = request.getfixturevalue("bucket") + "/removed" if kind == "bucket" else str(tmp_path)
    folder = storage.location(home) / "full"
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "deep" / "file").write_bytes(b"1")
    storage.remove_folder(folder)
    assert not folder.exists()
    storage.remove_folder(folder)  # nothing to do


def no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# ---------------------------------------------------------------------------- an object store


def test_run_in_a_bucket(bucket):
    run_dir = storage.location(f"{bucket}/runs/a")
    results = store.Store(run_dir, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    results.add([row(2), row(1)])
    results.flush()
    results.add([row(3)])
    results.flush()
    results.close()
    table = jaxfleet.open(f"{bucket}/runs/a")
    assert table.trial_ids.tolist() == [1, 2, 3]
    assert table.to_pandas()["trial_id"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table.weights(2)[0]["weight"], [[2, 3]])
    again = store.Store(run_dir, {}, SCHEMA, network={})
    assert again.done == {1, 2, 3}
    again.close()
    with pytest.raises(InputError, match="belongs to another plan"):
        store.Store(run_dir, {"w0": 1}, SCHEMA, network={})


def test_damaged_object_is_set_aside(bucket):
    run_dir = storage.location(f"{bucket}/runs/b")
    results = store.Store(run_dir, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    results.add([row(1)])
    results.flush()
    results.close()
    (path,) = (run_dir / "parts").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged or missing"):
        jaxfleet.open(run_dir).to_pandas()
    again = store.Store(run_dir, {}, SCHEMA, network={})
    assert (again.done, again.set_aside) == (set(), [path.name])
    assert storage.names(run_dir / "corrupt") == [path.name]
    again.close()


def test_checkpoint_in_a_bucket(bucket):
    checkpoints = Checkpoints(storage.location(f"{bucket}/runs/c/checkpoints/one"))
    assert checkpoints.load() is None
    for value in (1.0, 2.0):
        checkpoints.save({"a": [np.full(3, value), np.zeros((0, 2))]})
    found = checkpoints.load()
    np.testing.assert_array_equal(found["a"][0], np.full(3, 2.0))
    assert found["a"][1].shape == (0, 2)
    checkpoints.clear()
    assert checkpoints.load() is None


def test_bucket_that_is_not_there_is_named(bucket):
    run_dir = storage.location("s3://elsewhere/runs")
    with pytest.raises(InputError, match="there is no bucket s3://elsewhere; give another folder"):
        store.Store(run_dir, {}, SCHEMA, network={})


def test_os_error_without_a_name_gets_one(tmp_path):
    for error, name in (
        (OSError(errno.ENOSPC, "full"), str(tmp_path)),
        (OSError(errno.ENOSPC, "full", "a.log"), "a.log"),
        (OSError("the link broke"), None),
    ):
        with pytest.raises(OSError, match="full|link") as caught, storage.naming(tmp_path):
            raise error
        assert caught.value.filename == name


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")
    storage.check_file(path, "--out")
    storage.write_atomically(path, b"it")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def refuse(number):
    def call(*args, **options):
        raise OSError(number, os.strerror(number))

    return call


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    storage.write_atomically(tmp_path / "a", b"it")
    assert (tmp_path / "a").read_bytes() == b"it"
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        storage.write_atomically(tmp_path / "a", b"more")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, caplog, number):
    monkeypatch.setattr(storage.fcntl, "flock", refuse(number))
    with storage.locked(tmp_path, ".lock", "--run_dir"):
        pass
    assert "this file system has no locks" in caplog.text
    monkeypatch.setattr(storage.fcntl, "flock", refuse(errno.EWOULDBLOCK))
    with (
        pytest.raises(InUseError, match="another process is writing to it"),
        storage.locked(tmp_path, ".lock", "--run_dir"),
    ):
        pass


def test_an_output_that_cannot_be_written_is_found_before(tmp_path, monkeypatch):
    storage.check_file(tmp_path / "a.png", "--out")
    for path, why in (
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "none" / "a.png", f"there is no folder {tmp_path}/none; name a file in"),
    ):
        with pytest.raises(InputError, match=f"^--out={path}.*{why}"):
            storage.check_file(path, "--out")
    monkeypatch.setattr(storage.tempfile, "TemporaryFile", refuse(errno.EROFS))
    with pytest.raises(InputError, match=r"--out=.*a\.png: Read-only file system; give another"):
        storage.check_file(tmp_path / "a.png", "--out")
    with pytest.raises(InputError, match=r"--run_dir=.*: Read-only file system; give another"):
        storage.make_folder(tmp_path, "--run_dir")
    assert list(tmp_path.iterdir()) == []
