"""Names of the weights in the PyTorch code of each kind: state_dict keys, as plain NumPy arrays.

A SIREN has COIN's names. FINER, Gauss and WIRE have those of the FINER and WIRE code, the last with
complex64 arrays. A ReLU network has "B" [num_frequencies, 2], its frequencies, and the names of a
`torch.nn.Sequential` called `net` of linear layers and ReLUs in turn.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxinr.kind import Kind
from jaxinr.networks.registry import KINDS
from jaxinr.siren import Params
from jaxinr.trial import SIREN

_PLACE = re.compile(r"net\.(\d{1,3})\.")


def to_torch(params: Params, network: str = SIREN) -> dict[str, np.ndarray]:
    """Return {"net.0.linear.weight": [out, in], "net.0.linear.bias": [out], ..., "last_layer..."}.

    Args:
        params: layers `{"weight", "bias"}` of any kind of network.
        network: the kind, `Trial.network`.

    Raises:
        ValueError: for an unknown kind.
    """
    kind = _kind(network)
    fixed, trained = params[: kind.fixed_layers], params[kind.fixed_layers :]
    arrays = dict(
        zip(kind.torch.fixed, (np.array(one["weight"], np.float32) for one in fixed), strict=True)
    )
    layers = kind.to_complex(trained)
    for name, layer in zip(kind.torch.layers(len(layers)), layers, strict=True):
        for part in ("weight", "bias"):
            array = np.asarray(layer[part])
            arrays[f"{name}.{part}"] = array.astype(
                np.complex64 if np.iscomplexobj(array) else np.float32
            )
    return arrays


def from_torch(arrays: Mapping[str, Any], network: str = SIREN) -> Params:
    """Build a network from a state_dict of arrays, or of anything that numpy.asarray accepts.

    Args:
        arrays: under the names that `to_torch` uses for this kind.
        network: the kind, `Trial.network`.

    Raises:
        ValueError: naming the keys that are missing, do not belong, have a shape that does not
            follow from the layer before, or are not finite; or for an unknown kind.
    """
    kind = _kind(network)
    greatest = max((int(match[1]) for key in arrays if (match := _PLACE.match(key))), default=0)
    names = kind.torch.layers(kind.torch.count(greatest))
    fixed = kind.torch.fixed
    expected = {f"{name}.{part}" for name in names for part in ("weight", "bias")} | set(fixed)
    whose = "COIN" if network == SIREN else network
    if expected != set(arrays):
        missing, extra = sorted(expected - set(arrays)), sorted(set(arrays) - expected)
        raise ValueError(f"no {whose} state_dict: missing {missing}, not known {extra}.")
    loaded = {
        name: {part: np.asarray(arrays[f"{name}.{part}"]) for part in ("weight", "bias")}
        for name in names
    }
    weights = [np.asarray(arrays[name], np.float32) for name in fixed]
    faults = _faults(loaded, None if fixed else 2)
    if faults:
        raise ValueError(f"no {whose} state_dict: {faults}.")
    layers = kind.from_complex(tuple(loaded.values()))
    still = [{"weight": one, "bias": np.zeros(len(one), np.float32)} for one in weights]
    trained = [{part: np.asarray(x, np.float32) for part, x in one.items()} for one in layers]
    return (*still, *trained)


def _faults(layers: Mapping[str, Mapping[str, np.ndarray]], inputs: int | str | None) -> str:
    """Return what is wrong with consecutive layers; None leaves the first inputs open."""
    misshapen, broken = [], []
    for name, layer in layers.items():
        weight, bias = layer["weight"], layer["bias"]
        outputs = bias.shape[0] if bias.ndim == 1 else "out"
        if inputs is None:
            inputs = weight.shape[1] if weight.ndim == 2 else "in"
        for part, expected in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            array = layer[part]
            if array.shape != expected:
                wanted = ", ".join(map(str, expected))
                misshapen.append(f"{name}.{part} {list(array.shape)} for [{wanted}]")
            if not np.all(np.isfinite(array)):
                broken.append(f"{name}.{part}")
        inputs = weight.shape[0] if weight.ndim == 2 else outputs
    faults = {"of another shape": misshapen, "not finite": broken}
    return "; ".join(f"{what}: {', '.join(keys)}" for what, keys in faults.items() if keys)


def _kind(network: str) -> Kind:
    if network not in KINDS:
        raise ValueError(f"network must be one of {', '.join(KINDS)}; got {network!r}.")
    return KINDS[network]
