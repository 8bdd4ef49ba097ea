import numpy as np
import pytest

from jaxfleet.imaging import albums, photos
from jaxfleet.imaging.albums import Album
from jaxfleet.imaging.photos import Photo


def photo(name, height, width):
    key = np.random.default_rng(len(name))
    return Photo(name, key.integers(0, 256, (height, width, 3), np.uint8))


PHOTOS = [photo("a", 20, 31), photo("bb", 16, 16)]
ENTRIES = [(0, 7), (0, 0), (1, 16), (0, 20), (1, 7)]


@pytest.mark.parametrize("image_fit", photos.FITS)
def test_pictures_are_those_of_each_size_alone(image_fit):
    album = Album(PHOTOS, ENTRIES, image_fit)
    assert [one.image_id for one in album] == ["a", "a", "bb", "a", "bb"]
    for (original, side), picture in zip(ENTRIES, album, strict=True):
        expected = photos.fitted(PHOTOS[original].pixels, "", side, image_fit)
        np.testing.assert_array_equal(picture.pixels, expected)
    assert [one.pixels.shape[0] for one in album[1:3]] == [20, 16]


def test_shapes_need_no_pictures(monkeypatch):
    album = Album(PHOTOS, ENTRIES, "resize")
    monkeypatch.setattr(photos, "fitted", None)
    assert albums.shapes_of(album) == [(7, 7), (20, 31), (16, 16), (20, 20), (7, 7)]
    assert albums.shapes_of(PHOTOS) == [(20, 31), (16, 16)]


def test_contents_of_an_album_are_its_originals():
    album = Album(PHOTOS, ENTRIES, "resize")
    for pictures in (album, PHOTOS):
        found = list(albums.contents_of(pictures))
        assert [name for name, _ in found] == ["a", "bb"]
        np.testing.assert_array_equal(found[0][1], PHOTOS[0].pixels)


def test_memory_holds_the_latest_pictures_up_to_a_number_of_bytes(monkeypatch):
    monkeypatch.setattr(albums, "CACHE_BYTES", 3 * (16 * 16 + 7 * 7))
    album = Album(PHOTOS, ENTRIES, "resize")
    small = album[0]
    assert album[2].pixels.shape == (16, 16, 3)
    assert album[0] is small
    album[4]  # pushes out the picture that was asked for longest ago
    assert album[0] is small
    assert list(album._latest) == [4, 0]
    assert album[1].pixels.shape == (20, 31, 3)  # larger than the cache: held alone
    assert list(album._latest) == [1]
