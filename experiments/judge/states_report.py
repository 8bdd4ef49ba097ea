"""The page of attribution by state: who is named in which state, by what, and what of strangers."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.report import figures, page
from experiments.report.figures import DASHES, MARKERS, PALETTE
from experiments.report.page import Drawing
from jaxsr.fingerprints import evidence

PARTS = tuple(evidence.parts())
NAMED = ("all classes", "real networks", "family of real networks", "zoo", "zoo, seeds apart")
UNKNOWN = ("AUROC", "OSCR", "unknown refused")
PROPERTIES = ("scale", "adversarial")
_WAYS = {
    "nearest": "nearest network's",
    "own": "discriminants of the property",
    "usual": "the most frequent",
}
ROWS = (
    *NAMED,
    *PARTS,
    *UNKNOWN,
    *(f"{x}, {way}" for x in PROPERTIES for way in _WAYS),
)


def write(
    run_dir: Path, rows: pd.DataFrame, table: pd.DataFrame, settings: Mapping[str, object]
) -> Path:
    """Write `report.html` and `figures/*.png`; return the path of the page.

    Args:
        run_dir: of the run.
        rows: of `states.attributed`.
        table: of `states.measure`.
        settings: name -> value, of the run.
    """
    sections = {
        "Few photographs": page.few(rows["image_id"].nunique()),
        "Figures": page.plots(run_dir, _drawings(table)),
        **{
            f"Pictures of {side} pixels: shares (%)": page.table(*shown(own), leading=1)
            for side, own in table.groupby("side_px", sort=False)
        },
        "Networks that are hardest to tell": page.table(*hardest(rows), leading=1),
        "Settings": page.definitions(settings),
        "What the numbers mean": READING,
    }
    return page.write(run_dir, "Which network, in which state of the file", tiles(table), sections)


def tiles(table: pd.DataFrame) -> dict[str, str]:
    """Return the figures at the top of the page: right classes by state, of small pictures."""
    own = table[table["side_px"] == table["side_px"].min()]
    return {
        f"right of all classes, {state}": f"{share:.1%}"
        for state, share in zip(own["state"], own["all classes"], strict=True)
    }


def shown(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Return a row for each measure and a column for each state, in %, and how to show them.

    Args:
        table: of `states.measure`, rows of one side.
    """
    shares = 100 * table.set_index("state")[list(ROWS)].T
    frame = shares.map(lambda share: "–" if np.isnan(share) else f"{share:.1f}")
    frame.insert(0, "what", [said(name) for name in ROWS])
    return frame, {name: (name, "{}") for name in frame}


def hardest(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Return the networks that are named least often as they were made, and for what."""
    made = rows[(rows["kind"] == "network") & (rows["state"] == "none")]
    lines = []
    for name, own in made.groupby("name"):
        wrong = own.loc[own["nearest"] != name, "nearest"]
        lines.append(
            {
                "network": name,
                "right": float(np.mean(own["nearest"] == name)),
                "taken for": wrong.mode().iloc[0] if len(wrong) else "",
            }
        )
    frame = pd.DataFrame(lines, columns=["network", "right", "taken for"])
    return frame.sort_values("right").head(20), {
        "network": ("network", "{}"),
        "right as written": ("right", "{:.0%}"),
        "mostly taken for": ("taken for", "{}"),
    }


def said(name: str) -> str:
    """Return what a row of the table is called."""
    if name in PARTS:
        return f"all classes, by {name} alone"
    if name in UNKNOWN:
        return f"families left out: {name}"
    what, _, way = name.rpartition(", ")
    return f"families left out: {what} by {_WAYS[way]}" if way in _WAYS else name


def lines(
    table: pd.DataFrame, labels: Mapping[str, str], y_label: str, chance: float | None = None
) -> Figure:
    """Draw columns of the table by state, of its smallest pictures.

    Args:
        table: of `states.measure`.
        labels: column -> what it is called.
        y_label: of the axis.
        chance: %, drawn as a thin line; None for none.
    """
    own = table[table["side_px"] == table["side_px"].min()]
    figure, axes = figures.new()
    places = np.arange(len(own))
    for number, (column, label) in enumerate(labels.items()):
        style = number % len(PALETTE)
        axes.plot(
            places,
            100 * own[column],
            MARKERS[style] + DASHES[number % len(DASHES)],
            color=PALETTE[style],
            ms=5,
            lw=1.4,
            label=label,
        )
    if chance is not None:
        axes.axhline(chance, lw=0.8, ls="--", color="0.4")
    axes.set_xticks(places, [state.replace("+", "\n+") for state in own["state"]], fontsize=7)
    axes.set_ylim(0, 103)
    axes.set_ylabel(y_label)
    figures.legend(figure, axes)
    return figure


def _drawings(table: pd.DataFrame) -> list[Drawing]:
    def named(columns: Sequence[str]) -> dict[str, str]:
        return {name: name for name in columns}

    def told(what: str) -> dict[str, str]:
        return {f"{what}, {way}": label for way, label in _WAYS.items()}

    count = int(table["networks"].max())
    return [
        Drawing(
            "named",
            "Who is named, by state of the file",
            f"The nearest of all classes, {count} of which are networks; smallest pictures.",
            functools.partial(lines, table, named(NAMED), "right (%)"),
        ),
        Drawing(
            "parts",
            "Which features outlive what",
            "The right class of all, by each part of the evidence alone and by all together.",
            functools.partial(lines, table, named(("all classes", *PARTS)), "right (%)"),
        ),
        Drawing(
            "unknown",
            "Networks of families left out",
            "How well they are told from networks that were learnt; dashed is chance of AUROC.",
            functools.partial(lines, table, named(UNKNOWN), "%", 50.0),
        ),
        *(
            Drawing(
                what.split()[0],
                f"Families left out: {heading}",
                "Told right; every family counts the same.",
                functools.partial(lines, table, told(what), "right (%)"),
            )
            for what, heading in (
                ("scale", "their scale"),
                ("adversarial", "trained with an adversarial loss or not"),
            )
        ),
    ]


READING = """<p>States are what was done to a picture after the network had made it: none, JPEG of a
quality (4:2:0), WebP, a crop, a reduction in size, and two of these. The nearest class is named in
every case; nothing is kept back, unlike in the gallery. “Seeds apart” counts a network of the zoo
as right whatever its seed.</p>
<p>Families left out: each judge has not learnt some families at all. AUROC: how often a picture of
a learnt network looks more like one of a learnt network than a picture of a family left out does;
50 % is chance. OSCR: area under the curve of known pictures named rightly over unknown ones named.
“Unknown refused”: share of pictures of families left out that are refused where 95 % of those of
learnt networks are not. Scale and loss of networks of families left out are told by the nearest
network that was learnt, and by discriminants of the property itself; “the most frequent” names the
value that most networks of the other families have.</p>
<pre>import pandas

rows = pandas.read_parquet("pictures.parquet")</pre>
<p>run in the folder of this page, reads a row for each test picture.</p>"""
