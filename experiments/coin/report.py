"""The page of a COIN run: its figures, the means of each size, and one photograph in all sizes."""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

import jaxinr
from experiments.coin import figures, measures
from experiments.coin.figures import Panel
from experiments.report import page
from experiments.report.page import Drawing
from experiments.siren import report as siren_report
from jaxfleet import rundir
from jaxfleet.imaging import decibels
from jaxfleet.imaging.pixels import to_uint8
from jaxfleet.results.table import Table
from jaxinr.trial import Trial

TABLE_BITS = (12, 8, 6)
YARDSTICKS = ("JPEG", "AVIF")
COLUMNS = {
    "layers × units": ("size", "{}"),
    "weights": ("parameters", "{:,}"),
    "bpp": ("bits_per_pixel", "{:.3g}"),
    "float32": ("float32", "{:.2f}"),
    "float32, 8-bit": ("float32_8bit", "{:.2f}"),
    "float16": ("float16", "{:.2f}"),
    **{f"{bits} bits": (f"codes{bits}", "{:.2f}") for bits in TABLE_BITS},
    **{name: (name, "{:.2f}") for name in YARDSTICKS},
}

PUBLISHED_NAME = "COIN as published"


def write(
    run_dir: Path,
    table: Table,
    settings: Mapping[str, object],
    pictures: Mapping[str, np.ndarray],
    quantised: pd.DataFrame,
    rates: pd.DataFrame,
    whole: pd.DataFrame | None,
    *,
    published: bool,
) -> Path:
    """Write `report.html` and `figures/*.png` of a run; return the path of the page.

    Args:
        run_dir: of the run.
        table: of the run.
        settings: name -> value, shown as given.
        pictures: image_id -> [H, W, 3] uint8, what was fitted.
        quantised: from `measures.quantisation`.
        rates: rows of `measures.network_rates` and `codec_rates`.
        whole: rows of `codec_rates` at the photographs' full size, for COIN's published points to
            stand beside; None where those stand beside the run's own or nowhere.
        published: whether COIN's published points are of these photographs.
    """
    folder = page.figures_folder(run_dir)
    frame = table.to_pandas()
    fitted = frame[frame["trial_id"].isin(quantised["trial_id"])]
    means = measures.size_means(quantised)
    curves = measures.mean_curves(rates)
    settings = {
        **settings,
        **rundir.provenance(table.manifest),
    }
    drawings = (
        rate_distortion(means, rates, curves, whole, published=published),
        quantisation(means),
    )
    sections = {
        "Few photographs": page.few(fitted["image_id"].nunique()),
        "Measurements": page.plots(run_dir, drawings),
        "Means over the photographs": _SAID + page.table(_rows(means, curves), COLUMNS),
        "One photograph, small to large networks": _sizes(folder, table, fitted, pictures),
        "Diverged fits": page.table(
            frame[~frame["trial_id"].isin(fitted["trial_id"])], page.DIVERGED_COLUMNS, leading=2
        ),
        "Settings": page.definitions(settings),
        "What the numbers mean": READING,
    }
    tiles = siren_report.headline(frame, fitted, settings, [])
    return page.write(run_dir, "COIN on photographs", tiles, sections)


def rate_distortion(
    means: pd.DataFrame,
    rates: pd.DataFrame,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    whole: pd.DataFrame | None,
    *,
    published: bool,
) -> Drawing:
    """Draw PSNR against bits per pixel; arguments as of `write`."""
    half = means[means["weights"] == "float16"]
    sizes = (half["bits_per_pixel"].to_numpy(), half["psnr_db"].to_numpy())
    best = {name: curves[name] for name in (measures.FIXED, measures.IDEAL)}
    others = {name: curve for name, curve in curves.items() if not name.startswith("COIN")}
    marks = {measures.FLOAT16: sizes}
    said = {PUBLISHED_NAME: tuple(measures.PUBLISHED.T)}
    panels = [
        Panel(
            f"{_side(rates)} pixels, this run",
            {measures.FLOAT16: sizes, **best},
            others,
            marks | (said if published and whole is None else {}),
        )
    ]
    caption = (
        "Means of dB over the photographs at equal rates. A file counts whole, with its headers, a "
        "network of k bits with its steps. 4–16 bits: the best of all sizes in all numbers of bits "
        "up to that rate; ideal code: the same, if an ideal entropy coder stored the codes."
    )
    if whole is not None:
        title = f"{_side(whole)} pixels, COIN as its authors published it"
        panels.append(Panel(title, {}, measures.mean_curves(whole), said))
        caption += (
            " COIN’s published points are of photographs in full size after 50,000 iterations, so "
            "they stand below, next to the codecs at that size, and not next to this run."
        )
    return Drawing(
        "rate_distortion",
        "PSNR against size",
        caption,
        functools.partial(figures.rate_distortion, panels),
    )


