"""Measure what following a recommendation costs under each kind of limit, by fits of others.

On photographs that no forecaster was trained on, the network that `jaxinr.recommend` names and a
coarse grid of others within the same limit are really fitted. The regret is how much better the
best of the grid is: a true PSNR less a true PSNR, never below that of a tie. Under a target, whose
answer is the smallest network, it is what the recommended one lacks of the target.
"""

import dataclasses
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import jaxinr
from experiments import flags
from experiments.report import page
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxfleet.imaging.splits import split_of
from jaxfleet.progress import Progress
from jaxfleet.results.showing import counted
from jaxfleet.scripts.options import check_values, flag
from jaxinr.forecaster import speed
from jaxinr.forecaster.forecast import ForecastWarning
from jaxinr.forecaster.speed import Speed
from jaxinr.forecaster.tradeoff import Recommendation
from jaxinr.forecaster.trained import Trained, chosen
from jaxinr.trial import Trial

KIND = "siren_regret"
# The grid, of what `recommend` compares.
DEPTHS = (2, 3, 5, 8)
W0_INITIALS = (17.0, 34.0)
LEARNING_RATES = (8e-4, 3e-3)
SHARES = (1.0, 0.3)  # of the largest network of a depth, where the limit is a time of training
COLUMNS = {
    "limit": ("limit", "{}"),
    "pixels": ("pixels", "{}"),
    "photographs": ("photographs", "{:.0f}"),
    "for which no network keeps it": ("unmet", "{:.0f}"),
    "regret, mean (dB)": ("regret_db", "{:.2f}"),
    "worst tenth (dB)": ("worst_db", "{:.2f}"),
    "recommended (dB)": ("recommended_db", "{:.2f}"),
    "forecast (dB)": ("forecast_db", "{:.2f}"),
    "best of the grid (dB)": ("best_db", "{:.2f}"),
    "time of training, real over forecast": ("time_ratio", "{:.2f}"),
}


@dataclasses.dataclass(frozen=True)
class RegretConfig:
    """Flags of `launch/siren_regret.py`."""

    photos: str = flags.photos(note="Only those of the test split, by their names, are used.")
    max_images: int = flag(12, "Use only the first so many; 0 for all.", lower=0)
    image_size: tuple[int, ...] = flag(
        (96, 192), "Side of the square pictures, in pixels. Repeat for several.", lower=16
    )
    image_fit: str = flag("resize", "How they become squares.", choices=sources.FITS)
    bits_per_pixel: tuple[float, ...] = flag(
        (1.0,),
        "Sizes of networks at 16 bits a weight; 0 for none.",
        group="Limits, one at a time",
        lower=0,
    )
    encode_seconds: tuple[float, ...] = flag((1.0,), "Times of training; 0 for none.", lower=0)
    decode_milliseconds: tuple[float, ...] = flag(
        (3.0,), "Times of rendering; 0 for none.", lower=0
    )
    target_psnr_db: tuple[float, ...] = flag(
        (25.0,), "Targets that the smallest network is to reach; 0 for none.", lower=0
    )
    num_iters: int = flag(
        500, "Adam updates where the limit is no time of training.", group="Fits", lower=1
    )
    forecaster: str = flag(
        "", "forecaster.safetensors of launch/siren_predictor.py; empty for the installed one."
    )
    dry_run: bool = flags.dry_run("how many networks would be fitted")

    def __post_init__(self) -> None:
        """Refuse a size or a limit given twice."""
        for name in ("image_size", *LIMITS):
            check_values(self, name, once=True)


LIMITS = ("bits_per_pixel", "encode_seconds", "decode_milliseconds", "target_psnr_db")


class Request(NamedTuple):
    """A photograph at a size, and one limit."""

    photo: Photo
    limit: str
    value: float


