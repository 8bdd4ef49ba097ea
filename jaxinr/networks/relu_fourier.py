"""ReLU networks of random Fourier features: sin(2 pi B v), then cos(2 pi B v), of coordinates v.

B [num_frequencies, 2] is drawn from N(0, sigma^2) and stays as it is: it is the first layer of the
tree, with a bias of zeros, but counts as no parameter, as the seed says it. Weights after it are
N(0, 2 / (fan_in + fan_out)), biases N(0, 0.01^2), as the layers that the authors take from JAX.

Source: Tancik et al., Fourier Features (NeurIPS 2020), section 6.1, and its code. Deviations: the
colours are linear in the last layer, as in all networks here, and no sigmoid follows; coordinates
span [-1, 1] and not [0, 1], so sigma is half of what it would be there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxfleet import lazy
from jaxinr import siren
from jaxinr.kind import (
    INPUTS,
    Hyperparameter,
    Kind,
    Params,
    Shapes,
    Spec,
    TorchNames,
    dense_shapes,
    normal_layers,
)
from jaxinr.networks.layers import evaluate

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array, lax
else:
    jnp, lax = lazy.module("jax.numpy"), lazy.module("jax.lax")

BIAS_DEVIATION = 1e-2


def shapes(layer_size: int, num_layers: int, num_frequencies: int) -> Shapes:
    """(out, in) of the fixed layer of frequencies, and of the layers after it."""
    (out, _), *rest = dense_shapes(layer_size, num_layers)
    return [(num_frequencies, INPUTS), (out, 2 * num_frequencies), *rest]


def init(trial: Spec) -> Params:
    """Frequencies and initial weights."""
    first, *rest = trial.layer_shapes
    later = [(math.sqrt(2.0 / (out + fan_in)), BIAS_DEVIATION) for out, fan_in in rest]
    deviations = [(trial.hyperparameters["sigma"], 0.0), *later]
    return normal_layers(trial.seed, [first, *rest], deviations)


def apply(params: Params, values: Mapping[str, Any], points: Array, products: str) -> Array:
    """Colours [3, P] at points [2, P]."""
    fixed = {name: lax.stop_gradient(leaf) for name, leaf in params[0].items()}
    half_turns = siren.affine(2.0 * fixed["weight"], 2.0 * fixed["bias"], points)
    features = jnp.concatenate([siren.sinpi(half_turns), siren.sinpi(half_turns + 0.5)])

    def rectified(z: Array, depth: int) -> Array:
        return jnp.where(z > 0, z, jnp.float32(0))

    return evaluate(params[1:], features, (1.0, 1.0), rectified, (products, products))


KIND = Kind(
    name="relu_fourier",
    hyperparameters={
        "sigma": Hyperparameter(5.0, 1e-3, 1e3, "deviation of the random frequencies"),
        "num_frequencies": Hyperparameter(
            128, 1, 8192, "number of random frequencies", integer=True
        ),
    },
    shapes=shapes,
    init=init,
    apply=apply,
    torch=TorchNames("net.{}", "net.{}", stride=2, fixed=("B",)),
    static=("num_frequencies",),
    fixed_layers=1,
)
