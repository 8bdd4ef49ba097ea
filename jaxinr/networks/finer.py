"""FINER: sines whose frequency grows with their argument, sin(w0 (|z| + 1) z).

Biases of the first layer are spread over U(-first_bias_scale, first_bias_scale), which decides how
high the frequencies reach. Other biases are U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default,
weights those of a SIREN. Source: Liu et al., FINER (CVPR 2024), and its code. Deviation: the
gradient is that of the formula; the authors' code takes |z| + 1 as constant in the backward pass
unless told otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxfleet import lazy
from jaxinr import siren
from jaxinr.kind import (
    Hyperparameter,
    Kind,
    Params,
    Spec,
    TorchNames,
    dense_shapes,
    uniform_layers,
)
from jaxinr.networks.layers import evaluate

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array
else:
    jnp = lazy.module("jax.numpy")


def init(trial: Spec) -> Params:
    """Draw initial weights as the authors' code does."""
    shapes, values = trial.layer_shapes, trial.hyperparameters
    later = [(math.sqrt(6.0 / n) / values["w0"], 1.0 / math.sqrt(n)) for _, n in shapes[1:]]
    return uniform_layers(trial.seed, shapes, [(0.5, values["first_bias_scale"]), *later])


def apply(params: Params, values: Mapping[str, Any], points: Array, products: str) -> Array:
    """Colours [3, P] at points [2, P]."""
    # In half-turns u = omega z with omega = w0 / pi: omega (|z| + 1) z = u + u |u| / omega.
    omegas = tuple(values[name] * (1.0 / math.pi) for name in ("w0_initial", "w0"))

    def sine(half_turns: Array, depth: int) -> Array:
        bend = 1.0 / omegas[min(depth, 1)]
        return siren.sinpi(half_turns + bend * half_turns * jnp.abs(half_turns))

    return evaluate(params, points, (omegas[0], omegas[1]), sine, ("float32", products))


KIND = Kind(
    name="finer",
    hyperparameters={
        **siren.KIND.hyperparameters,
        "first_bias_scale": Hyperparameter(
            20.0, 1e-3, 1e3, "largest initial bias of the first layer"
        ),
    },
    shapes=dense_shapes,
    init=init,
    apply=apply,
    torch=TorchNames("net.{}.linear", "net.{}"),
    traced=("w0_initial", "w0"),
)
