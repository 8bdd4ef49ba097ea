from types import SimpleNamespace

import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxsr.gallery.heat_map import heat_map


class Brightness:
    """A stand-in for a gallery: the brighter a tile, the more probable a network."""

    crop_px = 96

    def identify(self, image, state=None):
        if image.max() == 0:
            raise InputError("black")
        return SimpleNamespace(super_resolved_probability=image.mean() / 255)


@pytest.mark.parametrize("shape", [(96, 96), (100, 300), (500, 97), (2000, 2500)])
def test_cells_cover_an_image_once(shape):
    image = np.full((*shape, 3), 51, np.uint8)
    covered = np.zeros(shape, int)
    for cell in heat_map(Brightness(), image):
        covered[cell.top : cell.bottom, cell.left : cell.right] += 1
        assert cell.share == pytest.approx(0.2)
    assert (covered == 1).all()


def test_tiles_begin_on_the_grid_and_what_shows_nothing_is_left_out():
    image = np.zeros((96, 96 * 3, 3), np.uint8)
    image[:, :96] = 255
    cells = list(heat_map(Brightness(), image))
    assert [(one.left, one.right, one.share) for one in cells] == [(0, 96, 1.0)]
