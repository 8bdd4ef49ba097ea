"""The best SIREN for an image under limits of size, quality and time, and what each limit costs."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxfleet.results.showing import Tabular, counted
from jaxinr.forecaster import descriptors, inputs, speed
from jaxinr.forecaster.forecast import (
    W0,
    Forecast,
    ForecastWarning,
    hyperparameters,
    rounded_up,
    sizes_within,
    to_8bit,
)
from jaxinr.forecaster.speed import Speed
from jaxinr.forecaster.trained import Trained, packaged
from jaxinr.trial import Trial

NUM_ITERS = 2000  # where nothing limits the time, as of a trial
MAX_ITERATIONS = 100_000
W0_INITIALS = (8.0, 12.0, 17.0, 24.0, 34.0, 48.0, 68.0)
LEARNING_RATES = (2e-4, 4e-4, 8e-4, 1.5e-3, 3e-3)
UPDATES = tuple(np.geomspace(100, MAX_ITERATIONS, 13).round(-1).astype(int).tolist())  # of a table
CAUTION = 0.25  # standard deviations that a forecast must make up for
STEPS_PER_OCTAVE = 2  # of sizes and times in a table
_FINITE = ("max_iterations", "learning_rate", "bits_per_weight")


@dataclasses.dataclass(frozen=True, repr=False)
class Recommendation(Tabular):
    """A SIREN for an image and its limits.

    Attributes:
        trial: the best hyperparameters.
        mean_db: forecast of its best PSNR.
        std_db: the spread of the forecast.
        bits_per_pixel: of the network.
        considered: [N] trials that were compared, best first, this one in front.
        forecasts: of those, in the same order.
        encode_seconds: of its training on `device`.
        decode_milliseconds: of rendering it.
        device: the device that the times are for.
    """

    trial: Trial
    mean_db: float
    std_db: float
    bits_per_pixel: float
    considered: Sequence[Trial]
    forecasts: Forecast
    encode_seconds: float
    decode_milliseconds: float
    device: str

    def __repr__(self) -> str:
        """Return one line."""
        size = f"{counted(self.trial.num_layers, 'layer')} of {self.trial.layer_size} units"
        return (
            f"Recommendation({size}, w0_initial {self.trial.w0_initial:g}: {self.mean_db:.1f} ± "
            f"{self.std_db:.1f} dB at {self.bits_per_pixel:.3g} bits per pixel, best of "
            f"{len(self.considered)}, {self.encode_seconds:.3g} s to fit)"
        )

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame of the networks that were compared, best first."""
        return self.forecasts.to_pandas()


