"""The zoo by name: what there is, how to build it, how many parameters it has.

Flax is imported when the first network is asked for, so that those who want spectra do not wait.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from flax import nnx


def names() -> list[str]:
    """Return the names that `build` knows, architectures and their sizes."""
    from jaxsr.networks import NETWORKS

    return list(NETWORKS)


def build(name: str, *, scale: int, rngs: nnx.Rngs | None = None, **overrides: Any) -> nnx.Module:
    """Build a network with fresh weights, initialised as PyTorch and BasicSR do.

    Called with [N, H, W, 3] float in [0, 1], any H and W, it gives [N, scale H, scale W, 3]
    float32, not clipped.

    Args:
        name: one of `names()`.
        scale: how many times more rows and columns come out.
        rngs: where the weights are drawn; None for seed 0.
        overrides: hyperparameters that differ from the paper's, and `dtype`, the precision of
            the computation (float32 or bfloat16). The class of `jaxsr.networks` explains them.

    Returns:
        A Flax NNX module; parameters are float32.

    Raises:
        ValueError: if the name is unknown, or the network does not support the scale.
        TypeError: if the network has no such hyperparameter.
    """
    from flax import nnx

    return _constructor(name, scale, overrides)(rngs=nnx.Rngs(0) if rngs is None else rngs)


def count_parameters(name: str, *, scale: int, **overrides: Any) -> int:
    """Return the number of parameters of a network from shapes alone; nothing is allocated.

    Frozen parameters count (NLSN has 24, its mean colours); running statistics do not.

    Args:
        name: one of `names()`.
        scale: how many times more rows and columns come out.
        overrides: as in `build`.

    Raises:
        ValueError: if the name is unknown, or the network does not support the scale.
        TypeError: if the network has no such hyperparameter.
    """
    from flax import nnx

    from jaxsr.networks import layers

    construct = _constructor(name, scale, overrides)
    # Any key will do. nnx.Rngs would count its draws, which takes quadratic time when traced.
    rngs = types.SimpleNamespace(params=lambda: jax.random.key(0))
    return layers.num_parameters(nnx.eval_shape(lambda: construct(rngs=rngs)))


def _constructor(name: str, scale: Any, overrides: dict[str, Any]) -> Callable[..., nnx.Module]:
    from jaxsr.networks import NETWORKS

    if name not in NETWORKS:
        raise ValueError(f"No network is called {name!r}; there are {', '.join(NETWORKS)}.")
    constructor, defaults = NETWORKS[name]
    arguments = inspect.getfullargspec(constructor.__init__).kwonlyargs
    known = [key for key in arguments if key not in ("scale", "rngs")]
    unknown = [key for key in overrides if key not in known]
    if unknown:
        raise TypeError(f"{name} has no {', '.join(unknown)}; it takes {', '.join(known)}.")
    if not isinstance(scale, numbers.Integral) or scale < 1:
        raise ValueError(f"`scale` must be a whole number from 1 on; got {scale!r}.")
    construct: Callable[..., nnx.Module] = constructor
    return functools.partial(construct, scale=int(scale), **{**defaults, **overrides})
