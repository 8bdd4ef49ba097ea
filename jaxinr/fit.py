"""Coordinate networks fitted to images: many at a time, one trial per image.

PSNR is per image over pixels and channels, peak 1, on the raw output of the network (what COIN
published); `psnr_8bit_db` and `ssim` are of the decoded 8-bit image (what a viewer sees).
The kept weights are those of the best PSNR, and both belong to the same step (COIN's code keeps the
weights one step after the PSNR, and only in the second half of training).
"""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxfleet import trainer
from jaxfleet.imaging import decibels
from jaxfleet.imaging import images as measures
from jaxfleet.progress import Progress
from jaxfleet.results.showing import Tabular, counted
from jaxfleet.resumable import Resumable
from jaxfleet.trainer import Finished
from jaxinr import buckets, inputs, siren, trainers
from jaxinr import kind as kinds
from jaxinr.kernels import choice
from jaxinr.siren import Params
from jaxinr.trial import Trial


@dataclasses.dataclass(frozen=True, repr=False)
class Fit:
    """One fitted network. Field names are the columns of a run's table.

    Attributes:
        params: the kept weights at the network's own width; `layers {"weight", "bias"}`.
        status: "done", "target" (reached `target_psnr_db`) or "diverged".
        psnr_db: after the last update; NaN where diverged.
        best_psnr_db: of the kept weights, on raw output.
        psnr_8bit_db: of the decoded 8-bit image.
        ssim: of the decoded 8-bit image; NaN below 11 x 11 pixels.
        best_iteration: number of updates that led to the kept weights.
        iteration_history: [T] int32.
        psnr_history: [T] float32, dB, before the update of that iteration.
        seconds: wall time, shared evenly among the networks that trained at the same time.
    """

    params: Params
    status: str
    psnr_db: float
    best_psnr_db: float
    psnr_8bit_db: float
    ssim: float
    best_iteration: int
    iteration_history: np.ndarray
    psnr_history: np.ndarray
    seconds: float

    def __repr__(self) -> str:
        """Return one line."""
        best = decibels.text(self.best_psnr_db)
        return f"Fit({self.status}, best PSNR {best} at iteration {self.best_iteration})"


@dataclasses.dataclass(frozen=True, repr=False)
class Fits(Tabular):
    """N fitted networks, in the order of the trials.

    Attributes:
        fits: the single results.
        iterations: [T] int32, iterations at which a PSNR was recorded.
        psnr_db: [N, T] float32, dB; NaN where a network was not measured.
        trials: their hyperparameters.
    """

    fits: tuple[Fit, ...]
    iterations: np.ndarray
    psnr_db: np.ndarray
    trials: tuple[Trial, ...] = ()

    def __repr__(self) -> str:
        """Return one line."""
        diverged = self.status.count("diverged")
        known = [fit.best_psnr_db for fit in self.fits if fit.status != "diverged"]
        lost = f", {diverged} diverged" if diverged else ""
        networks = counted(len(self.fits), "network")
        return f"Fits({networks}{lost}, mean best PSNR {decibels.mean(known)})"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame, a row for each network: hyperparameters and measures.

        Columns are called as in a run's table; weights and histories are left out.
        """
        import pandas as pd

        left_out = ("params", "iteration_history", "psnr_history")
        names = [f.name for f in dataclasses.fields(Fit) if f.name not in left_out]
        measures = pd.DataFrame([{name: getattr(fit, name) for name in names} for fit in self.fits])
        if not self.trials:
            return measures
        return pd.concat([pd.DataFrame(map(dataclasses.asdict, self.trials)), measures], axis=1)

    @property
    def best_psnr_db(self) -> np.ndarray:
        """[N] PSNR of the kept weights, on raw output."""
        return np.array([fit.best_psnr_db for fit in self.fits])

    @property
    def status(self) -> list[str]:
        """[N] "done", "target" or "diverged"."""
        return [fit.status for fit in self.fits]

    def params(self, i: int) -> Params:
        """Return the kept weights of network i at its own width.

        Returns:
            A layer for each of `{"weight": [out, in], "bias": [out]}`, float32.

        Raises:
            IndexError: if there is no network i.
        """
        if not -len(self.fits) <= i < len(self.fits):
            raise IndexError(f"no network {i}; there are {len(self.fits)}, counted from 0.")
        return self.fits[i].params


def make_fit(finished: Finished, trial: Trial, picture: np.ndarray) -> Fit:
    """Convert a trainer's result to a fit; `picture` is [H, W, 3] uint8 or float."""
    height, width = picture.shape[:2]
    decoded = finished.result[: height * width].reshape(height, width, 3)
    target = picture if picture.dtype == np.uint8 else picture * np.float32(255)
    error = decoded.astype(np.float64) - target
    small = min(height, width) < 11
    similarity = (
        float("nan")
        if small
        else float(measures.ssim(inputs.as_float(decoded), inputs.as_float(picture)))
    )
    return Fit(
        params=kinds.crop(finished.params, trial.layer_shapes),
        status=finished.status,
        psnr_db=float(decibels.of_error(finished.loss)),
        best_psnr_db=float(decibels.of_error(finished.best_loss)),
        psnr_8bit_db=float(decibels.of_error(np.mean(error**2) / 255**2)),
        ssim=similarity,
        best_iteration=finished.best_iteration,
        iteration_history=finished.iterations,
        psnr_history=decibels.of_error(finished.losses).astype(np.float32),
        seconds=finished.seconds,
    )


