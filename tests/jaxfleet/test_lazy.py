"""Packages whose names are imported on first use."""

import subprocess
import sys
import types

import pytest

import jaxfleet
import jaxinr
import jaxsr

HEAVY = ("jax", "pandas", "pyarrow", "scipy", "flax", "optax", "orbax", "tensorflow_datasets")


@pytest.mark.parametrize("package", ["jaxfleet", "jaxinr", "jaxsr"])
def test_an_import_brings_nothing_heavy_and_shows_all_names(package):
    script = f"""
import sys, {package}
assert not set({HEAVY}) & set(sys.modules), sorted(sys.modules)
assert set({package}.__all__) <= set(dir({package}))
from {package} import *
assert set({package}.__all__) <= set(globals())
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("package", [jaxfleet, jaxinr, jaxsr])
def test_every_name_is_there_and_none_is_a_module(package):
    assert len(package.__all__) >= 3
    for name in package.__all__:
        assert not isinstance(getattr(package, name), types.ModuleType)


def test_a_module_that_is_called_like_a_function_does_not_hide_it():
    script = """
import jaxinr
from jaxinr.fit import Fits  # binds the module jaxinr.fit, were it not for jaxfleet.lazy
assert callable(jaxinr.fit)
import jaxsr.upscale
assert callable(jaxsr.upscale)
from jaxinr import fit
assert fit is jaxinr.fit
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_submodules_are_imported_on_first_use_and_others_are_named():
    script = """
import jaxsr
assert jaxsr.evaluation.__name__ == "jaxsr.evaluation"
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="module 'jaxsr' has no attribute 'nothing'"):
        _ = jaxsr.nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from jaxsr import nothing")
