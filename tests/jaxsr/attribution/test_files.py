import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from jaxfleet.errors import InputError
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution

CLASSES = ("sharp", "soft", "rough")
SIDE = 32


def pictures(count):
    return list(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


@pytest.fixture
def saved(tmp_path):
    made, labels = pictures(6), np.arange(6) % 3
    classifier = attribution.fit("prnu", made, labels, CLASSES, crop_px=SIDE, residual="gaussian")
    path = tmp_path / "saved.safetensors"
    classifier_files.save(classifier, path)
    return path


@pytest.mark.parametrize("place", [0, 40, 300, 5000, -1])
def test_a_changed_byte_is_found(saved, place):
    data = bytearray(saved.read_bytes())
    data[place] ^= 1
    saved.write_bytes(data)
    with pytest.raises(InputError, match="saved.safetensors (is damaged|holds no classifier)"):
        classifier_files.load(saved)


def test_other_files_are_no_classifiers(saved, tmp_path):
    with pytest.raises(InputError, match="absent.safetensors: No such file"):
        classifier_files.load(tmp_path / "absent.safetensors")
    saved.write_bytes(saved.read_bytes()[:1000])
    with pytest.raises(InputError, match="saved.safetensors (holds|is damaged, or) no classifier"):
        classifier_files.load(saved)
    saved.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, {"of": "another"}))
    with pytest.raises(InputError, match="saved.safetensors (holds|is damaged, or) no classifier"):
        classifier_files.load(saved)


def test_a_file_of_another_version_is_named(saved, monkeypatch):
    later = dataclasses.replace(classifier_files.CARDS, version=2)
    monkeypatch.setattr(classifier_files, "CARDS", later)
    with pytest.raises(InputError, match="a version 1 classifier, not 2; remove it and fit it ag"):
        classifier_files.load(saved)


def test_arrays_that_do_not_fit_are_refused(saved, tmp_path):
    classifier = classifier_files.load(saved)
    path = tmp_path / "short.safetensors"
    classifier_files.save(dataclasses.replace(classifier, classes=CLASSES[:2]), path)
    with pytest.raises(
        InputError, match="short.safetensors is damaged: what it holds has changed; remove it"
    ):
        classifier_files.load(path)


def test_facts_are_json(saved):
    arrays, facts = attribution.to_arrays(classifier_files.load(saved))
    again = attribution.from_arrays(arrays, json.loads(json.dumps(facts)))
    crops = np.stack(pictures(3))
    np.testing.assert_array_equal(
        again.log_scores(crops), classifier_files.load(saved).log_scores(crops)
    )
