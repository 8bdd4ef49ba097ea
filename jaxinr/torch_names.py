"""COIN's own names for the weights: PyTorch state_dict keys, as plain numpy arrays."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxinr.siren import Params

_DEPTH = re.compile(r"net\.(\d{1,3})\.")


def to_torch(params: Params) -> dict[str, np.ndarray]:
    """{"net.0.linear.weight": [out, in], "net.0.linear.bias": [out], ..., "last_layer..."}."""
    last = len(params) - 1
    return {
        f"{_name(depth, last)}.linear.{kind}": np.array(layer[kind], np.float32)
        for depth, layer in enumerate(params)
        for kind in ("weight", "bias")
    }


def from_torch(arrays: Mapping[str, Any]) -> Params:
    """The network of a COIN state_dict; arrays or anything that numpy.asarray takes.

    Raises:
        ValueError: naming the keys that are missing or do not belong.
    """
    depths = [int(match[1]) for key in arrays if (match := _DEPTH.match(key))]
    last = max(depths, default=0) + 1
    names = [_name(depth, last) for depth in range(last + 1)]
    expected = {f"{name}.linear.{kind}" for name in names for kind in ("weight", "bias")}
    if expected != set(arrays):
        missing, extra = sorted(expected - set(arrays)), sorted(set(arrays) - expected)
        raise ValueError(f"no COIN state_dict: missing {missing}, not known {extra}.")
    return tuple(
        {
            kind: np.asarray(arrays[f"{name}.linear.{kind}"], np.float32)
            for kind in ("weight", "bias")
        }
        for name in names
    )


def _name(depth: int, last: int) -> str:
    return f"net.{depth}" if depth < last else "last_layer"
