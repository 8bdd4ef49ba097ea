"""What a machine can do at most, measured on the spot, and what a SIREN's step asks of it.

Letters: L sine layers, w units. A pixel-step is one training step's work for one pixel. It takes
F floating-point operations in matrix products (`trial.flops_per_pixel`) and 2 L w sines and
cosines. A program that writes every layer to memory moves about 11 float32 per unit and layer
(product out, bias and sine, product in, and the same ways back), 44 L w bytes; one that keeps a
pixel's activations on the chip reads the pixel alone.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from experiments.benchmarks.timing import seconds_of
from jaxfleet import fleet
from jaxinr import siren
from jaxinr.trial import flops_per_pixel

UNFUSED_BYTES = 44  # of a unit
FUSED_BYTES = 12  # of a pixel: two float32 coordinates, whether it is one, three colours
SINES_AT_ONCE = 32  # one after the other on each number, so that memory is not the limit
CALLS = 6  # of each function, of which the quickest counts
SINE_RANGE = 20.0  # of arguments, radians or half-turns


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes of the measured arrays.

    Attributes:
        copied: float32 numbers of the copy.
        matrix: side of the square product.
        sines: float32 numbers whose sine is taken.
    """

    copied: int
    matrix: int
    sines: int


@dataclasses.dataclass(frozen=True)
class Limits:
    """Rates of one device, or of all that JAX uses for one array.

    Attributes:
        bytes_per_s: read and written by an elementwise pass over a large array.
        flop_per_s: of a large square product, by kind of product (`siren.PRODUCTS`).
        sines_per_s: of `siren.sinpi`, the polynomial.
        library_sines_per_s: of `jnp.sin`.
    """

    bytes_per_s: float
    flop_per_s: dict[str, float]
    sines_per_s: float
    library_sines_per_s: float


def measure(sizes: Sizes) -> Limits:
    """Measure the limits of JAX's first device."""
    numbers = jnp.zeros(sizes.copied, jnp.float32)
    copied = jax.jit(lambda x: x + jnp.float32(1))
    points = jnp.linspace(-SINE_RANGE, SINE_RANGE, sizes.sines, dtype=jnp.float32)
    sines = sizes.sines * SINES_AT_ONCE
    return Limits(
        bytes_per_s=8 * sizes.copied / best_seconds(copied, numbers),
        flop_per_s={kind: _product_rate(kind, sizes.matrix) for kind in siren.PRODUCTS},
        sines_per_s=sines / best_seconds(_many_times(siren.sinpi), points),
        library_sines_per_s=sines / best_seconds(_many_times(jnp.sin), points),
    )


def best_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the time of the quickest of some calls, after one that compiles."""

    def once() -> None:
        jax.block_until_ready(function(*arguments))

    once()
    return min(seconds_of(once) for _ in range(CALLS))


def _product_rate(kind: str, side: int) -> float:
    dtype = jnp.bfloat16 if kind == "bfloat16" else jnp.float32
    # Random numbers: a chip that multiplies ones draws less power and runs faster than it can.
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = functools.partial(
        jnp.matmul, precision=siren.PRECISION[kind], preferred_element_type=jnp.float32
    )
    return 2.0 * side**3 / best_seconds(jax.jit(product), matrix, matrix)


def _many_times(sine: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def function(x: Array) -> Array:
        for _ in range(SINES_AT_ONCE):
            x = jnp.float32(SINE_RANGE) * sine(x)
        return x

    platform = jax.local_devices()[0].platform
    return jax.jit(function, compiler_options=fleet.compiler_options(platform))


def unfused_bytes(layer_size: int, num_layers: int) -> int:
    """Return the memory traffic of a pixel-step where every layer goes through memory."""
    return UNFUSED_BYTES * layer_size * num_layers


def sines(layer_size: int, num_layers: int) -> int:
    """Return the sines and cosines of a pixel-step."""
    return 2 * layer_size * num_layers


def least_seconds(
    limits: Limits, layer_size: int, num_layers: int, *, products: str, fused: bool
) -> dict[str, float]:
    """Return the least time of a pixel-step by each limit; the longest of them binds.

    Args:
        limits: of the machine.
        layer_size: w, of the networks and not of their padding.
        num_layers: L.
        products: one of `siren.PRODUCTS`.
        fused: whether activations stay on the chip.
    """
    moved = FUSED_BYTES if fused else unfused_bytes(layer_size, num_layers)
    return {
        "memory": moved / limits.bytes_per_s,
        "products": flops_per_pixel(layer_size, num_layers) / limits.flop_per_s[products],
        "sines": sines(layer_size, num_layers) / limits.sines_per_s,
    }


def rows(limits: Limits) -> list[dict[str, float]]:
    """Return the limits as the one row of a table, in billions per second."""
    per_s = {
        "copy_gb_per_s": limits.bytes_per_s,
        **{f"{kind}_gflop_per_s": rate for kind, rate in limits.flop_per_s.items()},
        "polynomial_sines_g_per_s": limits.sines_per_s,
        "library_sines_g_per_s": limits.library_sines_per_s,
    }
    return [{name: rate / 1e9 for name, rate in per_s.items()}]
