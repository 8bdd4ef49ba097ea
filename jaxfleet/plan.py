"""From axes to trials, and from trials to buckets that share a compiled program.

An axis is written as on the command line: one or more plain values (`8`, `16`), or a range:
`uniform:LOW:HIGH`, `log:LOW:HIGH` (log-uniform) or `choice:A,B,C`. A grid is the product of axes of
plain values; a random sample draws every axis independently.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxfleet.errors import InputError

Number = int | float

SAMPLE_BLOCK = 1024  # draws at a time; another number is another sample


@dataclasses.dataclass(frozen=True)
class Axis:
    """Values that one hyperparameter takes.

    Attributes:
        name: of the hyperparameter.
        values: the plain values, or the choices; empty for a range.
        law: "values", "uniform" or "log".
        low: of a range.
        high: of a range, inclusive.
        integer: whether drawn values are whole numbers.
    """

    name: str
    values: tuple[Number, ...] = ()
    law: str = "values"
    low: float = 0.0
    high: float = 0.0
    integer: bool = False

    def __str__(self) -> str:
        """Return the axis as on the command line, numbers written in one way."""
        if self.law == "values":
            return ",".join(f"{value:.12g}" for value in self.values)
        return f"{self.law}:{self.low:.12g}:{self.high:.12g}"

    def draw(self, key: np.random.Generator, count: int) -> list[Number]:
        """Return `count` independent values."""
        if self.law == "values":
            return [self.values[i] for i in key.integers(len(self.values), size=count)]
        if self.integer and self.law == "uniform":
            return key.integers(int(self.low), int(self.high), count, endpoint=True).tolist()
        if self.law == "uniform":
            return key.uniform(self.low, self.high, count).tolist()
        values = np.exp(key.uniform(math.log(self.low), math.log(self.high), count))
        if self.integer:
            values = np.clip(np.rint(values), self.low, self.high).astype(int)
        return values.tolist()


def parse_axis(
    name: str,
    texts: Sequence[str],
    *,
    integer: bool,
    lower: Number,
    upper: Number = math.inf,
) -> Axis:
    """Parse the values of a flag into an axis.

    Args:
        name: of the flag.
        texts: plain values, or a single range.
        integer: whether values must be whole numbers.
        lower: least value allowed.
        upper: greatest value allowed; finite values only, all the same.

    Raises:
        InputError: for text that is no number or range, and values out of bounds.
    """

    def number(text: str) -> Number:
        try:
            value = int(text) if integer else float(text)
        except ValueError:
            kind = "a whole number" if integer else "a number"
            raise InputError(
                f"--{name}={text}: expected {kind}, uniform:LOW:HIGH, log:LOW:HIGH or choice:A,B,C."
            ) from None
        if not (lower <= value <= upper and math.isfinite(value)):
            raise InputError(
                f"--{name}={text}: expected a number from {lower:.12g} to {upper:.12g}."
            )
        return value

    if not texts:
        raise InputError(f"--{name} has no value; give at least one.")
    law, _, rest = texts[0].partition(":")
    if law in ("uniform", "log"):
        bounds = [number(text) for text in rest.split(":")]
        if len(texts) > 1 or len(bounds) != 2 or bounds[0] > bounds[1]:
            raise InputError(f"--{name}={texts[0]}: a range is one {law}:LOW:HIGH, LOW <= HIGH.")
        if law == "log" and bounds[0] <= 0:
            raise InputError(f"--{name}={texts[0]}: a log range needs LOW above 0.")
        return Axis(name, law=law, low=bounds[0], high=bounds[1], integer=integer)
    if law == "choice":
        texts = [choice for text in texts for choice in text.removeprefix("choice:").split(",")]
    values = tuple(dict.fromkeys(number(text) for text in texts))
    return Axis(name, values=values, integer=integer)


def grid(axes: Sequence[Axis]) -> list[dict[str, Number]]:
    """Return every combination, the last axis running fastest.

    Raises:
        InputError: if an axis is a range, which has no end of values.
    """
    for axis in axes:
        if axis.law != "values":
            raise InputError(
                f"--{axis.name} is a range; give plain values, or add --sampling=random "
                "--num_trials=N."
            )
    names = [axis.name for axis in axes]
    products = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(names, values, strict=True)) for values in products]


def sample(
    axes: Sequence[Axis],
    count: int,
    seed: int | Sequence[int],
    keep: Callable[[Mapping[str, np.ndarray]], Any] = lambda _: True,
) -> list[dict[str, Number]]:
    """Return `count` independent draws that `keep` accepts; the same seed gives the same draws.

    Args:
        axes: what is drawn, each independently of the others.
        count: how many draws.
        seed: of the draws.
        keep: name of each axis -> [B] draws of it; returns which of the B to accept, [B] bool.

    Raises:
        InputError: if less than one draw in a thousand is accepted.
    """
    key = np.random.default_rng(seed)
    drawn: list[dict[str, Number]] = []
    tries = 0
    while len(drawn) < count:
        if tries > 1000 * (len(drawn) + 1):
            raise InputError("fewer than one random trial in 1000 passes the filters; loosen them.")
        columns = {axis.name: axis.draw(key, SAMPLE_BLOCK) for axis in axes}
        kept = keep({name: np.array(values) for name, values in columns.items()})
        rows = zip(*columns.values(), strict=True)
        chosen = itertools.compress(rows, np.broadcast_to(kept, SAMPLE_BLOCK))
        drawn += [dict(zip(columns, row, strict=True)) for row in chosen]
        tries += SAMPLE_BLOCK
    return drawn[:count]


def partition(
    sizes: Sequence[int], cost: Callable[[int, int], float], overhead: float
) -> dict[int, int]:
    """Return which padded size each size trains at, so that the forecast time is least.

    Sizes that share a padded size share a compiled program, which costs `overhead` seconds once;
    but every member then pays for the largest. Exact, by dynamic programming over sorted sizes.

    Args:
        sizes: distinct sizes, ascending.
        cost: (size, padded size) -> seconds that all trials of the size take at the padded size.
        overhead: seconds for each program.

    Returns:
        size -> padded size, one of `sizes`.
    """
    best: list[tuple[float, int]] = [(0.0, 0)]  # for the first j sizes: seconds, start of the last
    for end in range(1, len(sizes) + 1):
        padded = sizes[end - 1]
        totals = [
            (
                best[start][0] + overhead + sum(cost(size, padded) for size in sizes[start:end]),
                start,
            )
            for start in range(end)
        ]
        best.append(min(totals))
    chosen: dict[int, int] = {}
    end = len(sizes)
    while end:
        start = best[end][1]
        chosen |= dict.fromkeys(sizes[start:end], sizes[end - 1])
        end = start
    return chosen
