"""Galleries of a classifier whose features are mean colours, so that answers follow by hand."""

import dataclasses
import types

import numpy as np
import pytest
import scipy.special
from PIL import Image

from jaxfleet.errors import InputError
from jaxsr.attribution import methods as attribution
from jaxsr.attribution import open_set
from jaxsr.gallery import core as gallery
from jaxsr.gallery import fit as gallery_fit
from jaxsr.gallery import tiles as gallery_tiles
from jaxsr.gallery.core import ClassCard, Gallery
from tests.jaxsr.gallery.colours import CARDS, COLOURS, CROP, Colours, drawn, flat, labelled


def by_hand(temperature=1.0, growth=0.0, threshold=-4.0):
    """Classes at COLOURS, distances in units of 10 grey levels; nothing is odd in all classes."""
    unit = np.eye(3)
    where = open_set.Gaussians(np.full(3, 10.0), unit, COLOURS / 10, 0 * unit, np.zeros(3))
    spectra = np.zeros((len(CARDS), CROP, CROP), np.float16)
    return Gallery(Colours(), CARDS, where, temperature, growth, threshold, spectra)


def test_probabilities_are_those_of_normal_distributions_at_a_temperature():
    found = by_hand(temperature=3.0).identify(flat([120, 100, 90]))
    squares = ((np.array([120, 100, 90]) - COLOURS) ** 2).sum(axis=1) / 100
    expected = scipy.special.softmax(-squares / 2 / 3)
    order = np.argsort(-expected, kind="stable")
    assert [name for name, _ in found.ranking] == [CARDS[i].name for i in order]
    np.testing.assert_allclose([p for _, p in found.ranking], expected[order], rtol=1e-6)
    assert found.num_tiles == 1


@pytest.mark.parametrize(("growth", "power"), [(0.0, 4), (1.0, 1), (0.5, 2)])
def test_what_four_tiles_say_adds_up_as_far_as_they_are_independent(growth, power):
    one, four = (flat([120, 100, 90], size, size) for size in (CROP, 2 * CROP))
    built = by_hand(temperature=5.0, growth=growth)
    alone = dict(built.identify(one).ranking)
    found = built.identify(four)
    assert found.num_tiles == 4
    powers = {name: chance**power for name, chance in alone.items()}
    for name, chance in found.ranking:
        assert chance == pytest.approx(powers[name] / sum(powers.values()), rel=1e-5)


def test_hyperparameters_sum_over_the_networks_that_state_them():
    chances = np.array([0.5, 0.15, 0.25, 0.1])
    found = gallery.parse(CARDS, chances)
    assert found["architecture"] == ("edsr", pytest.approx(0.4 / 0.5))
    assert found["scale"] == (4, pytest.approx(0.35 / 0.5))
    assert found["loss"] == ("l1", pytest.approx(0.15 / 0.25))  # edsr-x4 does not state it
    assert set(found) == {"architecture", "scale", "loss"}
    assert gallery.parse(CARDS[:1], np.ones(1)) == {}


def test_hyperparameters_of_an_unknown_picture_are_what_the_parser_says():
    seen = []

    def parse(crops):
        seen.append(crops.shape)
        return {"scale": (3, 0.9)}

    built = dataclasses.replace(by_hand(), parser=types.SimpleNamespace(parse=parse))
    known, unknown = built.identify(flat([150, 91, 90])), built.identify(flat([250, 240, 230]))
    assert known.is_known
    assert known.hyperparameters == by_hand().identify(flat([150, 91, 90])).hyperparameters
    assert not unknown.is_known
    assert unknown.hyperparameters == {"scale": (3, 0.9)}
    assert seen == [(1, CROP, CROP, 3)]


def test_super_resolved_is_what_its_networks_outweigh():
    built = by_hand()
    assert built.identify(flat([150, 91, 90])).is_super_resolved is True
    found = built.identify(flat([90, 91, 90]))
    assert found.is_super_resolved is False
    assert found.super_resolved_probability == pytest.approx(1 - dict(found.ranking)["camera"])
    alone = dataclasses.replace(
        built,
        cards=CARDS[1:],
        gaussians=dataclasses.replace(built.gaussians, means=built.gaussians.means[1:]),
    )
    assert alone.identify(flat([150, 91, 90])).is_super_resolved is None


@pytest.mark.parametrize(
    ("kind", "facts", "expected"),
    [
        ("network", {}, True),
        ("bicubic", {"scale": 2}, False),
        ("original", {}, False),
        ("elsewhere", {"loss": "l1"}, False),
        ("elsewhere", {"scale": 4}, True),
        ("elsewhere", {"architecture": "edsr"}, True),
    ],
)
def test_kinds_that_count_as_super_resolved(kind, facts, expected):
    assert ClassCard("a", kind, facts).is_super_resolved is expected


@pytest.mark.parametrize(("red", "is_known"), [(169, True), (171, False)])
def test_known_is_what_lies_within_the_threshold_of_a_class(red, is_known):
    found = by_hand(threshold=-4.0).identify(flat([red, 91, 90]))
    assert found.is_known is is_known
    assert found.margin == pytest.approx(4 - ((red - 150) ** 2 + 1) / 100, rel=1e-6)


