"""Loss and gradient of many SIRENs in one launch, without activations in device memory.

Letters: G networks, C chunks, T pixels of a tile, W units (padded), L sine layers; K blocks of B
pixels make a picture. The grid is (networks, chunks): a program takes every C-th tile of its
network's picture, makes the coordinates of a tile from pixel indices, reads the targets (uint8 or
float32), runs forward, and back. What stays on chip in between is the pre-activations of the tile,
[W, T] for each sine layer; sines and cosines are made again from them on the way back. The partial
gradients of the chunks, [G, C, ...], are summed by XLA afterwards: without atomics the same input
gives the same bits. How a network is laid out on the chip, and where sums live: `tiling`.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from jaxinr import siren
from jaxinr.kernels.tiling import PROGRAMS, SIDE, WIDTHS, Tiling, tiling
from jaxinr.siren import Params
from jaxinr.trial import CHANNELS

Waves = list[tuple[Array, Array]]  # sines and cosines of a layer, by parts [SIDE, T]


def loss_and_gradient(
    params: Params,
    w0_initial: Array,
    w0: Array,
    height: Array,
    width: Array,
    target: Array,
    *,
    coordinates: str = "coin",
    products: str = "float32",
    interpret: bool = False,
) -> tuple[Array, Params]:
    """Return the mean squared error over pixels and channels of each network, and its gradient.

    What `siren.apply` and automatic differentiation give, up to the order of sums.

    Args:
        params: layers `{"weight": [G, out, in], "bias": [G, out]}` float32, of one of WIDTHS.
        w0_initial: [G] float32.
        w0: [G] float32.
        height: [G] int32, of the picture in pixels.
        width: [G] int32.
        target: [G, K, 3, B] uint8, or float32 in [0, 1]: pictures row by row, from `program.pack`.
            B is a power of two; what lies beyond height x width pixels does not count.
        coordinates: see `siren.points_of`.
        products: one of `siren.PRODUCTS`.
        interpret: run as ordinary JAX, on any platform, instead of as a kernel for CUDA.

    Returns:
        [G] float32 losses, and gradients like `params`.

    Raises:
        ValueError: for sizes or kinds that the kernel does not have.
    """
    networks, blocks, channels, block = target.shape
    num_layers, units = len(params) - 1, params[0]["bias"].shape[-1]
    plan = _checked_tiling(params, target, products)
    chunks = min(blocks * block // plan.pixels, -(-PROGRAMS // networks))

    def of_network(array: Array) -> pl.BlockSpec:
        rest = array.shape[1:]
        return pl.BlockSpec((None, *rest), lambda network, _: (network, *[0] * len(rest)))

    def of_program(array: jax.ShapeDtypeStruct) -> pl.BlockSpec:
        rest = array.shape[2:]
        return pl.BlockSpec((None, None, *rest), lambda *program: (*program, *[0] * len(rest)))

    inputs = (params, w0_initial, w0, height, width, target)
    sums = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((networks, chunks, *leaf.shape[1:]), jnp.float32),
        (w0, params),
    )
    losses, gradient = pl.pallas_call(
        functools.partial(
            _kernel,
            plan=plan,
            chunks=chunks,
            coordinates=coordinates,
            products=products,
            interpret=interpret,
        ),
        grid=(networks, chunks),
        in_specs=jax.tree.map(of_network, inputs),
        out_shape=sums,
        out_specs=jax.tree.map(of_program, sums),
        compiler_params=triton.CompilerParams(num_warps=plan.warps, num_stages=1),
        interpret=interpret,
        name=f"siren_{num_layers}x{units}",
    )(*inputs)
    return jax.tree.map(lambda leaf: leaf.sum(axis=1), (losses, gradient))


def _checked_tiling(params: Params, target: Array, products: str) -> Tiling:
    """Refuse what compiles wrongly or not at all; interpret mode alone would run most of it."""
    num_layers, units = len(params) - 1, params[0]["bias"].shape[-1]
    channels, block = target.shape[2:]
    if units not in WIDTHS:
        raise ValueError(f"networks must be padded to one of {WIDTHS} units; got {units}.")
    plan = tiling(num_layers, units)
    if plan is None:
        raise ValueError(f"{num_layers} layers of {units} units do not fit a multiprocessor.")
    if products not in siren.PRODUCTS:
        raise ValueError(f"products must be one of {siren.PRODUCTS}; got {products!r}.")
    if any(leaf.dtype != jnp.float32 for leaf in jax.tree.leaves(params)):
        raise ValueError("params must be float32.")
    if target.dtype not in (jnp.uint8, jnp.float32):
        raise ValueError(f"target must be uint8 or float32; got {target.dtype}.")
    if channels != CHANNELS or block & (block - 1) or block < plan.pixels:
        raise ValueError(
            f"target must be [G, K, {CHANNELS}, B], B a power of two from {plan.pixels}; got shape "
            f"{target.shape}."
        )
    return plan


def _kernel(
    params: Any,
    w0_initial: Any,
    w0: Any,
    height: Any,
    width: Any,
    target: Any,
    loss: Any,
    gradient: Any,
    *,
    plan: Tiling,
    chunks: int,
    coordinates: str,
    products: str,
    interpret: bool,
) -> None:
    """Run one program, on the parts of `loss_and_gradient` for a network and chunk."""
    last, block = len(params) - 1, target.shape[-1]
    parts = _parts(params)
    rows, columns = height[...], width[...]
    pixels = rows * columns
    scale = 1.0 / (3.0 * pixels.astype(jnp.float32))
    omegas = [w0_initial[...]] + [w0[...]] * (last - 1)
    chunk = pl.program_id(1)

    def add_tile(step: Array, sums: tuple[Array, Any]) -> tuple[Array, Any]:
        """Add the results of a tile to the sums: the loss, and layers like `_nothing`."""
        if not interpret and not plan.sums_on_chip:
            triton.debug_barrier()
        start = (chunk + step * chunks) * plan.pixels
        index = start + lax.iota(jnp.int32, plan.pixels)
        row = lax.div(index, jnp.full_like(index, columns))  # float32 division is not exact here
        place = siren.spread(
            row.astype(jnp.float32),
            (index - row * columns).astype(jnp.float32),
            rows.astype(jnp.float32),
            columns.astype(jnp.float32),
            coordinates,
        )
        arguments = _forward(params, omegas, place, products)
        waves = [_sine_and_cosine(x) for x in arguments[-1]]

        targets = [
            siren.unit(target[start // block, channel, pl.ds(start % block, plan.pixels)])
            for channel in range(CHANNELS)
        ]
        total, layers = sums
        loss_term, term, cotangents = _output(params[last], waves, targets, index < pixels, scale)
        added = [jax.tree.map(jnp.add, layers[last], term)]

        for depth in reversed(range(1, last)):
            cotangents = _through_sine(omegas[depth], waves, cotangents)
            waves = [_sine_and_cosine(x) for x in arguments[depth - 1]]
            into, so_far, weight = gradient[depth], layers[depth], params[depth]["weight"]
            biases: list[Array | None] = []
            matrix: list[Array | None] = []
            for n, i in enumerate(parts):
                own = jnp.sum(cotangents[n], axis=1)
                biases.append(_added(into["bias"], i, so_far["bias"][n], own))
                for m, j in enumerate(parts):
                    outer = _product(cotangents[n], waves[m][0], (1, 1), products)
                    mine = so_far["weight"][len(matrix)]
                    matrix.append(_added(into["weight"], (i, j), mine, outer))
            added.append({"weight": tuple(matrix), "bias": tuple(biases)})
            cotangents = [
                _sum(
                    _product(weight[i, j], cotangent, (0, 0), products)
                    for i, cotangent in zip(parts, cotangents, strict=True)
                )
                for j in parts
            ]

        cotangents = _through_sine(omegas[0], waves, cotangents)
        bias = tuple(jnp.sum(cotangent, axis=1) for cotangent in cotangents)
        term = {"weight": tuple(_along(cotangents, axis) for axis in place), "bias": bias}
        added.append(jax.tree.map(jnp.add, layers[0], term))
        return total + loss_term, tuple(reversed(added))

    if not plan.sums_on_chip:
        for layer in gradient[1:-1]:
            for slab in layer.values():
                slab[...] = jnp.zeros(slab.shape, jnp.float32)
    tiles = (pixels + plan.pixels - 1) // plan.pixels
    steps = (tiles - chunk + chunks - 1) // chunks
    nothing = jnp.float32(0.0), _nothing(last, parts, plan.sums_on_chip)
    loss[...], layers = lax.fori_loop(0, steps, add_tile, nothing)
    _write(gradient, layers, parts)


def _parts(params: Any) -> list[Any]:
    """Split the units of a layer into slices of at most SIDE."""
    units = params[0]["bias"].shape[0]
    return [pl.ds(start, min(units, SIDE)) for start in range(0, units, SIDE)]


def _forward(params: Any, omegas: list[Array], place: Any, products: str) -> list[list[Array]]:
    """Return the arguments of each layer's sines, in half-turns: by parts, each [SIDE, T]."""
    arguments: list[list[Array]] = []
    parts, sines = _parts(params), list[Array]()
    for depth, omega in enumerate(omegas):
        weight, own = params[depth]["weight"], []
        for i in parts:
            if depth == 0:
                affine = _sum(
                    weight[i, axis][:, None] * place[axis][None, :] for axis in range(len(place))
                )
            else:
                affine = _sum(
                    _product(weight[i, j], sine, (1, 0), products)
                    for j, sine in zip(parts, sines, strict=True)
                )
            own.append((omega * (1.0 / math.pi)) * (affine + params[depth]["bias"][i][:, None]))
        arguments.append(own)
        sines = [_sine_and_cosine(x)[0] for x in own]
    return arguments


