"""Whole numbers near zero to bytes and back, by constriction's range coder.

The numbers of an array are taken as normal about zero, with one of a hundred spreads: on the
weights of SIRENs the logistic distribution takes up to 0.5 % more bits, Laplace's 1 to 3 %. The
tables of probabilities are made of products and square roots alone, which IEEE 754 defines to the
last bit; exponentials differ between mathematics libraries and could make a file unreadable
elsewhere.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np

SPREADS = 100  # spread s is 0.38 * 2^(s / 8)

# p(k) ~ q^(k^2) with q = exp(-1 / (2 spread^2)), which is 2^-(5 / 2^(s / 4)): the first four.
_FIRST_Q = (0.03125, 0.05424063669832861, 0.08623791415128823, 0.127359829302201)
FLUSH_BYTES = 1  # that `encode` may take beside the bits of `best_spread`
_PRECISION = 24  # constriction counts in 2^-24, and gives every number one such at least
_LEAST_BITS = 1 / 12  # of a number: at the least spread, zero has a probability of 0.94


def octaves(count: int) -> np.ndarray:
    """Return 2^(i / 8) for i below `count`, float64; the same on any machine."""
    root = math.sqrt(math.sqrt(math.sqrt(2.0)))
    index = np.arange(count)
    return np.ldexp(np.cumprod([1.0] + [root] * 7)[index % 8], index // 8)


def best_spread(numbers: np.ndarray) -> tuple[int, float]:
    """Return the spread that codes whole numbers in the fewest bits, and their number.

    Raises:
        ValueError: if a number is out of reach of every spread.
    """
    q, log2_sum, reach = _spreads()
    largest = np.abs(numbers).max(initial=0)
    if largest > reach[-1]:
        raise ValueError(f"{largest} is too far from zero; at most {reach[-1]} can be coded.")
    squares = np.square(numbers.astype(np.float64)).sum()
    bits = numbers.size * log2_sum - squares * np.log2(q)
    spread = int(np.argmin(np.where(reach >= largest, bits, np.inf)))
    return spread, float(bits[spread])


def least_bytes(count: int) -> int:
    """Return the fewest bytes of so many numbers; each takes more than a twelfth of a bit.

    Nothing but zeros, in the middle of every interval, could do with one; `encode` fills up.
    """
    return max(1, int(count * _LEAST_BITS / 8) - 8)


def encode(arrays: Sequence[np.ndarray]) -> tuple[list[int], bytes]:
    """Return the spreads and bytes of some arrays of whole numbers; as few bytes as will do.

    Raises:
        ValueError: if a number is out of reach.
    """
    spreads = [best_spread(array)[0] for array in arrays]
    return spreads, _pack([array.ravel() for array in arrays], spreads)


def decode(data: bytes, sizes: Sequence[int], spreads: Sequence[int]) -> list[np.ndarray] | None:
    """Invert `encode`: flat int32 arrays, or None for bytes that it cannot have made.

    Args:
        data: any bytes.
        sizes: of the arrays. Compare `least_bytes` first if they are not to be trusted.
        spreads: of the arrays, below `SPREADS`.
    """
    arrays = _unpack(data, sizes, spreads)
    return arrays if arrays is not None and _pack(arrays, spreads) == data else None


def _pack(arrays: Sequence[np.ndarray], spreads: Sequence[int]) -> bytes:
    """Pack words of 32 bits, highest byte first, without trailing bytes that can be spared.

    That is the shortest beginning, or number one up from it, that still decodes.
    """
    coder = constriction.stream.queue.RangeEncoder()
    for array, spread in zip(arrays, spreads, strict=True):
        coder.encode(array.astype(np.int32) + np.int32(_reach(spread)), _model(spread))
    data = coder.get_compressed().astype(">u4").tobytes()
    sizes = [array.size for array in arrays]
    value, least = int.from_bytes(data, "big"), least_bytes(sum(sizes))
    for length in range(max(len(data) - 8, 0), len(data)):
        beginning = value >> 8 * (len(data) - length)
        for number in (beginning, min(beginning + 1, 256**length - 1)):
            shorter = number.to_bytes(length, "big").ljust(least, b"\0")
            found = _unpack(shorter, sizes, spreads)
            if found is not None and all(map(np.array_equal, found, arrays)):
                return shorter
    return data


def _unpack(data: bytes, sizes: Sequence[int], spreads: Sequence[int]) -> list[np.ndarray] | None:
    words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
    coder = constriction.stream.queue.RangeDecoder(words)
    try:
        return [
            coder.decode(_model(spread), size) - np.int32(_reach(spread))
            for size, spread in zip(sizes, spreads, strict=True)
        ]
    except AssertionError:  # how constriction says that no encoder was ever in this state
        return None


@functools.cache
def _spreads() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return q, log2 of the sum of q^(k^2), and the outermost number of each spread."""
    reach = np.array([_reach(spread) for spread in range(SPREADS)])
    log2_sums = [math.log2(_weights(spread).sum()) for spread in range(SPREADS)]
    return _qs(), np.array(log2_sums) - np.log2(1.0 - (2 * reach + 1) / 2.0**_PRECISION), reach


@functools.cache
def _qs() -> np.ndarray:
    q = list(_FIRST_Q)
    while len(q) < SPREADS:
        q.append(math.sqrt(q[-4]))
    return np.array(q)


@functools.cache
def _reach(spread: int) -> int:
    """Return the outermost number of a model, sixteen spreads away or a little more."""
    return int(6.0 * octaves(spread + 1)[spread]) + 4


def _weights(spread: int) -> np.ndarray:
    """Return q^(k^2) of the numbers -reach to reach, float64."""
    q, reach = float(_qs()[spread]), _reach(spread)
    odd_powers = np.cumprod([q] + [q * q] * (reach - 1))  # q^(2k - 1); their products are q^(k^2)
    side = np.cumprod(odd_powers)
    return np.concatenate([side[::-1], [1.0], side])


@functools.cache
def _model(spread: int) -> Any:
    """Return constriction's model, in whole numbers; no probability is less than 2^-24."""
    return constriction.stream.model.Categorical(_weights(spread), perfect=False)