def test_tiles_that_repeat_each_other_count_as_one():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 200)
    features = (COLOURS[labels] + 30 * draw.standard_normal((200, 3)))[:, None]
    alone = by_hand().gaussians
    temperature, growth, _ = gallery_fit.calibrate(alone, list(features.repeat(3, axis=1)), labels)
    assert growth == pytest.approx(1, abs=1e-3)
    once, none, _ = gallery_fit.calibrate(alone, list(features), labels)
    assert temperature == pytest.approx(once, rel=1e-3)
    assert none == 0


def test_tiles_that_are_drawn_apart_count_as_many():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 800)
    noise = 30 * draw.standard_normal((800, 3, 3))  # thrice what the covariance says: T is 9
    features = COLOURS[labels][:, None] + noise
    temperature, growth, threshold = gallery_fit.calibrate(
        by_hand().gaussians, list(features), labels
    )
    assert temperature == pytest.approx(9, rel=0.15)
    assert growth == pytest.approx(0, abs=0.15)
    familiar = by_hand().gaussians.relative_mahalanobis(features.reshape(-1, 3))
    assert np.mean(familiar >= threshold) == pytest.approx(0.95, abs=1e-3)


def test_a_gallery_that_was_made_tells_pictures_of_other_photographs(made):
    pictures, labels = labelled(25, 200)
    found = [made.identify(picture) for picture in pictures]
    names = [one.ranking[0][0] for one in found]
    assert (
        np.mean([made.names.index(name) == k for name, k in zip(names, labels, strict=True)]) > 0.97
    )
    assert np.mean([one.is_known for one in found]) > 0.88
    assert not made.identify(flat([200, 200, 0])).is_known
    assert made.spectra.shape == (4, CROP, CROP)
    assert np.isfinite(made.spectra).all()


def test_a_network_more_is_told_and_the_others_stay_where_they_were(made):
    colour = [150, 150, 90]
    larger = made.add("new", drawn(colour, 20, 300), architecture="imdn", scale=3)
    assert made.names == tuple(card.name for card in CARDS)
    assert larger.names == (*made.names, "new")
    np.testing.assert_array_equal(larger.gaussians.means[:4], made.gaussians.means)
    pictures = drawn(colour, 10, 301)
    assert sum(made.identify(picture).is_known for picture in pictures) == 0
    found = [larger.identify(picture) for picture in pictures]
    assert {one.ranking[0][0] for one in found} == {"new"}
    assert sum(one.is_known for one in found) >= 8
    assert found[0].hyperparameters["scale"][0] == 3
    assert larger.identify(drawn(COLOURS[2], 1, 302)[0]).ranking[0][0] == "edsr-x4"


def test_what_cannot_be_enrolled(made):
    pictures = drawn([150, 150, 90], 20, 0)
    for message, name, images, facts in (
        ("has 19 pictures; give at least 20", "new", pictures[:19], {}),
        ("has 1 picture;", "new", pictures[:1], {}),
        ("a class 'rdn-x4' already", "rdn-x4", pictures, {}),
        ("needs a name", " ", pictures, {}),
        ("No fact is called width", "new", pictures, {"width": 3}),
        ("No kind is called 'own'", "new", pictures, {"kind": "own"}),
        ("Picture 2 of 'new': 7 x 8", "new", [pictures[0], pictures[0][:, :7]], {}),
    ):
        with pytest.raises(InputError, match=message):
            made.add(name, images, **facts)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((CROP, CROP), np.uint8), r"expected 8-bit colour.*\(8, 8\)"),
        (np.zeros((CROP, CROP, 4), np.uint8), r"expected 8-bit colour"),
        (np.zeros((CROP, CROP, 3), np.uint16), r"got uint16"),
        (flat([1, 2, 3], CROP - 1, 99), r"99 x 7 pixels are less than a tile of 8 x 8"),
        (flat([7, 7, 7]), r"grey in all pixels"),
    ],
)
def test_pictures_that_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        by_hand().identify(image)


def test_a_path_is_refused_and_an_image_of_pil_is_taken():
    with pytest.raises(
        TypeError, match=r"got the path a\.png\. Read it: jaxfleet\.imaging\.photos\.read"
    ):
        by_hand().identify("a.png")
    image = flat([1, 2, 3])
    assert (
        by_hand().identify(Image.fromarray(image)).to_json() == by_hand().identify(image).to_json()
    )


def test_features_that_are_not_finite_are_refused(monkeypatch):
    monkeypatch.setattr(
        Colours, "embedding_of", lambda self, crops: np.full((len(crops), 3), np.nan)
    )
    with pytest.raises(InputError, match="nothing in it to go by"):
        by_hand().identify(flat([1, 2, 3]))


