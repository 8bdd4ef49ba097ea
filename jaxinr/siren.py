"""The SIREN of COIN as pure functions: initialise, evaluate, differentiate.

A network is a plain tree, a tuple of num_layers + 1 layers `{"weight": [out, in], "bias": [out]}`.
Letters: L sine layers, W units, P pixels. Activations are features first, [W, P], so that pixels
are contiguous. A network may be padded with zero rows and columns: a padded unit stays at
sin(0) = 0, its gradients are zero and Adam leaves them there, so padding needs no mask.

Source: Dupont et al., COIN (2021), and its code; Sitzmann et al., SIREN (2020).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet import lazy
from jaxinr import kind as kinds
from jaxinr.kind import Params as Params

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
    from jax import Array, lax
else:  # who only counts weights need not wait for JAX
    jax, jnp, lax = (lazy.module(name) for name in ("jax", "jax.numpy", "jax.lax"))

COORDINATES = ("coin", "symmetric", "centers")
BIAS_INITS = ("coin", "zero")

# How the products of hidden layers are made; sums are float32 in all. The first layer, whose inputs
# are coordinates, the last layer and all that is not a product stay float32.
PRODUCTS = ("float32", "tf32", "bfloat16")
# Of `lax.Precision`: "high" is TF32 on a GPU; "highest" never is. On a CPU both are float32.
PRECISION = {
    "float32": "highest",
    "tf32": "high",
    "bfloat16": "highest",  # of operands that are bfloat16
}

# sin(pi r) = r S(r^2) and cos(pi r) = C(r^2) on [-1/2, 1/2]: minimax fits (Lawson's iteration,
# float64), absolute errors 3.3e-9 and 4.7e-8.
SINE = (3.1415925799, -5.1677068696, 2.5500312203, -0.598044217, 0.0772182142)
COSINE = (0.9999999534, -4.9347928441, 4.0584115622, -1.3318775258, 0.2196907646)
PARITY_SHIFT = 1.5 * 2.0**23  # added to an integer k, leaves k's parity in the lowest bit


def _reduce(x: Array) -> tuple[Array, Array]:
    """X = k + r: r in [-1/2, 1/2], exact, and the sign bit of (-1)^k as uint32."""
    k = jnp.round(x)
    return x - k, sign_of(k)


def sign_of(k: Array) -> Array:
    """Return the sign bit of (-1)^k as uint32, for float32 whole numbers up to 2^22."""
    return lax.bitcast_convert_type(k + PARITY_SHIFT, jnp.uint32) << 31


def flip(x: Array, sign: Array) -> Array:
    """Float32 `x` with its sign turned where `sign`, from `sign_of`, says so."""
    return lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.uint32) ^ sign, jnp.float32)


def polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """coefficients[0] + coefficients[1] x + ..., by Horner's rule."""
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def sinpi(x: Array) -> Array:
    """sin(pi x), float32, absolute error below 3e-7 for |x| up to 2^22; NaN where x is not finite.

    A polynomial after range reduction in place of the library call, which is the wall of SIREN
    training on CPUs; in half-turns the reduction is exact and costs one subtraction. The derivative
    is the matching polynomial cosine.
    """
    return _sinpi()(x)


@functools.cache
def _sinpi() -> Any:
    rule = jax.custom_vjp(_sinpi_forward)
    rule.defvjp(lambda x: (_sinpi()(x), x), _sinpi_backward)
    return rule


def _sinpi_forward(x: Array) -> Array:
    r, sign = _reduce(x)
    return flip(r * polynomial(SINE, r * r), sign)


def _sinpi_backward(x: Array, cotangent: Array) -> tuple[Array]:
    r, sign = _reduce(x)
    return (cotangent * flip(polynomial([math.pi * c for c in COSINE], r * r), sign),)


def affine(weight: Array, bias: Array, inputs: Array, products: str = "float32") -> Array:
    """Weight @ inputs + bias: [O, I], [O], [I, P] -> [O, P]; all products as `products` says.

    The bias gradient is a product with ones: a sum over the contiguous axis is several times
    slower on CPUs. It is float32 always.
    """
    return _affine()(weight, bias, inputs, products)


@functools.cache
def _affine() -> Any:
    rule = jax.custom_vjp(_affine_plain, nondiff_argnums=(3,))
    rule.defvjp(_affine_forward, _affine_backward)
    return rule


def _affine_plain(weight: Array, bias: Array, inputs: Array, products: str) -> Array:
    return _contract("oi,ip->op", weight, inputs, products) + bias[:, None]


def _affine_forward(weight: Array, bias: Array, inputs: Array, products: str) -> tuple[Array, Any]:
    return affine(weight, bias, inputs, products), (weight, inputs)


def _affine_backward(products: str, saved: Any, cotangent: Array) -> tuple[Array, Array, Array]:
    weight, inputs = saved
    ones = jnp.ones(cotangent.shape[1], cotangent.dtype)
    return (
        _outer(cotangent, inputs, products),
        jnp.matmul(cotangent, ones, precision=lax.Precision.HIGHEST),
        _contract("io,op->ip", weight.T, cotangent, products),
    )


