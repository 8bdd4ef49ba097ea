"""The page of a zoo of super-resolution networks: `report.html` of its run, complete or not."""

import functools
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import jaxfleet
from experiments.report import page
from experiments.report.page import Drawing
from experiments.zoo import crops as zoo_crops
from experiments.zoo import evaluate, figures, tables
from experiments.zoo.crops import Crops
from experiments.zoo.evaluate import BICUBIC
from experiments.zoo.figures import Kind, Point
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import decibels, photos
from jaxsr.datasets.training_sets import TrainingSet

MAX_PICTURES = 3  # of each scale

_PLANE = ("sharpness_db", "psnr_y_db")
_DIVERGED = {
    "network": ("network", "{}"),
    "loss": ("loss", "{}"),
    "iterations": ("num_iters", "{:,}"),
    "seed": ("seed", "{}"),
    "best PSNR-Y before (dB)": ("best_psnr_y_db", "{:.2f}"),
}


def write(run_dir: Path, *, planned: int | None = None) -> Path:
    """Write `report.html` and `figures/*.png`; return the path of the page.

    What `evaluate.evaluate` left is shown; without it, the validation of the run alone.
    Pictures are left out where the photographs or the networks are not at hand.

    Args:
        run_dir: of a zoo.
        planned: networks that the run is to have, to say how many are missing; None where that is
            not known: then the run is complete if it has its file `DONE`.

    Raises:
        InputError: if the directory is none of a run, no network is finished, or a file is damaged.
    """
    folder = page.figures_folder(run_dir)
    table = jaxfleet.open(run_dir)
    frame = table.to_pandas()
    done = frame[frame["status"] == "done"]
    measured = evaluate.read(run_dir)
    waiting = done[~done["network"].isin(measured["network"])]
    means = pd.concat([evaluate.set_means(measured), tables.validation(waiting)], ignore_index=True)
    crops = list(zoo_crops.make(run_dir, measured))
    sections = {
        "This run is not complete": _incomplete(run_dir, frame, measured, planned),
        "Few photographs": page.few(len(measured[["set", "image_id"]].drop_duplicates())),
        "Measured on what was trained on": _overlap(table.manifest["plan"], measured),
        "Means over seeds": _SUMMARY_SAID + page.table(*tables.summary(means), leading=2)
        if len(means)
        else "",
        "Pictures": page.captioned(
            _PICTURES_SAID, "".join(_pictures(folder, crop, measured) for crop in crops)
        ),
        "Spectra": page.plots(run_dir, map(_spectra, crops)),
        "Measurements": page.plots(run_dir, _drawings(done, means, crops)),
        "Every network": page.table(*tables.ranking(means, done)) if len(means) else "",
        "Diverged networks": page.table(_diverged(frame), _DIVERGED),
        "Settings": page.definitions(_settings(run_dir, table.manifest)),
        "What the numbers mean": READING,
    }
    return page.write(
        run_dir, "A zoo of super-resolution networks", tiles(frame, measured), sections
    )


def tiles(frame: pd.DataFrame, measured: pd.DataFrame) -> dict[str, str]:
    """Return the figures at the top of the page.

    Args:
        frame: the table of the run.
        measured: rows of `evaluate.evaluate`, or none.
    """
    done = frame[frame["status"] == "done"]
    shown = {
        "networks trained": f"{len(done):,}",
        "diverged": f"{(frame['status'] == 'diverged').sum():,}",
        "architectures": f"{done['architecture'].nunique()}",
        "losses": f"{done['loss'].nunique()}",
        "training time of all": page.duration(float(frame["seconds"].sum())),
    }
    if len(measured):
        count = len(measured[["set", "image_id"]].drop_duplicates())
        shown["photographs to measure on"] = f"{count:,}"
        gains = evaluate.with_gain(measured).query("architecture != @BICUBIC")
        for scale, own in gains.groupby("scale"):
            gain_db = own.groupby(["network", "architecture"])["gain_db"].mean().dropna()
            if len(gain_db):
                best = page.leaders(gain_db.groupby("architecture").max())
                shown[f"best over bicubic at ×{scale}"] = f"{gain_db.max():+.2f} dB ({best})"
    return shown


# ------------------------------------------------------------------------------------- the tables


