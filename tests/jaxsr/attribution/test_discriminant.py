import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import lda
from jaxsr.attribution import methods as attribution
from jaxsr.datasets.crops import tiles as tiles_of

CLASSES = ("white", "soft")
SIDE = 18
SQUARE = 72  # pixels of `marked`
MARKS = 8


def pictures(count, seed=0, side=SIDE, kinds=2):
    """[side, side, 3] uint8 of noise that a class blurs in its own way; labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % kinds
    noise = rng.normal(size=(count, side, side, 3)) * 20.0
    for k, axis in ((1, 1), (2, 2)):
        noise[labels == k] = (noise + np.roll(noise, 1, axis))[labels == k] / 2
    return np.clip(128 + noise, 0, 255).astype(np.uint8), labels


def test_all_tiles_of_a_picture_are_learnt_from():
    large, labels = pictures(4, side=2 * SIDE + 1)
    tiles = np.concatenate([tiles_of(picture, SIDE) for picture in large])
    queries, _ = pictures(4, seed=1)
    of_large = attribution.fit("dct", large, labels, CLASSES, crop_px=SIDE, bins=4)
    of_tiles = attribution.fit("dct", tiles, np.repeat(labels, 4), CLASSES, crop_px=SIDE, bins=4)
    np.testing.assert_allclose(
        of_large.log_scores(queries), of_tiles.log_scores(queries), rtol=1e-4, atol=1e-4
    )


def test_batches_that_cut_through_pictures_change_nothing(monkeypatch):
    large, labels = pictures(5, side=2 * SIDE)  # four tiles of each
    whole = attribution.fit("dct", large, labels, CLASSES, crop_px=SIDE, bins=4)
    monkeypatch.setattr(attribution, "BATCH", 16)
    cut = attribution.fit("dct", large, labels, CLASSES, crop_px=SIDE, bins=4)
    for ours, expected in zip(cut.discriminant, whole.discriminant, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


def test_features_are_the_discriminants_projection():
    made, labels = pictures(8)
    fitted = attribution.fit("dct", made, labels, CLASSES, crop_px=SIDE, bins=4)
    expected = lda.project(fitted.discriminant, fitted.extract(made))
    np.testing.assert_array_equal(fitted.embedding(made), expected)
    assert expected.shape == (8, 1)


def test_pictures_that_were_described_are_not_looked_at():
    large, labels = pictures(6, side=2 * SIDE)
    extracted = attribution.extract_features("dct", large, crop_px=SIDE, bins=4)
    assert extracted.owners.tolist() == np.repeat(np.arange(6), 4).tolist()
    chosen = np.array([5, 0, 3, 2])
    arguments = {"crop_px": SIDE, "bins": 4}
    expected = attribution.fit("dct", large[chosen], labels[chosen], CLASSES, **arguments)
    fitted = attribution.fit(
        "dct",
        np.zeros_like(large[chosen]),
        labels[chosen],
        CLASSES,
        extracted=extracted.of(chosen),
        **arguments,
    )
    for ours, theirs in zip(fitted.discriminant, expected.discriminant, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    tiles = np.concatenate([tiles_of(picture, SIDE) for picture in large])
    np.testing.assert_array_equal(
        fitted.log_scores_of(fitted.extract(tiles)), fitted.log_scores(tiles)
    )


def columns(count, seed=0):
    """Noise in the middle of a flat picture, every other column the stronger one; which."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    noise = rng.normal(size=(count, 24, 24, 3)) * 8.0
    noise *= np.where((np.arange(24) + labels[:, None]) % 2, 1.0, 3.0)[:, None, :, None]
    noise = np.pad(noise, ((0, 0), (8, 8), (8, 8), (0, 0)))
    return np.clip(128 + noise, 0, 255).astype(np.uint8), labels


