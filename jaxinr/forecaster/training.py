"""How the forecaster learns: by likelihood, on fits that are drawn picture by picture."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxinr.forecaster import descriptors, inputs
from jaxinr.forecaster.network import Forecaster, Shape

TARGET_DB = 5.0  # one unit of the target
EDGE = 5.0  # standard deviations of a descriptor that count

Array = jax.Array
State = Any  # a tree of arrays, members of the ensemble in front


@dataclasses.dataclass(frozen=True)
class Fits:
    """Fits to learn from, and their pictures.

    Attributes:
        described: [P, D] float32 descriptors of the pictures.
        thumbnails: [P, S, S, 3] uint8, or None where nobody has the pictures.
        picture: [N] which of the pictures.
        rows: [N, len(inputs.TRIAL)] float64.
        iterations: [N, T] Adam updates, ascending, at least 1.
        best_db: [N, T] the highest PSNR so far.
    """

    described: np.ndarray
    thumbnails: np.ndarray | None
    picture: np.ndarray
    rows: np.ndarray
    iterations: np.ndarray
    best_db: np.ndarray

    def of(self, chosen: np.ndarray | slice) -> "Fits":
        """Select some of the fits; keep all images."""
        own = ("picture", "rows", "iterations", "best_db")
        return dataclasses.replace(self, **{name: getattr(self, name)[chosen] for name in own})

    def encoded(self, at: int = -1) -> np.ndarray:
        """[N, AXES + CROSSED] of all fits after their `at`-th noted iteration."""
        return inputs.encode(self.rows, self.iterations[:, at], self.described[self.picture])


@dataclasses.dataclass(frozen=True)
class Scaling:
    """From raw numbers to what the network takes: the axes to [0, 1], the rest standardised.

    Attributes:
        low: [AXES] of the training range.
        high: [AXES] of the training range.
        sizes: [S] log2 of the pixels of pictures, to half an octave, that were trained on; rising.
        low_at: [S, AXES] of the training range at each of these sizes.
        high_at: [S, AXES].
        crossed_mean: [CROSSED].
        crossed_std: [CROSSED].
        described_mean: [D].
        described_std: [D]; infinite for what hardly varied, so that it says nothing.
    """

    low: np.ndarray
    high: np.ndarray
    sizes: np.ndarray
    low_at: np.ndarray
    high_at: np.ndarray
    crossed_mean: np.ndarray
    crossed_std: np.ndarray
    described_mean: np.ndarray
    described_std: np.ndarray

    @classmethod
    def of(cls, fits: Fits) -> "Scaling":
        """Compute the scaling of the training fits."""
        encoded = fits.encoded()
        axes, crossed = np.split(encoded, [inputs.AXES], axis=1)
        first = np.log2(fits.iterations.min())
        low, high = axes.min(0), axes.max(0)
        sizes, group = np.unique(_size(axes), return_inverse=True)
        low_at = np.stack([axes[group == k].min(0) for k in range(len(sizes))])
        high_at = np.stack([axes[group == k].max(0) for k in range(len(sizes))])
        for lowest in (low, *low_at):
            lowest[inputs.ITERATIONS] = first
        described = fits.described[np.unique(fits.picture)]
        std = described.std(0)
        arrays = (
            *(low, high, sizes, low_at, high_at),
            *(crossed.mean(0), crossed.std(0) + 1e-3),
            *(described.mean(0), np.where(std > 0.01, std, np.inf)),
        )
        return cls(*(np.asarray(array, np.float32) for array in arrays))

    def bounds(self, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the training range at the nearest image size; for the size, the whole range.

        Args:
            axes: [N, AXES].

        Returns:
            Low and high, [N, AXES] each.
        """
        nearest = np.abs(_size(axes)[:, None] - self.sizes).argmin(1)
        low, high = self.low_at[nearest], self.high_at[nearest]
        at = inputs.PIXELS
        low[:, at], high[:, at] = self.low[at], self.high[at]
        return low, high

    @property
    def width(self) -> np.ndarray:
        """[AXES] of the training range; an octave for what never varied."""
        return np.where(self.high > self.low, self.high - self.low, np.float32(1))

    def fits(self, encoded: np.ndarray) -> np.ndarray:
        """[N, AXES + CROSSED] of `inputs.encode`, scaled."""
        axes = (encoded[:, : inputs.AXES] - self.low) / self.width
        crossed = (encoded[:, inputs.AXES :] - self.crossed_mean) / self.crossed_std
        return np.concatenate([axes, crossed], -1)

    def iterations(self, iterations: np.ndarray) -> np.ndarray:
        """[...] updates, scaled as `fits` scales them."""
        at = inputs.ITERATIONS
        return ((np.log2(iterations) - self.low[at]) / self.width[at]).astype(np.float32)

    def pictures(self, described: np.ndarray) -> np.ndarray:
        """[P, D], scaled; what lies far outside is moved to the edge."""
        return np.clip((described - self.described_mean) / self.described_std, -EDGE, EDGE)


@dataclasses.dataclass(frozen=True)
class ForecasterRecipe:
    """How to train.

    Attributes:
        members: of the ensemble.
        steps: updates.
        pictures: in a batch.
        fits: of each picture in a batch.
        learning_rate: at its highest.
        weight_decay: of AdamW.
        seed: of weights and batches.
        shape: of the network.
    """

    members: int = 3
    steps: int = 1500
    pictures: int = 32
    fits: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.5
    seed: int = 0
    shape: Shape = dataclasses.field(default_factory=Shape)


