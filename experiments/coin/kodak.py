"""COIN at the sizes of its paper, beside JPEG, JPEG 2000, WebP and AVIF.

Fits networks of each size to every photograph as `experiments.siren.grid` does, then measures them
with their weights in float32, float16 and 4 to 16 bits, and the codecs on the same pixels. Source:
Dupont et al., COIN: COmpression with Implicit Neural representations (2021), section 4 and
appendix A. There weights and arithmetic are float16; here weights alone, arithmetic is float32.
"""

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import jaxfleet
from experiments import flags
from experiments.coin import forecast, measures, report
from experiments.report import columns
from experiments.siren import grid as siren_grid
from experiments.siren.config import GridConfig
from experiments.siren.grid import FitJob
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import codecs
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxfleet.progress import clock
from jaxfleet.scripts.options import flag
from jaxfleet.trainer import usable_cores
from jaxinr.buckets import seconds_per_pixel
from jaxinr.inputs import MAX_PIXELS
from jaxinr.trial import Trial

SIZES = ("5x20", "5x30", "10x28", "10x40", "13x49")
CODEC_SECONDS_PER_PIXEL = 22e-6  # of one core, all four codecs in all settings


@dataclasses.dataclass(frozen=True)
class CoinConfig:
    """Flags of `launch/coin_kodak.py`. Defaults are COIN's recipe."""

    photos: str = flags.photos(
        "tfds:kodak",
        "COIN's published points belong to the 24 of Kodak and are shown with these alone.",
    )
    max_images: int = flags.max_images()
    reduce: int = flags.reduce()
    size: tuple[str, ...] = flag(
        SIZES,
        "LAYERSxUNITS of a network, counting sine layers. Repeat for several.",
        group="Networks and training",
    )
    w0_initial: float = flag(30.0, "Frequency factor of the first layer.")
    w0: float = flag(30.0, "Frequency factor of the other sine layers.")
    learning_rate: float = flag(2e-4, "Learning rate of Adam, constant.")
    num_iters: int = flag(50_000, "Number of Adam updates, full batch.")
    seed: int = flags.seed("the initial weights")
    log_every: int = flag(10, "Iterations between history entries.", group="Run", lower=1)
    checkpoint_minutes: float = flags.checkpoint_minutes()
    dry_run: bool = flags.dry_run()

    def __post_init__(self) -> None:
        """Refuse what is no size, and numbers that no network can have."""
        self.grid()

    def sizes(self) -> list[tuple[int, int]]:
        """(sine layers, units) of each network, each once, in the order given.

        Raises:
            InputError: if there is none, or one is written in another way.
        """
        if not self.size:
            raise InputError("--size has no value; give at least one, such as --size=10x28.")
        found = []
        for text in self.size:
            match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
            if not match:
                raise InputError(f"--size={text}: expected LAYERSxUNITS, such as 10x28.")
            found.append((int(match[1]), int(match[2])))
        return list(dict.fromkeys(found))

    def grid(self) -> GridConfig:
        """Return the settings of the engine, without the pairing of layers and units."""
        layers, units = zip(*self.sizes(), strict=True)
        return GridConfig(
            photos=self.photos,
            max_images=self.max_images,
            image_size=("0",),
            num_layers=tuple(map(str, dict.fromkeys(layers))),
            layer_size=tuple(map(str, dict.fromkeys(units))),
            w0_initial=(repr(self.w0_initial),),
            w0=(repr(self.w0),),
            learning_rate=(repr(self.learning_rate),),
            num_iters=(str(self.num_iters),),
            seed=(str(self.seed),),
            log_every=self.log_every,
            checkpoint_minutes=self.checkpoint_minutes,
            dry_run=self.dry_run,
        )


def make_jobs(config: CoinConfig, pictures: Sequence[Photo]) -> list[FitJob]:
    """Return a job for every size and photograph, photographs outermost."""
    trials = [
        Trial(
            num_layers=layers,
            layer_size=units,
            w0_initial=config.w0_initial,
            w0=config.w0,
            learning_rate=config.learning_rate,
            num_iters=config.num_iters,
            seed=config.seed,
        )
        for layers, units in config.sizes()
    ]
    pairs = [(photo, trial) for photo in range(len(pictures)) for trial in trials]
    return [FitJob(i, photo, trial) for i, (photo, trial) in enumerate(pairs)]