def fit(
    images: Sequence[np.ndarray] | np.ndarray,
    trials: Sequence[Trial],
    *,
    coordinates: str = "coin",
    bias_init: str = "coin",
    log_every: int = 10,
    initial_params: Sequence[Any] | None = None,
    target_psnr_db: float | Sequence[float] | None = None,
    progress: bool | Callable[[dict[str, float]], object] = False,
    kernel: str = "auto",
    products: str = "float32",
    kept: Resumable | None = None,
) -> Fits:
    """Fit one network to each image with Adam, all networks side by side.

    Kinds of networks, widths, frequencies, learning rates, seeds and iteration counts may all
    differ; networks that can share a compiled program do. An image that occurs several times in the
    list (as the same object) is sent to the device once. All devices are used; on a CPU, all cores.

    Args:
        images: list of [H, W, 3] uint8, or float in [0, 1], sizes may differ; or [N, H, W, 3].
        trials: one for each image.
        coordinates: "coin" (both axes divided by H-1), "symmetric" or "centers".
        bias_init: "coin" (of a SIREN, uniform like the weights; of other kinds, as their papers
            have it) or "zero".
        log_every: iterations between entries of the histories.
        initial_params: for each trial, layers `{"weight": [out, in], "bias": [out]}` to start from
            in place of the seed.
        target_psnr_db: a network that reaches it stops; one number, or one for each trial.
        progress: True shows a progress display on standard error. A function is called in its
            place after each segment of the training, with `seconds`, `fits` (finished),
            `pixel_steps`, `mean_psnr_db` (of finished networks) and `training_psnr_db` (of those
            in training), such as `lambda s: csv.writer(file).writerow(s.values())`.
        kernel: "xla", anywhere; "numba", for CPUs; "pallas", for GPUs; or "auto", the fastest.
            Networks other than SIRENs train by XLA.
        products: of hidden layers: "float32", or "tf32" or "bfloat16", which are faster on a GPU at
            the cost of quality. Everything else is float32.
        kept: state to resume from, if this is one of several interruptible trainings.

    Raises:
        TypeError: if an image is neither uint8 nor float, or if a path or a single trial is
            given instead of a list.
        ValueError: if counts, shapes, ranges or names are not as above.
    """
    inputs.check_lists(images, trials)
    if initial_params is not None:
        if len(initial_params) != len(trials):
            raise ValueError(f"one initial_params per trial; got {len(initial_params)}.")
        for i, trial in enumerate(trials):
            inputs.check_params(f"initial_params[{i}]", initial_params[i], trial)
    if log_every < 1:
        raise ValueError(f"log_every must be at least 1; got {log_every}.")
    inputs.check_choice("coordinates", coordinates, siren.COORDINATES)
    inputs.check_choice("bias_init", bias_init, siren.BIAS_INITS)
    inputs.check_choice("kernel", kernel, choice.KERNELS)
    inputs.check_choice("products", products, siren.PRODUCTS)
    images = list(images)  # of an array: views, which keep their identity from here on
    first, picture_of = inputs.unique(images)
    pictures = [inputs.checked(images[i], i) for i in first]
    if len({picture.dtype for picture in pictures}) > 1:
        pictures = [inputs.as_float(picture) for picture in pictures]
    sizes = [pictures[i].shape[:2] for i in picture_of]
    shards = sum(mesh.size for mesh in trainer.lanes())
    plan = buckets.make_buckets(
        trials,
        sizes,
        shards=shards,
        platform=jax.local_devices()[0].platform,
        coordinates=coordinates,
        log_every=log_every,
        kernel=kernel,
        products=products,
    )
    target_loss = None
    if target_psnr_db is not None:
        target_db = np.asarray(target_psnr_db, float)
        if target_db.shape not in ((), (len(trials),)):
            raise ValueError(
                f"target_psnr_db must be one number or one for each of {len(trials)} trials; got "
                f"shape {target_db.shape}."
            )
        if np.isnan(target_db).any():
            raise ValueError(
                "target_psnr_db is not a number (NaN); give dB, or None for no target."
            )
        target_loss = np.broadcast_to(10.0 ** (-target_db / 10), len(trials))
    total = sum(bucket.pixel_steps for bucket in plan)
    display: Any = contextlib.nullcontext()
    if progress:
        display = Progress(len(trials), total, stream=io.StringIO() if callable(progress) else None)
    if callable(progress):
        display.on_sample = progress
    results: dict[int, Fit] = {}
    kept = kept or Resumable()
    with display:
        for bucket in plan:
            make = functools.partial(
                trainers.make_trainer,
                bucket,
                trials,
                pictures,
                picture_of,
                target_loss=target_loss,
                bias_init=bias_init,
                initial_params=None if initial_params is None else initial_params.__getitem__,
            )
            for team, finished in kept.train(make):
                jobs = [int(bucket.jobs[one.job]) for one in finished]
                for job, one in zip(jobs, finished, strict=True):
                    results[job] = make_fit(one, trials[job], pictures[picture_of[job]])
                if progress:
                    quality = [results[job].psnr_db for job in jobs]
                    display.update(
                        team.work_done,
                        psnr_db=quality,
                        training_mse=team.losses(),
                        underway=team.underway(),
                    )
    return _stack([results[job] for job in range(len(trials))], trials)


def _stack(fits: Sequence[Fit], trials: Sequence[Trial]) -> Fits:
    iterations = np.unique(np.concatenate([one.iteration_history for one in fits]))
    table = np.full((len(fits), len(iterations)), np.nan, np.float32)
    for row, one in zip(table, fits, strict=True):
        row[np.searchsorted(iterations, one.iteration_history)] = one.psnr_history
    return Fits(tuple(fits), iterations, table, tuple(trials))