def quantisation(means: pd.DataFrame) -> Drawing:
    """Draw PSNR against bits per weight, of `measures.size_means`."""
    names = list(dict.fromkeys(means["size"]))
    db = means.set_index(["size", "weights", "weight_bits"])["psnr_db"]
    bits = measures.BITS
    codes_db = np.array([[db[name, "codes", k] for k in bits] for name in names])
    floats_db = np.array([[db[name, "float16", 16], db[name, "float32", 32]] for name in names])
    return Drawing(
        "quantisation",
        "PSNR against bits per weight",
        "Weights rounded after training, each array of a layer to its own range; mean over the "
        "photographs. Losses of less than 0.001 dB, and gains, stand at 0.001 dB.",
        lambda: figures.quantisation(names, bits, codes_db, floats_db),
    )


def _side(rates: pd.DataFrame) -> str:
    """Return `768 × 512`, the longer side first, or the range if photographs differ."""
    sides = np.sort(rates[["image_width", "image_height"]].drop_duplicates().to_numpy(), axis=1)
    low, high = sides.min(axis=0), sides.max(axis=0)
    if (low == high).all():
        return f"{high[1]} × {high[0]}"
    return f"{low[1]} × {low[0]} to {high[1]} × {high[0]}"


def _rows(means: pd.DataFrame, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Make the table of the page: a row for each size."""
    rows = []
    for size, own in means.groupby("size", sort=False):
        db = own.set_index(["weights", "weight_bits"])["psnr_db"]
        half = own[own["weights"] == "float16"].iloc[0]
        rate = half["bits_per_pixel"]
        rows.append(
            {
                "size": size,
                "parameters": half["parameters"],
                "float32": db["float32", 32],
                "float32_8bit": own.loc[own["weights"] == "float32", "psnr_8bit_db"].item(),
                "float16": db["float16", 16],
                **{f"codes{bits}": db["codes", bits] for bits in TABLE_BITS},
                "bits_per_pixel": rate,
                **{name: _at(curves.get(name), rate) for name in YARDSTICKS},
            }
        )
    return pd.DataFrame(rows)


def _at(curve: tuple[np.ndarray, np.ndarray] | None, rate: float) -> float:
    """Return the decibels of a curve at a rate; NaN where it has none."""
    if curve is None or not len(curve[0]):
        return np.nan
    x, y = curve
    return float(np.interp(np.log(rate), np.log(x), y, left=np.nan, right=np.nan))


def _sizes(
    folder: Path, table: Table, fitted: pd.DataFrame, pictures: Mapping[str, np.ndarray]
) -> str:
    """Show the photograph of median PSNR as networks of rising size store it in float16."""
    by_photo = fitted.groupby("image_id")["best_psnr_db"].median().sort_values()
    image_id = str(by_photo.index[len(by_photo) // 2])
    labelled = {}
    for _, row in fitted[fitted["image_id"] == image_id].sort_values("parameters").iterrows():
        shape = (int(row["image_height"]), int(row["image_width"]))
        half = measures.float16(table.weights(row))
        decoded = jaxinr.render(half, Trial.from_row(row), shape)
        error = np.mean((decoded - pictures[image_id] / 255.0) ** 2)
        label = (
            f"<strong>{row['hp_bpp']:.3g} bpp</strong> "
            f"<span>{row['num_layers']} × {row['layer_size']}</span> "
            f"<span>{decibels.text(float(decibels.of_error(error)))}</span>"
        )
        labelled[label] = page.small(to_uint8(decoded))
    return page.sizes(folder, image_id, labelled, pictures[image_id])


_SAID = (
    "<p>PSNR in dB by the precision of the weights; bits per pixel (bpp) in float16, and "
    f"{' and '.join(YARDSTICKS)} at that rate, – where their files end.</p>"
)
READING = """<p>PSNR is over the pixels and channels of one photograph at peak 1 and, unless “8-bit”
is said, on raw output, as COIN published it; a mean is a mean of decibels over photographs. COIN’s
own float16 is of weights and arithmetic, here it is of weights alone. Bits per pixel (bpp) count 16
bits for each weight in float16; at k bits, k for each weight and 32 for the step of each array;
nothing else of a network’s file, but all of a JPEG, JPEG 2000, WebP or AVIF. Those are Pillow’s:
JPEG 4:2:0 or 4:4:4, whichever is better, with optimised tables; JPEG 2000 with the 9/7 wavelet;
WebP’s longest search; AVIF 4:4:4. To average at equal rates, the points of each photograph are
joined by straight lines over the logarithm of the rate. COIN’s paper has a JPEG 1 to 2 dB lower,
of standard tables and averaged at equal qualities.</p>
<pre>import pandas

points = pandas.read_parquet("rate_distortion.parquet")
networks = pandas.read_parquet("quantisation.parquet")
fits = pandas.read_parquet("parts")</pre>
<p>run in the folder of this page, reads the points of each photograph that the curves are the means
of, a row for each network and precision, and a row for each fit with its weights.</p>"""
