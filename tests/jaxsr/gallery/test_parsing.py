import numpy as np
import pytest

from jaxsr.attribution import methods as attribution
from jaxsr.attribution.methods import CropFeatures
from jaxsr.gallery import parsing

_KINDS = (
    {"scale": 2, "loss": "l1", "training_set": "A", "architecture": "edsr"},
    {"scale": 2, "loss": "gan", "training_set": "A", "architecture": "edsr"},
    {"scale": 4, "loss": "l1", "training_set": "A", "architecture": ""},
    {"scale": 4, "loss": "gan", "training_set": "A", "architecture": "rdn"},
)
FACTS = 4 * _KINDS  # networks that differ in the seed
PICTURES, TILES = 8, 3  # of each network, of each picture
TRANSFORM = 768  # features of the cosine transform: 16 x 16 blocks of three channels


def extracted(seed):
    """Pictures of each network: scale moves features, and the loss makes a ring of them."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(FACTS)), PICTURES)
    owners = np.repeat(np.arange(len(labels)), TILES)
    angle = rng.uniform(0, 2 * np.pi, len(owners))
    radius = np.where(labels[owners] % 2, 3.0, 0.3)
    seen = rng.normal(size=(len(owners), 4)) * 0.3
    seen[:, 0] += 5.0 * (labels[owners] % 4 >= 2)
    seen[:, 1] += radius * np.cos(angle)
    seen[:, 2] += radius * np.sin(angle)
    # The same in cosine transforms, which come first, as in statistics of the grid.
    features = np.concatenate([seen, np.zeros((len(owners), TRANSFORM - 4)), seen], axis=1)
    return CropFeatures(features.astype(np.float32), owners), labels


@pytest.fixture(scope="module")
def parser():
    return parsing.fit(FACTS, extracted(0), extracted(1))


def test_what_every_network_states_and_not_all_share_is_told(parser):
    assert parser.values == {"scale": (2, 4), "loss": ("gan", "l1")}
    assert parsing.fit(FACTS[:1] * len(FACTS), extracted(0), extracted(1)) is None


def test_pictures_of_other_photographs_are_parsed(parser):
    seen, labels = extracted(2)
    for picture, label in enumerate(labels):
        found = parser.parse_features(seen.features[seen.owners == picture])
        for name, (value, probability) in found.items():
            assert value == FACTS[label][name]
            assert probability > 0.9


def test_probabilities_allow_for_networks_that_were_never_seen():
    """Of two networks neither tells how the other was built, however well both are known."""
    seen, labels = extracted(0)
    rows = np.flatnonzero(labels < 2)
    two = seen.of(rows), labels[rows]
    parser = parsing.fit(FACTS[:2], two, two)
    for value, probability in parser.parse_features(seen.features[:TILES]).values():
        assert value == "l1"
        assert probability < 0.6


def test_the_order_in_which_facts_are_stated_is_nothing(parser):
    turned = [dict(reversed(one.items())) for one in FACTS]
    other = parsing.fit(turned, extracted(0), extracted(1))
    shuffled = parsing.Parser(
        dict(reversed(other.values.items())), other.temperatures, other.arrays
    )
    seen, _ = extracted(2)
    for crop in np.split(seen.features[::TILES], len(seen.features) // TILES):
        assert shuffled.parse_features(crop) == parser.parse_features(crop)


def test_probabilities_of_values_sum_to_one(parser):
    far = np.full(
        (1, TRANSFORM + 4), 1e3, np.float32
    )  # of which nothing is known: as often as in training
    found = parser.parse_features(far)
    assert {name: round(p, 3) for name, (_, p) in found.items()} == {"scale": 0.5, "loss": 0.5}


def test_crops_are_parsed_by_what_is_seen_of_them():
    rng = np.random.default_rng(0)

    def crops(network, count):  # smoother, and flatter
        noise = rng.normal(size=(count, 32, 32, 3)) * (40 if network % 2 else 15)
        if network % 4 >= 2:
            noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 2
        return np.clip(128 + noise, 0, 255).astype(np.uint8)

    def pictures():
        made = [one for k in range(len(FACTS)) for one in crops(k, 10)]
        seen = attribution.extract_features("kernel", made, crop_px=32)
        return seen, np.repeat(np.arange(len(FACTS)), 10)

    parser = parsing.fit(FACTS, pictures(), pictures())
    for network, facts in enumerate(FACTS):
        found = parser.parse(crops(network, 4))
        assert {name: value for name, (value, _) in found.items()} == {
            name: facts[name] for name in ("scale", "loss")
        }
