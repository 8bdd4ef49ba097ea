import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.special

from jaxfleet.errors import InputError
from jaxsr.attribution import calibration
from jaxsr.attribution import residual as attribution_residual
from jaxsr.fingerprints import prnu, residuals

CLASSES = ("one", "two")
SIDE = 16


def pictures(count, seed=0, height=SIDE, width=SIDE):
    """[height, width, 3] uint8 of two classes, each with a faint mark of its own; labels."""
    rng = np.random.default_rng(seed)
    marks = np.random.default_rng(9).normal(size=(2, height, width, 3)) * 4.0
    labels = np.arange(count) % 2
    made = rng.normal(128, 12, size=(count, height, width, 3)) + marks[labels]
    return np.clip(made, 0, 255).astype(np.uint8), labels


def residuals_of(crops):
    """Of a Gaussian of one pixel, in grey levels, float64."""
    images = crops.astype(np.float64)
    blurred = [scipy.ndimage.gaussian_filter(image, (1, 1, 0), mode="reflect") for image in images]
    return images - np.stack(blurred)


def fingerprints_of(crops, labels):
    found = residuals_of(crops)
    return np.stack([found[labels == k].mean(axis=0) for k in (0, 1)])


def test_nearest_fingerprint_is_that_of_the_paper():
    crops, labels = pictures(8)
    queries, _ = pictures(4, seed=1)
    fitted = attribution_residual.fit_prnu(
        crops, labels, CLASSES, crop_px=SIDE, residual="gaussian"
    )
    apart = residuals_of(queries)[:, None] - fingerprints_of(crops, labels)
    distances = np.sum(apart**2, axis=(2, 3, 4))
    weights = 1.0 / (distances - distances.min(axis=1, keepdims=True) + 1.0)
    expected = np.log(weights / weights.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(fitted.log_scores(queries), expected, rtol=1e-3, atol=1e-3)


def test_correlations_are_those_of_numpy_over_their_spread_by_chance():
    crops, labels = pictures(8)
    queries, _ = pictures(4, seed=1)
    fitted = attribution_residual.fit_ncc(crops, labels, CLASSES, crop_px=SIDE, residual="gaussian")
    found, fingerprints = residuals_of(queries), fingerprints_of(crops, labels)
    expected = [[np.corrcoef(r.ravel(), f.ravel())[0, 1] for f in fingerprints] for r in found]
    np.testing.assert_allclose(fitted.embedding(queries), expected, atol=1e-5)
    scores = scipy.special.log_softmax(np.array(expected) * np.sqrt(3 * SIDE**2), axis=1)
    np.testing.assert_allclose(fitted.log_scores(queries), scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cleaned", [False, True])
def test_flat_crops_and_flat_classes_say_nothing_and_spoil_nothing(cleaned):
    crops, labels = pictures(9)
    title = np.full((2, SIDE, SIDE, 3), 255, np.uint8)  # the last class: title cards alone
    crops, labels = np.concatenate([crops, title]), np.r_[labels, 2, 2]
    flat = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 77, 128, 255)])
    fits = [
        attribution_residual.fit_ncc(crops, labels, (*CLASSES, "title"), crop_px=SIDE, cleaned=True)
        if cleaned
        else attribution_residual.fit_ncc(crops, labels, (*CLASSES, "title"), crop_px=SIDE),
        attribution_residual.fit_prnu(crops, labels, (*CLASSES, "title"), crop_px=SIDE),
    ]
    for fitted in fits:
        np.testing.assert_allclose(fitted.log_scores(flat), -np.log(3), atol=1e-6)
        assert np.isfinite(fitted.log_scores(crops)).all()
    queries, truth = pictures(6, seed=1)
    assert (fits[0].log_scores(queries)[:, :2].argmax(axis=1) == truth).all() or cleaned


def test_temperature_of_correlations_is_that_of_the_validation():
    crops, labels = pictures(8)
    held_out, truth = pictures(8, seed=1)
    truth = truth.copy()
    truth[:2] = 1 - truth[:2]  # not all can be right, so that there is a best temperature
    fitted = attribution_residual.fit_ncc(
        crops, labels, CLASSES, crop_px=SIDE, residual="gaussian", validation=(held_out, truth)
    )
    expected = calibration.fit_temperature(fitted.embedding(held_out), truth)
    assert fitted.temperature == pytest.approx(expected)
    assert fitted.temperature != pytest.approx(1 / np.sqrt(3 * SIDE**2), rel=0.01)


def test_only_the_middle_of_a_picture_counts():
    crops, labels = pictures(4)
    larger = np.pad(crops, ((0, 0), (24, 25), (0, 3), (0, 0)), constant_values=200)
    ours = [
        attribution_residual.fit_prnu(some, labels, CLASSES, crop_px=SIDE, residual="gaussian")
        for some in (larger, crops)
    ]
    np.testing.assert_array_equal(ours[0].fingerprints, ours[1].fingerprints)


def test_fingerprints_are_cleaned_as_for_cameras():
    crops, labels = pictures(8)
    fitted = attribution_residual.fit_ncc(
        crops,
        labels,
        CLASSES,
        crop_px=SIDE,
        residual="gaussian",
        estimate="maximum_likelihood",
        cleaned=True,
    )
    images = jnp.asarray(crops[labels == 1], jnp.float32) / 255.0
    total = prnu.sums(images, residuals.gaussian_residual(images))
    expected = prnu.clean(prnu.maximum_likelihood(total))
    np.testing.assert_allclose(fitted.fingerprints[1], expected, atol=1e-6)
    assert fitted.embedding(crops[:1]).shape == (1, 2)


def test_bm3d_loses_what_is_less_than_a_grey_level(monkeypatch):
    signs = np.where(np.arange(SIDE) % 2, 1.0, -1.0)[:, None, None]

    def residual(images):
        return jnp.broadcast_to(jnp.asarray(signs * 2.7 / 255, jnp.float32), images.shape)

    monkeypatch.setattr(residuals, "bm3d_residual", residual)
    crops, labels = pictures(4)
    fitted = attribution_residual.fit_prnu(crops, labels, CLASSES, crop_px=SIDE, residual="bm3d")
    expected = np.broadcast_to(2.0 * signs, fitted.fingerprints.shape)
    np.testing.assert_allclose(255 * fitted.fingerprints, expected, rtol=1e-5)


def test_options_that_do_not_exist_are_named():
    crops, labels = pictures(4)
    with pytest.raises(InputError, match="No method 'magic' for residuals"):
        attribution_residual.fit_prnu(crops, labels, CLASSES, crop_px=SIDE, residual="magic")
    with pytest.raises(InputError, match="No estimate 'median'; use one of mean, maximum_like"):
        attribution_residual.fit_ncc(crops, labels, CLASSES, crop_px=SIDE, estimate="median")
