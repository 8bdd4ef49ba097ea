"""The engines that the accelerator's benchmark compares: how fast each trains, and how exactly.

An engine is a way to run the step, a kernel, and the kind of its matrix products: plain vmap (the
baseline), xla (the portable program of `jaxinr`) or pallas (its fused kernel).
Letters: N networks, P pixels.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

import jaxinr
from experiments.benchmarks import plain_vmap
from experiments.benchmarks.timing import seconds_of
from jaxfleet import trainer
from jaxfleet.imaging import decibels
from jaxfleet.imaging.pixels import from_uint8
from jaxinr import buckets, program, siren, trainers
from jaxinr.siren import Params
from jaxinr.trial import Trial

PLAIN_STEPS = 10  # of one call of the baseline; more calls are sent before the first has ended
FOREVER = 10**9  # iterations: the clock ends a measurement


@dataclasses.dataclass(frozen=True)
class Engine:
    """A way to run a training step.

    Attributes:
        kernel: "plain vmap", "xla" or "pallas".
        products: one of `siren.PRODUCTS`.
    """

    kernel: str
    products: str

    def __str__(self) -> str:
        """Return the name that tables show."""
        return f"{self.kernel}, {self.products}"

    @property
    def is_plain(self) -> bool:
        """Whether it is the baseline."""
        return self.kernel == "plain vmap"

    @property
    def is_fused(self) -> bool:
        """Whether activations stay on the chip."""
        return self.kernel == "pallas"

    @property
    def options(self) -> dict[str, Any]:
        """Keywords of `jaxinr.fit` and `buckets.make_buckets`."""
        return {"kernel": self.kernel, "products": self.products}

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Set the precision of the baseline's products, which it leaves to JAX's default."""
        return jax.default_matmul_precision(siren.PRECISION[self.products])


BASELINE, PORTABLE = Engine("plain vmap", "float32"), Engine("xla", "float32")


@dataclasses.dataclass(frozen=True)
class Rate:
    """The measured speed of an engine.

    Attributes:
        pixel_steps_per_s: on one device: true pixels of all networks times iterations, padding not
            counted.
        compile_seconds: of the first call, the compilation and a few iterations.
    """

    pixel_steps_per_s: float
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Exactness:
    """The errors of an engine's numbers.

    Attributes:
        loss_error: of the loss at the initial weights, relative to float64, the worst network's.
        gradient_error: of its gradient: the distance from the float64 one over that one's length.
        psnr_db: mean over networks of the best PSNR of a short fit.
    """

    loss_error: float
    gradient_error: float
    psnr_db: float


def rate(
    engine: Engine,
    trials: Sequence[Trial],
    pictures: Sequence[np.ndarray],
    *,
    seconds: float,
    rounds: int,
) -> Rate:
    """Return how fast an engine trains networks of one size.

    Args:
        engine: what to measure.
        trials: of one architecture; they may differ in their seeds.
        pictures: of one size, [H, W, 3] uint8, one for each trial.
        seconds: aimed at for one measurement.
        rounds: measurements; the best one counts.
    """
    if engine.is_plain:
        return _rate_of_plain(engine, trials, pictures, seconds=seconds, rounds=rounds)
    bucket = make_bucket(engine, trials, [picture.shape[:2] for picture in pictures])
    return rate_of_bucket(bucket, trials, pictures, seconds=seconds, rounds=rounds)


def rate_of_bucket(
    bucket: buckets.Bucket,
    trials: Sequence[Trial],
    pictures: Sequence[np.ndarray],
    *,
    seconds: float,
    rounds: int,
) -> Rate:
    """Return how fast `jaxinr` trains a bucket, between the start of its fits and their end.

    Args:
        bucket: of some of the trials.
        trials: what the bucket counts; their own `num_iters` do not matter.
        pictures: one for each trial, [H, W, 3] uint8.
        seconds: as in `rate`.
        rounds: as in `rate`.
    """
    endless = list(trials)
    for job in bucket.jobs:
        endless[job] = dataclasses.replace(trials[job], num_iters=FOREVER)
    team = trainers.make_trainer(bucket, endless, pictures, range(len(pictures)))
    compile_seconds = seconds_of(team.step)
    team.step()  # from here on the trainer knows how many iterations take a second

    def measured() -> float:
        work = spent = 0.0
        while spent < seconds:
            team.step()
            work, spent = work + team.work_done, spent + team.segment_seconds
        return work / spent / devices()

    return Rate(max(measured() for _ in range(rounds)), compile_seconds)


