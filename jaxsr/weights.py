"""Published weights into a network: from arrays, or from a file that PyTorch users share.

.npz           the arrays of a state_dict
.safetensors   the same
.pth, others   PyTorch; read by PyTorch, as data: pickled code does not run
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet.errors import InputError
from jaxsr import zoo

if TYPE_CHECKING:
    from flax import nnx

# Where training code keeps the state_dict within a file; averaged weights before raw ones.
_NESTED = ("params_ema", "params", "state_dict", "model")


def load_torch(
    model: nnx.Module, path_or_arrays: str | os.PathLike[str] | Mapping[str, Any]
) -> nnx.Module:
    """Gives a network the weights of its reference implementation, by their official names.

    Args:
        model: from `jaxsr.build`, of the size that the weights have; changed in place. It may
            be of shapes only, `nnx.eval_shape(lambda: jaxsr.build(...))`, which saves drawing
            weights first.
        path_or_arrays: a file (.npz, .safetensors, or .pth, which needs PyTorch, the extra
            `torch`), or {name: array} in PyTorch's layouts, convolutions [out, in, H, W].
            Of a training's file the averaged weights, `params_ema`, come before the others.

    Returns:
        The same model.

    Raises:
        ValueError: if names are missing, not known or of another shape (they are named), or if
            the file is damaged, or holds more than arrays.
        FileNotFoundError: if there is no such file.
        ImportError: if it is PyTorch's and that is not installed.
    """
    from jaxsr import torch_names

    arrays = path_or_arrays
    if not isinstance(arrays, Mapping):
        arrays = read_state_dict(Path(arrays))
    torch_names.load_arrays(model, arrays)
    return model


def load_published(
    path: Path, architecture: str, scale: int, overrides: Mapping[str, Any] | None = None
) -> nnx.Module:
    """The network that a published file holds, which does not say what it is.

    Args:
        path: as of `load_torch`.
        architecture: one of `jaxsr.names()`.
        scale: how many times more rows and columns come out.
        overrides: hyperparameters that differ from the architecture's.

    Raises:
        InputError: one line that names the file, for whatever is wrong.
    """
    from flax import nnx

    try:
        shapes = nnx.eval_shape(lambda: zoo.build(architecture, scale=scale, **(overrides or {})))
        return load_torch(shapes, path)
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}".replace("`", "")) from None


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Arrays by official name, as they are in a file.

    Raises:
        ValueError: if the file is damaged, of another kind, or holds more than arrays.
        FileNotFoundError: if there is none.
        ImportError: if it is PyTorch's and that is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights at {path}.")
    read = {".npz": _read_npz, ".safetensors": _read_safetensors}.get(path.suffix, _read_torch)
    try:
        return read(path)
    except ImportError:
        raise
    except Exception as error:  # each reader has its own for what is damaged or unsafe
        raise ValueError(
            f"{path} is damaged, or holds more than arrays by name ({type(error).__name__})."
        ) from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        return dict(np.load(file, allow_pickle=False))


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import numpy as safetensors

    return safetensors.load_file(path)


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {path} needs PyTorch: pip install 'jaxfleet[torch]', or convert it to "
            ".safetensors or .npz."
        ) from error
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in _NESTED:
        state = state.get(key, state)
    return {name: tensor.detach().float().numpy() for name, tensor in state.items()}
