"""The tab Runs: tables, pictures and reports of the run directories named at the start."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import jaxfleet
import jaxinr
from experiments.app import markup
from experiments.report import page
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.imaging import decibels
from jaxfleet.imaging.pixels import to_uint8

MOST_ROWS = 2000  # of a table on the page
_COLUMNS = ("trial_id", "status", *(name for name, _ in page.BEST_COLUMNS.values()))
_SAME = ("image_id", "image_height", "image_width")


def find(paths: Sequence[str]) -> dict[str, Path]:
    """Return the run directories among folders and directly in them, by name.

    Raises:
        InputError: naming the folder, if one holds no run.
    """
    found: dict[str, Path] = {}
    for text in paths:
        folder = Path(text).expanduser()
        runs = [one for one in (folder, *_folders(folder)) if (one / rundir.MANIFEST).is_file()]
        if not runs:
            raise InputError(
                f"--runs={text} holds no run; give a run directory, or a folder of them."
            )
        for one in runs:
            name = one.resolve().name
            found[name if name not in found else str(one)] = one
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError:
        return []


def show_run(run_dir: Path) -> tuple[str, pd.DataFrame | None, str, str, str]:
    """Return what is wrong with a run, its table, what it is, its report, and no picture yet."""
    said, rows, facts = "", None, ""
    try:
        rows = table(run_dir)
        facts = describe(run_dir, rows)
    except InputError as error:
        said = markup.error(str(error))
    try:
        page_of = report(run_dir)
    except InputError as error:
        page_of = markup.error(str(error))
    return said, rows, facts, page_of, ""


def show_picture(run_dir: Path, trial_id: int) -> tuple[str, str]:
    """Return what is wrong, and what the network of a row stores, both as HTML."""
    try:
        pixels, said = picture(run_dir, trial_id)
    except InputError as error:
        return markup.error(str(error)), ""
    return "", markup.captioned(pixels, said)


def table(run_dir: Path) -> pd.DataFrame:
    """Return the rows of a run, best first, without histories and weights.

    Raises:
        InputError: if the run has no table of networks, or none is finished.
    """
    opened = jaxfleet.open(run_dir)
    names = [name for name in _COLUMNS if name in opened.columns]
    if "best_psnr_db" not in names:
        raise InputError(f"{run_dir.name} is no run of SIRENs; look at its report.")
    rows = opened.to_pandas(names).sort_values("best_psnr_db", ascending=False)
    return rows.head(MOST_ROWS).round(4).reset_index(drop=True)


def describe(run_dir: Path, rows: pd.DataFrame) -> str:
    """Return in HTML what a run is, and its best network of each photograph."""
    opened = jaxfleet.open(run_dir)
    manifest, best = opened.manifest, rows.drop_duplicates("image_id")
    shown = markup.facts(
        {
            "networks": f"{len(opened):,}",
            "photographs": rows["image_id"].nunique(),
            "complete": "yes" if rundir.is_finished(run_dir) else "no",
            "mean best PSNR": decibels.mean(rows["best_psnr_db"]),
            **{name: manifest.get(name, "unknown") for name in ("device", "git_commit")},
        }
    )
    kept = [one for one in ("num_layers", "layer_size", "hp_bpp", "best_psnr_db") if one in best]
    return shown + markup.table(
        "Best network of each photograph",
        ("photograph", "trial", "layers", "units", "bits per pixel", "PSNR (dB)"),
        [
            (row["image_id"], row["trial_id"], *(_short(row[name]) for name in kept))
            for _, row in best.iterrows()
        ],
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def report(run_dir: Path) -> str:
    """Return the report of a run in a frame that can run nothing and reach nothing.

    Raises:
        InputError: if it has none.
    """
    path = run_dir / "report.html"
    if not path.is_file():
        raise InputError(
            f"{run_dir.name} has no report.html; launch/report.py writes that of a run of SIRENs."
        )
    content = markup.text(path.read_text())
    return f'<iframe class="report" sandbox title="Report of the run" srcdoc="{content}"></iframe>'


def picture(run_dir: Path, trial_id: int) -> tuple[np.ndarray, str]:
    """Draw what the network of a row stores.

    Returns:
        [H, W, 3] uint8, and a sentence about it.

    Raises:
        InputError: if there is no such row, or it has no weights.
    """
    opened = jaxfleet.open(run_dir)
    columns = [name for name in opened.columns if name not in ("iteration_history", "psnr_history")]
    rows = opened.to_pandas(columns, [("trial_id", "==", trial_id)])
    if not len(rows):
        raise InputError(f"{run_dir.name} has no row with trial_id {trial_id}.")
    row = rows.iloc[0]
    if row.get("weights") is None or not len(row["weights"]):
        raise InputError(f"{run_dir.name} kept no weights, so its pictures cannot be drawn.")
    trial = jaxinr.Trial.from_row(row)
    shape = int(row["image_height"]), int(row["image_width"])
    coordinates = opened.manifest["plan"].get("coordinates", "coin")
    weights: Any = opened.weights(row)
    drawn = jaxinr.render(weights, trial, shape, coordinates=coordinates, clip=True)
    said = (
        f"Trial {trial_id}: {row['image_id']} as {trial.num_layers} layers of {trial.layer_size} "
        f"units store it, {decibels.text(row['best_psnr_db'])}."
    )
    return to_uint8(drawn), said


def compare(first: Path, second: Path) -> tuple[str, pd.DataFrame]:
    """Compare networks of two runs that share photograph and hyperparameters.

    Returns:
        What the difference is, in a sentence; and a row for each design, with the PSNR of both.

    Raises:
        InputError: if they have no design in common, or one is no run of SIRENs.
    """
    fields = (*_SAME, *(field.name for field in dataclasses.fields(jaxinr.Trial)))
    frames = []
    for run_dir in (first, second):
        opened = jaxfleet.open(run_dir)
        if "best_psnr_db" not in opened.columns:
            raise InputError(f"{run_dir.name} is no run of SIRENs, so it cannot be compared.")
        columns = [name for name in (*fields, "status", "best_psnr_db") if name in opened.columns]
        frames.append(opened.to_pandas(columns))
    design = [
        name
        for name in fields
        if name != "seed" and all(name in frame for frame in frames) and _is_known(frames, name)
    ]
    means = [
        frame[frame["status"] != "diverged"].groupby(design)["best_psnr_db"].mean()
        for frame in frames
    ]
    joined = pd.concat(means, axis=1, join="inner", keys=[first.name, second.name])
    if not len(joined):
        raise InputError(
            f"{first.name} and {second.name} share no network: no photograph with the same "
            "hyperparameters is in both."
        )
    gain = joined.iloc[:, 1] - joined.iloc[:, 0]
    designs = "design is" if len(joined) == 1 else "designs are"
    said = (
        f"{len(joined):,} {designs} in both. {second.name} is {gain.mean():+.2f} dB against "
        f"{first.name} in the mean (from {gain.min():+.2f} to {gain.max():+.2f} dB), better in "
        f"{int((gain > 0).sum()):,} of them."
    )
    differing = [name for name in design if joined.index.get_level_values(name).nunique() > 1]
    rows = joined.assign(gain_db=gain).reset_index()
    shown = [name for name in rows.columns if name not in design or name in differing]
    return said, rows[shown].round(3).head(MOST_ROWS)


def _is_known(frames: Sequence[pd.DataFrame], name: str) -> bool:
    return all(frame[name].notna().all() for frame in frames)