def devices() -> int:
    """Return the shards of a fleet on this machine: its accelerators, or a CPU's cores."""
    return sum(mesh.size for mesh in trainer.lanes())


def make_bucket(
    engine: Engine, trials: Sequence[Trial], sizes: Sequence[tuple[int, ...]]
) -> buckets.Bucket:
    """Make the bucket of trials of one architecture on images of one size.

    Raises:
        ValueError: if the engine leaves them to another kernel.
    """
    found = make_buckets(engine, trials, sizes)
    used = {bucket.program.kernel for bucket in found} or {"numba"}
    if used != {engine.kernel}:
        raise ValueError(f"{trials[0].num_layers} layers are left to {', '.join(used)}.")
    (bucket,) = found
    return bucket


def make_buckets(
    engine: Engine, trials: Sequence[Trial], sizes: Sequence[tuple[int, ...]]
) -> list[buckets.Bucket]:
    """Make buckets as `jaxinr.fit` makes them here; `sizes` are (height, width)."""
    found = buckets.make_buckets(
        trials,
        [(height, width) for height, width in sizes],
        shards=devices(),
        platform=jax.local_devices()[0].platform,
        **engine.options,
    )
    return [bucket for bucket in found if isinstance(bucket, buckets.Bucket)]


def _rate_of_plain(
    engine: Engine,
    trials: Sequence[Trial],
    pictures: Sequence[np.ndarray],
    *,
    seconds: float,
    rounds: int,
) -> Rate:
    points, targets = _points(pictures[0]), jnp.asarray(_targets(pictures))
    params = plain_vmap.start(list(trials))
    carry = [(params, optax.adam(trials[0].learning_rate).init(params))]

    def train(calls: int) -> None:
        for _ in range(calls):
            carry[0], losses = plain_vmap.train(
                carry[0], points, targets, trial=trials[0], steps=PLAIN_STEPS
            )
        losses.block_until_ready()

    with engine.precision():
        compile_seconds = seconds_of(lambda: train(1))
        calls = max(1, round(seconds / seconds_of(lambda: train(1))))
        best = min(seconds_of(lambda: train(calls)) for _ in range(rounds))
    return Rate(targets[..., 0].size * PLAIN_STEPS * calls / best, compile_seconds)


def short_fit(
    engine: Engine, trials: Sequence[Trial], pictures: Sequence[np.ndarray]
) -> np.ndarray:
    """Return [N] best PSNR of each network, dB, on raw output.

    Args:
        engine: what fits.
        trials: of one architecture and number of iterations; they may differ in their seeds.
        pictures: of one size, [H, W, 3] uint8, one for each trial.
    """
    if not engine.is_plain:
        return jaxinr.fit(list(pictures), trials, **engine.options).best_psnr_db
    params = plain_vmap.start(list(trials))
    carry = (params, optax.adam(trials[0].learning_rate).init(params))
    with engine.precision():
        _, losses = plain_vmap.train(
            carry,
            _points(pictures[0]),
            jnp.asarray(_targets(pictures)),
            trial=trials[0],
            steps=trials[0].num_iters + 1,  # losses are of the weights before each update
        )
    return decibels.of_error(np.asarray(losses).min(axis=0))


def errors(
    engine: Engine, trials: Sequence[Trial], pictures: Sequence[np.ndarray]
) -> tuple[float, float]:
    """Return `Exactness.loss_error` and `gradient_error`.

    Args:
        engine: what computes them.
        trials: as for `short_fit`.
        pictures: as for `short_fit`.
    """
    losses, gradients = _loss_and_gradient(engine, trials, pictures)
    points, targets = np.asarray(_points(pictures[0]), np.float64), _targets(pictures)
    of_loss, of_gradient = [], []
    for i, trial in enumerate(trials):
        loss, gradient = reference(siren.init(trial), trial, points, targets[i])
        own = siren.crop(jax.tree.map(lambda leaf, i=i: leaf[i], gradients), trial.layer_size)
        pairs = zip(jax.tree.leaves(own), jax.tree.leaves(gradient), strict=True)
        apart = sum(float(np.sum((computed - true) ** 2)) for computed, true in pairs)
        length = sum(float(np.sum(true**2)) for true in jax.tree.leaves(gradient))
        of_loss.append(abs(float(losses[i]) / loss - 1))
        of_gradient.append((apart / length) ** 0.5)
    return max(of_loss), max(of_gradient)


