"""The page of a trained forecaster: how well it forecasts, and what it was trained on."""

import functools
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure

from experiments.forecaster import metrics
from experiments.forecaster.metrics import UNSEEN, Estimate
from experiments.report import figures, page
from experiments.report.figures import PALETTE
from experiments.report.page import Drawing

FORECASTER = "forecaster"  # its name among the predictors
BAND = 0.9  # share of fits that a drawn interval should hold
COLUMNS = {
    "fits on": ("split_id", "{}"),
    "predictor": ("predictor_id", "{}"),
    "fits": ("fits", "{:,}"),
    "RMSE (dB)": ("rmse_db", "{:.3f}"),
    "scatter over seeds (dB)": ("noise_db", "{:.3f}"),
    "bias (dB)": ("bias_db", "{:+.3f}"),
    "mean absolute error (dB)": ("mae_db", "{:.3f}"),
    "R²": ("r2", "{:.4f}"),
    "Spearman": ("spearman", "{:.4f}"),
    "in 50 %": ("coverage_50", "{:.1%}"),
    "in 90 %": ("coverage_90", "{:.1%}"),
}


def write(
    run_dir: Path,
    title: str,
    evaluation: pd.DataFrame,
    drawings: Sequence[Drawing],
    values: Mapping[str, str],
    settings: Mapping[str, object],
    notes: Sequence[str],
    tables: Mapping[str, str],
) -> Path:
    """Write `report.html` and `figures/*.png`; return the path of the page.

    Args:
        run_dir: where.
        title: of the page.
        evaluation: rows of `metrics.table`.
        drawings: the figures, in this order.
        values: the tiles, such as those of `tiles`.
        settings: of the training, name -> value, shown as given.
        notes: sentences of what a reader should know besides.
        tables: heading -> HTML of more findings.
    """
    rows = evaluation.rename(columns={"split": "split_id", "predictor": "predictor_id"})
    sections = {
        "Forecasts against fits": _SAID + page.table(rows, COLUMNS, leading=2),
        "Measurements": page.plots(run_dir, drawings),
        **tables,
        "Notes": "".join(f"<p>{html.escape(note)}</p>" for note in notes),
        "Training": page.definitions(settings),
        "What the numbers mean": READING,
    }
    return page.write(run_dir, title, values, sections)


def tiles(
    evaluation: pd.DataFrame, floor: Estimate | None = None, milliseconds: float | None = None
) -> dict[str, str]:
    """Return the figures at the top of the page, all on photographs never trained on.

    Args:
        evaluation: rows of `metrics.table`, the forecaster's among them.
        floor: `metrics.noise_of` these photographs.
        milliseconds: of a thousand forecasts.
    """
    unseen = evaluation[evaluation["split"] == UNSEEN].set_index("predictor")
    own, others = unseen.loc[FORECASTER], unseen.drop(index=FORECASTER)
    shown = {"RMSE on unseen photographs": f"{own['rmse_db']:.2f} dB"}
    if floor is not None:
        shown["scatter over seeds"] = (
            f"{floor.value_db:.2f} dB ({floor.low_db:.2f}–{floor.high_db:.2f})"
        )
    shown["fits on them"] = f"{own['fits']:,}"
    shown["R²"] = f"{own['r2']:.4f}"
    shown["rank correlation"] = f"{own['spearman']:.4f}"
    shown["truth within the 90 % interval"] = f"{100 * own['coverage_90']:.1f} %"
    if len(others):
        best = others["rmse_db"].idxmin()
        saved = 1 - own["rmse_db"] / others["rmse_db"][best]
        shown["RMSE below the best baseline’s"] = f"{100 * saved:.0f} % ({best})"
    if milliseconds is not None:
        shown["a thousand forecasts"] = f"{milliseconds:.3g} ms"
    return shown


def against_truth(mean_db: np.ndarray, std_db: np.ndarray, truth_db: np.ndarray) -> Drawing:
    """Draw all forecasts [N] of a split against the PSNR of the fits [N]."""
    rmse_db = metrics.rmse_db(mean_db, truth_db)
    return Drawing(
        "against_truth",
        "Forecast against truth",
        f"{len(mean_db):,} fits of photographs never trained on: RMSE {rmse_db:.2f} dB, R² "
        f"{metrics.r2(mean_db, truth_db):.4f}. Dashed: where {100 * BAND:.0f} % of the "
        "fits should be, by the forecast spread of those around. The paper’s accuracy is not known "
        "to us.",
        functools.partial(_draw_against_truth, mean_db, std_db, truth_db),
    )


