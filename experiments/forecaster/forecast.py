"""How well SIRENs will store a picture, told without fitting any; and which of them is best."""

import dataclasses
import io
import itertools
import warnings
from dataclasses import field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

import jaxinr
from jaxfleet import codecs, photos, storage
from jaxfleet.errors import InputError
from jaxinr.forecaster.forecast import LEARNING_RATE, W0, ForecastWarning
from jaxinr.forecaster.trained import Trained, packaged

NINETY = 1.645  # standard deviations, to each side
_TRIAL = jaxinr.Trial()
CURVE = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the iterations


@dataclasses.dataclass(frozen=True)
class ForecastConfig:
    """Flags of launch/siren_forecast.py."""

    RUN_DIR: ClassVar[str] = "none"

    input: str = field(default="", metadata={"help": "The picture."})
    image_size: int = field(
        default=120,
        metadata={
            "help": "Side of the square picture that would be fitted, in pixels, as for "
            "launch/siren_grid.py; 0 for the picture as it is.",
            "lower": 0,
        },
    )
    image_fit: str = field(
        default="resize",
        metadata={
            "help": "resize: the largest central square, shrunk; crop: a central window.",
            "choices": photos.FITS,
        },
    )
    bits_per_pixel: float | None = field(
        default=None,
        metadata={"group": "Best network of a size", "help": "Size of the weights, at most."},
    )
    bits_per_weight: int = field(
        default=16, metadata={"help": "Bits that a weight takes.", "lower": 1, "upper": 32}
    )
    layer_size: tuple[int, ...] = field(
        default=(),
        metadata={
            "group": "A grid of networks",
            "help": "Units of a layer. Repeat each flag for more values.",
            "lower": 1,
        },
    )
    num_layers: tuple[int, ...] = field(default=(), metadata={"help": "Sine layers.", "lower": 1})
    w0_initial: tuple[float, ...] = field(
        default=(30.0,), metadata={"help": "Frequency factor of the first layer.", "lower": 1e-3}
    )
    learning_rate: tuple[float, ...] = field(
        default=(_TRIAL.learning_rate,),
        metadata={
            "group": "Training and output",
            "help": f"Of Adam. {LEARNING_RATE:g} is that of most networks that the forecaster was "
            "trained on.",
            "lower": 1e-12,
        },
    )
    num_iters: tuple[int, ...] = field(
        default=(_TRIAL.num_iters,), metadata={"help": "Adam updates, full batch.", "lower": 1}
    )
    forecaster: str = field(
        default="",
        metadata={
            "help": "forecaster.safetensors of launch/siren_predictor.py; empty for the one that "
            "comes with jaxinr."
        },
    )
    output: str = field(
        default="", metadata={"help": "A .csv to write, with a row for every network compared."}
    )