def _outer(a: Array, b: Array, products: str) -> Array:
    """Sum [A, P] and [B, P] over P to [A, B]. XLA repacks the second, smaller factor."""
    if a.shape[0] < b.shape[0]:
        return _contract("bp,ap->ba", b, a, products).T
    return _contract("ap,bp->ab", a, b, products)


def _contract(equation: str, a: Array, b: Array, products: str) -> Array:
    """Multiply two float32 matrices."""
    a, b = operand(a, products), operand(b, products)
    return jnp.einsum(
        equation, a, b, precision=PRECISION[products], preferred_element_type=jnp.float32
    )


def operand(x: Array, products: str) -> Array:
    """Convert a float32 matrix to the operand of a product; goes with `PRECISION`."""
    return x.astype(jnp.bfloat16) if products == "bfloat16" else x


def apply(
    params: Params,
    w0_initial: Array | float,
    w0: Array | float,
    points: Array,
    products: str = "float32",
) -> Array:
    """Evaluate the colours at some points: [2, P] (row, column) to [3, P], not clipped.

    `products` is one of `PRODUCTS`.
    """
    features = points
    for depth, layer in enumerate(params[:-1]):
        omega = (w0_initial if depth == 0 else w0) * (1.0 / math.pi)
        kind = "float32" if depth == 0 else products
        features = sinpi(affine(omega * layer["weight"], omega * layer["bias"], features, kind))
    return affine(params[-1]["weight"], params[-1]["bias"], features)


def init(trial: kinds.Spec, *, bias_init: str = "coin") -> Params:
    """Draw the initial weights of one network at its own width, as numpy arrays.

    Weights are U(-b, b) with b = 1/2 in the first layer and sqrt(6 / fan_in) / w0 in the others, as
    in COIN, where the bound of every layer after the first uses w0; biases likewise, or zero.

    Args:
        trial: gives the shapes, w0 and the seed.
        bias_init: "coin" or "zero".
    """
    shapes, w0 = trial.layer_shapes, trial.hyperparameters["w0"]
    bounds = [0.5] + [math.sqrt(6.0 / fan_in) / w0 for _, fan_in in shapes[1:]]
    params = kinds.uniform_layers(trial.seed, shapes, [(bound, bound) for bound in bounds])
    return params if bias_init == "coin" else kinds.without_biases(params)


def points_of(index: Array, height: Array | int, width: Array | int, coordinates: str) -> Array:
    """Return the coordinates of pixels: [...] flat index (row by row) -> [2, ...] (row, column).

    `coin` divides both axes by height - 1 and maps [0, 1] to [-1, 1], so that the columns of a
    landscape picture go past 1; `symmetric` maps each axis to [-1, 1]; `centers` puts pixels at the
    centres of equal cells of [-1, 1]. Exact for pictures below 2^23 pixels.
    """
    rows, columns = jnp.float32(height), jnp.float32(width)
    place = index.astype(jnp.float32)
    row = jnp.floor((place + 0.5) / columns)
    column = place - row * columns
    return jnp.stack(spread(row, column, rows, columns, coordinates))


def places(index: np.ndarray, height: int, width: int, coordinates: str) -> np.ndarray:
    """Return what `points_of` does, as a NumPy array; without JAX, which would compile."""
    rows, columns = (part.astype(np.float32) for part in np.divmod(index, width))
    size = np.float32(height), np.float32(width)
    return np.stack(spread(rows, columns, *size, coordinates, larger=np.maximum))


def spread(
    row: Any, column: Any, height: Any, width: Any, coordinates: str, larger: Any = None
) -> tuple[Any, Any]:
    """Convert rows and columns, counted from 0, to the coordinates of `points_of`; float32."""
    if coordinates == "centers":
        return (2.0 * row + 1.0) / height - 1.0, (2.0 * column + 1.0) / width - 1.0
    larger = larger or jnp.maximum
    last_row = larger(height - 1.0, 1.0)
    last_column = last_row if coordinates == "coin" else larger(width - 1.0, 1.0)
    return 2.0 * (row / last_row - 0.5), 2.0 * (column / last_column - 0.5)


def unit(colours: Any) -> Any:
    """Return colours in [0, 1] float32 from uint8 or float32."""
    if colours.dtype == np.uint8:
        return colours.astype(np.float32) * np.float32(1.0 / 255.0)
    return colours


def pad(params: Any, padded_size: int) -> Params:
    """Pad a network with zero rows and columns up to `padded_size` units."""
    return kinds.pad(params, kinds.dense_shapes(padded_size, len(params) - 1))


def crop(params: Any, layer_size: int) -> Params:
    """Invert `pad`: return the network at its own width, as numpy arrays."""
    return kinds.crop(params, kinds.dense_shapes(layer_size, len(params) - 1))


def _apply(params: Params, values: Mapping[str, Any], points: Array, products: str) -> Array:
    return apply(params, values["w0_initial"], values["w0"], points, products)


KIND = kinds.Kind(
    name="siren",
    hyperparameters={
        "w0_initial": kinds.Hyperparameter(30.0, 1e-3, 1e4, "frequency factor of the first layer"),
        "w0": kinds.Hyperparameter(30.0, 1e-3, 1e4, "frequency factor of the other layers"),
    },
    shapes=kinds.dense_shapes,
    init=init,
    apply=_apply,
    torch=kinds.TorchNames("net.{}.linear", "last_layer.linear"),
    traced=("w0_initial", "w0"),
)
