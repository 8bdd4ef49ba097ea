import sys
import types

import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxsr.attribution import crop_regression
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.features import BINS
from jaxsr.attribution.table import METHODS, TABLE, Method, options_of
from jaxsr.fingerprints import phase_autocorrelation
from jaxsr.fingerprints.crop_features import Features
from jaxsr.gallery import fit as gallery_fit
from jaxsr.gallery.core import ClassCard, Gallery

CLASSICAL = {  # with options that are quick to compile
    "prnu": {"residual": "gaussian"},
    "ncc": {"residual": "gaussian"},
    "spectrum": {"residual": "gaussian", "bins": 4},
    "dct": {"bins": 4},
    "linear": {"period": 2, "max_lag": 1},
    "kernel": {},
}
CLASSES = ("sharp", "soft", "rough")
SIDE = 32


def pictures(count, seed=0, height=SIDE, width=SIDE):
    """Noise that a class blurs, or marks, in its own way; [height, width, 3] uint8, and labels."""
    rng = np.random.default_rng(seed)
    marks = np.random.default_rng(7).normal(size=(3, height, width, 1)) * 12.0
    made, labels = [], np.arange(count) % 3
    for label in labels:
        noise = rng.normal(size=(height, width, 3)) * 20.0
        if label == 1:
            noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
        if label == 2:
            noise[:, ::2] *= 1.5
        made.append(np.clip(128 + noise + marks[label], 0, 255).astype(np.uint8))
    return made, labels


@pytest.fixture(scope="module", params=CLASSICAL)
def fitted(request):
    made, labels = pictures(15)
    options = CLASSICAL[request.param]
    return attribution.fit(request.param, made, labels, CLASSES, crop_px=SIDE, **options)


def test_no_method_is_left_out():
    assert {*CLASSICAL, "convnext"} == set(METHODS)  # convnext has test_convnext.py


def test_every_method_can_be_put_into_a_gallery(fitted, tmp_path):
    cards = [ClassCard(name) for name in CLASSES]
    made = gallery_fit.make(fitted, cards, pictures(15), pictures(15, seed=1))
    made.save(tmp_path / "gallery.safetensors")
    again = Gallery.open(tmp_path / "gallery.safetensors")
    assert again.classifier.method == fitted.method
    images, labels = pictures(9, seed=2)
    named = [again.identify(image).ranking[0][0] for image in images]
    assert np.mean([CLASSES[k] == name for k, name in zip(labels, named, strict=True)]) > 0.5
    new, _ = pictures(60, seed=3)
    assert again.add("new", new[:20]).names == (*CLASSES, "new")


def test_every_method_says_what_it_is(fitted):
    assert fitted.method in CLASSICAL
    assert fitted.classes == CLASSES
    assert fitted.crop_px == SIDE


def test_every_method_knows_new_pictures_of_its_classes(fitted):
    made, labels = pictures(15, seed=1)
    log_scores = fitted.log_scores(np.stack(made))
    assert log_scores.shape == (15, 3)
    assert log_scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_scores).sum(axis=1), 1.0, rtol=1e-5)
    assert np.mean(np.argmax(log_scores, axis=1) == labels) >= 0.9


def test_every_crop_is_judged_alone(fitted):
    crops = np.stack(pictures(10, seed=1)[0])  # ten or five: compiled for sixteen
    for of in (fitted.log_scores, fitted.embedding):
        apart = np.concatenate([of(crops[:5]), of(crops[5:])])
        assert apart.dtype == np.float32
        np.testing.assert_allclose(of(crops), apart, rtol=1e-4, atol=1e-4)


def test_every_method_is_the_same_after_a_file(fitted, tmp_path):
    path = tmp_path / "classifier.safetensors"
    classifier_files.save(fitted, path, {"photographs": [1, 2]})
    again = classifier_files.load(path)
    crops = np.stack(pictures(5, seed=1)[0])
    assert (again.method, again.classes, again.crop_px) == (fitted.method, CLASSES, SIDE)
    np.testing.assert_array_equal(again.log_scores(crops), fitted.log_scores(crops))
    np.testing.assert_array_equal(again.embedding(crops), fitted.embedding(crops))
    assert classifier_files.facts_of(path) == {"photographs": [1, 2]}


def test_every_method_refuses_crops_of_another_kind(fitted):
    with pytest.raises(ValueError, match=r"\[N, 32, 32, 3\].*\(1, 31, 32, 3\)"):
        fitted.log_scores(np.zeros((1, 31, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="at least 1"):
        fitted.embedding(np.zeros((0, 32, 32, 3), np.uint8))
    with pytest.raises(TypeError, match="uint8"):
        fitted.log_scores(np.zeros((1, 32, 32, 3), np.float32))


def test_crops_combine_as_independent_evidence():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2]])
    product = probabilities[0] * probabilities[1]
    combined = attribution.combine(np.log(probabilities))
    np.testing.assert_allclose(np.exp(combined), product / product.sum(), rtol=1e-6)


def test_the_majority_decides_and_scores_break_ties():
    sure, unsure, third = [0.98, 0.01, 0.01], [0.4, 0.5, 0.1], [0.2, 0.35, 0.45]
    sources = np.log([[sure, unsure, unsure], [sure, unsure, third]])
    np.testing.assert_array_equal(attribution.majority(sources), [1, 0])