def run(config: ForecastConfig) -> str:
    """Return what to print.

    Raises:
        InputError: for a picture, a forecaster or a question that cannot be used.
    """
    if not config.input:
        raise InputError("--input=FILE names the picture.")
    is_grid = bool(config.layer_size or config.num_layers)
    if is_grid == (config.bits_per_pixel is not None):
        raise InputError(
            "Give either --bits_per_pixel, or --layer_size and --num_layers of a grid."
        )
    if is_grid and not (config.layer_size and config.num_layers):
        raise InputError("--layer_size and --num_layers belong together.")
    if config.output and not config.output.endswith(".csv"):
        raise InputError(f"--output={config.output}: give a name that ends in .csv.")
    if config.output:
        storage.check_file(Path(config.output), "--output")
    forecaster = Trained.load(Path(config.forecaster)) if config.forecaster else packaged()
    image = photos.read(
        Path(config.input), image_size=config.image_size, image_fit=config.image_fit
    )
    height, width = image.shape[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)  # told in our own line
        try:
            if is_grid:
                trials = _grid(config)
                found = jaxinr.forecast(image, trials, forecaster=forecaster)
                order = np.argsort(-found.mean_db, kind="stable")
                lines = ["forecast, best first:"]
            else:
                best = _recommend(config, image, forecaster)
                trials, found = list(best.considered), best.forecasts
                order = np.arange(len(trials))
                curve = _curve(image, best.trial, forecaster)
                lines = [
                    f"{len(trials)} networks of at most {config.bits_per_pixel:g} bits per pixel; "
                    "the best of each depth:"
                ]
        except ValueError as error:
            raise InputError(str(error).replace("`", "")) from error
    table = _table(trials, found, image, config.bits_per_weight).iloc[order]
    shown = table if is_grid else table.drop_duplicates("num_layers")
    lines = [f"{config.input}: {width} x {height} pixels", *lines, *_rows(shown)]
    if not is_grid:
        lines += [curve, codecs.at_size(image, codecs.JPEG, best.bits_per_pixel)]
    lines += [f"Not trained on, so less sure: {thing}" for thing in found.outside]
    if config.output:
        buffer = io.StringIO()
        table.to_csv(buffer, index=False)
        storage.write_atomically(Path(config.output), buffer.getvalue().encode())
        lines.append(f"wrote {config.output}")
    return "\n".join(lines)


def _grid(config: ForecastConfig) -> list[jaxinr.Trial]:
    axes = (
        *(config.num_layers, config.layer_size, config.w0_initial),
        *(config.learning_rate, config.num_iters),
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


def _recommend(
    config: ForecastConfig, image: np.ndarray, forecaster: Trained
) -> jaxinr.Recommendation:
    if len(config.learning_rate) != 1 or len(config.num_iters) != 1:
        raise InputError("--bits_per_pixel goes with one --learning_rate and one --num_iters.")
    assert config.bits_per_pixel is not None
    return jaxinr.recommend(
        image,
        config.bits_per_pixel,
        max_iterations=config.num_iters[0],
        learning_rate=config.learning_rate[0],
        bits_per_weight=config.bits_per_weight,
        forecaster=forecaster,
    )


def _curve(image: np.ndarray, trial: jaxinr.Trial, forecaster: Trained) -> str:
    """How the best network will get there."""
    updates = sorted({max(1, round(share * trial.num_iters)) for share in CURVE})
    found = jaxinr.forecast(image, [trial], iterations=updates, forecaster=forecaster)
    points = zip(updates, found.mean_db[0], strict=True)
    return "the first of them after " + ", ".join(f"{n} updates {db:.1f} dB" for n, db in points)


def _table(
    trials: list[jaxinr.Trial], found: jaxinr.Forecast, image: np.ndarray, bits: int
) -> pd.DataFrame:
    rows = pd.DataFrame([dataclasses.asdict(trial) for trial in trials]).drop(columns="seed")
    height, width = image.shape[:2]
    return rows.assign(
        parameters=[trial.parameters for trial in trials],
        bits_per_pixel=[trial.bits_per_pixel(height, width, bits=bits) for trial in trials],
        mean_db=found.mean_db,
        std_db=found.std_db,
    )


def _rows(table: pd.DataFrame) -> list[str]:
    """Aligned columns."""
    columns = {
        "layers": table["num_layers"].map(str),
        "units": table["layer_size"].map(str),
        "w0_initial": table["w0_initial"].map("{:.1f}".format),
        "updates": table["num_iters"].map(str),
        "weights": table["parameters"].map(str),
        "bpp": table["bits_per_pixel"].map("{:.3f}".format),
        "PSNR": table["mean_db"].map("{:.2f} dB".format),
        "90 % between": [
            f"{mean - NINETY * std:.1f} and {mean + NINETY * std:.1f} dB"
            for mean, std in zip(table["mean_db"], table["std_db"], strict=True)
        ],
    }
    cells = [[name, *map(str, values)] for name, values in columns.items()]
    widths = [max(map(len, column)) for column in cells]
    return [
        "  " + "  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=True))
        for row in zip(*cells, strict=True)
    ]
