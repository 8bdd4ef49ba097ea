"""How benchmarks measure and show: seconds of a call, engines in turn, rows as Markdown."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

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


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table; None is an empty cell."""

    def text(value: Any) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = [list(rows[0]), ["---"] * len(rows[0])] + [[text(v) for v in r.values()] for r in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