def _diverged(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of diverged networks, with the highest PSNR-Y that validation saw."""
    rows = frame[frame["status"] == "diverged"]
    histories = rows["validation_psnr_y_db"]
    best = [pd.Series(history, dtype=float).max() for history in histories]
    return rows.assign(best_psnr_y_db=best)


def _overlap(plan: Mapping[str, Any], measured: pd.DataFrame) -> str:
    """Name the benchmark sets whose photographs networks of this run were trained on."""
    sources = measured.groupby("set")["source"].first()
    trained = [TrainingSet.parse(text).source for text in plan.get("training_set", ())]
    sets = [str(name) for name, source in sources.items() if overlap(trained, source)]
    if not sets:
        return ""
    names = html.escape(", ".join(sets))
    return (
        f"<p>Networks were trained on photographs of {names}, so their numbers there are higher "
        "than on new photographs, and do not compare with those of papers.</p>"
    )


def overlap(trained: Sequence[str], source: str) -> int:
    """Count the photographs of a source that are in sources of training sets, too.

    A photograph is recognised by its file. A dataset of TFDS counts as one photograph, and a
    source that is not there any more only if it is a training set's as it stands.
    """
    try:
        return len(photos.members(source) & set().union(*map(photos.members, trained)))
    except InputError:
        return int(photos.absolute(source) in map(photos.absolute, trained))


def _incomplete(
    run_dir: Path, frame: pd.DataFrame, measured: pd.DataFrame, planned: int | None
) -> str:
    """Say what is missing, if anything."""
    said = []
    if planned is None and not rundir.is_finished(run_dir):
        said.append(f"{len(frame):,} networks have ended so far; the page is of these.")
    elif planned is not None and len(frame) < planned:
        said.append(f"{len(frame):,} of {planned:,} networks have ended; the page is of these.")
    waiting = set(frame.loc[frame["status"] == "done", "network"]) - set(measured["network"])
    if waiting:
        said.append(
            f"{len(waiting):,} trained networks are not measured on benchmark sets yet; of "
            "these the tables have what the run itself measured."
        )
    return f"<p>{' '.join(said)}</p>" if said else ""


def _settings(run_dir: Path, manifest: Mapping[str, Any]) -> dict[str, object]:
    """Return the flags of the run, and where it took place."""
    flags = run_dir / "flags.txt"
    lines = flags.read_text().splitlines() if flags.exists() else []
    settings: dict[str, object] = {}
    for line in lines:
        name, sign, value = line.strip().removeprefix("--").partition("=")
        if line.startswith("--") and sign:
            settings[name] = f"{settings[name]}, {value}" if name in settings else value
    return settings | rundir.provenance(manifest)


# ----------------------------------------------------------------------------------- the pictures


def _pictures(folder: Path, crops: Crops, measured: pd.DataFrame) -> str:
    """Show the busiest places of some photographs: truth, bicubic, every kind of network."""
    psnr_db = measured.set_index(["network", "set", "image_id"])["psnr_y_db"]
    parts = [_heading(crops)]
    for index, window in enumerate(crops.windows[:MAX_PICTURES]):
        labelled = {"<strong>truth</strong>": window.high[window.shown]}
        for kind in _ordered(crops):
            value = psnr_db.get((crops.networks[kind], window.set_name, window.image_id), np.nan)
            label = f"{_shown(kind)} <span>{decibels.text(value)}</span>"
            labelled[label] = crops.outputs[kind][index][window.shown]
        images = {label: Image.fromarray(pixels) for label, pixels in labelled.items()}
        name = f"crops_x{crops.scale}_{index + 1}_{page.slug(window.image_id)}.png"
        storage.write_atomically(folder / name, page.strip(images, gap_px=2))
        parts.append(
            f"<article><p><strong>{html.escape(window.image_id)}</strong> "
            f"<span>{html.escape(window.set_name)}, ×{crops.scale}</span></p>{_grid(images)}"
            "</article>"
        )
    return "".join(parts)


def _spectra(crops: Crops) -> Drawing:
    """Draw spectra of every kind of network against the truth's."""
    spectra = zoo_crops.against_truth_db(crops)
    maps = {"\n".join(filter(None, kind)): spectra[kind] for kind in _ordered(crops)}
    draw = functools.partial(figures.spectrum_maps, maps)
    return Drawing(f"spectrum_maps_x{crops.scale}", _trained(crops), _SPECTRA_SAID, draw)


def _heading(crops: Crops) -> str:
    return f"<h3>{_trained(crops)}</h3>"


def _trained(crops: Crops) -> str:
    return html.escape(f"×{crops.scale}, training set {crops.training_set}, seed {crops.seed}")


def _grid(images: Mapping[str, Image.Image]) -> str:
    cells = (
        page.cell(image, label, re.sub("<[^>]*>", " ", label), lossless=True)
        for label, image in images.items()
    )
    return f'<div class="grid crops">{"".join(cells)}</div>'


def _ordered(crops: Crops) -> list[Kind]:
    """Return bicubic and then the networks by architecture and loss."""
    return sorted(crops.outputs, key=lambda kind: (kind[0] != BICUBIC, *kind))


def _shown(kind: Kind) -> str:
    architecture, loss = map(html.escape, kind)
    return f"<strong>{architecture}</strong>" + (f" <span>{loss}</span>" if loss else "")


# ------------------------------------------------------------------------------------ the figures


def _drawings(done: pd.DataFrame, means: pd.DataFrame, crops: Sequence[Crops]) -> list[Drawing]:
    """Draw the figures for which there are results."""
    drawings = []
    validation = _histories(done, "validation_iterations", "validation_psnr_y_db")
    if validation:
        draw = functools.partial(
            figures.curves, validation, x_label="iteration", y_label="PSNR-Y (dB)"
        )
        caption = "On the validation set. Means over seeds and training sets."
        drawings.append(Drawing("validation", "PSNR-Y during training", caption, draw))
    losses = _histories(done, "iteration_history", "loss_history")
    if losses:
        draw = functools.partial(
            figures.curves, losses, x_label="iteration", y_label="loss", log_y=True
        )
        caption = (
            "Means over seeds and training sets. Losses of different names have different units."
        )
        drawings.append(Drawing("loss", "Loss during training", caption, draw))
    planes = _planes(means)
    if planes:
        caption = (
            "A mark for each network, means over the photographs of all sets. Up: nearer to the "
            "truth, pixel by pixel; right: more detail, wherever it is; dashed: as much as the "
            "truth has."
        )
        draw = functools.partial(figures.sharpness, planes)
        drawings.append(Drawing("sharpness", "Fidelity against sharpness", caption, draw))
    if crops:
        spectra = {
            f"×{one.scale}": {
                kind: zoo_crops.radial_db(spectrum)
                for kind, spectrum in zoo_crops.against_truth_db(one).items()
            }
            for one in crops
        }
        caption = (
            "Power of luma over frequency, minus that of the truth, on the windows of the pictures "
            "above. Thin: a network; thick: their mean."
        )
        draw = functools.partial(figures.spectra, spectra, BICUBIC)
        drawings.append(Drawing("spectra", "Spectra of the outputs", caption, draw))
    return drawings


def _histories(done: pd.DataFrame, x: str, y: str) -> dict[str, dict[Kind, Any]]:
    """Scale -> kind of network -> iterations [T] and means [T] of their histories."""
    long = done[["scale", "architecture", "loss", x, y]].explode([x, y]).dropna()
    long = long.astype({x: float, y: float})
    means = long[np.isfinite(long[y])].groupby(["scale", "architecture", "loss", x])[y].mean()
    panels: dict[str, dict[Kind, Any]] = {}
    for (scale, architecture, loss), own in means.groupby(level=[0, 1, 2]):
        curve = (own.index.get_level_values(3).to_numpy(), own.to_numpy())
        panels.setdefault(f"×{scale}", {})[architecture, loss] = curve
    return panels


def _planes(means: pd.DataFrame) -> dict[str, tuple[list[Point], Point | None]]:
    """Scale -> its networks, and bicubic."""
    planes: dict[str, tuple[list[Point], Point | None]] = {}
    rows = means[means["set"] != tables.VALIDATION]
    rows = rows[np.isfinite(rows[list(_PLANE)].astype(float)).all(axis=1)]
    for scale, of_scale in rows.groupby("scale"):
        points, bicubic = [], None
        for _, own in of_scale.groupby("network"):
            x, y = (
                np.average(own[name], weights=own["pictures"] - own["exact"]) for name in _PLANE
            )
            point = Point((own["architecture"].iloc[0], own["loss"].iloc[0]), float(x), float(y))
            if point.kind[0] == BICUBIC:
                bicubic = point
            else:
                points.append(point)
        planes[f"×{scale}"] = (points, bicubic)
    return planes


_SUMMARY_SAID = (
    "<p>Mean over a set, mean and standard deviation over the seeds; bicubic is the enlargement "
    "that needs no network.</p>"
)
_PICTURES_SAID = (
    "<p>The square of highest gradient energy, of the photographs where it is highest. Networks "
    f"saw {zoo_crops.WINDOW_PX} pixels around it; PSNR-Y is of the whole photograph.</p>"
)
_SPECTRA_SAID = (
    "Power of luma at each frequency, minus that of the truth, on the windows of the pictures "
    "above; constant brightness is in the middle. What differs from network to network is what "
    "they can be told apart by."
)
READING = """<p>Photographs are cut to a multiple of the scale and reduced by MATLAB’s bicubic; what
a network makes of them is rounded to 8 bits, and a border as wide as the scale is left out of every
measure. PSNR-Y and SSIM-Y are of luma (ITU-R BT.601), peak 255; a mean is one of decibels over
photographs, without those that have no error at all, which are counted as exact. “Over bicubic” is
the mean of the differences on each photograph. Sharpness is the energy of luma from a quarter of a
cycle per pixel on, against that of the truth: 0 dB is as sharp, less is blurred, and noise counts
as sharp. The distance of VGG19 is the mean squared difference of its features of the middle of the
picture, where its weights were given. The validation set is what the run itself measures its
networks on.</p>
<pre>import pandas

measures = pandas.read_parquet("evaluation.parquet")
networks = pandas.read_parquet("parts")</pre>
<p>run in the folder of this page, reads a row for each network and photograph, and one for each
network.</p>"""