def test_learning_tells_how_far_it_is():
    made, labels = pictures(9)
    for method in ("ncc", "dct", "kernel"):  # pixels are learnt from, and features
        seen, options = [], CLASSICAL[method]
        attribution.fit(
            method, made, labels, CLASSES, crop_px=SIDE, progress=seen.append, **options
        )
        assert seen == sorted(seen)
        assert seen[-1] == 1.0


def test_what_cannot_be_learnt_from_is_named():
    made, labels = pictures(6)

    def fit(method="dct", these=made, of=labels, classes=CLASSES, crop_px=SIDE, **options):
        return attribution.fit(method, these, of, classes, crop_px=crop_px, **options)

    with pytest.raises(InputError, match="No method 'magic'.*prnu, ncc, spectrum, dct"):
        fit("magic")
    with pytest.raises(InputError, match="'dct' has no option 'residual'; it has bins, shrinkage"):
        fit(residual="wavelet")
    with pytest.raises(InputError, match="No picture of fourth"):
        fit(classes=(*CLASSES, "fourth"))
    with pytest.raises(InputError, match="soft is there 2 times"):
        fit(classes=("sharp", "soft", "soft"))
    with pytest.raises(InputError, match="two classes or more; got 1"):
        fit(classes=("sharp",))
    with pytest.raises(InputError, match="Label 2 names none of the 2 classes"):
        fit(classes=("sharp", "soft"))
    with pytest.raises(InputError, match=r"6 pictures need as many.*\(5,\)"):
        fit(of=labels[:5])
    with pytest.raises(InputError, match=r"0 pictures need as many.*\(1,\)"):
        fit(validation=([], np.zeros(1, int)))
    with pytest.raises(InputError, match="32 x 32 pixels, smaller than a crop of 40"):
        fit(crop_px=40)
    with pytest.raises(InputError, match=r"\[H, W, 3\].*\(32, 32\)"):
        fit(these=[made[0][..., 0], *made[1:]])
    with pytest.raises(TypeError, match="uint8"):
        fit(these=[made[0].astype(np.float32), *made[1:]])


def test_every_method_is_told_where_the_grid_begins(fitted):
    crops = np.stack(pictures(3, seed=2)[0])
    extracted = fitted.extract(crops)
    assert fitted.period in (1, 2, 4)
    np.testing.assert_array_equal(fitted.shifted(extracted, 0, 0), extracted)
    np.testing.assert_array_equal(fitted.log_scores_of(extracted), fitted.log_scores(crops))
    np.testing.assert_array_equal(fitted.embedding_of(extracted), fitted.embedding(crops))
    (rows, columns), moved = fitted.find_grid(crops)
    assert 0 <= rows < fitted.period
    assert 0 <= columns < fitted.period
    np.testing.assert_array_equal(moved, fitted.shifted(extracted, rows, columns))
    np.testing.assert_array_equal(fitted.log_scores_anywhere(crops), fitted.log_scores_of(moved))


@pytest.mark.parametrize(
    ("features", "options"),
    [(phase_autocorrelation.FEATURES, {"max_lag": 1}), (crop_regression.FEATURES, {})],
    ids=["linear", "kernel"],
)
def test_shifted_features_are_those_of_crops_that_begin_there(features, options):
    crops = np.clip(np.random.default_rng(0).normal(128, 20, (6, SIDE, SIDE, 3)), 0, 255)
    crops[:, ::4] = np.clip(2 * crops[:, ::4] - 128, 0, 255)  # rows of a grid of four
    crops = crops.astype(np.uint8)
    options = {**features.options, **options}
    extracted = np.asarray(features.of(crops, options))
    # What repeats itself after a crop changes at its borders alone.
    wanted = np.asarray(features.of(np.roll(crops, (-1, -3), axis=(1, 2)), options))
    found = features.shifted(extracted, 1, 3, **options)
    of_grid = slice(3 * BINS**2, None) if features is crop_regression.FEATURES else slice(None)
    before, after = (np.linalg.norm((one - wanted)[:, of_grid]) for one in (extracted, found))
    assert after < 0.5 * before
    np.testing.assert_array_equal(
        found[:, : of_grid.start or 0], extracted[:, : of_grid.start or 0]
    )


def test_a_new_method_is_an_entry_and_a_function(monkeypatch, tmp_path):
    module = types.SimpleNamespace(
        MEANS=Features(
            lambda crops, scale: crops.astype(np.float32).mean(axis=(1, 2)) * scale,
            lambda crop_px, scale: None,
            {"scale": 1.0},
        )
    )
    monkeypatch.setitem(sys.modules, "means", module)
    entry = Method("jaxsr.attribution.discriminant:fit", "means:MEANS")
    monkeypatch.setitem(TABLE, "means", entry)
    labels = np.arange(30) % 3
    noise = np.random.default_rng(0).integers(0, 9, (30, SIDE, SIDE, 3))
    made = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
    fitted = attribution.fit("means", made, labels, CLASSES, crop_px=SIDE, scale=2.0)
    assert options_of("means") == ("scale", "shrinkage")
    classifier_files.save(fitted, tmp_path / "means.safetensors")
    again = classifier_files.load(tmp_path / "means.safetensors")
    assert again.options == {"scale": 2.0}
    assert (again.log_scores(made).argmax(axis=1) == labels).all()
    assert again.find_grid(made[:2])[0] == (0, 0)
    extracted = attribution.extract_features("means", made, crop_px=SIDE, scale=2.0)
    shared = attribution.fit(
        "means", made, labels, CLASSES, crop_px=SIDE, scale=2.0, extracted=extracted
    )
    np.testing.assert_array_equal(shared.log_scores(made), fitted.log_scores(made))