def create(recipe: ForecasterRecipe) -> tuple[State, State]:
    """Parameters of an ensemble, and the optimizer's state."""

    def init(key: Array) -> State:
        return nnx.state(Forecaster(recipe.shape, rngs=nnx.Rngs(key)))

    params = jax.vmap(init)(jax.random.split(jax.random.key(recipe.seed), recipe.members))
    return params, jax.vmap(_optimizer(recipe).init)(params)


def make_step(
    fits: Fits, scaling: Scaling, recipe: ForecasterRecipe
) -> Callable[[State, State, int], tuple[State, State, Array]]:
    """Return a compiled step of all members, each on its own batches.

    Returns:
        (params, optimizer state, number of the step) -> the new ones, and the loss [members].
    """
    definition = graph(recipe.shape)
    optimizer = _optimizer(recipe)
    order = np.argsort(fits.picture, kind="stable")
    fits = fits.of(order)
    of_picture = np.bincount(fits.picture, minlength=len(fits.described))
    starts = jnp.asarray(np.cumsum(of_picture) - of_picture)
    counts = jnp.asarray(of_picture)
    chances = jnp.log(counts.astype(jnp.float32))  # never those without fits
    constant_db = fits.described[fits.picture, inputs.CONSTANT, None]
    target = jnp.asarray((fits.best_db - constant_db) / TARGET_DB, jnp.float32)
    updates = jnp.asarray(scaling.iterations(fits.iterations))
    encoded = jnp.asarray(scaling.fits(fits.encoded()))
    described = jnp.asarray(scaling.pictures(fits.described))
    thumbnails = jnp.asarray(or_blank(fits.thumbnails, len(described)))
    shape, last = (recipe.pictures, recipe.fits), target.shape[1] - 1

    def loss(params: State, key: Array) -> Array:
        keys = jax.random.split(key, 5)
        picture = jax.random.categorical(keys[0], chances, shape=shape[:1])
        chosen = jax.random.randint(keys[1], shape, 0, counts[picture][:, None])
        row = starts[picture][:, None] + chosen
        time = jax.random.randint(keys[2], shape, 0, last + 1)
        time = jnp.where(jax.random.bernoulli(keys[3], 0.5, shape), last, time)
        sample = encoded[row].at[..., inputs.ITERATIONS].set(updates[row, time])
        flips = jax.random.bernoulli(keys[4], 0.5, (3, *shape[:1]))
        model = nnx.merge(definition, params)
        looks = model.pictures(described[picture], _turned(thumbnails[picture], flips))
        mean, std = model(looks[:, None], sample)
        likelihood = jnp.square((target[row, time][None] - mean) / std) / 2 + jnp.log(std)
        # Weighted by the spread, or the mean would be learnt where fits scatter little alone:
        # Seitzer et al., On the Pitfalls of Heteroscedastic Uncertainty Estimation, ICLR 2022.
        return jnp.mean(likelihood * jax.lax.stop_gradient(std))

    def member(params: State, state: State, key: Array) -> tuple[State, State, Array]:
        value, gradients = jax.value_and_grad(loss)(params, key)
        with jax.numpy_dtype_promotion("standard"):  # optax counts in whole numbers
            updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: State, state: State, number: int) -> tuple[State, State, Array]:
        key = jax.random.fold_in(jax.random.key(recipe.seed + 1), number)
        return jax.vmap(member)(params, state, jax.random.split(key, recipe.members))

    return step


@functools.cache
def graph(shape: Shape) -> Any:
    """Return what NNX knows of a network beside its parameters."""
    return nnx.split(nnx.eval_shape(lambda: Forecaster(shape, rngs=nnx.Rngs(0))))[0]


def to_float(thumbnails: Any) -> Array:
    """uint8 -> [-1, 1]."""
    return jnp.asarray(thumbnails, jnp.float32) / 127.5 - 1


def or_blank(thumbnails: np.ndarray | None, count: int) -> np.ndarray:
    """Thumbnails [count, S, S, 3], black where there are none."""
    side = descriptors.THUMBNAIL
    return np.zeros((count, side, side, 3), np.uint8) if thumbnails is None else thumbnails


def _size(axes: np.ndarray) -> np.ndarray:
    """[N] log2 of the pixels of pictures, to half an octave, of [N, AXES]."""
    return np.asarray(np.round(2 * axes[:, inputs.PIXELS]) / 2)


def _optimizer(recipe: ForecasterRecipe) -> optax.GradientTransformation:
    """AdamW, warmed up, then down to nothing along a cosine."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, recipe.steps // 20, recipe.steps
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=recipe.weight_decay)
    )


def _turned(thumbnails: Array, flips: Array) -> Array:
    """[N, S, S, 3] in [-1, 1]: rows, columns, both swapped, where `flips` [3, N] says so."""
    x = to_float(thumbnails)
    rows, columns, diagonal = flips[..., None, None, None]
    x = jnp.where(rows, x[:, ::-1], x)
    x = jnp.where(columns, x[:, :, ::-1], x)
    return jnp.where(diagonal, x.swapaxes(1, 2), x)