def test_tiles_are_at_most_sixteen_from_the_first_to_the_last():
    picture = np.arange(100, dtype=np.uint8).repeat(3).reshape(10, 10, 3)
    assert gallery_tiles.tiles(picture[:4, :4], 1)[:, 0, 0, 0].tolist() == [
        *range(4),
        *range(10, 14),
    ] + [
        *range(20, 24),
        *range(30, 34),
    ]
    spread = gallery_tiles.tiles(picture, 1)[:, 0, 0, 0]
    assert len(spread) == 16
    assert (spread[0], spread[-1]) == (0, 99)
    assert set(np.diff(spread.astype(int))) <= {6, 7}


def test_features_of_many_pictures_are_those_of_each():
    sizes = np.random.default_rng(0).integers(CROP, 6 * CROP, (30, 2))
    pictures = [drawn([9, 99, 200], 1, i, *size)[0] for i, size in enumerate(sizes)]
    together = gallery_tiles.embeddings_of(Colours(), pictures)
    for picture, features in zip(pictures, together, strict=True):
        alone = gallery_tiles.embeddings_of(Colours(), [picture])[0]
        np.testing.assert_allclose(features, alone, rtol=1e-6)


def test_what_is_left_of_a_picture_from_its_grid_on_is_filled_up_for_the_parser(monkeypatch):
    seen = []

    def parse(crops):
        seen.append(crops)
        return {}

    built = dataclasses.replace(by_hand(), parser=types.SimpleNamespace(parse=parse))
    picture = np.random.default_rng(0).integers(0, 256, (CROP + 1, 2 * CROP, 3)).astype(np.uint8)
    features = Colours().embedding(picture[None, :CROP, :CROP])
    monkeypatch.setattr(Gallery, "features_on_grid", lambda *_: ((3, 2), features))
    assert not built.identify(picture).is_known
    (crops,) = seen
    np.testing.assert_array_equal(crops[0, : CROP - 2], picture[3:, 2 : CROP + 2])
    np.testing.assert_array_equal(crops[0, CROP - 2 :], picture[: -CROP + 1 : -1][:2, 2 : CROP + 2])


def test_a_network_is_enrolled_from_where_the_grid_begins_in_its_pictures():
    period, classes, side = 4, 6, 48
    gains = np.random.default_rng(1).uniform(1.0, 5.0, (classes + 1, period, period))

    def picture(k, seed, cut=(0, 0)):
        noise = np.random.default_rng([k, seed]).normal(size=(side + 4, side + 4, 3)) * 8.0
        noise *= np.tile(gains[k], (13, 13))[..., None]
        whole = np.clip(128 + noise, 0, 255).astype(np.uint8)
        return whole[cut[0] :, cut[1] :][:side, :side]

    names = [f"class {k}" for k in range(classes)]
    labels = np.repeat(np.arange(classes), 10)
    known, apart = (
        [picture(k, seed + first) for seed, k in zip(range(60), labels, strict=True)]
        for first in (0, 100)
    )
    fitted = attribution.fit("linear", known, labels, names, crop_px=side, max_lag=1)
    cards = [ClassCard(name) for name in names]
    made = gallery_fit.make(fitted, cards, (known, labels), (apart, labels))
    cuts = np.random.default_rng(0).integers(0, period, (40, 2))
    new = [picture(classes, seed) for seed in range(200, 240)]
    moved = [picture(classes, seed, cut) for seed, cut in zip(range(200, 240), cuts, strict=True)]
    means = [made.add("new", some).gaussians.means[-1] for some in (new, moved)]
    mixture = np.concatenate(gallery_tiles.embeddings_of(fitted, moved)).mean(axis=0)
    plain = made.gaussians
    blurred = mixture / plain.scale @ plain.whitening
    assert np.linalg.norm(means[1] - means[0]) < 0.5 * np.linalg.norm(blurred - means[0])


def test_a_gallery_needs_pictures_to_learn_from_and_to_calibrate_with():
    pictures, labels = labelled(2, 0)
    with pytest.raises(InputError, match="Class 'rdn-x4' has 1 pictures to learn from"):
        gallery_fit.make(Colours(), CARDS, (pictures[:-1], labels[:-1]), (pictures, labels))
    with pytest.raises(InputError, match="no pictures of split validation"):
        gallery_fit.make(Colours(), CARDS, (pictures, labels), ([], labels[:0]))


def test_an_identification_is_one_line_and_a_table():
    ranking = (("edsr-x2", 0.9), ("rcan-x2", 0.1))
    found = gallery.Identification(ranking, {}, True, 1.0, True, 1.0, 1)
    assert repr(found) == "Identification(known: edsr-x2 at 90.0%, of 2 classes)"
    stranger = gallery.Identification(ranking, {}, False, -1.0, True, 1.0, 1)
    assert repr(stranger) == "Identification(unknown, nearest to edsr-x2 at 90.0%, of 2 classes)"
    assert found.to_pandas().to_dict("list") == {
        "name": ["edsr-x2", "rcan-x2"],
        "probability": [0.9, 0.1],
    }
    assert "<table" in found._repr_html_()
