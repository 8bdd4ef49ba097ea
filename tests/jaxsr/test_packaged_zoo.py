"""The networks and the gallery that come with jaxsr: they load, work, and belong together."""

import numpy as np
import pytest
import skimage.data

import jaxsr
from jaxfleet.errors import InputError
from jaxsr.attribution import methods as attribution
from jaxsr.datasets import degrade
from jaxsr.datasets.crops import tiles as tiles_of
from jaxsr.files import networks as network_files


@pytest.fixture(scope="module")
def gallery():
    return jaxsr.Gallery.open()


def test_names_are_those_of_the_grid():
    names = jaxsr.trained()
    assert len(names) == 120
    parts = [name.split("-") for name in names]
    assert {part[0] for part in parts} == {"edsr", "nlsn", "rcan", "rdn", "swinir"}
    assert {tuple(part[1:2] + part[4:]) for part in parts} == {
        ("A", "s1"),
        ("A", "s2"),
        ("A", "s3"),
        ("B", "s1"),
    }


def test_a_file_goes_before_a_name_that_ships(tmp_path):
    name = "edsr-A-x2-l1-s1"
    assert network_files.find(name).parent == network_files.packaged() / network_files.NETWORKS
    own = tmp_path / name
    own.write_bytes(b"")
    assert network_files.find(own) == own
    with pytest.raises(InputError, match="no-such-network: "):
        jaxsr.load("no-such-network")


@pytest.mark.parametrize("name", ["edsr-A-x2-l1-s2", "rdn-A-x4-vgg_adv-s3"])
def test_a_network_is_found_in_what_it_made(gallery, name):
    photograph = skimage.data.astronaut()  # of the validation split; the gallery did not learn it
    scale = int(name.split("-")[2][1:])
    made = jaxsr.upscale(jaxsr.load(name), degrade.bicubic_reduce(photograph, scale))
    found = gallery.identify(made[5:, 3:])
    assert found.ranking[0][0] == name
    assert found.is_known
    assert found.is_super_resolved
    assert found.hyperparameters["scale"][0] == scale


def test_the_classifier_of_the_gallery_looks_for_the_grid_too(gallery):
    name, classifier = "edsr-A-x4-l1-s1", gallery.classifier
    low = degrade.bicubic_reduce(skimage.data.astronaut(), 4)
    made = jaxsr.upscale(jaxsr.load(name), low)[5:, 3:]
    tiles = tiles_of(made, classifier.crop_px)
    assert classifier.find_grid(tiles)[0] == (3, 1)
    log_scores = attribution.combine(classifier.log_scores_anywhere(tiles))
    assert classifier.classes[log_scores.argmax()] == name
    assert classifier.classes[attribution.combine(classifier.log_scores(tiles)).argmax()] != name


def test_a_photograph_is_no_work_of_a_network(gallery):
    assert not gallery.identify(skimage.data.astronaut()).is_super_resolved


def test_noise_is_unknown(gallery):
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    assert not gallery.identify(noise).is_known