def _draw_against_truth(mean_db: np.ndarray, std_db: np.ndarray, truth_db: np.ndarray) -> Figure:
    figure, axes = figures.new()
    low, high = min(mean_db.min(), truth_db.min()), max(mean_db.max(), truth_db.max())
    dots = axes.hexbin(
        mean_db,
        truth_db,
        gridsize=45,
        extent=(low, high, low, high),
        bins="log",
        mincnt=1,
        cmap="viridis",
        linewidths=0.1,
    )
    order = np.argsort(mean_db)
    bins = np.array_split(order, min(20, len(order)))
    middle = np.array([mean_db[some].mean() for some in bins])
    spread = np.sqrt([np.mean(np.square(std_db[some])) for some in bins])
    ink = mpl.rcParams["text.color"]
    axes.plot([low, high], [low, high], color=ink, lw=1.2, label="as forecast")
    for sign, label in ((-1, None), (1, f"{100 * BAND:.0f} % of the fits")):
        edge = middle + sign * metrics.half_width(BAND) * spread
        axes.plot(middle, edge, "--", color=PALETTE[3], lw=1.3, label=label)
    axes.set_xlabel("forecast PSNR (dB)")
    axes.set_ylabel("PSNR of the fit (dB)")
    written_out = ticker.StrMethodFormatter("{x:g}")
    figure.colorbar(dots, label="fits", format=written_out, pad=0.02).minorticks_off()
    figures.legend(figure, axes)
    return figure


def calibration(mean_db: np.ndarray, std_db: np.ndarray, truth_db: np.ndarray) -> Drawing:
    """Draw how many fits [N] are inside intervals of all sizes."""
    wanted = np.linspace(0.05, 0.95, 19)
    found = [metrics.coverage(mean_db, std_db, truth_db, share) for share in wanted]
    half, nearly_all = (
        metrics.coverage(mean_db, std_db, truth_db, share) for share in metrics.SHARES
    )
    return Drawing(
        "calibration",
        "Is the forecast spread right?",
        f"The intervals that should hold 50 % of the fits hold {100 * half:.1f} %; those that "
        f"should hold 90 %, {100 * nearly_all:.1f} %. Photographs never trained on.",
        functools.partial(_draw_calibration, wanted, np.array(found)),
    )


def _draw_calibration(wanted: np.ndarray, found: np.ndarray) -> Figure:
    figure, axes = figures.new()
    axes.plot([0, 1], [0, 1], "--", color=mpl.rcParams["text.color"], lw=1.2, label="wanted")
    axes.plot(wanted, found, "o-", color=PALETTE[0], ms=4, lw=1.4, label="found")
    axes.set_xlabel("share that the interval should hold")
    axes.set_ylabel("share of fits inside")
    figures.legend(figure, axes)
    return figure


def learning_curves(
    iterations: np.ndarray,
    truth_db: np.ndarray,
    mean_db: np.ndarray,
    std_db: np.ndarray,
    names: Sequence[str],
) -> Drawing:
    """Draw a few fits, at most six, from their first iterations to the end.

    Args:
        iterations: [F, T], ascending.
        truth_db: [F, T] highest PSNR so far.
        mean_db: [F, T] forecast of it.
        std_db: [F, T] its standard deviation.
        names: F labels.
    """
    return Drawing(
        "learning_curves",
        "Learning curves, forecast before the first step",
        "Dots: the highest PSNR so far of a few fits on photographs never trained on. Lines: "
        f"forecast, with the band that should hold {100 * BAND:.0f} % of the fits.",
        functools.partial(_draw_curves, iterations, truth_db, mean_db, std_db, names),
    )


def _draw_curves(
    iterations: np.ndarray,
    truth_db: np.ndarray,
    mean_db: np.ndarray,
    std_db: np.ndarray,
    names: Sequence[str],
) -> Figure:
    figure, axes = figures.new()
    reach_db = metrics.half_width(BAND) * std_db
    for i, (colour, name) in enumerate(zip(PALETTE, names, strict=False)):
        x, low, high = iterations[i], mean_db[i] - reach_db[i], mean_db[i] + reach_db[i]
        axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
        axes.plot(x, mean_db[i], color=colour, lw=1.3, label=name)
        axes.plot(x, truth_db[i], "o", color=colour, ms=3.5)
    figures.log_x(axes, iterations)
    axes.set_xlabel("iteration")
    axes.set_ylabel("best PSNR so far (dB)")
    figures.legend(figure, axes)
    return figure


_SAID = (
    "<p>PSNR of the best weights at the end of the fit. The baselines are fitted on the same "
    "training fits; – where one forecasts no spread. Unseen architectures: layers and units of "
    "which no fit was trained on, on photographs that were.</p>"
)
READING = """<p>RMSE is the root of the mean squared error over fits, each with the same weight,
and R² the share of their variance that the forecast explains. “In 90 %” is the share of fits inside
the Gaussian interval, forecast mean and spread, that should hold 90 % of them. Scatter over seeds
is the standard deviation of fits that differ in nothing but the seed: no forecast that does not
know the seed can have a lower RMSE. It is from pairs of such fits, weighted so that they stand for
the fits of the row; its interval is a 95 % one, by drawing the pairs again. Networks are named
depth × width, in sine layers and units.</p>"""
