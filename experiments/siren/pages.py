"""The report of a run of SIRENs, from its directory: table, settings, progress, photographs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jaxfleet
import jaxinr
from experiments.report import page
from experiments.siren import report
from experiments.siren.config import GridConfig
from experiments.siren.drawings import MAX_HISTORIES
from experiments.siren.jobs import schema
from jaxfleet import storage
from jaxfleet.imaging.photos import Photo
from jaxinr.trial import Trial

HISTORIES = ("iteration_history", "psnr_history")
_NOT_SHOWN = (
    "<p>Pictures and the curve of JPEG are left out: the photographs have several sizes, or the "
    "table keeps no weights.</p>"
)


def write_report(config: GridConfig, run_dir: Path, pictures: Sequence[Photo]) -> Path:
    """Write the page of a run, complete or not; without images if they have several sizes."""
    logs = [
        list(_samples((run_dir / name).read_text().splitlines()))
        for name in storage.names(run_dir)
        if name.startswith("progress") and name.endswith(".jsonl")
    ]
    manifest = jaxfleet.open(run_dir).manifest
    shown = config.keep_weights and config.one_size is not None
    return write_page(
        run_dir,
        pictures if shown else [],
        no_pictures=report.NOT_AT_HAND if shown else _NOT_SHOWN,
        title="SIRENs fitted to photographs",
        coordinates=config.coordinates,
        settings={**page.settings(config, manifest), "wall_seconds": sum(map(_seconds, logs))},
        progress=logs[0] if len(logs) == 1 else [],
    )


def write_page(
    run_dir: Path,
    pictures: Sequence[Photo],
    *,
    title: str,
    coordinates: str,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]] = (),
    no_pictures: str = report.NOT_AT_HAND,
) -> Path:
    """Write the page of a table of SIRENs, see `report.write_report`.

    Args:
        run_dir: whose table it is.
        pictures: the photographs that are at hand, as the networks were fitted to them.
        title: of the page.
        coordinates: of the networks.
        settings: as `report.write_report` takes them.
        progress: likewise.
        no_pictures: likewise.
    """
    table = jaxfleet.open(run_dir)

    def render(row: Any) -> np.ndarray:
        trial = Trial.from_row(row)
        shape = (int(row["image_height"]), int(row["image_width"]))
        weights: Any = table.weights(row)
        return jaxinr.render(weights, trial, shape, coordinates=coordinates)

    columns = [name for name in table.columns if name not in ("weights", *HISTORIES)]
    frame = table.to_pandas(columns).reindex(columns=[n for n in schema().names if n in columns])
    some = frame.sort_values("best_psnr_db")["trial_id"][:: 1 + len(frame) // MAX_HISTORIES]
    histories = table.to_pandas(["trial_id", *HISTORIES], [("trial_id", "in", some.tolist())])
    return report.write_report(
        run_dir,
        frame.merge(histories, on="trial_id", how="left"),
        {photo.image_id: photo.pixels for photo in pictures},
        render,
        title=title,
        settings=settings,
        progress=progress,
        no_pictures=no_pictures,
    )


def _seconds(samples: Sequence[Mapping[str, float]]) -> float:
    """Return the wall time of a process and of the stopped ones before it."""
    clock = np.array([sample["seconds"] for sample in samples] + [0.0])
    return float(clock[:-1][np.diff(clock) < 0].sum())


def _samples(lines: Sequence[str]) -> Iterator[dict[str, float]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # the last line of a killed run
            continue