def reduced(photo: Photo, factor: int) -> Photo:
    """Reduce both sides of a photograph by a whole factor.

    Raises:
        InputError: if nothing would be left.
    """
    if factor == 1:
        return photo
    height, width = (side // factor for side in photo.pixels.shape[:2])
    if not min(height, width):
        raise InputError(f"{photo.image_id} is smaller than --reduce={factor}; give less.")
    top, left = ((side % factor) // 2 for side in photo.pixels.shape[:2])
    whole = photo.pixels[top : top + height * factor, left : left + width * factor]
    return Photo(photo.image_id, sources.resized(whole, height, width))


def run(config: CoinConfig, run_dir: Path) -> str:
    """Fit what is not fitted yet, measure networks and codecs, and write the page.

    Returns:
        What was done and where to look; of a dry run, the plan and its cost.

    Raises:
        InputError: for photographs, plans and directories that cannot be used.
        OSError: if the disk is full.
    """
    whole, pictures = _photographs(config)
    siren_grid.check_sizes(pictures, f"--reduce it to at most {int(MAX_PIXELS**0.5)} a side")
    jobs = make_jobs(config, pictures)
    answer = siren_grid.run_jobs(
        config.grid(),
        run_dir,
        pictures,
        jobs,
        lambda: measure(config, run_dir, pictures, whole),
        {"size": [f"{layers}x{units}" for layers, units in config.sizes()]},
    )
    if config.dry_run:
        seconds = _measuring_seconds(config, jobs, pictures, whole)
        answer += f"\nand about {clock(seconds)} to measure networks and codecs"
    trials = [job.trial for job in jobs[: len(config.sizes())]]
    recipe = (config.reduce, config.size, config.num_iters, config.learning_rate)
    published = measures.is_published_set(whole) and recipe == (1, SIZES, 50_000, 2e-4)
    forecasts = forecast.lines(pictures, trials, _reached(run_dir), published=published)
    return "\n".join([answer, *forecasts])


def _reached(run_dir: Path) -> dict[tuple[str, int, int], float]:
    """PSNR of the fits of a run that there are, by photograph, layers and units."""
    if not (run_dir / rundir.MANIFEST).exists():
        return {}
    wanted = ["image_id", "num_layers", "layer_size", "best_psnr_db"]
    frame = jaxfleet.open(run_dir).to_pandas(wanted).dropna()
    return {tuple(row[:3]): row[3] for row in frame.itertuples(index=False, name=None)}


def is_run(manifest: Mapping[str, Any]) -> bool:
    """Whether a table of networks is one of these, by its manifest."""
    return "size" in manifest["plan"]


def write_report(config: CoinConfig, run_dir: Path) -> Path:
    """Measure the networks and codecs of a run again, complete or not; return the page's path.

    Raises:
        InputError: if the photographs cannot be read, or every network diverged.
    """
    whole, pictures = _photographs(config)
    return measure(config, run_dir, pictures, whole)


def _photographs(config: CoinConfig) -> tuple[Sequence[Photo], list[Photo]]:
    """Load the photographs at full size, and as networks are fitted to them."""
    whole = sources.load(config.photos, max_images=config.max_images)
    return whole, [reduced(photo, config.reduce) for photo in whole]


def measure(
    config: CoinConfig, run_dir: Path, pictures: Sequence[Photo], whole: Sequence[Photo]
) -> Path:
    """Leaves `quantisation.parquet`, `rate_distortion.parquet`, figures and the page of a run.

    Args:
        config: of the run.
        run_dir: whose networks are all fitted.
        pictures: what they were fitted to.
        whole: the same photographs at their full size.

    Returns:
        Path of the page.

    Raises:
        InputError: if every network diverged.
    """
    table = jaxfleet.open(run_dir)
    frame = table.to_pandas()
    fitted = frame[(frame["status"] != "diverged") & frame["best_psnr_db"].notna()]
    if fitted.empty:
        raise InputError("every network diverged; give a new --run_dir, a lower --learning_rate.")
    _say("measuring networks at 4 to 32 bits a weight, and codecs")
    for codec in codecs.CODECS:
        if not codec.available:
            _say(f"{codec.name} is left out: this Pillow was built without it")
    pixels = {photo.image_id: photo.pixels for photo in pictures}
    quantised = measures.quantisation(fitted, table.weights, pixels)
    here = [measures.network_rates(quantised), measures.codec_rates(pictures)]
    apart = [measures.codec_rates(whole)] if _needs_whole(config, whole) else []
    networks, points = columns.parquet(quantised, "coin_networks"), pd.concat([*here, *apart])
    storage.write_atomically(run_dir / "quantisation.parquet", networks)
    storage.write_atomically(
        run_dir / "rate_distortion.parquet", columns.parquet(points, "coin_rates")
    )
    return report.write(
        run_dir,
        table,
        {f.name: getattr(config, f.name) for f in dataclasses.fields(config)},
        pixels,
        quantised,
        pd.concat(here),
        apart[0] if apart else None,
        published=measures.is_published_set(whole),
    )


def _needs_whole(config: CoinConfig, whole: Sequence[Photo]) -> bool:
    """Whether COIN's published points need a panel of their own, of codecs at full size."""
    return config.reduce > 1 and measures.is_published_set(whole)


def _measuring_seconds(
    config: CoinConfig, jobs: Sequence[FitJob], pictures: Sequence[Photo], whole: Sequence[Photo]
) -> float:
    """Rough time of `measure`: codecs, and a forward pass, a third of a step, per precision."""
    encoded = [*pictures, *(whole if _needs_whole(config, whole) else ())]
    pixels = sum(photo.pixels[..., 0].size for photo in encoded)
    passes = sum(
        pictures[job.photo].pixels[..., 0].size
        * seconds_per_pixel(job.trial.layer_size, job.trial.num_layers)
        for job in jobs
    )
    precisions = len(measures.BITS) + 2
    return pixels * CODEC_SECONDS_PER_PIXEL / usable_cores() + passes * precisions / 3


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