def run(config: RegretConfig, run_dir: Path) -> str:
    """Fit what is not fitted yet, then write the page.

    Returns:
        The table, and where the page is; of a dry run, what would be done.

    Raises:
        InputError: for photographs, a forecaster or a directory that cannot be used.
        OSError: if the disk is full.
    """
    forecaster = chosen(config.forecaster)
    cases = list(_cases(config))
    if not cases:
        raise InputError(
            f"--photos={config.photos} has no photograph of the test split as large as "
            "--image_size, or no limit is given; give others."
        )
    if config.dry_run:
        rundir.check(run_dir, KIND)
        names = len({case.photo.image_id for case in cases})
        return (
            f"{counted(len(cases), 'recommendation')} for {counted(names, 'photograph')}, up to 33 "
            "fits each"
        )
    with rundir.held(run_dir, KIND):
        rundir.unfinish(run_dir)
        device = speed.known()
        table = _measured(config, run_dir, cases, forecaster, device)
        rundir.write_table(run_dir / "regret.parquet", table)
        means = summary(table)
        rundir.write_csv(run_dir / "table.csv", means)
        path = _write_page(run_dir, config, means, device)
        rundir.finish(run_dir)
    shown = means.to_string(index=False, float_format="{:.2f}".format)
    return f"{shown}\nLook at {path}"


def _measured(
    config: RegretConfig,
    run_dir: Path,
    cases: Sequence[Request],
    forecaster: Trained,
    device: Speed,
) -> pd.DataFrame:
    """Return the row of every case; rows that exist are read."""
    weights = rundir.checksum(b"".join(leaf.tobytes() for leaf in forecaster.params.values()))
    inputs = [
        rundir.digest(
            rundir.checksum(case.photo.pixels.tobytes()),
            [case.limit, case.value, config.num_iters],
            weights,
            dataclasses.astuple(device),
        )
        for case in cases
    ]
    parts = rundir.Parts((run_dir / "parts" / f"{one}.parquet", one) for one in inputs)
    missing = len(parts.missing)
    with Progress(
        len(cases),
        missing,
        fits_done=len(cases) - missing,
        unit="recommendations",
        work="of them",
    ) as display:
        for number in parts.missing:
            found = measure(cases[number], forecaster, device, config.num_iters)
            parts.write(number, pd.DataFrame([found]))
            display.update(1.0, psnr_db=[float(found["recommended_db"])])
    return parts.rows().drop(columns=rundir.MADE_FROM)


def measure(
    case: Request, forecaster: Trained, device: Speed, num_iters: int
) -> dict[str, str | float]:
    """Fit the recommended network of one case and its rivals.

    Args:
        case: what is asked.
        forecaster: that recommends.
        device: whose times the limits are in.
        num_iters: Adam updates where the limit is no time of training.

    Returns:
        Names and numbers of the case; `recommended_db`, `forecast_db` and, but under a target,
        `best_db`; `regret_db`, 0 at least; `encode_seconds` as forecast and `real_seconds` of the
        recommended network alone. All NaN where no network keeps the limit.
    """
    image = case.photo.pixels
    timed = case.limit == "encode_seconds"
    row: dict[str, str | float] = {
        "image_id": case.photo.image_id,
        "image_height": image.shape[0],
        "image_width": image.shape[1],
        "limit": case.limit,
        "value": case.value,
        **dict.fromkeys(_NUMBERS, np.nan),
    }
    limits: dict[str, float] = {case.limit: case.value}
    if not timed:
        limits["max_iterations"] = num_iters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)
        try:
            advice = jaxinr.recommend(image, speed=device, forecaster=forecaster, **limits)  # type: ignore[arg-type]
        except ValueError:
            return row
    has_target = case.limit == "target_psnr_db"
    others = [] if has_target else rivals(advice, SHARES if timed else SHARES[:1])
    found_db = jaxinr.fit([image] * (1 + len(others)), [advice.trial, *others]).best_psnr_db
    best_db = case.value if has_target else max(found_db[1:], default=np.nan)
    start = time.perf_counter()
    jaxinr.fit([image], [advice.trial])
    seconds = time.perf_counter() - start
    return row | {
        "recommended_db": float(found_db[0]),
        "forecast_db": advice.mean_db,
        "best_db": float(best_db),
        "regret_db": max(float(best_db - found_db[0]), 0.0),
        "encode_seconds": advice.encode_seconds,
        "real_seconds": seconds,
    }


