"""Published weights into a network: from arrays, or from a file that PyTorch users share.

A file is .npz, .safetensors or PyTorch's, which its content tells and not its name. PyTorch reads
its own as data: pickled code does not run, and objects that would need it are passed over.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from jaxfleet.errors import InputError
from jaxsr import zoo
from jaxsr.state_dicts import search as state_dicts

if TYPE_CHECKING:
    from flax import nnx

# What .safetensors files call the types of arrays.
_SAFETENSORS: dict[str, Any] = {
    **{f"F{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    "BOOL": np.dtype(bool),
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}


def load_torch(
    model: nnx.Module, path_or_arrays: str | os.PathLike[str] | Mapping[str, Any]
) -> nnx.Module:
    """Load the weights of the reference implementation into a network, by their official names.

    Args:
        model: from `jaxsr.build`, of the size that the weights have; changed in place. It may
            be of shapes only, `nnx.eval_shape(lambda: jaxsr.build(...))`, which saves drawing
            weights first.
        path_or_arrays: a file (.npz, .safetensors, or PyTorch's, which needs the extra `torch`), or
            {name: array} in PyTorch's layouts, convolutions [out, in, H, W]. They may be nested
            under any name and have any prefix, as `state_dicts.find` says; of a training's file
            averaged weights, such as `params_ema`, come before the others.

    Returns:
        The same model.

    Raises:
        ValueError: if names are missing, not known or of another shape (they are named), if several
            sets of weights fit alike, or if the file is damaged or of another kind.
        FileNotFoundError: if there is no such file.
        ImportError: if it is PyTorch's and that is not installed.
    """
    from jaxsr.state_dicts import names as torch_names

    arrays = path_or_arrays
    if not isinstance(arrays, Mapping):
        arrays = read_tree(Path(arrays))
    torch_names.load_arrays(model, arrays)
    return model


def load_published(
    path: Path, architecture: str, scale: int, overrides: Mapping[str, Any] | None = None
) -> nnx.Module:
    """Load the network of a published file, which does not say what it is.

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
    """Return the arrays by official name: of what a file holds, the mapping with the most arrays.

    Raises:
        ValueError, FileNotFoundError, ImportError: as `read_tree`.
    """
    return state_dicts.largest(read_tree(path))


def read_tree(path: Path) -> dict[str, Any]:
    """Return everything that a file of weights holds, by name: arrays, mappings, and other objects.

    Raises:
        ValueError: if the file is damaged, of another kind, or no mapping by name.
        FileNotFoundError: if there is none.
        ImportError: if it is PyTorch's and that is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights at {path}.")
    read = _reader_of(path)
    try:
        tree = read(path)
    except (ImportError, _OtherKindError):
        raise
    except Exception as error:  # each reader has its own for what is damaged
        raise ValueError(f"{path} is damaged ({type(error).__name__}). Fetch it again.") from error
    if not isinstance(tree, Mapping):
        kind = getattr(type(tree), "_name", type(tree).__name__)
        raise ValueError(
            f"{path} holds a {kind} and no mapping of names to arrays. Where you trust the file, "
            "save its state_dict() alone, by PyTorch."
        )
    return dict(tree)


class _OtherKindError(ValueError):
    """Raised for a sound file of a kind that is not read here."""


def _reader_of(path: Path) -> Callable[[Path], Any]:
    """Choose a reader by the content of a file, or by its name if the file is cut off."""
    with path.open("rb") as file:
        head = file.read(9)
    if members := _members(path):
        return _read_npz if any(name.endswith(".npy") for name in members) else _read_torch
    if head[8:9] == b"{":
        return _read_safetensors
    if head.startswith(b"\x89HDF"):
        raise _OtherKindError(f"{path} is HDF5. Save its arrays as .npz or .safetensors.")
    known = {".npz": _read_npz, ".safetensors": _read_safetensors}
    return known.get(path.suffix.lower(), _read_torch)


def _members(path: Path) -> list[str]:
    """List names in a zip archive, as .npz and PyTorch's files are; none for other files."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        for name in arrays.files:
            with contextlib.suppress(_NeedsPickle):
                found[name] = _member(arrays, name)
    return found


class _NeedsPickle(Exception):
    """Raised for a member of a .npz file that is no array of numbers."""


def _member(arrays: Any, name: str) -> np.ndarray:
    try:
        return arrays[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise _NeedsPickle from None
        raise


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import deserialize

    return {
        name: np.frombuffer(one["data"], _SAFETENSORS[one["dtype"]]).reshape(one["shape"])
        for name, one in deserialize(path.read_bytes())
    }


def _read_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {path} needs PyTorch: pip install 'jaxfleet[torch]', or convert it to "
            ".safetensors or .npz."
        ) from error
    others: list[str] = []
    if members := _members(path):
        if any(name.endswith("/constants.pkl") for name in members):
            raise _OtherKindError(
                f"{path} is a TorchScript program. Save its weights alone, by PyTorch: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')."
            )
        others = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    stubs: list[Any] = [(_stub(name), name) for name in others]
    with torch.serialization.safe_globals(stubs):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not others and "GLOBAL" not in str(error):
                raise
            named = f" ({', '.join(others[:3])})" if others else ""
            raise _OtherKindError(
                f"{path} holds Python objects{named} that cannot be passed over. Where you trust "
                "the file, save its state_dict alone, by PyTorch: torch.save(torch.load(FILE, "
                "weights_only=False)[NAME], 'weights.pth')."
            ) from error


def _stub(name: str) -> type:
    """Return a class that stands for one of a pickle, and does nothing."""

    def keep_nothing(self: object, *args: object, **kwargs: object) -> None:
        pass

    return type(
        name.rpartition(".")[2],
        (),
        {"_name": name, "__init__": keep_nothing, "__setstate__": keep_nothing},
    )
