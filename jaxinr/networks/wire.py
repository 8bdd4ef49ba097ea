"""WIRE: complex Gabor wavelets, exp(i omega0 z) exp(-|s0 z|^2) of complex z.

The first layer has real weights, the others complex ones, and the colours are the real part of the
last. `layer_size` counts complex units as they are; the authors' code divides the width that it is
given by sqrt(2), so that the count of real numbers is about that of a real network: compare by
`Trial.parameters`. Weights and biases are U(-1/sqrt(fan_in), 1/sqrt(fan_in)), real and imaginary
part each, as PyTorch's complex layers, which the authors keep.

As stored, real and imaginary parts take turns, as in the memory of an array of complex64: a hidden
layer [2 W, W] has them in rows 2 k and 2 k + 1, the last [3, 2 W] in columns. The imaginary part of
the last bias, which no colour depends on, is left out.

Source: Saragadam et al., WIRE (CVPR 2023), equations 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet import lazy
from jaxinr import siren
from jaxinr.kind import (
    CHANNELS,
    INPUTS,
    Hyperparameter,
    Kind,
    Params,
    Shapes,
    Spec,
    TorchNames,
    uniform_layers,
)
from jaxinr.networks.layers import own

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array
else:
    jnp = lazy.module("jax.numpy")


def shapes(layer_size: int, num_layers: int) -> Shapes:
    """(out, in) of the arrays that hold real and imaginary parts in turn."""
    hidden = [(2 * layer_size, layer_size)] * (num_layers - 1)
    return [(layer_size, INPUTS), *hidden, (CHANNELS, 2 * layer_size)]


def init(trial: Spec) -> Params:
    """Draw initial weights."""
    first, *_ = found = trial.layer_shapes
    fan_ins = [INPUTS] + [first[0]] * (len(found) - 1)
    return uniform_layers(trial.seed, found, [(1.0 / math.sqrt(n),) * 2 for n in fan_ins])


def apply(params: Params, values: Mapping[str, Any], points: Array, products: str) -> Array:
    """Colours [3, P] at points [2, P]."""
    size = values["layer_size"]
    first, *hidden, last = params
    units = first["weight"].shape[0]
    real = siren.affine(first["weight"], first["bias"], points)
    features = _gabor(real, jnp.zeros_like(real), values, size)
    for layer in hidden:
        weight = layer["weight"].reshape(units, 2, units)
        bias = layer["bias"].reshape(units, 2)
        re, im = weight[:, 0], weight[:, 1]
        # (re + i im)(x + i y) in real numbers: rows of real parts, then of imaginary ones.
        matrix = jnp.concatenate(
            [jnp.concatenate([re, -im], axis=1), jnp.concatenate([im, re], axis=1)]
        )
        z = siren.affine(matrix, bias.T.reshape(-1), features, products)
        features = _gabor(z[:units], z[units:], values, size)
    weight = last["weight"].reshape(CHANNELS, units, 2)
    colours = jnp.concatenate([weight[..., 0], -weight[..., 1]], axis=1)
    return siren.affine(colours, last["bias"], features)


def _gabor(real: Array, imaginary: Array, values: Mapping[str, Any], size: Array) -> Array:
    """[2 W, P]: real parts, then imaginary ones."""
    omega, scale = values["omega0"], values["s0"]
    squares = real * real + imaginary * imaginary
    envelope = own(jnp.exp(-omega * imaginary - scale * scale * squares), size)
    half_turns = omega * (1.0 / math.pi) * real
    return jnp.concatenate(
        [envelope * siren.sinpi(half_turns + 0.5), envelope * siren.sinpi(half_turns)]
    )


def to_complex(params: Params) -> Params:
    """Layers as PyTorch code has them: complex64 but for the first."""
    first, *rest = ({name: np.asarray(x, np.float32) for name, x in p.items()} for p in params)
    hidden = [
        {
            "weight": _joined(layer["weight"].reshape(-1, 2, layer["weight"].shape[1]), 1),
            "bias": _joined(layer["bias"].reshape(-1, 2), 1),
        }
        for layer in rest[:-1]
    ]
    weight = _joined(rest[-1]["weight"].reshape(CHANNELS, -1, 2), 2)
    return (first, *hidden, {"weight": weight, "bias": rest[-1]["bias"].astype(np.complex64)})


def from_complex(params: Params) -> Params:
    """Invert `to_complex`."""
    first, *hidden, last = params
    layers = [
        {name: np.stack([x.real, x.imag], 1).reshape(-1, *x.shape[1:]) for name, x in layer.items()}
        for layer in hidden
    ]
    weight = last["weight"]
    weight = np.stack([weight.real, weight.imag], 2).reshape(len(weight), -1)
    layers.append({"weight": weight, "bias": last["bias"].real})
    return tuple(
        {name: np.asarray(x, np.float32) for name, x in layer.items()} for layer in (first, *layers)
    )


def _joined(pairs: np.ndarray, axis: int) -> np.ndarray:
    real, imaginary = np.moveaxis(pairs, axis, 0)
    return (real + 1j * imaginary).astype(np.complex64)


KIND = Kind(
    name="wire",
    hyperparameters={
        "omega0": Hyperparameter(20.0, 1e-3, 1e3, "frequency factor"),
        "s0": Hyperparameter(10.0, 1e-3, 1e3, "scale of the envelope"),
    },
    shapes=shapes,
    init=init,
    apply=apply,
    torch=TorchNames("net.{}.linear", "net.{}"),
    traced=("omega0", "s0", "layer_size"),
    parts=2,
    to_complex=to_complex,
    from_complex=from_complex,
)