_NUMBERS = "recommended_db forecast_db best_db regret_db encode_seconds real_seconds".split()


def rivals(advice: Recommendation, shares: Sequence[float]) -> list[Trial]:
    """Choose the grid of others among the networks that keep the same limit.

    Args:
        advice: whose `considered` are those networks.
        shares: of the weights of the largest network of a depth: the sizes.

    Returns:
        Of each of `DEPTHS` the nearest networks to those sizes, with each of `W0_INITIALS` and
        `LEARNING_RATES`.
    """
    found: dict[tuple[int, int, float, float], Trial] = {}
    for depth in DEPTHS:
        own = [trial for trial in advice.considered if trial.num_layers == depth]
        widths = sorted({trial.layer_size for trial in own})
        if not widths:
            continue
        weights = np.array([Trial(layer_size=w, num_layers=depth).parameters for w in widths])
        sizes = {widths[np.abs(weights - share * weights[-1]).argmin()] for share in shares}
        for trial in own:
            settings = (trial.w0_initial, trial.learning_rate)
            if trial.layer_size in sizes and settings in _SETTINGS:
                found[depth, trial.layer_size, *settings] = trial
    return list(found.values())


_SETTINGS = {(w0, rate) for w0 in W0_INITIALS for rate in LEARNING_RATES}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return means over photographs, a row for each limit and size; columns as of `COLUMNS`.

    Photographs for which no network keeps the limit are counted in `unmet` and in no mean.
    """
    rows = rows.assign(
        limit=[f"{_WORDS[one.limit].format(one.value)}" for one in rows.itertuples()],
        pixels=[f"{one.image_width} × {one.image_height}" for one in rows.itertuples()],
        time_ratio=rows["real_seconds"] / rows["encode_seconds"],
    )
    groups = rows.groupby(["limit", "pixels"], sort=False)
    known = groups["regret_db"].count()
    means = groups[["regret_db", "recommended_db", "forecast_db", "best_db"]].mean()
    return means.assign(
        photographs=known,
        unmet=groups.size() - known,
        worst_db=groups["regret_db"].quantile(0.9),
        time_ratio=groups["time_ratio"].median(),
    ).reset_index()


_WORDS = {
    "bits_per_pixel": "{:g} bits per pixel",
    "encode_seconds": "{:g} s of training",
    "decode_milliseconds": "{:g} ms of rendering",
    "target_psnr_db": "at least {:g} dB",
}


def _cases(config: RegretConfig) -> Iterator[Request]:
    for side in config.image_size:
        photographs = sources.load(config.photos, image_size=side, image_fit=config.image_fit)
        unseen = [photo for photo in photographs if split_of(photo.image_id) == "test"]
        for photo in unseen[: config.max_images or None]:
            for limit in LIMITS:
                for value in filter(None, getattr(config, limit)):
                    yield Request(photo, limit, value)


def _write_page(run_dir: Path, config: RegretConfig, means: pd.DataFrame, device: Speed) -> Path:
    settings: Mapping[str, object] = {
        **{name: getattr(config, name) for name in config.__dataclass_fields__},
        "speed": device.device,
        "git_commit": rundir.read(run_dir).get("git_commit", ""),
    }
    largest = means["regret_db"].max()
    tiles = {"largest mean regret": "–" if np.isnan(largest) else f"{largest:.2f} dB"}
    sections = {
        "Few photographs": page.few(int(means["photographs"].max())),
        "By limit": page.table(means, COLUMNS),
        "Settings": page.definitions(settings),
    }
    return page.write(run_dir, "What following recommendations costs", tiles, sections)
