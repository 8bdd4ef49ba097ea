"""Public names of a package that are imported on first use, so that importing the package is quick.

The package writes its imports once, where type checkers and editors look for them:

    if TYPE_CHECKING:
        from jaxinr.fit import fit as fit
    else:
        lazy.export(__name__)
"""

import ast
import importlib
import importlib.util
import sys
import types
from typing import Any


def export(package: str) -> None:
    """Make the names that a package imports under `if TYPE_CHECKING:` attributes of it.

    A name is imported when it is first asked for, and so is a submodule, as `package.submodule`.
    `dir(package)` lists the names, and `from package import *` imports them.

    Args:
        package: its full name; call this from its `__init__.py`.
    """
    module = sys.modules[package]
    assert module.__spec__ is not None
    loader: Any = module.__spec__.loader
    module.__dict__["_owners"] = _owners(loader.get_source(package))
    module.__dict__["__all__"] = sorted(module.__dict__["_owners"])
    module.__class__ = _Package


class _Package(types.ModuleType):
    """A package whose public names are imported on first use."""

    _owners: dict[str, tuple[str, str]]  # public name -> module, its name there

    def __getattr__(self, name: str) -> Any:
        if name in self._owners:
            owner, there = self._owners[name]
            value = getattr(importlib.import_module(owner), there)
        elif not name.startswith("_") and importlib.util.find_spec(f"{self.__name__}.{name}"):
            value = importlib.import_module(f"{self.__name__}.{name}")
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; an imported submodule does not hide a public name that it shares."""
        if not (name in self._owners and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._owners} - {"_owners", "TYPE_CHECKING", "lazy"})


def module(name: str) -> Any:
    """Return a module that is imported when an attribute of it is first asked for.

    Type checkers see the module where it is imported under `if TYPE_CHECKING:` instead.
    """
    return _Module(name)


class _Module(types.ModuleType):
    """Stands for a module until it is needed."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)
        return value


def _owners(source: str) -> dict[str, tuple[str, str]]:
    """Public name -> (module, its name there), of `from ... import` under `if TYPE_CHECKING:`."""
    blocks = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    imports = (node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom))
    return {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in imports
        for alias in node.names
    }
