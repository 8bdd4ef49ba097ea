"""Train and evaluate the forecaster of a SIREN's PSNR from image and hyperparameters.

Train the forecaster on collections of fits, and measure it against baselines on photographs and
architectures that it has not seen. Source: Vonderfecht & Liu, Predicting the Encoding Error of
SIRENs (TMLR 2024), section 6.
"""

import dataclasses
import hashlib
import importlib.resources
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from experiments.forecaster import baselines, data, metrics, report
from experiments.forecaster.data import FitTable
from experiments.report import markdown
from jaxfleet import executors, rundir, storage
from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos as sources
from jaxfleet.progress import clock
from jaxfleet.scripts.options import flag
from jaxinr.forecaster import reach, training
from jaxinr.forecaster.reach import Reach
from jaxinr.forecaster.scaling import Scaling
from jaxinr.forecaster.trained import PACKAGED, Trained, chosen
from jaxinr.forecaster.training import ForecasterRecipe

REPORT_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class PredictorConfig:
    """Flags of `launch/siren_predictor.py`."""

    collections: tuple[str, ...] = flag(
        ("packaged",),
        "Run directories of siren_grid or collection_import, folders with "
        f"{data.FITS}, tables of collection_table, or packaged: the fits that come with jaxinr. "
        "Repeat for more.",
        group="Fits to learn from",
    )
    photos: str = flag(
        "",
        f"Photographs of all the collections: {sources.HELP} Empty where the collections' "
        "tables hold their descriptors, as packaged does.",
    )
    image_fit: str = flag(
        "resize", "How the collections made squares of them.", choices=sources.FITS
    )
    members: int = flag(8, "Networks of the ensemble.", group="Training", lower=1)
    steps: int = flag(4500, "Updates.", lower=20)
    batch_fits: int = flag(512, "Fits in a batch.", lower=1)
    learning_rate: float = flag(3e-3, "Of AdamW, at its highest.", lower=1e-12)
    weight_decay: float = flag(0.05, "Of AdamW.", lower=0)
    width: int = flag(64, "Units of a layer.", lower=1)
    seed: int = flag(0, "Of weights and batches.", lower=0, upper=2**31 - 1)
    measure_only: bool = flag(
        False,
        "Train nothing: measure a forecaster on the photographs of the test split.",
        group="Measuring another forecaster",
    )
    forecaster: str = flag(
        "", "File of the forecaster that --measure_only measures; empty for the installed one."
    )
    checkpoint_minutes: float = flag(
        2.0, "Minutes of work that a kill may cost.", group="Run", lower=0
    )

    def recipe(self) -> ForecasterRecipe:
        """Return the settings of the training."""
        return ForecasterRecipe(
            members=self.members,
            steps=self.steps,
            fits=self.batch_fits,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            width=self.width,
            seed=self.seed,
        )


def run(config: PredictorConfig, run_dir: Path) -> str:
    """Train, measure and write `forecaster.safetensors` and the report.

    Only measure a forecaster that is there, and write `evaluation.parquet`, where the flags say so.

    Returns:
        What was reached.

    Raises:
        InputError: for collections or photographs that cannot be used; if there are too few.
        OSError: if the disk is full.
    """
    folders = [folder for name in config.collections for folder in parts_of(name)]
    table = data.load(folders, config.photos, config.image_fit)
    if config.measure_only:
        return _measured(config, table, run_dir)
    for split in ("train", "validation", "test"):
        if not table.split(split).any():
            raise InputError(f"the collections have no photograph in the {split} split; add some.")
    with rundir.held(run_dir, "siren_predictor"):
        rundir.unfinish(run_dir)
        forecaster = train(table, config.recipe(), run_dir, config.checkpoint_minutes)
        table.save(run_dir)
        mean_db, std_db = forecast(table, forecaster)
        evaluation = evaluate(table, mean_db, std_db)
        rundir.write_table(run_dir / "evaluation.parquet", evaluation)
        card = make_card(config, table, forecaster, evaluation)
        forecaster = dataclasses.replace(forecaster, card=card)
        forecaster.save(run_dir / PACKAGED)
        settings = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
        page = report.write(run_dir, table, forecaster, evaluation, mean_db, std_db, settings)
        rundir.finish(run_dir)
    return f"{_summary(evaluation)} Weights in {run_dir / PACKAGED}. Look at {page}"


def _measured(config: PredictorConfig, table: FitTable, run_dir: Path) -> str:
    if not table.split("test").any():
        raise InputError("the collections have no photograph in the test split; add some.")
    forecaster = chosen(config.forecaster)
    mean_db, std_db = forecast(table, forecaster)
    evaluation = metrics.table(table, {"forecaster": mean_db}, {"forecaster": std_db})
    with rundir.held(run_dir, "siren_predictor"):
        rundir.write_table(run_dir / "evaluation.parquet", evaluation)
        rundir.finish(run_dir)
    return markdown.table(evaluation.drop(columns="predictor").to_dict("records"))


