"""A gallery of a classifier by mean colours."""

import sys
import types

import pytest

from jaxsr.attribution.table import TABLE, Method
from jaxsr.gallery import fit as gallery_fit
from tests.jaxsr.gallery.colours import CARDS, Colours, labelled


def from_arrays(arrays, facts):
    assert arrays["nothing"].shape == (1,)
    return Colours(tuple(facts["classes"]), facts["crop_px"])


@pytest.fixture(autouse=True)
def _method(monkeypatch):
    module = types.SimpleNamespace(from_arrays=from_arrays)
    monkeypatch.setitem(sys.modules, "mean_colours", module)
    method = Method("mean_colours:fit")
    monkeypatch.setitem(TABLE, "colours", method)


@pytest.fixture(scope="module")
def made():
    return gallery_fit.make(
        Colours(), CARDS, labelled(40, 0), labelled(30, 100), facts={"of": "test"}
    )
