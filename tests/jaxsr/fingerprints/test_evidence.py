"""Evidence: what repeats, what is cut off, what does not depend on direction or number."""

import numpy as np
import pytest
import skimage.data

from jaxsr.fingerprints import evidence as module
from jaxsr.fingerprints.evidence import evidence


def noise(seed=0, side=240):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def parts(found):
    """Lattice, spectrum, runs, levels."""
    runs, levels = 4 * (module._groups().max() + 1), 21
    spectrum = 256 + 64 + 3 * 34
    ends = np.cumsum([len(found) - runs - levels - spectrum, spectrum, runs])
    return np.split(found, ends)


def test_evidence_of_equal_tiles_is_that_of_one():
    tile = noise()
    np.testing.assert_allclose(
        evidence(np.stack([tile, tile])), evidence(tile[None]), rtol=1e-4, atol=1e-4
    )


def test_a_grid_of_two_pixels_shows_in_the_lattice_and_nowhere_else():
    plain = noise().astype(float)
    grid = plain.copy()
    grid[::2, ::2] = 128 + (grid[::2, ::2] - 128) / 4  # a place of the grid varies less
    even = evidence(np.clip(grid, 0, 255).astype(np.uint8)[None])
    flat = evidence(plain.astype(np.uint8)[None])
    moved = evidence(np.roll(grid, (1, 1), (0, 1)).astype(np.uint8)[None])
    count = len(module._harmonics()[0])
    magnitudes = [parts(x)[0][-25 * (count - 1) :].reshape(25, -1)[0] for x in (even, flat, moved)]
    assert magnitudes[0].max() > 10 * magnitudes[1].max()
    np.testing.assert_allclose(magnitudes[2], magnitudes[0], rtol=0.05, atol=0.01)


def test_what_is_interpolated_has_no_high_frequencies():
    small = noise(side=120).astype(float)
    large = small.repeat(2, 0).repeat(2, 1)
    smooth = (
        large + np.roll(large, 1, 0) + np.roll(large, 1, 1) + np.roll(large, (1, 1), (0, 1))
    ) / 4
    found = parts(evidence(smooth.astype(np.uint8)[None]))[1]
    luma = found[-102:-69]  # by radius, from 0 to 32 cycles in 64 pixels
    assert luma[31] < luma[10] - 2


def test_a_wave_stands_in_its_block_of_the_plane_and_at_its_radius():
    rows, columns = np.mgrid[:240, :240]
    wave = 128 + 60 * np.cos(2 * np.pi * (9 * rows + 21 * columns) / 64)  # cycles in 64 pixels
    grey = np.repeat(np.rint(wave).astype(np.uint8)[..., None], 3, axis=2)
    found = evidence(grey[None])
    plane = module.luma_plane(found)
    assert plane.shape == (16, 16)
    assert np.unravel_index(plane.argmax(), plane.shape) == ((9 - 1) // 2, (21 - 1) // 2)
    assert module.luma_profile(found).argmax() == round(np.hypot(9, 21))
    both = np.stack([found, found])
    np.testing.assert_array_equal(module.luma_plane(both)[1], plane)


def test_shares_of_runs_add_up_and_do_not_tell_left_from_right():
    tile = noise(1)
    found = [parts(evidence(x[None]))[2].reshape(4, -1) for x in (tile, tile[:, ::-1], tile[::-1])]
    np.testing.assert_allclose((found[0] ** 2).sum(axis=1), 1.0, rtol=1e-3)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=0.01)


def test_tiles_that_are_no_tiles_are_refused():
    with pytest.raises(ValueError, match=r"\[T, c, c, 3\] uint8"):
        evidence(noise())
    with pytest.raises(ValueError, match="96 pixels a side"):
        evidence(noise(side=90)[None])


def test_evidence_of_a_grey_picture_is_that_of_the_luma_of_a_colour_picture():
    colours = skimage.data.astronaut()[:288, :288]
    grey = np.rint(colours @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    found = evidence(colours[None]), evidence(np.repeat(grey[..., None], 3, axis=2)[None])
    luma = ~module.is_of_colour()
    assert luma.sum() == len(found[0]) - 919
    within = (0.05, 0.15, 0.05, 0.25)  # rounding to grey levels shows in the flattest places
    own, others = (parts(np.where(luma, x, 0.0)) for x in found)
    for one, other, most in zip(own, others, within, strict=True):
        np.testing.assert_allclose(one, other, atol=most)


def test_what_is_of_colour_is_all_that_changes_with_the_colours():
    grey = np.repeat(noise(side=120)[..., :1], 3, axis=2)
    mixed = grey.copy()
    mixed[..., 0] += (mixed[..., 0] < 128).astype(np.uint8)  # of 0.3 grey levels in luma at most
    changed = np.abs(evidence(grey[None]) - evidence(mixed[None]))
    of_colour = module.is_of_colour()
    assert (changed[of_colour] > 0).mean() > 0.9
    assert changed[of_colour].max() > 10 * changed[~of_colour].max()


def test_parts_lie_side_by_side_in_what_is_found():
    found = module.evidence(np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8))
    parts = module.parts()
    assert list(parts) == ["lattice", "spectrum", "runs", "levels"]
    ends = [0, *(part.stop for part in parts.values())]
    assert [part.start for part in parts.values()] == ends[:-1]
    assert ends[-1] == len(found)
    # Of each kind of residual the shares of all sequences, of which the roots are kept, are 1.
    shares = (found[parts["runs"]] ** 2).reshape(4, -1)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
