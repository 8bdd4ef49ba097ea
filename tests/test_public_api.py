import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import jaxfleet
import jaxinr
import jaxsr

PACKAGES = (jaxfleet, jaxinr, jaxsr)
MODULES = sorted(
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
)


def documented(name, thing):
    """Yields (name, docstring) of a function, or of a class and what is public in its body."""
    yield name, inspect.getdoc(thing)
    if inspect.isclass(thing):
        for attribute, member in vars(thing).items():
            member = getattr(member, "__func__", member)  # class and static methods
            is_own = getattr(member, "__module__", None) == thing.__module__
            if isinstance(member, property) or (inspect.isroutine(member) and is_own):
                if not attribute.startswith("_"):
                    yield f"{name}.{attribute}", member.__doc__


@pytest.mark.parametrize("name", [*(package.__name__ for package in PACKAGES), *MODULES])
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__
    public = {
        f"{name}.{attribute}": value
        for attribute, value in vars(module).items()
        if not attribute.startswith("_")
        and getattr(value, "__module__", None) == name
        # values of a constant's class belong to another module, type aliases to typing
        and (inspect.isclass(value) or callable(value))
    }
    entries = [entry for item in public.items() for entry in documented(*item)]
    assert [path for path, text in entries if not text] == []


def test_the_names_that_outsiders_rely_on_are_there():
    assert {"Trial", "fit", "render", "to_torch", "from_torch"} <= set(dir(jaxinr))
    assert {"open"} <= set(dir(jaxfleet))
    assert {"log_power_spectrum", "azimuthal_average", "dct2"} <= set(dir(jaxsr))
    assert {"noise_residual"} <= set(dir(jaxsr))
    assert {"names", "build", "count_parameters", "load_torch"} <= set(dir(jaxsr))
    assert {"save", "load", "upscale", "Gallery"} <= set(dir(jaxsr))


def test_import_is_light():
    script = "import sys, jaxinr, jaxfleet, jaxsr; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert not loaded & {"torch", "tensorflow", "tensorflow_datasets", "orbax", "matplotlib", "ray"}


def test_import_does_not_start_jax():
    # A script sets the number of CPU devices after its imports; that must still be possible.
    script = "import jaxinr, jaxfleet, jaxsr, jax; jax.config.update('jax_num_cpu_devices', 3)"
    subprocess.run([sys.executable, "-c", script], check=True)