def _output(
    layer: Any, waves: Waves, targets: list[Array], inside: Array, scale: Array
) -> tuple[Array, Any, list[Array]]:
    """Run the last layer both ways: what a tile adds to the loss and this layer's gradient.

    Third come the cotangents of the sines, by parts.
    """
    parts = [pl.ds(n * len(sine), len(sine)) for n, (sine, _) in enumerate(waves)]
    slopes, losses, columns = [], [], []
    for channel, wanted in enumerate(targets):
        weights = [layer["weight"][channel, i][:, None] for i in parts]
        columns.append(weights)
        colour = layer["bias"][channel] + _sum(
            jnp.sum(weight * sine, axis=0) for weight, (sine, _) in zip(weights, waves, strict=True)
        )
        error = jnp.where(inside, colour - wanted, 0.0)
        losses.append(jnp.sum(error * error))
        slopes.append((2.0 * scale) * error)
    gradient = {
        "weight": tuple(_along([sine for sine, _ in waves], slope) for slope in slopes),
        "bias": tuple(jnp.sum(slope) for slope in slopes),
    }
    cotangents = [
        _sum(weight[n] * slope[None, :] for weight, slope in zip(columns, slopes, strict=True))
        for n in range(len(parts))
    ]
    return scale * _sum(losses), gradient, cotangents