def reference(
    params: Params, trial: Trial, points: np.ndarray, target: np.ndarray
) -> tuple[float, Params]:
    """Return the mean squared error of one network and its gradient, in float64 and by hand.

    Args:
        params: layers `{"weight": [out, in], "bias": [out]}`.
        trial: gives w0_initial and w0.
        points: [P, 2] (row, column).
        target: [P, 3] in [0, 1].
    """
    layers = [{k: np.asarray(v, np.float64) for k, v in layer.items()} for layer in params]
    omegas = [trial.w0_initial] + [trial.w0] * (trial.num_layers - 1)
    inputs, angles = [np.asarray(points, np.float64)], []
    for layer, omega in zip(layers[:-1], omegas, strict=True):
        angles.append(omega * (inputs[-1] @ layer["weight"].T + layer["bias"]))
        inputs.append(np.sin(angles[-1]))
    error = inputs[-1] @ layers[-1]["weight"].T + layers[-1]["bias"] - target
    back = 2 * error / error.size
    gradient = [{"weight": back.T @ inputs[-1], "bias": back.sum(axis=0)}]
    for depth in reversed(range(trial.num_layers)):
        back = omegas[depth] * np.cos(angles[depth]) * (back @ layers[depth + 1]["weight"])
        gradient.insert(0, {"weight": back.T @ inputs[depth], "bias": back.sum(axis=0)})
    return float(np.mean(error**2)), tuple(gradient)


def _loss_and_gradient(
    engine: Engine, trials: Sequence[Trial], pictures: Sequence[np.ndarray]
) -> tuple[Array, Params]:
    """Return [N] losses and the gradients, leaves [N, ...] as the engine pads them."""
    if engine.is_plain:
        with engine.precision():
            return jax.jit(functools.partial(_plain_loss_and_gradient, trial=trials[0]))(
                plain_vmap.start(list(trials)),
                _points(pictures[0]),
                jnp.asarray(_targets(pictures)),
            )
    count, (height, width) = len(trials), pictures[0].shape[:2]
    own = make_bucket(engine, trials, [(height, width)] * count).program
    whole = dataclasses.replace(own, group=count)
    padded = [siren.pad(siren.init(trial), whole.width) for trial in trials]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *padded)
    hyper = {
        "w0_initial": jnp.full(count, trials[0].w0_initial, jnp.float32),
        "w0": jnp.full(count, trials[0].w0, jnp.float32),
        "image": jnp.arange(count),
        "height": jnp.full(count, height),
        "width": jnp.full(count, width),
    }
    packed = jnp.asarray(program.pack(pictures, whole.blocks, whole.block))

    def function(params: Params, packed: Array) -> tuple[Array, Params]:
        return whole.loss_and_gradient(params, hyper, whole.prepare(hyper, packed))

    return jax.jit(function)(params, packed)


def _plain_loss_and_gradient(
    params: Params, points: Array, targets: Array, *, trial: Trial
) -> tuple[Array, Params]:
    def loss(params: Params, target: Array) -> Array:
        colours = plain_vmap.apply(params, trial.w0_initial, trial.w0, points)
        return jnp.mean((colours - target) ** 2)

    both: Callable[..., tuple[Array, Params]] = jax.vmap(jax.value_and_grad(loss))
    return both(params, targets)


def _points(picture: np.ndarray) -> Array:
    """Return [P, 2] coordinates of a picture [H, W, 3]."""
    height, width = picture.shape[:2]
    return siren.points_of(jnp.arange(height * width), height, width, "coin").T


def _targets(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return [N, P, 3] float32 in [0, 1]."""
    flat = np.stack([picture.reshape(-1, 3) for picture in pictures])
    return from_uint8(flat)
