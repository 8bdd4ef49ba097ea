"""The study: networks that share the first layer's draw, the others', or neither, all fitted."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import jaxinr
from experiments.seeds import analysis, report
from experiments.seeds.config import SeedsConfig
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxfleet.progress import Progress
from jaxfleet.results.showing import counted
from jaxinr import siren
from jaxinr.siren import Params
from jaxinr.trial import Trial

KIND = "siren_seeds"


def run(config: SeedsConfig, run_dir: Path) -> str:
    """Fit what is not fitted yet, then write the page.

    Returns:
        The table, and where the page is; of a dry run, what would be done.

    Raises:
        InputError: for photographs or a directory that cannot be used.
        OSError: if the disk is full.
    """
    pictures = sources.load(
        config.photos,
        image_size=config.image_size,
        image_fit=config.image_fit,
        max_images=config.max_images,
    )
    cases = [(units, photo) for units in config.layer_size for photo in pictures]
    draws = config.first_draws * config.other_draws
    if config.dry_run:
        rundir.check(run_dir, KIND)
        return (
            f"{counted(len(cases) * draws, 'network')}, {config.first_draws} x "
            f"{config.other_draws} for each of {counted(len(pictures), 'photograph')} and "
            f"{counted(len(config.layer_size), 'width')}"
        )
    with rundir.held(run_dir, KIND):
        rundir.unfinish(run_dir)
        rows = _measured(config, run_dir, cases)
        rundir.write_table(run_dir / "seeds.parquet", rows)
        table = summary(config, rows)
        rundir.write_csv(run_dir / "table.csv", table)
        narrow = min(config.layer_size)
        effect_db = analysis.effects(by_draw(rows[rows["layer_size"] == narrow]))
        path = report.write(run_dir, config, table, frequencies(config, narrow), effect_db)
        rundir.finish(run_dir)
    shown = table.to_string(index=False, float_format="{:.2f}".format)
    return f"{shown}\nLook at {path}"


def initial(trial: Trial, first: Iterable[int], others: Iterable[int]) -> list[Params]:
    """Return initial weights for each pair of seeds: one's first layer, the other's other layers.

    The pairs are in the order of `itertools.product`.
    """
    ones, rest = (
        [siren.init(dataclasses.replace(trial, seed=seed)) for seed in seeds]
        for seeds in (first, others)
    )
    return [(one[0], *other[1:]) for one, other in itertools.product(ones, rest)]


def seeds_of(config: SeedsConfig) -> tuple[range, range]:
    """Return the seeds of the first layer's draws and those of the others', none in both."""
    middle = config.seed + config.first_draws
    return range(config.seed, middle), range(middle, middle + config.other_draws)


def _measured(
    config: SeedsConfig, run_dir: Path, cases: Sequence[tuple[int, Photo]]
) -> pd.DataFrame:
    """Return a row for each network; those of a width and a photograph that exist are read."""
    trials = [config.trial(units) for units, _ in cases]
    first, others = seeds_of(config)
    inputs = [
        rundir.digest(
            rundir.checksum(photo.pixels.tobytes()),
            trial.as_row(),
            [first.start, first.stop, others.stop],
        )
        for trial, (_, photo) in zip(trials, cases, strict=True)
    ]
    parts = rundir.Parts((run_dir / "parts" / f"{one}.parquet", one) for one in inputs)
    draws = len(first) * len(others)
    work = np.array(
        [
            draws * trial.num_iters * photo.pixels[..., 0].size * trial.flops_per_pixel
            for trial, (_, photo) in zip(trials, cases, strict=True)
        ]
    )
    done = len(cases) - len(parts.missing)
    with Progress(
        draws * len(cases),
        float(work[parts.missing].sum()),
        fits_done=draws * done,
        work="FLOP",
    ) as display:
        for number in parts.missing:
            trial, (_, photo) = trials[number], cases[number]
            db = jaxinr.fit(
                [photo.pixels] * draws,
                [trial] * draws,
                initial_params=initial(trial, first, others),
            ).best_psnr_db
            pairs = itertools.product(first, others)
            rows = pd.DataFrame(pairs, columns=["first", "others"]).assign(
                image_id=photo.image_id, layer_size=trial.layer_size, best_psnr_db=db
            )
            parts.write(number, rows)
            display.update(work[number], psnr_db=db.tolist())
    return parts.rows().drop(columns=rundir.MADE_FROM)


def by_draw(rows: pd.DataFrame) -> np.ndarray:
    """Return [P, A, B] PSNR of the networks of one width, of photographs that none fits exactly.

    Raises:
        InputError: if there is no such photograph.
    """
    rows = rows.groupby("image_id").filter(lambda own: np.isfinite(own["best_psnr_db"]).all())
    if not len(rows):
        raise InputError("networks fit every photograph exactly; give others by --photos.")
    rows = rows.sort_values(["image_id", "first", "others"])
    counts = [rows[name].nunique() for name in ("image_id", "first", "others")]
    return rows["best_psnr_db"].to_numpy().reshape(counts)


def frequencies(config: SeedsConfig, layer_size: int) -> np.ndarray:
    """Return [A] the mean frequency of each draw of the first layer."""
    first, _ = seeds_of(config)
    draws = [siren.init(config.trial(layer_size, seed))[0]["weight"] for seed in first]
    return np.array([analysis.frequency(draw, config.w0_initial) for draw in draws])


def summary(config: SeedsConfig, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each width; the columns are those of `report.COLUMNS`."""
    found = []
    for units, own in rows.groupby("layer_size"):
        db = by_draw(own)
        parts = analysis.components(db)
        effect_db = analysis.effects(db)
        total = sum(parts) or np.nan
        found.append(
            {
                "layer_size": units,
                "mean_db": db.mean(),
                "deviation_db": parts.deviation_db,
                **{f"{name}_share": value / total for name, value in parts._asdict().items()},
                "agreement": analysis.agreement(effect_db),
                "frequency_rank": analysis.rank_correlation(
                    frequencies(config, int(units)), effect_db
                ),
            }
        )
    return pd.DataFrame(found)