def _through_sine(omega: Array, waves: Waves, cotangents: list[Array]) -> list[Array]:
    """Map cotangents of sin(omega x) to those of x."""
    return [
        omega * cosine * cotangent for (_, cosine), cotangent in zip(waves, cotangents, strict=True)
    ]


def _nothing(num_layers: int, parts: list[Any], sums_on_chip: bool) -> Any:
    """Return zero sums by parts: the gradient, first layer by columns and last by rows.

    Hidden layers, the first aside, whose sums are in device memory have None for each part.
    """
    number, vector = jnp.float32(0.0), tuple(jnp.zeros(i.size, jnp.float32) for i in parts)
    matrix = tuple(jnp.zeros((i.size, j.size), jnp.float32) for i in parts for j in parts)
    hidden: Any = {"weight": matrix, "bias": vector}
    if not sums_on_chip:
        hidden = {"weight": (None,) * len(matrix), "bias": (None,) * len(vector)}
    return (
        {"weight": (vector,) * 2, "bias": vector},
        *[hidden] * (num_layers - 1),
        {"weight": (vector,) * CHANNELS, "bias": (number,) * CHANNELS},
    )


def _added(slab: Any, part: Any, so_far: Array | None, term: Array) -> Array | None:
    """Add a term to a sum in registers; or return None, with the sum in device memory."""
    if so_far is not None:
        return so_far + term
    slab[part] = slab[part] + term
    return None


def _write(gradient: Any, layers: Any, parts: list[Any]) -> None:
    """Write sums like `_nothing` to the gradient."""
    first, *hidden, last = layers
    for n, i in enumerate(parts):
        gradient[0]["bias"][i] = first["bias"][n]
        for axis, column in enumerate(first["weight"]):
            gradient[0]["weight"][i, axis] = column[n]
        for channel, row in enumerate(last["weight"]):
            gradient[-1]["weight"][channel, i] = row[n]
    for channel, bias in enumerate(last["bias"]):
        gradient[-1]["bias"][channel] = bias
    for into, layer in zip(gradient[1:-1], hidden, strict=True):
        pairs = [(i, j) for i in parts for j in parts]
        for kind, places in (("bias", parts), ("weight", pairs)):
            for part, value in zip(places, layer[kind], strict=True):
                if value is not None:
                    into[kind][part] = value


def _along(columns: list[Array], weights: Array) -> tuple[Array, ...]:
    """Map [SIDE, T] parts and [T] -> [SIDE] parts, summed over pixels."""
    return tuple(jnp.sum(column * weights[None, :], axis=1) for column in columns)


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(jnp.add, terms)


def _product(a: Array, b: Array, axes: tuple[int, int], products: str) -> Array:
    """Multiply float32 matrices along one axis of each; all sizes are at least 16."""
    return lax.dot_general(
        siren.operand(a, products),
        siren.operand(b, products),
        (((axes[0],), (axes[1],)), ((), ())),
        precision=siren.PRECISION[products],
        preferred_element_type=jnp.float32,
    )


def _sine_and_cosine(x: Array) -> tuple[Array, Array]:
    """sin(pi x) and cos(pi x), as `siren.sinpi` makes them; Triton has no round, but floor."""
    whole = jnp.floor(x + 0.5)
    r, sign = x - whole, siren.sign_of(whole)
    sine, cosine = r * siren.polynomial(siren.SINE, r * r), siren.polynomial(siren.COSINE, r * r)
    return siren.flip(sine, sign), siren.flip(cosine, sign)
