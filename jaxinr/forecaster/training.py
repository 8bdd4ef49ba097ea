"""How the forecaster learns: Gaussian likelihood on fits drawn picture by picture."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxinr.forecaster import inputs
from jaxinr.forecaster.network import Forecaster

TARGET_DB = 5.0  # one unit of the target
_ITERATIONS = inputs.ENCODED.index("log2_iterations")

Array = jax.Array
State = Any


@dataclasses.dataclass(frozen=True)
class Fits:
    """Fits to learn from, and their pictures.

    Attributes:
        described: [P, D] float32 descriptors of the pictures.
        thumbnails: [P, S, S, 3] uint8, or None where nobody has the pictures.
        picture: [N] which of the pictures.
        rows: [N, len(TRIAL)] float64.
        iterations: [N, T] Adam updates, ascending, at least 1.
        best_db: [N, T] the highest PSNR so far.
    """

    described: np.ndarray
    thumbnails: np.ndarray | None
    picture: np.ndarray
    rows: np.ndarray
    iterations: np.ndarray
    best_db: np.ndarray

    def of(self, chosen: np.ndarray) -> "Fits":
        """These of the fits, all pictures."""
        return dataclasses.replace(
            self,
            **{k: getattr(self, k)[chosen] for k in ("picture", "rows", "iterations", "best_db")},
        )


@dataclasses.dataclass(frozen=True)
class Scaling:
    """From raw numbers to what the network takes.

    Attributes:
        low, high: [AXES] of the training range.
        crossed_mean, crossed_std: [CROSSED].
        described_mean, described_std: [D].
    """

    low: np.ndarray
    high: np.ndarray
    crossed_mean: np.ndarray
    crossed_std: np.ndarray
    described_mean: np.ndarray
    described_std: np.ndarray

    def fits(self, encoded: Any) -> Any:
        """[..., AXES + CROSSED] of `inputs.encode`, scaled."""
        axes = (encoded[..., : inputs.AXES] - self.low) / (self.high - self.low)
        crossed = (encoded[..., inputs.AXES :] - self.crossed_mean) / self.crossed_std
        return jnp.concatenate([axes, crossed], -1)

    def described(self, described: Any) -> Any:
        """[..., D], standardised; what never varied in training says nothing."""
        return (described - self.described_mean) / self.described_std


def encode(fits: Fits, at: int = -1) -> np.ndarray:
    """[N, AXES + CROSSED] of all fits after their `at`-th noted iteration."""
    return inputs.encode(fits.rows, fits.iterations[:, at], fits.described[fits.picture])


def scaling_of(fits: Fits) -> Scaling:
    """From the training fits."""
    encoded = encode(fits)
    axes, crossed = encoded[:, : inputs.AXES], encoded[:, inputs.AXES :]
    low, high = axes.min(0), axes.max(0)
    low[_ITERATIONS] = np.log2(fits.iterations.min())
    high = np.where(high > low, high, low + 1)
    seen = fits.described[np.unique(fits.picture)]
    std = seen.std(0)
    return Scaling(
        low,
        high,
        crossed.mean(0),
        crossed.std(0) + 1e-3,
        seen.mean(0),
        np.where(std > 0.05, std, np.inf).astype(np.float32),
    )


def thumbnails_to_float(thumbnails: Any) -> Array:
    """uint8 -> [-1, 1]."""
    return jnp.asarray(thumbnails, jnp.float32) / 127.5 - 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        members: of the ensemble.
        steps: updates.
        pictures: in a batch.
        fits: of each picture in a batch.
        learning_rate: at its highest.
        weight_decay: of AdamW.
        seed: of weights and batches.
    """

    members: int = 5
    steps: int = 6000
    pictures: int = 32
    fits: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


