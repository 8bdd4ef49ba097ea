"""Measure the seconds of a call, and engines in turn."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds of a call, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    return timed(work)[0]


def best_of(
    engines: Mapping[str, Callable[[], float]],
    rounds: int,
    best: Callable[[Iterable[float]], float] = max,
) -> dict[str, float]:
    """Measure engines in turn, since machines are noisy, and return the best of each one's rounds.

    Args:
        engines: name -> measurement.
        rounds: measurements per engine, at least 1.
        best: `max` of rates, `min` of times.
    """
    measured = [{name: measure() for name, measure in engines.items()} for _ in range(rounds)]
    return {name: best(one[name] for one in measured) for name in engines}