def train(
    table: FitTable, recipe: ForecasterRecipe, run_dir: Path, checkpoint_minutes: float
) -> Trained:
    """Train the ensemble from where it was; fit its spread to the validation photographs.

    Raises:
        InputError: if the directory holds the beginning of another training.
    """
    fits = table.training_fits()
    own = fits.of(table.split("train"))
    scaling = Scaling.of(own.encoded().features, own.weights)
    params, state = training.create(recipe)
    checkpoints = Checkpoints(run_dir / "checkpoints")
    digest = _digest(recipe, table)
    start, params, state = _resumed(checkpoints, digest, params, state, run_dir)
    step = training.make_step(own, scaling, recipe)
    began = saved = told = time.monotonic()
    with executors.signals_wait() as stop:
        for number in range(start, recipe.steps):
            params, state, losses = step(params, state, number)
            now, is_last = time.monotonic(), number + 1 == recipe.steps or stop.is_set()
            if now - told > REPORT_SECONDS or is_last:
                told = now
                left = (now - began) / (number + 1 - start) * (recipe.steps - number - 1)
                sys.stderr.write(
                    f"{number + 1}/{recipe.steps} steps, loss {float(losses.mean()):.3f}, "
                    f"{clock(left)} left, {clock(now - began)} passed\n"
                )
            if now - saved > 60 * checkpoint_minutes or is_last:
                leaves = jax.tree.map(np.asarray, jax.tree.leaves((params, state)))
                checkpoints.save({"step": np.array(number + 1), "digest": digest, "leaves": leaves})
                saved = time.monotonic()  # a slow disk is not written to all the time
            if stop.is_set():
                break
    params = {name: np.asarray(leaf) for name, leaf in params.items()}
    last = own.iterations[:, -1]
    described = own.described[np.unique(own.picture)]
    known = Reach.of(described, own.rows, last, own.best_db[:, -1])
    forecaster = Trained(params, scaling, known, {})
    unseen = fits.of(table.split("validation"))
    last = unseen.iterations[:, -1]
    mean_db, std_db = (
        x[:, 0]
        for x in forecaster.raw(unseen.described[unseen.picture], unseen.rows, last[:, None])
    )
    error_db = mean_db - unseen.best_db[:, -1]
    return dataclasses.replace(
        forecaster, reach=known.calibrated(unseen.rows, last, error_db, std_db)
    )


def forecast(table: FitTable, forecaster: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Forecast the mean and standard deviation, [N] each, of all fits at their ends."""
    fits = table.training_fits()
    asked = fits.described[fits.picture], fits.rows, fits.iterations[:, -1:]
    mean_db, std_db = forecaster.ask(*asked)
    return mean_db[:, 0], std_db[:, 0]


def evaluate(table: FitTable, mean_db: np.ndarray, std_db: np.ndarray) -> pd.DataFrame:
    """Measure every predictor on every split, beside the noise of the fits."""
    train = table.split("train")
    predictions = baselines.predict(table, train) | {"forecaster": mean_db}
    return metrics.table(table, predictions, {"forecaster": std_db})


def make_card(
    config: PredictorConfig, table: FitTable, forecaster: Trained, evaluation: pd.DataFrame
) -> dict[str, Any]:
    """Return what a forecaster was trained on and how good it is, for its file."""
    train = table.split("train")
    low, high = (2.0**ends for ends in (forecaster.reach.low, forecaster.reach.high))
    return {
        "collections": [Path(name).name for name in config.collections],
        "fits": int(train.sum()),
        "photographs": int(table.frame[train]["image_id"].nunique()),
        "range": {
            name: [float(f"{ends[i]:.6g}") for ends in (low, high)]
            for i, name in enumerate(reach.NAMES)
        },
        "evaluation": json.loads(evaluation.to_json(orient="records")),
        "made_by": rundir.environment(),
    }


def parts_of(name: str) -> list[Path]:
    """Return where a collection is; the packaged fits came in parts."""
    if name != "packaged":
        return [storage.location(name)]
    with importlib.resources.as_file(importlib.resources.files("jaxinr") / "data") as folder:
        return sorted(path.parent for path in folder.rglob(data.PICTURES))


def _resumed(
    checkpoints: Checkpoints, digest: np.ndarray, params: Any, state: Any, run_dir: Path
) -> tuple[int, Any, Any]:
    snapshot: Mapping[str, Any] | None = checkpoints.load()
    if snapshot is None:
        return 0, params, state
    if not np.array_equal(snapshot["digest"], digest):
        raise InputError(
            f"{run_dir} holds a training of other fits or flags; give another --run_dir, or remove "
            "it."
        )
    structure = jax.tree.structure((params, state))
    return int(snapshot["step"]), *jax.tree.unflatten(structure, snapshot["leaves"])


def _digest(recipe: ForecasterRecipe, table: FitTable) -> np.ndarray:
    """Return a digest of all that training depends on."""
    digest = hashlib.sha256(repr(recipe).encode())
    digest.update(pd.util.hash_pandas_object(table.frame).to_numpy().tobytes())
    for array in (table.described, table.best_db):
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _summary(evaluation: pd.DataFrame) -> str:
    own = evaluation[evaluation["predictor"] == "forecaster"].iloc[0]
    return f"RMSE {own['rmse_db']:.2f} dB on {own['split']}, R2 {own['r2']:.3f}."