@dataclasses.dataclass(frozen=True, repr=False)
class Tradeoff(Tabular):
    """Networks that no other one beats in bits, seconds of training and PSNR at once.

    Attributes:
        trials: [N], by size and then by time.
        mean_db: [N] forecast of their best PSNR.
        std_db: [N] spread of the forecasts.
        bits_per_pixel: [N].
        encode_seconds: [N] of their training on `device`.
        decode_milliseconds: [N] of rendering them.
        is_outside: [N] bool, whether the forecast lies outside the training range of the
            forecaster, where its spread is wider.
        device: the device that the times are for.
    """

    trials: tuple[Trial, ...]
    mean_db: np.ndarray
    std_db: np.ndarray
    bits_per_pixel: np.ndarray
    encode_seconds: np.ndarray
    decode_milliseconds: np.ndarray
    is_outside: np.ndarray
    device: str

    def __repr__(self) -> str:
        """Return one line."""
        spans = (
            f"{low:.3g} to {high:.3g} {unit}"
            for low, high, unit in (
                (self.bits_per_pixel.min(), self.bits_per_pixel.max(), "bits per pixel"),
                (self.encode_seconds.min(), self.encode_seconds.max(), "s"),
                (self.mean_db.min(), self.mean_db.max(), "dB"),
            )
        )
        return f"Tradeoff({counted(len(self.trials), 'network')}: {', '.join(spans)})"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each network."""
        own = [one.name for one in dataclasses.fields(self) if one.name not in ("trials", "device")]
        return hyperparameters(self.trials).assign(**{name: getattr(self, name) for name in own})


@dataclasses.dataclass(frozen=True)
class _Asked:
    """An image, and who answers."""

    described: np.ndarray
    size: tuple[int, int]
    bits_per_weight: int
    forecaster: Trained
    speed: Speed

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        bits_per_weight: int,
        speed_: Speed | None,
        forecaster: Trained | None,
    ) -> "_Asked":
        pixels = to_8bit(image)
        size = (pixels.shape[0], pixels.shape[1])
        described = descriptors.describe(pixels)
        return cls(
            described, size, bits_per_weight, forecaster or packaged(), speed_ or speed.known()
        )

    def bits_per_pixel(self, rows: np.ndarray) -> np.ndarray:
        return inputs.parameters(rows) * self.bits_per_weight / (self.size[0] * self.size[1])

    def rows(self, shapes: Sequence[Trial], learning_rate: float | None) -> np.ndarray:
        """[N, S, len(inputs.TRIAL)] of each size with each w0_initial and learning rate."""
        rates = LEARNING_RATES if learning_rate is None else (learning_rate,)
        settings = np.stack(np.meshgrid(W0_INITIALS, rates, indexing="ij"), -1).reshape(-1, 2)
        rows = np.empty((len(shapes), len(settings), len(inputs.TRIAL)))
        rows[...] = inputs.trial_rows(shapes, *self.size)[:, None]
        rows[..., 2:4] = settings
        return rows


def recommend(
    image: np.ndarray,
    bits_per_pixel: float | None = None,
    *,
    target_psnr_db: float | None = None,
    encode_seconds: float | None = None,
    decode_milliseconds: float | None = None,
    max_iterations: int | None = None,
    learning_rate: float | None = None,
    bits_per_weight: int = 16,
    speed: Speed | None = None,
    forecaster: Trained | None = None,
) -> Recommendation:
    """Recommend the SIREN for an image with the best forecast within limits, at least one.

    Layers, units, w0_initial and learning rate are compared, some ten thousand networks. With
    `target_psnr_db` the smallest network that reaches it is recommended, otherwise the one with
    the highest PSNR.

    Args:
        image: [H, W, 3] uint8 or float in [0, 1], at the size at which it would be fitted.
        bits_per_pixel: that the weights may take.
        target_psnr_db: that the forecast must reach.
        encode_seconds: that one fit may take; sets the number of updates.
        decode_milliseconds: that rendering may take.
        max_iterations: Adam updates; None for 2,000, or with `encode_seconds` up to 100,000.
        learning_rate: of Adam; None for the best of a few.
        bits_per_weight: of each weight and bias.
        speed: of the device; None for this machine's, see `jaxinr.forecaster.speed`.
        forecaster: None for the one that comes with the package.

    Warns:
        ForecastWarning: if the forecast lies outside the training range of the forecaster, or the
            limits allow larger networks than it was trained on.

    Raises:
        TypeError, ValueError: as `forecast`; if no limit is given, one is not positive, or no
            network keeps within them.
    """
    limits = {
        "bits_per_pixel": bits_per_pixel,
        "target_psnr_db": target_psnr_db,
        "encode_seconds": encode_seconds,
        "decode_milliseconds": decode_milliseconds,
        "max_iterations": max_iterations,
        "learning_rate": learning_rate,
    }
    _check_positive(limits | {"bits_per_weight": bits_per_weight})
    if max_iterations is not None and max_iterations % 1:
        raise ValueError(f"`max_iterations` must be a whole number; got {max_iterations}.")
    if all(value is None for value in list(limits.values())[:4]):
        raise ValueError(f"give at least one of {', '.join(list(limits)[:4])}.")
    asked = _Asked.of(image, bits_per_weight, speed, forecaster)
    most = np.inf if bits_per_pixel is None else bits_per_pixel
    shapes = sizes_within(
        asked.forecaster, *asked.size, bits_per_pixel=most, bits_per_weight=bits_per_weight
    )
    rows = asked.rows(shapes, learning_rate).reshape(-1, len(inputs.TRIAL))
    updates = _updates(asked, rows, encode_seconds, max_iterations)
    decode = 1e3 * asked.speed.decode_seconds(rows)
    kept = updates >= 1
    if decode_milliseconds is not None:
        kept &= decode <= decode_milliseconds
    if not kept.any():
        raise ValueError(
            f"no network of the training range keeps within {_said(limits)}; on "
            f"{asked.speed.device} an update of the fastest takes "
            f"{rounded_up(asked.speed.encode_seconds(rows, np.ones(len(rows))).min())} s, and "
            f"rendering {rounded_up(decode.min())} ms."
        )
    rows, updates = rows[kept], updates[kept]
    mean_db, std_db = (
        x[:, 0] for x in asked.forecaster.ask(asked.described, rows, updates[:, None])
    )
    sure_db = mean_db - CAUTION * std_db
    order = np.argsort(-sure_db, kind="stable")
    if target_psnr_db is not None:
        reached = mean_db >= target_psnr_db
        if not reached.any():
            others = _said(limits | {"target_psnr_db": None})
            raise ValueError(
                f"no network of the training range reaches {target_psnr_db:g} dB"
                f"{f' within {others}' if others else ''}; the best is forecast to reach "
                f"{math.floor(10 * mean_db.max()) / 10:.1f} dB after {updates[mean_db.argmax()]:,} "
                "iterations."
            )
        order = np.lexsort((-sure_db, inputs.parameters(rows), ~reached))
    rows, updates, mean_db, std_db = (x[order] for x in (rows, updates, mean_db, std_db))
    outside = asked.forecaster.reach.outside(asked.described, rows[:1], updates[:1, None])
    largest = 2.0 ** asked.forecaster.reach.high[4]
    beyond = largest * bits_per_weight / (asked.size[0] * asked.size[1])
    if bits_per_pixel is not None and most > beyond:
        outside += (
            f"networks of {beyond:.3g} to {most:g} bits per pixel, so none of them was compared",
        )
    if outside:
        warnings.warn(f"Not trained on: {'; '.join(outside)}.", ForecastWarning, stacklevel=2)
    trials = _trials(rows, updates)
    return Recommendation(
        trials[0],
        float(mean_db[0]),
        float(std_db[0]),
        float(asked.bits_per_pixel(rows[:1])[0]),
        trials,
        Forecast(mean_db, std_db, outside, trials),
        float(asked.speed.encode_seconds(rows[:1], updates[:1])[0]),
        float(1e3 * asked.speed.decode_seconds(rows[:1])[0]),
        asked.speed.device,
    )


def tradeoff(
    image: np.ndarray,
    *,
    encode_seconds: float | None = None,
    bits_per_weight: int = 16,
    speed: Speed | None = None,
    forecaster: Trained | None = None,
) -> Tradeoff:
    """Forecast which networks are worth fitting to an image: the Pareto set of size, time and PSNR.

    Sizes and times are grouped in steps of half an octave.

    Args:
        image: as of `recommend`.
        encode_seconds: limit for one fit; None for no limit but 100,000 updates.
        bits_per_weight: of each weight and bias.
        speed: of the device; None for this machine's.
        forecaster: None for the one that comes with the package.

    Raises:
        TypeError, ValueError: as `recommend`.
    """
    _check_positive({"encode_seconds": encode_seconds, "bits_per_weight": bits_per_weight})
    asked = _Asked.of(image, bits_per_weight, speed, forecaster)
    # Of each depth one network to a step of the table.
    chosen = {
        (one.num_layers, round(STEPS_PER_OCTAVE * math.log2(one.parameters))): one
        for one in sizes_within(asked.forecaster, *asked.size, bits_per_pixel=np.inf)
    }
    rows = asked.rows(list(chosen.values()), None)  # [N, S, ...]
    flat = rows.reshape(-1, rows.shape[-1])
    times = np.tile(UPDATES, (len(flat), 1))
    mean_db, std_db = (
        x.reshape(*rows.shape[:2], -1) for x in asked.forecaster.ask(asked.described, flat, times)
    )
    best = (mean_db - CAUTION * std_db).argmax(1)  # [N, T]
    size, time = np.indices(best.shape).reshape(2, -1)
    found = rows[size, best.ravel()]
    updates = np.array(UPDATES)[time]
    mean_db, std_db = (x[size, best.ravel(), time] for x in (mean_db, std_db))
    seconds = asked.speed.encode_seconds(found, updates)
    kept = np.flatnonzero(seconds <= (np.inf if encode_seconds is None else encode_seconds))
    if not len(kept):
        raise ValueError(
            f"no fit of {UPDATES[0]} iterations takes at most {encode_seconds:g} s; on "
            f"{asked.speed.device} the fastest takes {rounded_up(seconds.min())} s."
        )
    bits = asked.bits_per_pixel(found)
    size, time = (np.round(STEPS_PER_OCTAVE * np.log2(x[kept])) for x in (bits, seconds))
    kept = kept[_undominated(size, time, mean_db[kept])]
    kept = kept[np.lexsort((seconds[kept], bits[kept]))]
    return Tradeoff(
        _trials(found[kept], updates[kept]),
        mean_db[kept],
        std_db[kept],
        bits[kept],
        seconds[kept],
        1e3 * asked.speed.decode_seconds(found[kept]),
        asked.forecaster.reach.is_outside(asked.described, found[kept], updates[kept]),
        asked.speed.device,
    )


def _updates(
    asked: _Asked, rows: np.ndarray, encode_seconds: float | None, max_iterations: int | None
) -> np.ndarray:
    """[N] whole updates of each network within the limits; 0 where not one is left."""
    if encode_seconds is None:
        return np.full(len(rows), max_iterations or NUM_ITERS)
    possible = (encode_seconds - asked.speed.fit[0]) / asked.speed.update_seconds(rows)
    return np.clip(possible, 0, max_iterations or MAX_ITERATIONS).astype(int)


def _trials(rows: np.ndarray, updates: np.ndarray) -> tuple[Trial, ...]:
    return tuple(
        Trial(
            layer_size=int(width),
            num_layers=int(depth),
            w0_initial=w0_initial,
            w0=W0,
            learning_rate=rate,
            num_iters=int(count),
        )
        for (width, depth, w0_initial, rate), count in zip(
            rows[:, :4].tolist(), updates, strict=True
        )
    )


def _undominated(bits: np.ndarray, seconds: np.ndarray, psnr_db: np.ndarray) -> np.ndarray:
    """[M] which no other one beats: not larger, not slower, and with a higher PSNR."""
    order = np.lexsort((-psnr_db, seconds, bits))
    kept: list[int] = []
    for i in order:
        own = np.array(kept, int)
        if not np.any((seconds[own] <= seconds[i]) & (psnr_db[own] >= psnr_db[i])):
            kept.append(int(i))
    return np.array(kept, int)


def _check_positive(values: dict[str, Any]) -> None:
    """Refuse, by its name, what is no positive number; sizes and times may be without limit."""
    for name, value in values.items():
        if value is None:
            continue
        if not isinstance(value, int | float | np.number):
            raise TypeError(f"`{name}` must be a number; got {value!r}.")
        if not value > 0:
            raise ValueError(f"`{name}` must be positive; got {value}.")
        if name in _FINITE and not math.isfinite(value):
            raise ValueError(f"`{name}` must be finite; got {value}.")


def _said(limits: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None)