def optimizer(recipe: Recipe) -> optax.GradientTransformation:
    """AdamW, warmed up, then down to nothing along a cosine."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, recipe.steps // 20, recipe.steps
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=recipe.weight_decay),
    )


def create(recipe: Recipe) -> tuple[Any, State, State]:
    """Graph definition, stacked parameters and optimizer state of an ensemble."""

    def init(key: Array) -> State:
        return nnx.split(Forecaster(rngs=nnx.Rngs(key)))[1]

    keys = jax.random.split(jax.random.key(recipe.seed), recipe.members)
    definition = nnx.split(nnx.eval_shape(lambda: Forecaster(rngs=nnx.Rngs(0))))[0]
    params = jax.vmap(init)(keys)
    return definition, params, jax.vmap(optimizer(recipe).init)(params)


def make_step(definition: Any, scaling: Scaling, fits: Fits, recipe: Recipe) -> Any:
    """A compiled step: (params, opt_state, step number) -> (params, opt_state, [members] loss)."""
    order = np.argsort(fits.picture, kind="stable")
    counts = np.bincount(fits.picture, minlength=len(fits.described))
    starts = jnp.asarray(np.concatenate([[0], np.cumsum(counts)[:-1]]), jnp.int32)
    counts = jnp.asarray(counts, jnp.int32)
    seen = jnp.log(jnp.maximum(counts, 1e-9).astype(jnp.float32))
    encoded = jnp.asarray(encode(fits)[order])
    constant = fits.described[:, 0][fits.picture]
    target = jnp.asarray(((fits.best_db - constant[:, None]) / TARGET_DB)[order], jnp.float32)
    log2_iterations = jnp.asarray(np.log2(fits.iterations)[order], jnp.float32)
    described = jnp.asarray(scaling.described(fits.described), jnp.float32)
    thumbnails = jnp.asarray(fits.thumbnails)
    update = optimizer(recipe).update
    times = target.shape[1]

    def loss(params: State, key: Array) -> Array:
        keys = jax.random.split(key, 5)
        picture = jax.random.categorical(keys[0], seen, shape=(recipe.pictures,))
        shape = (recipe.pictures, recipe.fits)
        row = starts[picture][:, None] + jax.random.randint(
            keys[1], shape, 0, counts[picture][:, None]
        )
        last = jax.random.bernoulli(keys[2], 0.5, shape)
        time = jnp.where(last, times - 1, jax.random.randint(keys[3], shape, 0, times))
        sample = encoded[row].at[..., _ITERATIONS].set(log2_iterations[row, time])
        flips = jax.random.bernoulli(keys[4], 0.5, (3, recipe.pictures))
        model = nnx.merge(definition, params)
        looks = model.pictures(described[picture], _flipped(thumbnails[picture], flips))
        mean, std = model(looks[:, None], scaling.fits(sample))
        error = target[row, time] - mean
        likelihood = jnp.square(error / std) / 2 + jnp.log(std)
        return jnp.mean(likelihood * jax.lax.stop_gradient(std))

    def member(params: State, state: State, key: Array) -> tuple[State, State, Array]:
        value, gradients = jax.value_and_grad(loss)(params, key)
        updates, state = update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: State, state: State, number: Array) -> tuple[State, State, Array]:
        key = jax.random.fold_in(jax.random.key(recipe.seed + 1), number)
        return jax.vmap(member)(params, state, jax.random.split(key, recipe.members))

    return step


def _flipped(thumbnails: Array, flips: Array) -> Array:
    """Turned over rows, columns or the diagonal where `flips` [3, N] says so; in [-1, 1]."""
    x = thumbnails_to_float(thumbnails)
    for flip, turned in zip(
        flips,
        (lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x.swapaxes(1, 2)),
        strict=True,
    ):
        x = jnp.where(flip[:, None, None, None], turned(x), x)
    return x


def make_predict(definition: Any, scaling: Scaling) -> Any:
    """Compiled (params, described [P, D], thumbnails, picture [N], encoded) -> mean, std in dB.

    The mean and the spread are of the mixture of the members; the mean is above `constant_db`.
    """

    @jax.jit
    def predict(
        params: State, described: Array, thumbnails: Array, picture: Array, encoded: Array
    ) -> tuple[Array, Array]:
        def member(own: State) -> tuple[Array, Array]:
            model = nnx.merge(definition, own)
            looks = model.pictures(scaling.described(described), thumbnails_to_float(thumbnails))
            return model(looks[picture], scaling.fits(encoded))

        means, stds = jax.vmap(member)(params)
        mean = means.mean(0)
        variance = jnp.mean(jnp.square(stds) + jnp.square(means - mean), 0)
        return mean * TARGET_DB, jnp.sqrt(variance) * TARGET_DB

    return predict
