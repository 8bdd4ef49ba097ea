"""The page of the comparison: a table, a figure, and the settings that were chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.coordinate_networks.config import NetworksConfig, best_of, settings
from experiments.report import figures, page
from experiments.report.page import Drawing
from jaxfleet import rundir
from jaxfleet.imaging.photos import Photo
from jaxfleet.results.showing import counted
from jaxfleet.results.table import Table
from jaxinr.trial import Trial

NAMES = {
    "siren": "SIREN",
    "finer": "FINER",
    "gauss": "Gauss",
    "wire": "WIRE",
    "relu_fourier": "ReLU, Fourier features",
}
COLUMNS = {
    "kind": ("name", "{}"),
    "parameters": ("parameters", "{:,}"),
    "layers": ("num_layers", "{}"),
    "units": ("layer_size", "{}"),
    "PSNR (dB)": ("mean_db", "{:.2f}"),
    "over the photographs (dB)": ("deviation_db", "± {:.2f}"),
    "to SIREN (dB)": ("gain_db", "{:+.2f}"),
    "best of": ("wins", "{}"),
    "diverged": ("diverged", "{}"),
    "time (s)": ("seconds", "{:.2f}"),
}
CHOSEN = {
    "kind": ("name", "{}"),
    "settings": ("settings", "{}"),
    "PSNR (dB)": ("db", "{:.2f}"),
    "with its paper's (dB)": ("start_db", "{:.2f}"),
    "settings tried": ("tried", "{}"),
}
READING = """<p>PSNR is over the pixels and channels of a photograph at peak 1, on raw output, of
the best weights; a mean is a mean of decibels over the photographs, and what follows ± is the
standard deviation over them. To SIREN: mean of the differences on the same photographs. Best of: on
how many photographs the kind is ahead of all others at that size. Every kind has about the same
number of trained weights and biases; a complex one of a WIRE counts twice, and random frequencies,
which the seed says, do not count. A FINER’s gradient is that of its formula. The settings of each
kind were searched for at the middle size on photographs apart, from those of its paper on: each was
halved and doubled, and where that gained nothing changed eightfold, while a change gained 0.05 dB
in the mean.</p>"""


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a row for each kind and size: means over the photographs.

    Args:
        frame: the table of the compared networks; those of one size differ in `parameters` by a
            few percent, and stand in their order in each photograph.
    """
    frame = frame.sort_values("trial_id")
    count = frame["network"].nunique()
    place = frame.groupby("image_id").cumcount()
    frame = frame.assign(size=place // count)
    whole = frame[frame["status"] != "diverged"]
    by_photo = whole.pivot_table(
        index=["size", "image_id"], columns="network", values="best_psnr_db"
    )
    ahead = by_photo.idxmax(axis=1)
    rows = []
    for (size, network), own in frame.groupby(["size", "network"], sort=False):
        db = by_photo.loc[size][network].dropna() if network in by_photo else pd.Series(dtype=float)
        gain = db - by_photo.loc[size]["siren"] if "siren" in by_photo else pd.Series(dtype=float)
        rows.append(
            {
                "size": size,
                "network": network,
                "name": NAMES.get(network, network),
                **own.iloc[0][["parameters", "num_layers", "layer_size"]].to_dict(),
                "mean_db": db.mean(),
                "deviation_db": db.std(),
                "gain_db": gain.mean() if network != "siren" else np.nan,
                "wins": int((ahead.loc[size] == network).sum()),
                "diverged": int((own["status"] == "diverged").sum()),
                "seconds": own["seconds"].mean(),
            }
        )
    return pd.DataFrame(rows)


def chosen(tried: Mapping[str, Mapping[Trial, float]]) -> pd.DataFrame:
    """Make a row for each kind: the best settings, and what they gain over the first ones."""
    rows = []
    for network, own in tried.items():
        best = best_of(own)
        rows.append(
            {
                "name": NAMES.get(network, network),
                "settings": ", ".join(
                    f"{name} {value:g}" for name, value in settings(best).items()
                ),
                "db": own[best],
                "start_db": next(iter(own.values())),
                "tried": len(own),
            }
        )
    return pd.DataFrame(rows)


def draw(rows: pd.DataFrame) -> Figure:
    """Draw the mean PSNR against parameters, a line for each kind."""
    figure, axes = figures.new()
    for i, (_, own) in enumerate(rows.groupby("network", sort=False)):
        axes.plot(
            own["parameters"],
            own["mean_db"],
            color=figures.PALETTE[i],
            marker=figures.MARKERS[i],
            ms=5,
            lw=1.6,
            label=own["name"].iloc[0],
        )
    figures.log_x(axes, rows["parameters"].to_numpy(float))
    axes.set_xlabel("weights and biases")
    axes.set_ylabel("mean PSNR (dB)")
    figures.legend(figure, axes)
    return figure


def write(
    run_dir: Path,
    config: NetworksConfig,
    tried: Mapping[str, Mapping[Trial, float]],
    table: Table,
    tuning: Sequence[Photo],
    compared: Sequence[Photo],
) -> tuple[Path, str]:
    """Write `report.html`, `figures/parameters.png` and `table.csv`.

    Args:
        run_dir: of the comparison.
        config: of the comparison.
        tried: kind -> trial -> its mean PSNR on the photographs for tuning, dB.
        table: of the compared networks.
        tuning: photographs that settings were chosen on.
        compared: photographs that kinds are compared on.

    Returns:
        Path of the page, and the table as text.
    """
    frame = table.to_pandas()
    rows = summary(frame)
    rundir.write_csv(run_dir / "table.csv", rows)
    best = rows.loc[rows["mean_db"].idxmax()]
    drawing = Drawing(
        "parameters",
        "PSNR against size",
        f"Means over {counted(len(compared), 'photograph')} after {config.num_iters:,} updates.",
        lambda: draw(rows),
    )
    height, width = compared[0].pixels.shape[:2]
    sections = {
        "Kinds at equal numbers of parameters": page.table(rows, COLUMNS),
        "Measurements": page.plots(run_dir, [drawing]),
        f"Settings, chosen on {', '.join(photo.image_id for photo in tuning)}": page.table(
            chosen(tried), CHOSEN
        ),
        "Settings": page.definitions(page.settings(config, table.manifest)),
        "What the numbers mean": READING,
    }
    tiles = {
        "networks compared": f"{len(frame):,}",
        "photographs": f"{len(compared)}, {max(height, width)} × {min(height, width)} px",
        "best kind": f"{best['name']}, {best['mean_db']:.2f} dB",
    }
    path = page.write(run_dir, "Kinds of coordinate networks", tiles, sections)
    return path, _text(rows)


def _text(rows: pd.DataFrame) -> str:
    lines = [f"{'kind':24}{'parameters':>11}{'PSNR (dB)':>12}{'to SIREN':>10}{'best of':>9}"]
    for _, row in rows.iterrows():
        gain = "" if np.isnan(row["gain_db"]) else f"{row['gain_db']:+.2f}"
        lines.append(
            f"{row['name']:24}{row['parameters']:11,}{row['mean_db']:12.2f}{gain:>10}"
            f"{row['wins']:9}"
        )
    return "\n".join(lines)
