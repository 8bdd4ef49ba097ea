"""Find the weights of one network in what a training file holds. Pure; no disk.

A training file nests its state_dict under a name of its own (`params_ema`, `state_dict`,
`model_state_dict`, `g_ema`), and a wrapper puts a prefix before each name (`module.`, `netG.`,
`_orig_mod.`). Neither needs to be known: mappings are flattened to dotted names, so that both are
prefixes, and the prefix is taken under which the wanted names lie.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

_AVERAGED = re.compile(r"(^|[._])(ema|avg|averaged?|swa)([._]|$)")
_DEEPEST = 6
_MOST_NAMED = 6
_NUMBERS = "fiub"


@dataclass(frozen=True)
class Found:
    """Arrays of one network.

    where: path and prefix under which they lie; empty if they lie on top.
    arrays: by the names that were wanted.
    unknown: names of arrays beside them that were not wanted.
    """

    where: str
    arrays: dict[str, np.ndarray]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """An array and the mapping that it lies in."""

    container: str
    array: np.ndarray


def find(
    tree: Mapping[str, Any],
    wanted: Mapping[str, tuple[int, ...]],
    spellings: Sequence[Mapping[str, str]] = (),
) -> Found:
    """Return the arrays of a network, wherever in a tree they lie.

    That prefix is taken under which the most wanted names have their shapes, and of those the most
    are there. Where several fit alike, averaged weights (`ema` in the name) come before others.

    Args:
        tree: {name: array or mapping or anything else}. Arrays are those of NumPy, JAX or PyTorch;
            all else is ignored.
        wanted: {name: shape}.
        spellings: other names that the same network goes by, each {wanted name: other name}.

    Raises:
        ValueError: if several sets of weights fit alike and differ.
    """
    entries = dict(_flattened(tree))
    candidates = []
    for spelling in ({name: name for name in wanted}, *spellings):
        official = {other: name for name, other in spelling.items()}
        shapes, names = _by_prefix(entries, official, wanted)
        candidates += [(shapes[p], names[p], p, official) for p in names]
    if not candidates:
        on_top = tuple(name for name, entry in entries.items() if not entry.container)
        return Found("", {}, on_top or tuple(entries))
    most = max(candidate[:2] for candidate in candidates)
    best = [candidate for candidate in candidates if candidate[:2] == most]
    best = [one for one in best if _AVERAGED.search(one[2])] or best
    first, *others = [_taken(entries, prefix, official) for *_, prefix, official in best]
    differing = [other for other in others if not _same(first.arrays, other.arrays)]
    if differing:
        raise ValueError(
            f"Several sets of weights fit alike: {', '.join(x.where for x in (first, *differing))}."
            " Give one of them alone, as a mapping or a file."
        )
    return first


def largest(tree: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of the mapping that holds the most; averaged weights first."""
    containers: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for name, entry in _flattened(tree):
        containers[entry.container][name.removeprefix(entry.container)] = entry.array
    if not containers:
        return {}
    return max(containers.items(), key=lambda one: (len(one[1]), bool(_AVERAGED.search(one[0]))))[1]


def summary(tree: Mapping[str, Any]) -> str:
    """Say in a few words what lies on top of a tree."""
    parts = []
    for name, value in list(tree.items())[:_MOST_NAMED]:
        if isinstance(value, Mapping):
            parts.append(f"{name} ({len(value)} entries)")
        else:
            array = as_array(value)
            kind = type(value).__name__ if array is None else f"array {array.shape}"
            parts.append(f"{name} ({kind})")
    more = len(tree) - _MOST_NAMED
    return (", ".join(parts) or "nothing") + (f" and {more} more" if more > 0 else "")


def as_array(value: Any) -> np.ndarray | None:
    """Return an array or tensor of numbers as a NumPy array; None for anything else.

    Two bytes without a type are bfloat16, which .npz files cannot name.
    """
    if hasattr(value, "detach"):  # PyTorch, which NumPy cannot read where it is bfloat16
        value = value.detach().cpu()
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    if not hasattr(value, "__array__"):
        return None
    array = np.asarray(value)
    if array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)
    is_number = array.dtype.kind in _NUMBERS or array.dtype.kind == "V" and array.dtype.num >= 256
    return array if is_number else None


def _flattened(
    tree: Mapping[Any, Any], path: str = "", depth: int = 0
) -> Iterator[tuple[str, _Entry]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            if depth < _DEEPEST:
                yield from _flattened(value, f"{path}{key}.", depth + 1)
        elif (array := as_array(value)) is not None:
            yield f"{path}{key}", _Entry(path, array)


def _by_prefix(
    entries: Mapping[str, _Entry],
    official: Mapping[str, str],
    wanted: Mapping[str, tuple[int, ...]],
) -> tuple[Counter[str], Counter[str]]:
    """Prefix -> how many wanted names lie under it with their shape, and at all."""
    shapes, names = Counter[str](), Counter[str]()
    for name, entry in entries.items():
        starts = [0, *(match.end() for match in re.finditer(r"\.", name))]
        for start in starts:
            if (known := official.get(name[start:])) is not None:
                names[name[:start]] += 1
                shapes[name[:start]] += entry.array.shape == wanted[known]
    return shapes, names


def _taken(entries: Mapping[str, _Entry], prefix: str, official: Mapping[str, str]) -> Found:
    """Return what lies under a prefix, in the mappings that hold wanted names."""
    under = {
        name.removeprefix(prefix): entry
        for name, entry in entries.items()
        if name.startswith(prefix)
    }
    containers = {entry.container for name, entry in under.items() if name in official}
    arrays = {official[name]: entry.array for name, entry in under.items() if name in official}
    unknown = tuple(
        name
        for name, entry in under.items()
        if name not in official and entry.container in containers and entry.array.ndim
    )
    return Found(prefix.rstrip("."), arrays, unknown)


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)
