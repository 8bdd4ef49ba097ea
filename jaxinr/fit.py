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
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxfleet import decibels, trainer
from jaxfleet import images as measures
from jaxfleet.pixels import from_uint8
from jaxfleet.progress import Progress
from jaxfleet.resumable import Resumable
from jaxfleet.showing import Tabular
from jaxfleet.trainer import Finished
from jaxinr import buckets, siren, trainers
from jaxinr import kind as kinds
from jaxinr.kernels import choice
from jaxinr.networks.registry import KINDS
from jaxinr.siren import Params
from jaxinr.trial import Trial

RENDER_BLOCK = 1 << 16
_READ_IT = "Read it: [jaxfleet.photos.read(path)]."
MAX_PIXELS = 1 << 23  # exclusive; float32 counts the pixels (siren.points_of)


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
        best_iteration: updates made before the kept weights.
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
        iterations: [T] int32, every iteration at which a PSNR was noted.
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
        return f"Fits({len(self.fits)} networks{lost}, mean best PSNR {decibels.mean(known)})"

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
        """Kept weights of network i at its own width: layers `{"weight": [out, in], "bias"}`."""
        return self.fits[i].params


def make_fit(finished: Finished, trial: Trial, picture: np.ndarray) -> Fit:
    """Convert a trainer's result to a fit; `picture` is [H, W, 3] uint8 or float."""
    height, width = picture.shape[:2]
    decoded = finished.result[: height * width].reshape(height, width, 3)
    target = picture if picture.dtype == np.uint8 else picture * np.float32(255)
    error = decoded.astype(np.float64) - target
    small = min(height, width) < 11
    similarity = (
        float("nan") if small else float(measures.ssim(_as_float(decoded), _as_float(picture)))
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


def _as_float(image: np.ndarray) -> np.ndarray:
    return from_uint8(image) if image.dtype == np.uint8 else np.asarray(image)


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
    """Fit one network to each image by Adam, all of them side by side.

    Kinds of networks, widths, frequencies, learning rates, seeds and iteration counts may all
    differ; networks that can share a compiled program do. An image that stands several times in the
    list (the same object) is sent to the device once. Uses every device; on a CPU, every core.

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
        products: of hidden layers: "float32", or "tf32" or "bfloat16", which a GPU makes faster and
            which cost quality. Sums and all else are float32.
        kept: if this is one of several trainings that go on after a stop.

    Raises:
        TypeError: if an image is neither uint8 nor float, or a path or one trial comes
            in place of a list.
        ValueError: if counts, shapes, ranges or names are not as above.
    """
    _check_kinds(images, trials)
    if len(images) != len(trials) or not len(trials):
        single = " Write [image] for one image." if getattr(images, "ndim", 4) == 3 else ""
        raise ValueError(
            f"one trial per image; got {len(images)} images, {len(trials)} trials.{single}"
        )
    if initial_params is not None:
        if len(initial_params) != len(trials):
            raise ValueError(f"one initial_params per trial; got {len(initial_params)}.")
        for i, trial in enumerate(trials):
            _check_params(f"initial_params[{i}]", initial_params[i], trial)
    if log_every < 1:
        raise ValueError(f"log_every must be at least 1; got {log_every}.")
    _check_choice("coordinates", coordinates, siren.COORDINATES)
    _check_choice("bias_init", bias_init, siren.BIAS_INITS)
    _check_choice("kernel", kernel, choice.KERNELS)
    _check_choice("products", products, siren.PRODUCTS)
    images = list(images)  # of an array: views, which keep their identity from here on
    first, picture_of = _unique(images)
    pictures = [checked(images[i], i) for i in first]
    if len({picture.dtype for picture in pictures}) > 1:
        pictures = [_as_float(picture) for picture in pictures]
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


def render(
    params: Params,
    trial: Trial,
    shape: tuple[int, int],
    *,
    coordinates: str = "coin",
    clip: bool = False,
) -> Any:
    """Render the image that a network stores, at any size: [H, W, 3] float32.

    Args:
        params: layers `{"weight": [out, in], "bias": [out]}`, as the trial says.
        trial: gives the kind, the shapes and the hyperparameters.
        shape: (height, width). `coin` coordinates depend on the aspect ratio alone.
        coordinates: as in `fit`.
        clip: whether values are cut off at 0 and 1, as viewers such as matplotlib want them; else
            they may lie a little outside.

    Raises:
        ValueError: if shapes or names are not as above.
    """
    height, width = shape
    if height < 1 or width < 1 or height * width >= MAX_PIXELS:
        raise ValueError(
            f"shape must be (height, width), both at least 1, below 2^23 pixels; got {shape}."
        )
    _check_params("params", params, trial)
    _check_choice("coordinates", coordinates, siren.COORDINATES)
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), tuple(params))
    size = (trial.num_layers, trial.layer_size)
    platform = jax.local_devices()[0].platform
    if choice.choose("auto", platform, *size, network=trial.network) == "numba":
        from jaxinr.kernels import host

        picture = host.render(layers, trial, shape, coordinates, cores=trainer.usable_cores())
    else:
        picture = _render(layers, trial, shape, coordinates)
    return np.clip(picture, 0.0, 1.0) if clip else picture


