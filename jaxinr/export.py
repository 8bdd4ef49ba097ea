"""One fitted network as the bytes of a file, for programs other than this one.

Every format names the arrays as the code of the kind does, see `jaxinr.to_torch`: float32, weights
[out, in]. Hyperparameters are texts and numbers by name, `network` among them unless it is a SIREN;
a state_dict has no room for them. Complex weights are complex64 for torch and npz; safetensors and
json hold their real and imaginary parts as a last axis of 2.

    torch        a state_dict of tensors, for `Siren(...).load_state_dict(torch.load(path))`
    npz          the arrays, and `hyperparameters`: a JSON text, as an array of no axes
    safetensors  the arrays; the same text as `hyperparameters` in the header's metadata
    json         {"hyperparameters": {...}, "weights": {name: nested lists}}

In JSON an unknown number becomes null and an exact PSNR, which is infinite, the text "Infinity".
Every weight has 9 significant digits, which give back its float32 exactly.
"""

import io
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxinr.siren import Params
from jaxinr.torch_names import to_torch
from jaxinr.trial import SIREN

Hyperparameters = Mapping[str, str | int | float]


def as_torch(params: Params, hyperparameters: Hyperparameters) -> bytes:
    """Return a state_dict as `torch.save` writes it; it loads with `weights_only=True`.

    Raises:
        ImportError: without PyTorch, which nothing else here needs.
    """
    import torch

    arrays = _named(params, hyperparameters)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def as_npz(params: Params, hyperparameters: Hyperparameters) -> bytes:
    """Write arrays for `numpy.load`, without pickle."""
    file = io.BytesIO()
    text = np.array(_json(hyperparameters))
    entries: dict[str, Any] = {"hyperparameters": text, **_named(params, hyperparameters)}
    np.savez(file, **entries)
    return file.getvalue()


def as_safetensors(params: Params, hyperparameters: Hyperparameters) -> bytes:
    """Write arrays for the safetensors readers of NumPy, JAX, PyTorch, Rust and others."""
    from safetensors import numpy as safetensors

    # One entry: the library writes several in an order that changes from call to call.
    metadata = {"hyperparameters": _json(hyperparameters)}
    return safetensors.save(_in_pairs(_named(params, hyperparameters)), metadata=metadata)


def as_json(params: Params, hyperparameters: Hyperparameters) -> bytes:
    """Write arrays as JSON, for example for a page in a browser.

    Raises:
        ValueError: if a weight is not finite.
    """
    arrays = _in_pairs(_named(params, hyperparameters))
    weights = {name: _rounded(array) for name, array in arrays.items()}
    named = json.dumps(weights, allow_nan=False)
    return f'{{"hyperparameters": {_json(hyperparameters)}, "weights": {named}}}\n'.encode()


def require(name: str) -> None:
    """Check that a format can be written by this installation.

    Raises:
        ImportError: if it needs PyTorch, and that is not installed.
    """
    if name == "torch":
        import torch  # noqa: F401


# Name of a format -> ending of its files, writer.
FORMATS: dict[str, tuple[str, Callable[[Params, Hyperparameters], bytes]]] = {
    "torch": (".pt", as_torch),
    "npz": (".npz", as_npz),
    "safetensors": (".safetensors", as_safetensors),
    "json": (".json", as_json),
}


def _named(params: Params, hyperparameters: Hyperparameters) -> dict[str, np.ndarray]:
    return to_torch(params, str(hyperparameters.get("network", SIREN)))


def _in_pairs(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: np.stack([array.real, array.imag], -1) if np.iscomplexobj(array) else array
        for name, array in arrays.items()
    }


def _json(hyperparameters: Hyperparameters) -> str:
    def known(value: str | int | float) -> str | int | float | None:
        if not isinstance(value, float) or math.isfinite(value):
            return value
        return None if math.isnan(value) else str(value).replace("inf", "Infinity")

    return json.dumps({name: known(value) for name, value in hyperparameters.items()})


def _rounded(array: np.ndarray) -> list:
    if array.ndim > 1:
        return [_rounded(row) for row in array]
    return [float(f"{value:.9g}") for value in array.tolist()]
