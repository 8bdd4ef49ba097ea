import hashlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxfleet.errors import InputError
from jaxfleet.imaging import kodak, photos


@pytest.fixture(scope="module")
def data_dir(shared_data, tmp_path_factory):
    """A TFDS data directory whose manual folder has the 24 files, so nothing is downloaded."""
    folder = tmp_path_factory.mktemp("tfds")
    (folder / "downloads").mkdir()
    (folder / "downloads" / "manual").symlink_to(shared_data / "kodak", target_is_directory=True)
    return str(folder)


def test_every_url_has_a_checksum():
    urls = {f"https://r0k.us/graphics/kodak/kodak/kodim{n:02d}.png" for n in range(1, 25)}
    assert set(kodak.Kodak.url_infos) == urls
    assert sum(info.size for info in kodak.Kodak.url_infos.values()) == 15394305


def test_checksums_are_those_of_the_files(shared_data):
    for info in kodak.Kodak.url_infos.values():
        content = (shared_data / "kodak" / info.filename).read_bytes()
        assert hashlib.sha256(content).hexdigest() == info.checksum
        assert len(content) == info.size


def test_photos_are_those_of_the_folder(shared_data, data_dir):
    from_tfds = photos.load("tfds:kodak", data_dir=data_dir)
    from_folder = photos.load(f"folder:{shared_data / 'kodak'}")
    assert [photo.image_id for photo in from_tfds] == [photo.image_id for photo in from_folder]
    for one, other in zip(from_tfds, from_folder, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_splits_and_slices(data_dir):
    ids = [photo.image_id for photo in photos.load("tfds:kodak:test[10:12]", data_dir=data_dir)]
    assert ids == ["kodim11", "kodim12"]
    with pytest.raises(InputError, match="no split 'train'. Use one of: test"):
        photos.load("tfds:kodak:train", data_dir=data_dir)


def test_builder_reads_a_manual_dir_that_is_given(shared_data, tmp_path):
    config = tfds.download.DownloadConfig(manual_dir=str(shared_data / "kodak"))
    builder = tfds.builder("kodak", data_dir=str(tmp_path))
    builder.download_and_prepare(download_config=config, file_format="array_record")
    assert builder.info.splits["test"].num_examples == 24
    assert builder.as_data_source("test")[4]["filename"] == b"kodim05.png"


def test_a_file_that_was_changed_is_refused(tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for number in range(1, 25):
        (manual / f"kodim{number:02d}.png").write_bytes(b"another picture")
    with pytest.raises(InputError, match=r"kodak.*NonMatchingChecksumError.*kodim01\.png"):
        photos.load("tfds:kodak", data_dir=str(tmp_path))


def test_a_format_that_needs_tensorflow_is_an_input_error(data_dir, tmp_path):
    photos.load("tfds:kodak", data_dir=data_dir, max_images=1)
    made = tfds.builder("kodak", data_dir=data_dir).data_path
    copy = tmp_path / "kodak" / "1.0.0"
    copy.mkdir(parents=True)
    for path in made.iterdir():
        target = copy / path.name.replace("array_record", "tfrecord")
        content = path.read_bytes()
        is_json = path.suffix == ".json"
        target.write_bytes(content.replace(b"array_record", b"tfrecord") if is_json else content)
    with pytest.raises(InputError, match="only TensorFlow reads"):
        photos.load("tfds:kodak", data_dir=str(tmp_path))
