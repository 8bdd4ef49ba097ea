import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsr.datasets.crops import centre, in_batches, tile_starts
from jaxsr.datasets.crops import tiles as tiles_of


@pytest.mark.parametrize(("height", "width", "count"), [(6, 6, 4), (7, 11, 6), (3, 3, 1)])
def test_tiles_lie_side_by_side(height, width, count):
    picture = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    tiles = tiles_of(picture, 3)
    assert tiles.shape == (count, 3, 3, 3)
    rows, columns = height // 3, width // 3
    block = np.block([[[tiles[i * columns + j]] for j in range(columns)] for i in range(rows)])
    np.testing.assert_array_equal(block, picture[: 3 * rows, : 3 * columns])


def test_tiles_begin_where_grids_of_up_sampling_do():
    rows, columns = np.mgrid[:122, :111]
    picture = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    (tile,) = tiles_of(picture, 64)  # the middle is at 29 and 23
    assert tile[0, 0].tolist() == [24, 0, 24]


@given(st.integers(1, 99), st.integers(0, 99), st.integers(0, 99))
def test_the_middle_of_a_picture_begins_on_the_grid(crop_px, more_rows, more_columns):
    rows, columns = np.mgrid[: crop_px + more_rows, : crop_px + more_columns]
    picture = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    crop = centre(picture, crop_px)
    assert crop.shape == (crop_px, crop_px, 3)
    for start, more in zip(crop[0, 0, :2].tolist(), (more_rows, more_columns), strict=True):
        assert start % 24 == 0
        assert 0 <= more // 2 - start < 24


@pytest.mark.parametrize("count", [1, 3, 16, 17, 64, 65, 130])
def test_batches_cover_all_crops_in_few_shapes(count):
    crops = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)
    shapes = set()

    def mean(some):
        shapes.add(some.shape)
        return some.mean(axis=(1, 2, 3))

    np.testing.assert_allclose(in_batches(mean, crops), np.arange(count))
    assert shapes == {({1: 1, 3: 4, 16: 16}.get(count, 64), 2, 2, 3)}


@given(st.integers(24, 300), st.integers(0, 900))
def test_tiles_begin_at_multiples_of_24_about_the_middle(crop_px, more):
    starts = tile_starts(crop_px + more, crop_px)
    assert all(start % 24 == 0 for start in starts)
    assert all(0 < two - one <= crop_px + 12 for one, two in itertools.pairwise(starts))
    before, behind = starts[0], crop_px + more - (starts[-1] + crop_px)
    assert 0 <= before <= behind < before + 2 * crop_px


def test_tiles_of_the_paper_begin_at_multiples_of_24():
    rows, columns = np.mgrid[:700, :470] % 24
    picture = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    tiles = tiles_of(picture, 224)
    assert list(tile_starts(700, 224)) == [0, 216, 432]
    assert tiles.shape == (6, 224, 224, 3)
    assert (tiles[:, 0, 0] == 0).all()
    assert len(tile_starts(223, 224)) == 0


def test_of_many_tiles_some_that_are_spread_over_the_picture_are_cut():
    picture = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    tiles = tiles_of(picture, 1, most=4)
    np.testing.assert_array_equal(tiles, picture.reshape(-1, 1, 1, 3)[[0, 8, 16, 24]])
    np.testing.assert_array_equal(tiles_of(picture, 1, most=25), tiles_of(picture, 1))
