"""How well SIRENs will store a picture, told without fitting any; and which of them is best."""

import csv
import dataclasses
import io
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

import jaxinr
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import codecs, photos
from jaxfleet.results.showing import three_digits
from jaxfleet.scripts.options import flag
from jaxinr.forecaster import speed
from jaxinr.forecaster.forecast import W0, ForecastWarning
from jaxinr.forecaster.reach import NINETY
from jaxinr.forecaster.trained import Trained, chosen

_TRIAL = jaxinr.Trial()
CURVE = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the iterations
_FIELDS = ("layer_size", "num_layers", "w0_initial", "w0", "learning_rate", "num_iters")


@dataclasses.dataclass(frozen=True)
class ForecastConfig:
    """Flags of launch/siren_forecast.py."""

    RUN_DIR: ClassVar[str] = "none"

    input: str = flag("", "The picture.")
    image_size: int = flag(
        120,
        "Side of the square picture that would be fitted, in pixels, as for "
        "launch/siren_grid.py; 0 for the picture as it is.",
        lower=0,
    )
    image_fit: str = flag(
        "resize",
        "resize: the largest central square, shrunk; crop: a central window.",
        choices=photos.FITS,
    )
    bits_per_pixel: float | None = flag(
        None, "Size of the weights, at most.", group="Best network within limits"
    )
    target_psnr_db: float | None = flag(None, "PSNR that the smallest network is to reach.")
    encode_seconds: float | None = flag(None, "Time of the training, at most; sets the updates.")
    decode_milliseconds: float | None = flag(None, "Time of rendering, at most.")
    bits_per_weight: int = flag(16, "Bits that a weight takes.", lower=1, upper=32)
    layer_size: tuple[int, ...] = flag(
        (),
        "Units of a layer. Repeat each flag for more values.",
        group="A grid of networks",
        lower=1,
    )
    num_layers: tuple[int, ...] = flag((), "Sine layers.", lower=1)
    w0_initial: tuple[float, ...] = flag(
        (30.0,), "Frequency factor of the first layer.", lower=1e-3
    )
    learning_rate: tuple[float, ...] = flag(
        (),
        f"Of Adam. Not given: {_TRIAL.learning_rate:g} in a grid, else the best of a few.",
        group="Training and output",
        lower=1e-12,
    )
    num_iters: tuple[int, ...] = flag(
        (),
        f"Adam updates, full batch. Not given: {_TRIAL.num_iters:,}, or as many as "
        "--encode_seconds allows.",
        lower=1,
    )
    forecaster: str = flag(
        "",
        "forecaster.safetensors of launch/siren_predictor.py; empty for the one that "
        "comes with jaxinr.",
    )
    speed: str = flag(
        "",
        "siren_speed.json of launch/benchmark.py --part=calibrate on another device; "
        "empty for this machine's.",
    )
    output: str = flag("", "A .csv to write, with a row for every network compared.")
    report: str = flag(
        "",
        "A .html to write: PSNR against size beside JPEG, WebP and AVIF of this "
        "picture, learning curves, and the best network of each size with its times.",
    )

    def limits(self) -> dict[str, float | None]:
        """Limits of the best network, by the arguments of `jaxinr.recommend`."""
        names = ("bits_per_pixel", "target_psnr_db", "encode_seconds", "decode_milliseconds")
        return {name: getattr(self, name) for name in names}


