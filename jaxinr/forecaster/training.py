"""Train the forecaster in JAX: by likelihood, on points of learning curves."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxinr.forecaster import inputs, model
from jaxinr.forecaster.inputs import EncodedFits
from jaxinr.forecaster.scaling import Scaling

Array = jax.Array
Tree = Any  # a tree of arrays, members of the ensemble in front


@dataclasses.dataclass(frozen=True)
class TrainingFits:
    """Fits to learn from, and their images.

    Attributes:
        described: [P, D] float32 descriptors of the images.
        picture: [N] which of the images.
        rows: [N, len(inputs.TRIAL)] float64.
        iterations: [N, T] Adam updates, ascending, at least 1.
        best_db: [N, T] the highest PSNR so far.
        weights: [N] how often each is drawn, in the mean.
    """

    described: np.ndarray
    picture: np.ndarray
    rows: np.ndarray
    iterations: np.ndarray
    best_db: np.ndarray
    weights: np.ndarray

    def of(self, chosen: np.ndarray | slice) -> "TrainingFits":
        """Select some of the fits; keep all images."""
        own = ("picture", "rows", "iterations", "best_db", "weights")
        return dataclasses.replace(self, **{name: getattr(self, name)[chosen] for name in own})

    def encoded(self) -> EncodedFits:
        """Return the inputs of the model, of all fits."""
        return inputs.encode(self.rows, self.described[self.picture])


@dataclasses.dataclass(frozen=True)
class ForecasterRecipe:
    """The settings of the training.

    Attributes:
        members: of the ensemble.
        steps: updates.
        fits: in a batch.
        learning_rate: at its highest.
        weight_decay: of AdamW.
        width: units of a layer.
        seed: of weights and batches.
    """

    members: int = 8
    steps: int = 4500
    fits: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    width: int = 64
    seed: int = 0


TIMES = 4  # of a fit in a batch; the last always


def create(recipe: ForecasterRecipe) -> tuple[Tree, Tree]:
    """Parameters of an ensemble, and the optimizer's state."""
    members = [
        model.init(np.random.default_rng([recipe.seed, i]), recipe.width)
        for i in range(recipe.members)
    ]
    params = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *members)
    return params, jax.vmap(_optimizer(recipe).init)(params)


def make_step(
    fits: TrainingFits, scaling: Scaling, recipe: ForecasterRecipe
) -> Callable[[Tree, Tree, int], tuple[Tree, Tree, Array]]:
    """Return a compiled step of all members, each on its own batches.

    Returns:
        (params, optimizer state, number of the step) -> the new ones, and the loss [members].
    """
    optimizer = _optimizer(recipe)
    encoded = fits.encoded()
    features = jnp.asarray(scaling.scaled(encoded.features))
    known = jax.tree.map(jnp.asarray, encoded)
    target = jnp.asarray(fits.best_db, jnp.float32)
    iterations = jnp.asarray(fits.iterations, jnp.float32)
    ends = jnp.asarray(np.cumsum(fits.weights / fits.weights.sum()), jnp.float32)
    last = target.shape[1] - 1

    def loss(params: Tree, key: Array) -> Array:
        keys = jax.random.split(key, 2)
        row = jnp.searchsorted(ends, jax.random.uniform(keys[0], (recipe.fits,)))
        row = jnp.minimum(row, len(ends) - 1)
        time = jax.random.randint(keys[1], (recipe.fits, TIMES), 0, last + 1)
        time = time.at[:, 0].set(last)
        shapes = model.shape(jnp, params, features[row])
        own = jax.tree.map(lambda x: x[row], known)
        found = model.answer(
            jnp, params, shapes, own, inputs.BAND_OCTAVES, iterations[row[:, None], time]
        )
        error = (target[row[:, None], time] - found.mean_db) / found.std_db
        # Huber's, so that single diverged fits do not lead; weighted by the spread, or the mean
        # would be learnt where fits scatter little alone: Seitzer et al., On the Pitfalls of
        # Heteroscedastic Uncertainty Estimation, ICLR 2022.
        likelihood = optax.losses.huber_loss(error, delta=3.0) + jnp.log(found.std_db)
        return jnp.mean(likelihood * jax.lax.stop_gradient(found.std_db))

    def member(params: Tree, state: Tree, key: Array) -> tuple[Tree, Tree, Array]:
        # The model is NumPy's code, too; optax counts in whole numbers.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            value, gradients = jax.value_and_grad(loss)(params, key)
            updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Tree, state: Tree, number: int) -> tuple[Tree, Tree, Array]:
        key = jax.random.fold_in(jax.random.key(recipe.seed + 1), number)
        return jax.vmap(member)(params, state, jax.random.split(key, recipe.members))

    return step


def _optimizer(recipe: ForecasterRecipe) -> optax.GradientTransformation:
    """AdamW, warmed up, then down to nothing along a cosine; biases do not decay."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, recipe.steps // 20, recipe.steps
    )
    decayed = {name: name in ("code", "first", "second", "last", "linear") for name in _NAMES}
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, weight_decay=recipe.weight_decay, mask=decayed),
    )


_NAMES = tuple(model.init(np.random.default_rng(0), 1))
