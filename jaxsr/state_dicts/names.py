"""Official names of weights: what a reference's state_dict calls each array of a network.

Names follow the attributes of the modules, joined by dots; items of sequences and lists go by
index. `OFFICIAL_NAMES` of a class says where it differs. Layouts: PyTorch has convolutions
[out, in, height, width] and dense layers [out, in], Flax [height, width, in, out] and [in, out].
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxfleet.errors import listed
from jaxsr.state_dicts import search as state_dicts

# What else a state_dict holds: follows from the architecture, or counts batches.
_DERIVED = ("relative_position_index", "attn_mask", "num_batches_tracked")
_DERIVED_LAYERS = ("sub_mean", "add_mean")  # the mean colour, as a convolution that is not trained
_MOST_NAMED = 5
_TO_FLAX = {4: (2, 3, 1, 0), 2: (1, 0)}  # axes of a kernel


def load_arrays(model: nnx.Module, arrays: Mapping[str, Any]) -> None:
    """Set every weight and running statistic of a network, in place; all of them or none.

    Args:
        model: a network or discriminator of `jaxsr.networks`; may be of shapes only, from
            `nnx.eval_shape`, and is a real one afterwards.
        arrays: a state_dict, {official name: array}, or a mapping that holds one somewhere: see
            `state_dicts.find`. Masks, position indices and batch counters are not needed and may
            be there. A network with `original_names` also takes those of its authors' code.

    Raises:
        ValueError: naming what is missing, not known, of another shape, or not finite; if nothing
            fits, also what the mapping holds.
    """
    wanted = {name: (variable, kernel) for name, variable, kernel in _named_variables(model)}
    shapes = {name: _official_shape(*of) for name, of in wanted.items()}
    rename = getattr(model, "original_names", None)
    spellings = [{name: rename(name) for name in wanted}] if rename is not None else []
    found = state_dicts.find(arrays, shapes, spellings)
    misshapen, broken = [], []
    for name, array in found.arrays.items():
        if array.shape != shapes[name]:
            misshapen.append(f"{name} {array.shape} for {shapes[name]}")
        elif not np.all(np.isfinite(array.astype(np.float32))):
            broken.append(name)
    faults = {
        "missing": wanted.keys() - found.arrays.keys(),
        "not known": {name for name in found.unknown if not _is_derived(name)},
        "of another shape": misshapen,
        "not finite": broken,
    }
    if any(faults.values()):
        said = "; ".join(
            f"{kind}: {listed(sorted(names), _MOST_NAMED)}"
            for kind, names in faults.items()
            if names
        )
        holds = "" if found.arrays else f" They hold {state_dicts.summary(arrays)}."
        raise ValueError(f"The weights do not fit this {type(model).__name__}. {said}.{holds}")
    for name, (variable, is_kernel) in wanted.items():
        array = found.arrays[name]
        array = array.transpose(_TO_FLAX[array.ndim]) if is_kernel else array
        variable.set_value(jnp.asarray(array.astype(np.float32)))


def to_arrays(model: nnx.Module) -> dict[str, np.ndarray]:
    """Return every weight and running statistic of a network; the inverse of `load_arrays`.

    Args:
        model: a network or discriminator of `jaxsr.networks`.

    Returns:
        {official name: float32 array in PyTorch's layout}.
    """
    arrays = {}
    for name, variable, is_kernel in _named_variables(model):
        array = np.asarray(variable[...], np.float32)
        if is_kernel:
            array = array.transpose(_to_official(array.ndim))
        arrays[name] = np.ascontiguousarray(array)
    return arrays


def _named_variables(module: nnx.Module, prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Yield official name, variable, and whether it is a kernel, which PyTorch lays out apart."""
    official = {"kernel": "weight", "scale": "weight", **getattr(module, "OFFICIAL_NAMES", {})}
    for attribute, child in vars(module).items():
        name = official.get(attribute, attribute)
        if isinstance(child, nnx.Variable):
            yield prefix + name, child, attribute == "kernel"
        elif isinstance(child, nnx.Module | nnx.List):
            for item_name, item in _items(child, name):
                yield from _named_variables(item, f"{prefix}{item_name}.")


def _items(child: Any, name: Any) -> Iterator[tuple[str, nnx.Module]]:
    """Yield official name and module: the child itself, or what a sequence holds.

    `name` is that of the child, or of a list index -> name.
    """
    if not isinstance(child, nnx.Sequential | nnx.List):
        yield name, child
        return
    for index, item in enumerate(child.layers if isinstance(child, nnx.Sequential) else child):
        if isinstance(item, nnx.Module):
            yield from _items(item, name(index) if callable(name) else f"{name}.{index}")


def _is_derived(name: str) -> bool:
    layers = name.split(".")
    return layers[-1] in _DERIVED or layers[0] in _DERIVED_LAYERS


def _official_shape(variable: Any, is_kernel: bool) -> tuple[int, ...]:
    if not is_kernel:
        return variable.shape
    return tuple(variable.shape[axis] for axis in _to_official(len(variable.shape)))


def _to_official(rank: int) -> tuple[int, ...]:
    """Return the axes of a Flax kernel in PyTorch's order."""
    return tuple(np.argsort(_TO_FLAX[rank]).tolist())