def run(config: ForecastConfig) -> str:
    """Return what to print.

    Raises:
        InputError: for a picture, a forecaster or a question that cannot be used.
    """
    _check(config)
    forecaster = chosen(config.forecaster)
    device = speed.load(Path(config.speed)) if config.speed else speed.known()
    image = photos.read(
        Path(config.input), image_size=config.image_size, image_fit=config.image_fit
    )
    size = f"{image.shape[1]} x {image.shape[0]} pixels"
    part = " (--image_size=0 takes the whole picture)" if config.image_size else ""
    lines = [f"{config.input} at {size}{part}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)  # told in our own lines
        try:
            if config.layer_size:
                found = jaxinr.forecast(image, _grid(config), forecaster=forecaster)
                order = np.argsort(-found.mean_db, kind="stable")
                rows = [_row(config, image, found, i) for i in order]
                lines += ["forecast, best first:", *_aligned(rows)]
                lines += _outside(found)
            elif any(value is not None for value in config.limits().values()):
                rows, more = _best(config, image, forecaster, device)
                lines += more
            else:
                rows, more = _tradeoff(config, image, forecaster, device)
                lines += more
            if config.report:
                from experiments.forecaster import photo_page  # matplotlib, half a second

                photo_page.write(Path(config.report), config.input, image, forecaster, device)
                lines.append(f"wrote {config.report}")
        except ValueError as error:
            raise InputError(str(error).replace("`", "")) from error
    if config.output:
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        storage.write_atomically(Path(config.output), text.getvalue().encode())
        lines.append(f"wrote {config.output}")
    return "\n".join(lines)


def _check(config: ForecastConfig) -> None:
    if not config.input:
        raise InputError("--input=FILE names the picture.")
    limited = [f"--{name}" for name, value in config.limits().items() if value is not None]
    if bool(config.layer_size) != bool(config.num_layers):
        raise InputError("--layer_size and --num_layers belong together.")
    if config.layer_size and limited:
        raise InputError(f"Give either {limited[0]}, or --layer_size and --num_layers of a grid.")
    if not config.layer_size and (len(config.learning_rate) > 1 or len(config.num_iters) > 1):
        raise InputError("only a grid has more than one --learning_rate or --num_iters.")
    for name, ending in (("output", ".csv"), ("report", ".html")):
        path = getattr(config, name)
        if path and not path.endswith(ending):
            raise InputError(f"--{name}={path}: give a name that ends in {ending}.")
        if path:
            storage.check_file(Path(path), f"--{name}")


def _grid(config: ForecastConfig) -> list[jaxinr.Trial]:
    axes = (
        *(config.num_layers, config.layer_size, config.w0_initial),
        config.learning_rate or (_TRIAL.learning_rate,),
        config.num_iters or (_TRIAL.num_iters,),
    )
    return [
        jaxinr.Trial(
            num_layers=depth,
            layer_size=size,
            w0_initial=w0_initial,
            learning_rate=rate,
            num_iters=count,
            w0=W0,
        )
        for depth, size, w0_initial, rate, count in itertools.product(*axes)
    ]


def _best(
    config: ForecastConfig, image: np.ndarray, forecaster: Trained, device: speed.Speed
) -> tuple[list[dict[str, float]], list[str]]:
    """Return rows of the networks within the limits, and lines on the best of each depth."""
    best = jaxinr.recommend(
        image,
        **config.limits(),
        max_iterations=config.num_iters[0] if config.num_iters else None,
        learning_rate=config.learning_rate[0] if config.learning_rate else None,
        bits_per_weight=config.bits_per_weight,
        speed=device,
        forecaster=forecaster,
    )
    found = best.forecasts
    rows = [_row(config, image, found, i) for i in range(len(found.trials))]
    depths: dict[float, dict[str, float]] = {}
    for row in rows:
        depths.setdefault(row["num_layers"], row)
    said = ", ".join(
        f"{value:g} {_UNITS[name]}" for name, value in config.limits().items() if value is not None
    )
    return rows, [
        f"{len(rows)} networks within {said}; the best of each depth:",
        *_aligned(list(depths.values())),
        f"the first of them takes {three_digits(best.encode_seconds)} s to fit and "
        f"{three_digits(best.decode_milliseconds)} ms to render on {best.device}",
        _curve(image, best.trial, forecaster),
        codecs.at_size(image, codecs.JPEG, best.bits_per_pixel),
        *_outside(found),
    ]


_UNITS = {
    "bits_per_pixel": "bits per pixel",
    "target_psnr_db": "dB",
    "encode_seconds": "s to fit",
    "decode_milliseconds": "ms to render",
}


def _tradeoff(
    config: ForecastConfig, image: np.ndarray, forecaster: Trained, device: speed.Speed
) -> tuple[list[dict[str, float]], list[str]]:
    found = jaxinr.tradeoff(
        image, bits_per_weight=config.bits_per_weight, speed=device, forecaster=forecaster
    )
    rows = []
    for i in range(len(found.trials)):
        seconds = {
            "encode_seconds": float(found.encode_seconds[i]),
            "decode_milliseconds": float(found.decode_milliseconds[i]),
        }
        rows.append(_row(config, image, found, i) | seconds)
    # Of each half octave of size the highest PSNR, where it can be in the training range.
    steps = np.round(2 * np.log2(found.bits_per_pixel))
    order = np.lexsort((-found.mean_db, found.is_outside, steps))
    shown = order[np.unique(steps[order], return_index=True)[1]]
    return rows, [
        f"{len(rows)} networks that no other beats in size, time and PSNR, on {found.device}; the "
        "best of each size, in the training range if there are any:",
        *_aligned([rows[i] for i in shown]),
        "--output lists all of them, also those that take less time; --report shows them.",
        *(
            [f"Not trained on, so less sure: {found.is_outside.sum()} of the {len(rows)}"]
            if found.is_outside.any()
            else []
        ),
    ]


def _curve(image: np.ndarray, trial: jaxinr.Trial, forecaster: Trained) -> str:
    """Say how the best network will get there."""
    updates = sorted({max(1, round(share * trial.num_iters)) for share in CURVE})
    found = jaxinr.forecast(image, [trial], iterations=updates, forecaster=forecaster)
    points = zip(updates, found.mean_db[0], strict=True)
    return "the first of them after " + ", ".join(f"{n} updates {db:.1f} dB" for n, db in points)


def _outside(found: jaxinr.Forecast) -> list[str]:
    return [f"Not trained on, so less sure: {thing}" for thing in found.outside]


def _row(
    config: ForecastConfig, image: np.ndarray, found: jaxinr.Forecast | jaxinr.Tradeoff, i: int
) -> dict[str, float]:
    trial = found.trials[i]
    bits = trial.bits_per_pixel(*image.shape[:2], bits=config.bits_per_weight)
    return {
        **{name: getattr(trial, name) for name in _FIELDS},
        "parameters": trial.parameters,
        "bits_per_pixel": bits,
        "mean_db": float(found.mean_db[i]),
        "std_db": float(found.std_db[i]),
    }


def _aligned(rows: Sequence[dict[str, float]]) -> list[str]:
    """Aligned columns."""
    columns = {
        "layers": ("num_layers", "{:.0f}"),
        "units": ("layer_size", "{:.0f}"),
        "w0_initial": ("w0_initial", "{:.1f}"),
        "rate": ("learning_rate", "{:g}"),
        "updates": ("num_iters", "{:,.0f}"),
        "weights": ("parameters", "{:,.0f}"),
        "bpp": ("bits_per_pixel", "{}"),
        "fit": ("encode_seconds", "{} s"),
        "render": ("decode_milliseconds", "{} ms"),
        "PSNR": ("mean_db", "{:.2f} dB"),
    }
    cells = [
        [
            head,
            *(form.format(three_digits(row[name]) if "{}" in form else row[name]) for row in rows),
        ]
        for head, (name, form) in columns.items()
        if name in rows[0]
    ]
    spans = [(row["mean_db"], NINETY * row["std_db"]) for row in rows]
    cells.append(
        ["90 % between", *(f"{mean - far:.1f} and {mean + far:.1f} dB" for mean, far in spans)]
    )
    widths = [max(map(len, column)) for column in cells]
    return [
        "  " + "  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=True))
        for row in zip(*cells, strict=True)
    ]
