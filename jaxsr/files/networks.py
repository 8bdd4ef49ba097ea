"""Networks in files: .safetensors with official names, and what is needed to build them.

The arrays are called and laid out as in the references' own state_dict, so PyTorch loads them with
`safetensors.torch.load_file`. Buffers that follow from the architecture, as SwinIR's masks, are not
among them: `load_state_dict(..., strict=False)`. The format is that of `jaxfleet.cards`; the card
has architecture, scale, overrides and facts.
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet import storage
from jaxfleet.cards import CardKind
from jaxfleet.errors import InputError
from jaxfleet.scripts import named
from jaxsr import zoo

if TYPE_CHECKING:
    from flax import nnx

NETWORKS = "networks"  # in the run directory of a zoo
CARDS = CardKind(
    "jaxsr",
    "network of ours",
    "copy it again. A published file needs to be told its architecture and scale: --architecture, "
    "--scale",
)


@dataclass(frozen=True)
class SavedNetwork:
    """A network as it is in a file.

    Attributes:
        architecture: one of `jaxsr.names()`.
        scale: how many times more rows and columns come out.
        overrides: hyperparameters that differ from the architecture's, as of `jaxsr.build`,
            JSON-able; a `dtype` by its name.
        facts: what is to be known of its training, JSON-able.
        arrays: weights by official name, in PyTorch's layouts, float32 or float16.
    """

    architecture: str
    scale: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def build(self) -> nnx.Module:
        """Build the network with these weights, parameters float32.

        Raises:
            InputError: if there is no such network, or the weights do not fit it (by name).
        """
        from flax import nnx

        from jaxsr.state_dicts import names as torch_names

        try:
            spec = json.dumps(dict(self.overrides), sort_keys=True)
            model = nnx.merge(*_shapes(self.architecture, self.scale, spec), copy=True)
            torch_names.load_arrays(model, self.arrays)
        except (TypeError, ValueError) as error:
            raise InputError(str(error).replace("`", "")) from None
        return model


def load(path: str | os.PathLike[str]) -> nnx.Module:
    """Load a network from a file that `save` or launch/sr_zoo.py wrote.

    Args:
        path: of the file, or the name of a network that comes with jaxsr (`trained`).

    Raises:
        InputError: one line, if it is missing, damaged or of another kind.
    """
    return read(find(path)).build()


def trained() -> list[str]:
    """Return the names of the networks that come with jaxsr: the zoo of sr_zoo/mini.flags.

    `edsr-A-x4-l1-s1` is architecture, training set, scale, loss and seed.
    """
    return sorted(path.stem for path in (packaged() / NETWORKS).glob("*.safetensors"))


def packaged() -> Path:
    """Return the run directory of the zoo that comes with jaxsr."""
    return Path(str(importlib.resources.files("jaxsr"))) / "data" / "zoo"


def find(path: str | os.PathLike[str]) -> Path:
    """Find the file of a network, or of the one of this name that comes with jaxsr.

    Raises:
        InputError: if a name without folder and ending is neither, with the names nearest to it.
    """
    place, text = storage.location(os.fspath(path)), os.fspath(path)
    if place.exists() or not named.is_name(text) or "." in text:
        return place
    if text not in trained():
        near = ", ".join(difflib.get_close_matches(text, trained(), n=3, cutoff=0.0))
        raise InputError(
            f"{text}: no such file, and no network that comes with jaxsr; the nearest are {near}. "
            "jaxsr.trained() lists them all."
        )
    return packaged() / NETWORKS / f"{text}.safetensors"


def save(
    model: nnx.Module,
    path: str | os.PathLike[str],
    *,
    architecture: str,
    scale: int,
    overrides: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a network to a .safetensors file, which `load` and PyTorch can read.

    Args:
        model: from `jaxsr.build(architecture, scale=scale, **overrides)`.
        path: of the file; an existing one is replaced.
        architecture: one of `jaxsr.names()`.
        scale: how many times more rows and columns come out.
        overrides: the hyperparameters that were given to `build`.
        facts: anything else to keep with it, JSON-able.
        half: whether to round the weights to float16, at half the size.

    Raises:
        InputError: if the model is not the one that is named, or its weights are not finite, as
            float16 may make them.
        TypeError: if overrides or facts are not JSON-able.
        OSError: naming the file; an existing file stays unchanged.
    """
    from jaxsr.state_dicts import names as torch_names

    arrays = torch_names.to_arrays(model)
    network = SavedNetwork(architecture, scale, overrides or {}, facts or {}, arrays)
    network.build()
    write(storage.location(os.fspath(path)), network, half=half)


def write(path: Path, network: SavedNetwork, *, half: bool = False) -> None:
    """Write `to_bytes` of a network to a file; readers see all of it or none.

    Raises:
        InputError: as `to_bytes`.
        OSError: naming the file; an existing file stays unchanged.
    """
    storage.write_atomically(path, to_bytes(network, half=half))


def read(path: Path) -> SavedNetwork:
    """Read the network in a file, checked to be complete.

    Raises:
        InputError: one line that names the file, if it is missing, damaged, or not one of ours;
            if its architecture is not known; or if its weights do not fit (by name).
    """
    return _network(*CARDS.read(path), str(path))


def to_bytes(network: SavedNetwork, *, half: bool = False) -> bytes:
    """Return the content of a .safetensors file; the same bytes for the same network.

    Args:
        network: what to keep.
        half: whether to round the weights to float16.

    Raises:
        InputError: if a weight is not finite (by name), as float16 may make it.
        TypeError: if overrides or facts are not JSON-able.
    """
    arrays = {}
    for name, array in network.arrays.items():
        with np.errstate(over="ignore"):
            arrays[name] = np.asarray(array, np.float16 if half else np.float32)
        if not np.isfinite(arrays[name]).all():
            raise InputError(f"{name} has weights that are not finite in {arrays[name].dtype}.")
    card = {
        "architecture": network.architecture,
        "scale": network.scale,
        "overrides": dict(network.overrides),
        "facts": dict(network.facts),
    }
    return CARDS.pack(card, arrays)


def from_bytes(data: bytes, name: str) -> SavedNetwork:
    """Return the inverse of `to_bytes`; weights keep the precision of the file.

    Args:
        data: content of a file.
        name: of the file, for messages.

    Raises:
        InputError: as `read`.
    """
    return _network(*CARDS.unpack(data, name), name)


def _network(card: dict[str, Any], arrays: Mapping[str, np.ndarray], name: str) -> SavedNetwork:
    with CARDS.reading(name):
        overrides = _overrides(card.pop("overrides"))
        network = SavedNetwork(**card, overrides=overrides, arrays=arrays)
        network.build()
    return network


@functools.lru_cache(maxsize=64)
def _shapes(architecture: str, scale: int, overrides: str) -> tuple[Any, Any]:
    """Return the definition and state of a network, shapes only; overrides as JSON."""
    from flax import nnx

    chosen = _overrides(json.loads(overrides))
    return nnx.split(nnx.eval_shape(lambda: zoo.build(architecture, scale=scale, **chosen)))


def _overrides(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters from JSON, which has lists for tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in parsed.items()}
