"""The page of the comparison: means by size, BD-rates, and a figure with published points.

The mean PSNR is a mean of decibels over photographs. The BD-rate (Bjontegaard, VCEG-M33, 2001) is
the mean difference of log sizes at equal PSNR, over the PSNRs that both codecs reach; the curves
between measured points are monotone cubics (PCHIP) rather than the polynomials of the source.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator

from experiments.coin import measures
from experiments.rate_distortion.config import RateDistortionConfig
from experiments.report import figures, page
from experiments.report.page import Drawing
from jaxfleet import rundir
from jaxfleet.imaging import decibels
from jaxfleet.imaging.photos import Photo
from jaxfleet.results.showing import counted

OURS = "SIREN codec"
Curve = tuple[np.ndarray, np.ndarray]

# Means over the 24 Kodak photographs, bits per pixel and dB, as the authors published them.
# Source: the baselines of C3's own code, baselines/kodak.py, and COIN's results.json.
PUBLISHED: dict[str, Curve] = {
    "COIN (2021)": (measures.PUBLISHED[:, 0], measures.PUBLISHED[:, 1]),
    "COIN++ (2022)": (np.array([0.27, 0.54]), np.array([26.14, 27.80])),
    "RECOMBINER (2024)": (np.array([0.316]), np.array([30.44])),
    "C3 (2024)": (np.array([0.276]), np.array([31.34])),
}
COLUMNS = {
    "codec": ("codec", "{}"),
    "bits per pixel": ("bits_per_pixel", "{:.3f}"),
    "PSNR (dB)": ("psnr_db", "{:.2f}"),
    "before rounding (dB)": ("float_psnr_db", "{:.2f}"),
    "seconds a file": ("seconds", "{:.0f}"),
    "JPEG of this size (dB)": ("jpeg_db", "{:.2f}"),
}
EXACT = {"equal to the photograph, and in no mean": ("exact", "{}")}  # files
BD_COLUMNS = {
    "against": ("codec", "{}"),
    "size of our files at equal PSNR (%)": ("bd_rate", "{:+.1f}"),
}


def bd_rate(curve: Curve, reference: Curve) -> float:
    """Return how much larger a codec's files are than another's at equal PSNR.

    Args:
        curve: bits per pixel and dB, both increasing.
        reference: the same of the other codec.

    Returns:
        The difference as a share: 0.1 is 10 % larger. NaN where no PSNR is common.
    """
    if min(len(curve[0]), len(reference[0])) < 2:
        return float("nan")
    low = max(curve[1].min(), reference[1].min())
    high = min(curve[1].max(), reference[1].max())
    if not low < high:
        return float("nan")
    means = []
    for sizes, psnr_db in (curve, reference):
        integral = PchipInterpolator(psnr_db, np.log(sizes)).antiderivative()
        means.append((integral(high) - integral(low)) / (high - low))
    return float(np.expm1(means[0] - means[1]))


def mean_curves(rows: pd.DataFrame) -> dict[str, Curve]:
    """Return codec -> mean bits per pixel and mean dB; ours by wanted size, others interpolated.

    Only codecs with a PSNR that is finite, at sizes that all photographs have.
    """
    curves: dict[str, Curve] = {}
    for name, own in rows.groupby("codec", sort=False):
        if name == OURS:
            means = _means(own)[["bits_per_pixel", "psnr_db"]]
            means = means[np.isfinite(means["psnr_db"])]
            curves[OURS] = means["bits_per_pixel"].to_numpy(), means["psnr_db"].to_numpy()
        else:
            each = [
                (one["bits_per_pixel"].to_numpy(), one["psnr_db"].to_numpy())
                for _, one in own.groupby("image_id")
            ]
            curves[str(name)] = figures.mean_curve(each, (0.02, 2.0))
    return {name: curve for name, curve in curves.items() if len(curve[0])}


def table(rows: pd.DataFrame, curves: dict[str, Curve]) -> pd.DataFrame:
    """Return the means of our files, a row for each wanted size, beside JPEG of equal size."""
    means = _means(rows[rows["codec"] == OURS])
    sizes, jpeg_db = curves.get("JPEG", (np.empty(0), np.empty(0)))
    at = means["bits_per_pixel"].to_numpy()
    known = np.full(len(at), np.nan)
    if len(sizes):
        inside = (at >= sizes[0]) & (at <= sizes[-1])
        known[inside] = np.interp(np.log(at[inside]), np.log(sizes), jpeg_db)
    return means.assign(codec=OURS, jpeg_db=known).reset_index(drop=True)


def _means(own: pd.DataFrame) -> pd.DataFrame:
    """Return the means of our files of each wanted size; of PSNRs, as `decibels.mean` takes them.

    Columns: bits_per_pixel, psnr_db, float_psnr_db, seconds, and exact, the number of files that
    equal their photograph.
    """

    def mean_db(values: pd.Series) -> float:
        return decibels.mean(values).db

    return own.groupby("wanted_bpp").agg(
        bits_per_pixel=("bits_per_pixel", "mean"),
        psnr_db=("psnr_db", mean_db),
        float_psnr_db=("float_psnr_db", mean_db),
        seconds=("seconds", "mean"),
        exact=("psnr_db", lambda values: decibels.mean(values).exact),
    )


def draw(curves: dict[str, Curve], published: dict[str, Curve]) -> Figure:
    """Draw mean PSNR against size: measured codecs as lines, published ones as points."""
    figure, axes = figures.new()
    for i, (name, (sizes, psnr_db)) in enumerate(curves.items()):
        marker = figures.MARKERS[0] if name == OURS else ""
        look: dict[str, Any] = {
            "color": figures.PALETTE[i % len(figures.PALETTE)],
            "marker": marker,
        }
        dashes = figures.DASHES[i % len(figures.DASHES)]
        axes.plot(sizes, psnr_db, dashes, ms=6, lw=1.8, label=name, **look)
    for i, (name, (sizes, psnr_db)) in enumerate(published.items()):
        marker = figures.MARKERS[(i + 1) % len(figures.MARKERS)]
        axes.plot(sizes, psnr_db, ":", color="grey", marker=marker, ms=6, lw=1, label=name)
    figures.log_x(axes, np.concatenate([sizes for sizes, _ in curves.values()]))
    axes.set_xlabel("bits per pixel of the whole file")
    axes.set_ylabel("mean PSNR (dB)")
    figures.legend(figure, axes)
    return figure


def write(
    run_dir: Path, config: RateDistortionConfig, photographs: Sequence[Photo], rows: pd.DataFrame
) -> tuple[Path, str]:
    """Write `report.html`, `figures/rate_distortion.png` and `table.csv`.

    Returns:
        Path of the page, and the table as text.
    """
    curves = mean_curves(rows)
    means = table(rows, curves)
    rundir.write_csv(run_dir / "table.csv", means)
    own = curves.get(OURS, (np.empty(0), np.empty(0)))
    rates = {name: bd_rate(own, curve) for name, curve in curves.items() if name != OURS}
    is_kodak = measures.is_published_set(photographs)
    published = PUBLISHED if is_kodak else {}
    if is_kodak:
        rates |= {
            name: bd_rate(own, curve) for name, curve in published.items() if len(curve[0]) > 1
        }
    drawing = Drawing(
        "rate_distortion",
        "PSNR against size",
        f"Means over {counted(len(photographs), 'photograph')}."
        + (" Grey: as published." if published else ""),
        lambda: draw(curves, published),
    )
    bd_rows = pd.DataFrame({"codec": rates.keys(), "bd_rate": [100 * r for r in rates.values()]})
    sections = {
        "Few photographs": page.few(len(photographs)),
        "Means": page.table(means, COLUMNS | (EXACT if means["exact"].any() else {})),
        "Measurements": page.plots(run_dir, [drawing] if curves else []),
        "BD-rate of the SIREN codec": page.table(bd_rows, BD_COLUMNS),
        "Settings": page.definitions(page.settings(config, rundir.read(run_dir))),
    }
    tiles = {"files": f"{int((rows['codec'] == OURS).sum())}", "photographs": f"{len(photographs)}"}
    path = page.write(run_dir, "Rate and distortion of the SIREN codec", tiles, sections)
    return path, _text(means, rates)


def _text(means: pd.DataFrame, rates: dict[str, float]) -> str:
    lines = [f"{'bits per pixel':>14}{'PSNR (dB)':>11}{'JPEG (dB)':>11}{'seconds':>9}"]
    for _, row in means.iterrows():
        both = (decibels.text(row[name]).removesuffix(" dB") for name in ("psnr_db", "jpeg_db"))
        lines.append(
            f"{row['bits_per_pixel']:14.3f}{''.join(f'{text:>11}' for text in both)}"
            f"{row['seconds']:9.0f}"
        )
    for name, rate in rates.items():
        said = f"{100 * rate:+.1f} %" if np.isfinite(rate) else "unknown, too few PSNRs in common"
        lines.append(f"BD-rate against {name}: {said}")
    return "\n".join(lines)