def _render(layers: Params, trial: Trial, shape: tuple[int, int], coordinates: str) -> np.ndarray:
    """Render by XLA's program."""
    height, width = shape
    values = KINDS[trial.network].traced_values(trial)
    # In blocks of a power of two, the last one filled up: few sizes, so few compilations.
    pixels = height * width
    block = min(RENDER_BLOCK, 1 << (pixels - 1).bit_length())
    index = np.zeros(-(-pixels // block) * block, np.int32)
    index[:pixels] = np.arange(pixels, dtype=np.int32)
    pieces = [
        _render_block(layers, values, part, height, width, coordinates, trial.network)
        for part in index.reshape(-1, block)
    ]
    return np.concatenate(pieces, axis=1).T[:pixels].reshape(height, width, 3)


@functools.partial(jax.jit, static_argnames=("coordinates", "network"))
def _render_block(
    params: Params,
    values: dict[str, jax.Array],
    index: jax.Array,
    height: jax.Array,
    width: jax.Array,
    coordinates: str,
    network: str,
) -> jax.Array:
    points = siren.points_of(index, height, width, coordinates)
    return KINDS[network].apply(params, values, points, "float32")


def _stack(fits: Sequence[Fit], trials: Sequence[Trial]) -> Fits:
    iterations = np.unique(np.concatenate([one.iteration_history for one in fits]))
    table = np.full((len(fits), len(iterations)), np.nan, np.float32)
    for row, one in zip(table, fits, strict=True):
        row[np.searchsorted(iterations, one.iteration_history)] = one.psnr_history
    return Fits(tuple(fits), iterations, table, tuple(trials))


def _check_kinds(images: Any, trials: Any) -> None:
    """Refuse one thing where a list of them is wanted, and say how to write the list."""
    if isinstance(trials, Trial):
        raise TypeError("`trials` must be a list, one Trial per image; got one. Write [trial].")
    if isinstance(images, str | os.PathLike):
        raise TypeError(f"`images` must be a list of arrays; got the path {images}. {_READ_IT}")
    if _is_pil(images):
        raise TypeError(
            "`images` must be a list of arrays; got one PIL image. Write "
            "[numpy.asarray(image.convert('RGB'))]."
        )


def _is_pil(image: Any) -> bool:
    return hasattr(image, "getbands")


def checked(image: Any, i: int = 0) -> np.ndarray:
    """Return image i as [H, W, 3] uint8 or float32; raises as `fit`."""
    if isinstance(image, str | os.PathLike):
        raise TypeError(f"images[{i}] must be an array; got the path {image}. {_READ_IT}")
    if _is_pil(image) and image.mode != "RGB":
        raise TypeError(
            f"images[{i}] must be red, green, blue; got a PIL image of mode {image.mode}. Write "
            "image.convert('RGB')."
        )
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"images[{i}] must be [H, W, 3]; got shape {array.shape}.")
    if array.shape[0] * array.shape[1] >= MAX_PIXELS:
        raise ValueError(f"images[{i}] has 2^23 pixels or more; shrink or cut it first.")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"images[{i}] must be uint8 or float in [0, 1]; got {array.dtype}.")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"images[{i}] must be in [0, 1]; got {array.min()} to {array.max()}.")
    return array.astype(np.float32)


def _unique(arrays: list[Any]) -> tuple[list[int], list[int]]:
    """Return where each distinct object comes first, and each entry's index among those."""
    first: dict[int, int] = {}
    for i, array in enumerate(arrays):
        first.setdefault(id(array), i)
    place = {key: rank for rank, key in enumerate(first)}
    return list(first.values()), [place[id(array)] for array in arrays]


def _check_params(name: str, params: Any, trial: Trial) -> None:
    expected = [shape for out, fan_in in trial.layer_shapes for shape in ((out, fan_in), (out,))]
    shapes = [np.shape(layer[kind]) for layer in params for kind in ("weight", "bias")]
    if shapes != expected:
        raise ValueError(
            f"{name} must have the layers of its trial, weight and bias in turn: {expected}; got "
            f"{shapes}."
        )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