def marked(count, period, seed=0):
    """Noise of another strength at each place of the grid, as one of `MARKS` classes has it."""
    gains = np.random.default_rng(period).uniform(1.0, 5.0, (MARKS, period, period))
    labels = np.arange(count) % MARKS
    noise = np.random.default_rng(seed).normal(size=(count, 48, 48, 3)) * 8.0
    noise *= np.tile(gains[labels], (1, 48 // period, 48 // period))[..., None]
    noise = np.pad(noise, ((0, 0), (12, 12), (12, 12), (0, 0)))  # so that nothing gets lost
    return np.clip(128 + noise, 0, 255).astype(np.uint8), labels


def fit_marked(period):
    made, labels = marked(6 * MARKS, period)
    classes = tuple(f"class {k}" for k in range(MARKS))
    return attribution.fit(
        "linear", made, labels, classes, crop_px=SQUARE, period=period, max_lag=1
    )


def test_the_linear_fingerprint_knows_one_place_of_the_grid_from_another():
    made, labels = columns(16)
    fitted = attribution.fit(
        "linear", made, labels, ("even", "odd"), crop_px=40, period=2, max_lag=1
    )
    others, truth = columns(16, seed=1)
    np.testing.assert_array_equal(fitted.log_scores(others).argmax(axis=1), truth)
    moved = np.roll(others, -1, axis=2)
    np.testing.assert_array_equal(fitted.log_scores(moved).argmax(axis=1), 1 - truth)


@pytest.mark.parametrize("period", [3, 4])
def test_a_picture_that_was_cut_off_is_told_where_its_grid_begins(period):
    fitted = fit_marked(period)
    whole, truth = marked(3 * MARKS, period, seed=1)
    cuts = np.random.default_rng(0).integers(0, period, (len(whole), 2))
    found, aligned, anywhere = [], [], []
    for picture, label, cut in zip(whole, truth, cuts, strict=True):
        crop = np.roll(picture, -cut, axis=(0, 1))[None]
        found.append(fitted.find_grid(crop)[0] == tuple(-cut % period))
        aligned.append(fitted.log_scores(crop)[0].argmax() == label)
        anywhere.append(fitted.log_scores_anywhere(crop)[0].argmax() == label)
    assert min(np.mean(found), np.mean(anywhere)) > 0.8
    assert np.mean(aligned) < 0.4


def test_methods_that_see_no_grid_find_none():
    made, labels = pictures(8)
    fitted = attribution.fit("dct", made, labels, CLASSES, crop_px=SIDE, bins=4)
    grid, extracted = fitted.find_grid(made)
    assert grid == (0, 0)
    np.testing.assert_array_equal(extracted, fitted.extract(made))


def test_a_grid_of_twelve_holds_three_and_four(tmp_path):
    kinds = [marked(3 * MARKS, period, seed=period) for period in (3, 4)]
    made = np.concatenate([some for some, _ in kinds])
    labels = np.concatenate([of + MARKS * k for k, (_, of) in enumerate(kinds)])
    classes = tuple(f"class {k}" for k in range(2 * MARKS))
    fitted = attribution.fit("linear", made, labels, classes, crop_px=SQUARE, period=12, max_lag=1)
    classifier_files.save(fitted, tmp_path / "twelve.safetensors")
    again = classifier_files.load(tmp_path / "twelve.safetensors")
    assert again.options == {"period": 12, "max_lag": 1}
    queries = np.concatenate([marked(MARKS, period, seed=9)[0] for period in (3, 4)])
    right = again.log_scores(queries).argmax(axis=1) == np.arange(2 * MARKS)
    assert right.mean() > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 5}, "even number"),
        ({"bins": 0}, "even number"),
        ({"bins": 10}, "crops of 20 pixels or more; got 18"),
        ({"residual": "bm3d"}, "No residual 'bm3d' here; use one of wavelet, gaussian, wiener"),
    ],
)
def test_options_of_spectra_out_of_range_are_named(options, message):
    made, labels = pictures(4)
    with pytest.raises(InputError, match=message):
        attribution.fit("spectrum", made, labels, CLASSES, crop_px=SIDE, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": 0}, "at least 1; got 0 and 3"),
        ({"max_lag": 0}, "at least 1; got 4 and 0"),
        ({"period": 7}, "Crops of 18 pixels are no multiple of the grid of 7"),
        ({"period": 9}, "A grid of 9 and a max_lag of 3 need crops of 27 pixels or more; got 18"),
    ],
)
def test_options_of_grids_out_of_range_are_named(options, message):
    made, labels = pictures(4)
    with pytest.raises(InputError, match=message):
        attribution.fit("linear", made, labels, CLASSES, crop_px=SIDE, **options)
