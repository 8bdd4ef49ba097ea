"""Gallery files: what they keep, and what is refused."""

import dataclasses

import numpy as np
import pytest
from safetensors import numpy as safetensors

import jaxsr
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxsr.attribution import methods as attribution
from jaxsr.gallery import files as gallery_files
from jaxsr.gallery import parsing
from jaxsr.gallery.core import Gallery
from tests.jaxsr.gallery.colours import COLOURS, drawn


def to_bytes(one):
    arrays, facts = one.to_arrays()
    return gallery_files.CARDS.pack(facts, arrays)


def test_a_file_keeps_everything(made, tmp_path):
    path = tmp_path / "gallery.safetensors"
    larger = made.add("new", drawn([150, 150, 90], 20, 300), architecture="imdn", scale=3)
    larger.save(path)
    for place in (path, str(path), tmp_path):
        opened = Gallery.open(place)
        assert opened.cards == larger.cards
        assert opened.facts == {"of": "test"}
        np.testing.assert_array_equal(opened.spectra, larger.spectra)
        picture = drawn(COLOURS[1], 1, 5)[0]
        assert opened.identify(picture) == larger.identify(picture)
    assert to_bytes(opened) == path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_keeps_the_parser(made, tmp_path):
    features = np.random.default_rng(0).normal(size=(20, 900)).astype(np.float32)
    pictures = attribution.CropFeatures(features, np.arange(20)), np.arange(20) % 4
    stated = [{"scale": scale, "loss": loss} for scale in (2, 4) for loss in ("l1", "l2")]
    own = parsing.fit(stated, pictures, pictures)
    dataclasses.replace(made, parser=own).save(tmp_path / "g.safetensors")
    again = Gallery.open(tmp_path / "g.safetensors").parser
    assert (again.values, again.temperatures) == (own.values, own.temperatures)
    for row in range(20):
        found = again.parse_features(features[row : row + 1])
        assert found == own.parse_features(features[row : row + 1])
        assert {name: value for name, (value, _) in found.items()} == stated[row % 4]


def test_the_gallery_that_ships_is_opened_without_a_path(made, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_files.importlib.resources, "files", lambda name: tmp_path / name)
    with pytest.raises(InputError, match="No gallery comes with this installation of jaxsr; make"):
        Gallery.open()
    (tmp_path / "jaxsr" / "data").mkdir(parents=True)
    made.save(tmp_path / "jaxsr" / "data" / "gallery.safetensors")
    assert Gallery.open().names == made.names


def test_files_that_are_no_galleries_are_refused_by_name(made, tmp_path):
    data = to_bytes(made)
    value = bytearray(data)
    value[-1] ^= 1
    named = data.replace(b"rdn-x4", b"rdn-x5")
    assert named != data
    other = data.replace(b'\\"format\\": 4', b'\\"format\\": 3')
    assert other != data
    path = tmp_path / "g.safetensors"
    for bad, message in (
        (data[:-1], "damaged, or no gallery"),
        (data[:4], "damaged, or no gallery"),
        (b"", "damaged, or no gallery"),
        (bytes(value), "is damaged: what it holds has changed"),
        (named, "is damaged: what it holds has changed"),
        (other, "holds a version 3 gallery, not 4; copy it again, or make it"),
        (safetensors.save({"a": np.zeros(2)}), "holds no gallery"),
        (safetensors.save({"a": np.zeros(2)}, {"jaxsr": "{}"}), "holds no gallery"),
        (
            safetensors.save({"a": np.zeros(2)}, {"jaxsr.gallery": "[]"}),
            "what it holds has changed",
        ),
    ):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=message) as refused:
            Gallery.open(path)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    for place in (tmp_path / "none.safetensors", tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="there is no gallery"):
            Gallery.open(place)


def test_a_network_that_the_classifier_alone_knows_is_named_by_it():
    installed, name = Gallery.open(), "edsr-B-x4-l1-s1"
    assert name not in installed.judge.names
    photograph = photos.load("packaged", max_images=1)[0].pixels[100:228, 100:228]
    found = installed.identify(jaxsr.upscale(jaxsr.load(name), photograph))
    assert (found.network, found.families[0][0]) == (name, "jaxsr zoo")


def test_the_classifier_names_no_network_whose_family_the_judge_finds_unlikely():
    installed, zoo = Gallery.open(), ("jaxsr zoo", 0.9)
    other = ("Real-ESRGAN", 0.998)
    own = installed.names[-1]
    assert installed._agrees(own, {"families": (zoo, other), "network": "rcan-A-x2-l1-s1"})
    assert not installed._agrees(own, {"families": (other, zoo)})
    assert not installed._agrees(own, {})
    assert installed._agrees("added", {"families": (other, zoo), "network": None})
    assert not installed._agrees("added", {"families": (other,), "network": "realesrgan-x4plus"})
