"""Weights of k bits: whole-numbered codes times a step of their array.

Every layer has two ranges, one of its weights and one of its biases, as they may differ by orders
of magnitude. Codes are symmetric about zero: at k bits they lie in [-(2^(k-1) - 1), 2^(k-1) - 1],
and the step is such that the largest weight of an array has the outermost code.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxinr.siren import Params

MIN_BITS, MAX_BITS = 2, 16
KINDS = ("weight", "bias")


@dataclasses.dataclass(frozen=True)
class Quantised:
    """A network as codes and steps.

    Attributes:
        codes: layers `{"weight": [out, in], "bias": [out]}`, int32.
        steps: [2 (L + 1)] float32, of each layer's weights and biases in turn; 0 for an array of
            zeros.
    """

    codes: Params
    steps: np.ndarray

    @property
    def params(self) -> Params:
        """The network that is meant: codes times steps, float32."""
        steps = iter(self.steps)
        return tuple(
            {kind: layer[kind].astype(np.float32) * np.float32(next(steps)) for kind in KINDS}
            for layer in self.codes
        )

    @property
    def entropy_bits(self) -> float:
        """Fewest bits of an ideal code that knows how often each code stands in each array."""
        return sum(_entropy_bits(array) for array in _arrays(self.codes))


def largest_code(bits: int) -> int:
    """Return the outermost code of k bits."""
    return 2 ** (bits - 1) - 1


def quantise(params: Any, bits: int) -> Quantised:
    """Quantise the weights of a network to the nearest codes of k bits.

    Args:
        params: layers `{"weight": [out, in], "bias": [out]}`.
        bits: k, from 2 to 16.

    Raises:
        ValueError: if bits is out of range or a weight is not finite.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"bits must be from {MIN_BITS} to {MAX_BITS}; got {bits}.")
    largest = [np.abs(array.astype(np.float32)).max(initial=0.0) for array in _arrays(params)]
    if not np.isfinite(largest).all():
        raise ValueError("a weight is not finite.")
    steps = np.array(largest, np.float32) / np.float32(largest_code(bits))
    divisors = iter(np.where(steps > 0, steps, np.float32(1)))
    codes = tuple(
        {
            kind: np.rint(np.asarray(layer[kind], np.float32) / next(divisors)).astype(np.int32)
            for kind in KINDS
        }
        for layer in params
    )
    return Quantised(codes, steps)


def _arrays(layers: Any) -> Iterable[np.ndarray]:
    return (np.asarray(layer[kind]) for layer in layers for kind in KINDS)


def _entropy_bits(codes: np.ndarray) -> float:
    counts = np.unique(codes, return_counts=True)[1]
    return float(-(counts * np.log2(counts / codes.size)).sum())
