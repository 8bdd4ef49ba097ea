"""What a trained forecaster is shown to be worth: figures, findings and timings on one page."""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.forecaster import baselines, metrics, page, regimes
from experiments.forecaster import findings as forecaster_findings
from experiments.forecaster.data import FitTable
from experiments.report.page import Drawing
from experiments.report.page import table as page_table
from jaxfleet import rundir
from jaxinr.forecaster.trained import Trained

CURVES = 5  # fits whose learning curve is drawn
SEEDS = 4  # at least, of a network whose spread is shown
GRID_PARAMETERS = 700  # of the networks among which pictures may choose
TIMED = 1000  # forecasts
REPEATS = 9


def write(
    run_dir: Path,
    table: FitTable,
    forecaster: Trained,
    evaluation: pd.DataFrame,
    mean_db: np.ndarray,
    std_db: np.ndarray,
    settings: dict[str, object],
) -> Path:
    """Write the page of a forecaster.

    Args:
        run_dir: where.
        table: N fits.
        forecaster: trained on those of its training split.
        evaluation: rows of `metrics.table`.
        mean_db: [N] its forecasts.
        std_db: [N] their standard deviations.
        settings: of the training.
    """
    unseen = table.split("test") & table.usual
    milliseconds = time_forecasts(table, forecaster)
    values = page.tiles(evaluation, metrics.noise_of(table, unseen), milliseconds)
    notes = [*baselines.notes(set(evaluation["predictor"])), *_notes(table, milliseconds)]
    drawings = [
        page.against_truth(mean_db[unseen], std_db[unseen], table.truth_db[unseen]),
        page.calibration(mean_db[unseen], std_db[unseen], table.truth_db[unseen]),
        _curves(table, forecaster),
        *findings(table, forecaster).values(),
    ]
    title = "The encoding error of SIRENs, forecast"
    found, by_w0 = regimes.by_regime(table), regimes.by_w0(table)
    rundir.write_csv(run_dir / "findings.csv", found)
    rundir.write_csv(run_dir / "findings_w0.csv", by_w0)
    tables = {
        "Findings by size of picture": page_table(found, regimes.COLUMNS, leading=2),
        "SIREN against JPEG by ω₀": page_table(by_w0, regimes.W0_COLUMNS, leading=2),
    }
    return page.write(run_dir, title, evaluation, drawings, values, settings, notes, tables)


def findings(table: FitTable, forecaster: Trained) -> dict[str, Drawing]:
    """Draw the findings of the paper on this table, as far as it can show them; name -> figure."""
    frame = table.frame
    common = metrics.most_fitted(frame)
    drawings = {}
    seeds = _grid_of_seeds(frame)
    if seeds["layer_size"].nunique() > 1:
        drawings["spread"] = forecaster_findings.seed_spread(seeds)[1]
    if common.sum() > 2 * frame[common]["picture"].nunique():
        picture = frame[common]["picture"].to_numpy()
        db = table.truth_db[common]
        drawings["jpeg"] = forecaster_findings.jpeg_line(db, picture, table.jpeg)[1]
    others = table.usual & ~common
    varied = frame[others]
    parameters, picture = (varied[name].to_numpy() for name in ("parameters", "picture"))
    if forecaster_findings.varies_by_picture(parameters, picture):
        drawings["gain"] = forecaster_findings.gain_per_doubling(
            parameters,
            varied["num_layers"].to_numpy(),
            picture,
            table.truth_db[others],
        )[1]
    best = _best(table, forecaster)
    return drawings if best is None else drawings | {"best": best}


def time_forecasts(table: FitTable, forecaster: Trained) -> float:
    """Return the median milliseconds of a thousand forecasts for one picture, once described."""
    fits = table.training_fits(np.resize(np.arange(len(table)), TIMED))
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        forecaster.ask(table.described[0], fits.rows, fits.iterations[:, -1:])
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def _notes(table: FitTable, milliseconds: float) -> list[str]:
    seconds = table.frame["seconds"].mean() * TIMED
    if not np.isfinite(seconds):
        return []
    return [
        f"A thousand forecasts take {milliseconds:.3g} ms, a thousand of these fits "
        f"{seconds:,.0f} s of one device: {1e3 * seconds / milliseconds:,.0f} times as long."
    ]


def _curves(table: FitTable, forecaster: Trained) -> Drawing:
    """Draw a few unseen fits, from the worst to the best."""
    rows = np.flatnonzero(table.split("test") & table.usual)
    rows = rows[np.argsort(table.truth_db[rows])]
    rows = rows[(np.linspace(0.1, 0.9, CURVES) * (len(rows) - 1)).astype(int)]
    fits = table.training_fits(rows)
    mean_db, std_db = forecaster.ask(fits.described[fits.picture], fits.rows, fits.iterations)
    frame = table.frame.iloc[rows]
    names = [f"{row.num_layers} × {row.layer_size}, {row.image_id}" for row in frame.itertuples()]
    return page.learning_curves(fits.iterations, fits.best_db, mean_db, std_db, names)


def _grid_of_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Select fits that compare widths: several seeds of each, all else equal."""
    settings = metrics.SETTINGS
    fits = frame.drop_duplicates([*settings, "seed"])
    fits = fits[fits.groupby(settings)["seed"].transform("size") >= SEEDS]
    others = [name for name in settings if name not in ("image_id", "layer_size")]
    for equal in (others, ["image_id"]):
        widths = fits.groupby(equal)["layer_size"].transform("nunique")
        fits = fits[widths == widths.max()]
    return fits


def _best(table: FitTable, forecaster: Trained) -> Drawing | None:
    """Draw which networks the unseen pictures would choose; None if it knows none of that size."""
    usual = table.frame[table.usual].iloc[0]
    low, high = (2.0**ends for ends in (forecaster.reach.low, forecaster.reach.high))
    depths = range(round(low[1]), round(high[1]) + 1)
    w0s = np.geomspace(low[2], high[2], 17).tolist()
    rows = forecaster_findings.grid(
        GRID_PARAMETERS,
        list(depths),
        w0s,
        learning_rate=float(usual["learning_rate"]),
        side=int(usual["image_height"]),
    )
    inside = (rows[:, 0, 0] >= low[0]) & (rows[:, 0, 0] <= high[0])
    updates = int(table.iterations[table.usual, -1].max())

    def forecast(numbers: np.ndarray, asked: np.ndarray) -> np.ndarray:
        iterations = np.full((len(asked), 1), updates)
        return forecaster.ask(table.described[numbers], asked, iterations)[0][:, 0]

    pictures = table.frame["picture"][table.split("test") & table.usual].unique()
    if not inside.any() or not len(pictures):
        return None
    return forecaster_findings.best_settings(forecast, pictures, rows[inside])[1]
