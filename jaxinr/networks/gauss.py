"""Gaussian networks: exp(-z^2 / (2 sigma^2)).

Weights and biases are U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default, which the authors'
code keeps. Source: Ramasinghe & Lucey, Beyond Periodicity (ECCV 2022), and its code, where sigma is
0.09. The code of WIRE and FINER writes exp(-(scale z)^2): scale is 1 / (sigma sqrt(2)), so a scale
of 10 is a sigma of 0.071.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxfleet import lazy
from jaxinr.kind import (
    Hyperparameter,
    Kind,
    Params,
    Spec,
    TorchNames,
    dense_shapes,
    uniform_layers,
)
from jaxinr.networks.layers import evaluate, own

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array
else:
    jnp = lazy.module("jax.numpy")


def init(trial: Spec) -> Params:
    """Draw initial weights."""
    shapes = trial.layer_shapes
    return uniform_layers(trial.seed, shapes, [(1.0 / math.sqrt(n),) * 2 for _, n in shapes])


def apply(params: Params, values: Mapping[str, Any], points: Array, products: str) -> Array:
    """Colours [3, P] at points [2, P]."""
    scale = math.sqrt(0.5) / values["sigma"]

    def bell(z: Array, depth: int) -> Array:
        return own(jnp.exp(-z * z), values["layer_size"])

    return evaluate(params, points, (scale, scale), bell, ("float32", products))


KIND = Kind(
    name="gauss",
    hyperparameters={"sigma": Hyperparameter(0.1, 1e-3, 1e3, "width of the bell")},
    shapes=dense_shapes,
    init=init,
    apply=apply,
    torch=TorchNames("net.{}.linear", "net.{}"),
    traced=("sigma", "layer_size"),
)
