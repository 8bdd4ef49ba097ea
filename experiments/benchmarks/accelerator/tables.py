"""Tables of the accelerator's benchmark, and whether its wanted figures were reached: pure.

What could not be measured is a text that says why, in place of the result.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks.accelerator.collection_hours import (
    AUTHORS_HOURS,
    WANTED_HOURS,
    HoursForecast,
)
from experiments.benchmarks.accelerator.engines import BASELINE, PORTABLE, Engine, Exactness, Rate
from experiments.benchmarks.accelerator.limits import Limits, least_seconds
from experiments.benchmarks.config import Shape
from experiments.report import markdown

WANTED_RATIO, WANTED_SHARE = 5.0, 0.35
# How far loss and gradient may be from float64, relatively: rounding of the products, which the
# sine of 30 times as much multiplies; a wrong formula is off by more.
TOLERANCE = {"float32": 1e-4, "tf32": 0.01, "bfloat16": 0.05}
MEANS = ("ratio_to_plain_vmap", "share_of_products", "share_of_limit")
HEADINGS = {
    "device": "Device",
    "limits": "Its limits, measured in this run",
    "exactness": "Loss and gradient against float64, and the PSNR of the same short fits",
    "shapes": "Pixel-steps per second of one device; products alone count as FLOP",
    "means": "Geometric means over the shapes",
    "programs": "Programs drawn from the collection's plan",
    "collection": "Hours of one device for the collection",
}

Measured = Mapping[tuple[Engine, Shape], Rate | str]
Forecasts = Mapping[Engine, HoursForecast | str]


def exactness_rows(found: Mapping[Engine, Exactness | str]) -> list[dict[str, Any]]:
    """Return a row per engine; cost_db is how far its PSNR is below that of the portable path."""
    names = ("loss_error", "gradient_error", "agrees", "psnr_db", "cost_db")
    base = found.get(PORTABLE)
    rows = []
    for engine, one in found.items():
        row: dict[str, Any] = {"engine": str(engine), **dict.fromkeys(names), "remark": ""}
        if isinstance(one, str):
            row["remark"] = one
        else:
            worst = max(one.loss_error, one.gradient_error)
            row |= dataclasses.asdict(one)
            row["agrees"] = "yes" if worst <= TOLERANCE[engine.products] else "NO"
            row["cost_db"] = base.psnr_db - one.psnr_db if isinstance(base, Exactness) else None
        rows.append(row)
    return rows


def shape_rows(measured: Measured, limits: Limits) -> list[dict[str, Any]]:
    """Return one row for each shape and engine, shape by shape.

    `limit` is what binds: memory (every layer through it, unless the engine is fused), products of
    the engine's own kind, or sines; `share_of_limit` is the time at that limit over the time taken,
    above 1 where an engine keeps from memory what it is counted to send there.
    """
    order = list(dict.fromkeys(shape for _, shape in measured))
    rows = []
    for engine, shape in sorted(measured, key=lambda pair: order.index(pair[1])):
        rate = measured[engine, shape]
        figures = {} if isinstance(rate, str) else _figures(measured, limits, engine, shape)
        row: dict[str, Any] = {"shape": str(shape), "engine": str(engine)}
        for name in ("pixel_steps_per_s", "gflop_per_s", *MEANS, "limit", "compile_seconds"):
            row[name] = figures.get(name)
        rows.append(row | {"remark": rate if isinstance(rate, str) else ""})
    return rows


def _figures(measured: Measured, limits: Limits, engine: Engine, shape: Shape) -> dict[str, Any]:
    rate, plain = measured[engine, shape], measured.get((BASELINE, shape))
    assert isinstance(rate, Rate)
    speed = rate.pixel_steps_per_s
    least = least_seconds(
        limits,
        shape.layer_size,
        shape.num_layers,
        products=engine.products,
        fused=engine.is_fused,
    )
    binding = max(least, key=least.__getitem__)
    return {
        "pixel_steps_per_s": speed,
        "gflop_per_s": speed * shape.flops / 1e9,
        "ratio_to_plain_vmap": speed / plain.pixel_steps_per_s if isinstance(plain, Rate) else None,
        "share_of_products": speed * least["products"],
        "share_of_limit": speed * least[binding],
        "limit": binding,
        "compile_seconds": rate.compile_seconds,
    }


def mean_rows(measured: Measured, limits: Limits) -> list[dict[str, Any]]:
    """Return the geometric means of each engine over the shapes, of those that it could train."""
    rows = []
    for engine in dict.fromkeys(engine for engine, _ in measured):
        figures = [
            _figures(measured, limits, engine, shape)
            for (one, shape), rate in measured.items()
            if one == engine and isinstance(rate, Rate)
        ]
        row: dict[str, Any] = {"engine": str(engine), "shapes": len(figures)}
        for name in MEANS:
            values = [one[name] for one in figures]
            known = bool(values) and None not in values
            row[name] = geometric_mean(values) if known else None
        rows.append(row)
    return rows


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


def fastest(measured: Measured) -> Engine | None:
    """Return our engine of the highest geometric mean rate among those that train every shape."""
    speeds: dict[Engine, float] = {}
    for engine in dict.fromkeys(engine for engine, _ in measured if not engine.is_plain):
        rates = [rate for (one, _), rate in measured.items() if one == engine]
        known = [rate.pixel_steps_per_s for rate in rates if isinstance(rate, Rate)]
        if len(known) == len(rates):
            speeds[engine] = geometric_mean(known)
    return max(speeds, key=speeds.__getitem__, default=None)


def program_rows(forecasts: Forecasts) -> list[dict[str, Any]]:
    """Return one row for each engine and measured program of the plan."""
    return [
        {"engine": str(engine), **program.row()}
        for engine, one in forecasts.items()
        if not isinstance(one, str)
        for program in one.programs
    ]


def forecast_rows(forecasts: Forecasts) -> list[dict[str, Any]]:
    """Return one row for each engine that has a forecast, then the remarks on the others."""
    known = {engine: one for engine, one in forecasts.items() if not isinstance(one, str)}
    rows: list[dict[str, Any]] = [
        {"engine": str(engine), **one.row(), "remark": ""} for engine, one in known.items()
    ]
    names = list(rows[0]) if rows else ["engine", "remark"]
    return rows + [
        dict.fromkeys(names) | {"engine": str(engine), "remark": one}
        for engine, one in forecasts.items()
        if isinstance(one, str)
    ]


def wanted(
    means: Sequence[Mapping[str, Any]], forecasts: Sequence[Mapping[str, Any]], shapes: int
) -> list[str]:
    """Return one sentence for each figure wanted of an H200: what was reached, by which engine.

    Args:
        means: of `mean_rows`.
        forecasts: of `forecast_rows`.
        shapes: how many an engine must have trained.
    """
    whole = [row for row in means if row["shapes"] == shapes and row["ratio_to_plain_vmap"]]
    ours = [row for row in whole if not row["engine"].startswith(BASELINE.kernel)]
    float32 = [row for row in ours if row["engine"].endswith(BASELINE.products)]

    def sentence(rows: Sequence[Mapping[str, Any]], name: str, what: str, limit: float) -> str:
        if not rows:
            return f"{what}: no engine was measured at every shape."
        best = max(rows, key=lambda row: row[name])
        reached = "reached" if best[name] >= limit else "not reached"
        return f"{what}: {best[name]:.3g} ({best['engine']}); wanted {limit:g}, {reached}."

    sentences = [
        sentence(float32, MEANS[0], "Times plain vmap in float32", WANTED_RATIO),
        sentence(ours, MEANS[1], "Share of the measured rate of its products", WANTED_SHARE),
    ]
    known = [row for row in forecasts if row.get("hours")]
    if not known:
        return [*sentences, "Hours for the collection: no forecast."]
    best = min(known, key=lambda row: row["hours"])
    reached = "reached" if best["hours"] < WANTED_HOURS else "not reached"
    return [
        *sentences,
        f"Hours for the collection: {best['hours']:.3g} ({best['engine']}), of which training is "
        f"{best['training_hours']:.3g} with a standard error of "
        f"{best['standard_error_hours']:.2g}; wanted {WANTED_HOURS:g}, {reached}; its authors took "
        f"about {AUTHORS_HOURS:g}.",
    ]


def summary(content: Mapping[str, Any]) -> str:
    """Return everything that was found so far, as Markdown."""
    texts = [content["remark"]] if content.get("remark") else []
    texts += [
        f"#### {heading}\n\n{markdown.table(content[name])}"
        for name, heading in HEADINGS.items()
        if content.get(name)
    ]
    if content.get("wanted"):
        texts.append("\n".join(f"- {sentence}" for sentence in content["wanted"]))
    return "\n\n".join(texts) + "\n"
