"""How one network of the zoo is trained: its recipe, its state, and one update of it. Pure.

Letters: N crops in a batch, r scale, c side of a low-resolution crop in pixels. `fleets` trains
many networks side by side.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 3, and the
settings that BasicSR ships for EDSR and SRGAN, where the paper gives none.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jaxfleet.errors import InputError
from jaxsr import zoo
from jaxsr.networks import NLSN, VGGStyleDiscriminator, vgg_discriminator
from jaxsr.training import losses

Tree = Any

BETAS = (0.9, 0.99)  # of Adam
SCHEDULES = ("constant", "cosine")
LEAST_RATE = 0.01  # where cosine ends, of the highest
MEMORY = 0.98  # of the running mean that is noted as the loss: about 50 updates


@dataclasses.dataclass(frozen=True)
class TrainingRecipe:
    """The constants of a network's training.

    Attributes:
        loss: one of `losses.LOSSES`.
        num_iters: updates.
        batch_size: N.
        crop_px: side of the high-resolution crops, pixels; with an adversarial loss one of
            `vgg_discriminator.SIZES`.
        learning_rate: of Adam, at its highest; of the discriminator too.
        schedule: constant, or cosine, which falls to a hundredth.
        warmup_iters: updates in which the rate rises from zero.
        max_gradient_norm: longer gradients are shortened to it; 0 for never.
        ema_decay: of the averaged weights, which are those that count; early on they follow
            faster, so that a short training is not an average of its beginning.
        adversarial_weight: of the adversarial loss beside the distance of features.
        discriminator_features: channels of the discriminator at full size.
        dtype: of the computation, float32 or bfloat16; parameters are float32.

    Raises:
        InputError: if a value is out of its range.
    """

    loss: str = "l1"
    num_iters: int = 50_000
    batch_size: int = 16
    crop_px: int = 128
    learning_rate: float = 1e-4
    schedule: str = "cosine"
    warmup_iters: int = 0
    max_gradient_norm: float = 0.0
    ema_decay: float = 0.999
    adversarial_weight: float = losses.ADVERSARIAL_WEIGHT
    discriminator_features: int = 64
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.loss not in losses.LOSSES:
            raise InputError(f"Unknown loss '{self.loss}'. Use one of: {_listed(losses.LOSSES)}.")
        if self.schedule not in SCHEDULES:
            raise InputError(f"Unknown schedule '{self.schedule}'. Use {' or '.join(SCHEDULES)}.")
        if min(self.num_iters, self.batch_size) < 1:
            raise InputError("A training needs at least one update, of at least one crop.")
        if self.is_adversarial and self.crop_px not in vgg_discriminator.SIZES:
            sizes = _listed(vgg_discriminator.SIZES)
            raise InputError(
                f"crop_px is {self.crop_px}: the discriminator of {self.loss} takes crops of "
                f"{sizes} pixels. Use one of them."
            )

    @property
    def is_adversarial(self) -> bool:
        """Whether a discriminator is trained beside the network."""
        return losses.LOSSES[self.loss] is not None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class TrainingState:
    """One network in training; every array is of this network alone.

    Attributes:
        seed: [] int32, of its batches.
        iteration: [] int32, updates made.
        params: what is trained, float32.
        average: running mean of `params`, of the same shapes.
        opt_state: optimiser state of Adam.
        discriminator: parameters of the discriminator; None without one.
        discriminator_opt_state: the same for the discriminator.
        loss: [] float32, running mean of the loss over about 50 updates.
        is_finite: [] bool; once false, nothing changes any more but `iteration`.
    """

    seed: Array
    iteration: Array
    params: Tree
    average: Tree
    opt_state: Tree
    discriminator: Tree
    discriminator_opt_state: Tree
    loss: Array
    is_finite: Array


class Constants(NamedTuple):
    """The arrays that all networks of a program share on a device."""

    frozen: Tree  # weights that never train
    discriminator_frozen: Tree
    features: losses.FeatureNetwork | None


class TrainingProgram:
    """The training of networks of one architecture, scale and recipe.

    Args:
        architecture: one of `zoo.names()`.
        scale: r.
        overrides: of its hyperparameters, as `zoo.build` takes them.
        recipe: how it is trained.
        features: of `losses.load_features`; None where the recipe compares pixels.

    Raises:
        ValueError, TypeError: as `zoo.build`.
        InputError: if the crop is not a multiple of the scale.
    """

    def __init__(
        self,
        architecture: str,
        scale: int,
        overrides: Mapping[str, Any],
        recipe: TrainingRecipe,
        features: losses.FeatureNetwork | None = None,
    ) -> None:
        """Build a network, for its kind and what is frozen in it."""
        if recipe.crop_px % scale:
            raise InputError(f"crop_px is {recipe.crop_px}. Use a multiple of the scale, {scale}.")
        self.architecture, self.scale, self.recipe = architecture, scale, recipe
        self.overrides = dict(overrides)
        self._build = functools.partial(
            zoo.build, architecture, scale=scale, dtype=jnp.dtype(recipe.dtype), **self.overrides
        )
        model = self._build(rngs=nnx.Rngs(0))
        parts: Any = nnx.split(model, nnx.Param, ...)
        self.graph: nnx.GraphDef[nnx.Module] = parts[0]
        self._shapes = jax.eval_shape(lambda: parts[1])
        discriminator_frozen: Tree = None
        if recipe.is_adversarial:
            if features is None:
                raise InputError(f"The loss '{recipe.loss}' needs the weights of its features.")
            discriminator_parts: Any = nnx.split(self._build_discriminator(0), nnx.Param, ...)
            self.discriminator_graph: nnx.GraphDef[nnx.Module] = discriminator_parts[0]
            discriminator_frozen = discriminator_parts[2]
        self.constants = Constants(parts[2], discriminator_frozen, features)
        self.optimiser = _adam(recipe)

    def init(self, seed: int, start: Tree | None = None) -> TrainingState:
        """Return the state of a network before its first update.

        Args:
            seed: of its weights and batches.
            start: parameters to go on from, such as those of an l1 network; None to draw them.
        """
        if start is None:
            start = nnx.state(self._build(rngs=nnx.Rngs(seed)), nnx.Param)
        # With weak types, which an update loses, the same program would be compiled again.
        start = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), start)
        discriminator: Tree = None
        if self.recipe.is_adversarial:
            discriminator = nnx.state(self._build_discriminator(seed), nnx.Param)
        return TrainingState(
            seed=jnp.asarray(seed, jnp.int32),
            iteration=jnp.zeros((), jnp.int32),
            params=start,
            average=jax.tree.map(jnp.copy, start),
            opt_state=self.optimiser.init(start),
            discriminator=discriminator,
            discriminator_opt_state=discriminator and self.optimiser.init(discriminator),
            loss=jnp.zeros(()),
            is_finite=jnp.ones((), bool),
        )

    @property
    def shapes(self) -> TrainingState:
        """The shapes of a network in training; nothing is drawn."""
        return jax.eval_shape(lambda start: self.init(0, start), self._shapes)

    def model(self, params: Tree) -> nnx.Module:
        """Return the network with these parameters, such as `TrainingState.average`."""
        return nnx.merge(self.graph, params, self.constants.frozen)

    def apply(
        self, params: Tree, constants: Constants, low: Array, key: Array | None = None
    ) -> Array:
        """Apply the network to images [N, c, c, 3]; `key` draws what NLSN hashes with."""
        model: Any = nnx.merge(self.graph, params, constants.frozen)
        if key is None or not isinstance(model, NLSN):
            return model(low)
        return model(low, model.rotations(key, *low.shape[1:3]))

    def update(
        self,
        state: TrainingState,
        constants: Constants,
        low: Array,
        high: Array,
        *,
        axis: str | None = None,
    ) -> TrainingState:
        """Update a network, and its discriminator, on a batch.

        A loss or gradient that is not finite leaves the network as it was, from then on.

        Args:
            state: of the network.
            constants: `self.constants`, on the device.
            low: [N, c, c, 3] float32 in [0, 1].
            high: [N, r c, r c, 3] float32 in [0, 1].
            axis: of the mesh that the batch is spread over, in a `shard_map`; None for one device.
                A discriminator normalises over the crops of its own device.
        """
        loss, gradient, output = self._gradient(state, constants, low, high)
        loss, gradient = _mean_over(axis, (loss, gradient))
        new = self._moved(state.params, gradient, state.opt_state)
        made = state.iteration.astype(jnp.float32)
        decay = jnp.minimum(self.recipe.ema_decay, (1.0 + made) / (10.0 + made))
        average = jax.tree.map(lambda a, p: a + (1.0 - decay) * (p - a), state.average, new[0])
        changed = {"params": new[0], "opt_state": new[1], "average": average}
        finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradient))
        if state.discriminator is not None:
            gradient = jax.grad(self._discriminator_loss)(
                state.discriminator, constants, output, high
            )
            gradient = _mean_over(axis, gradient)
            discriminator, opt_state = self._moved(
                state.discriminator, gradient, state.discriminator_opt_state
            )
            changed |= {"discriminator": discriminator, "discriminator_opt_state": opt_state}
            finite &= jnp.isfinite(optax.tree.norm(gradient))
        memory = jnp.where(state.iteration > 0, MEMORY, 0.0)
        changed["loss"] = memory * state.loss + (1.0 - memory) * loss
        finite &= state.is_finite
        kept = {
            name: jax.tree.map(functools.partial(jnp.where, finite), value, getattr(state, name))
            for name, value in changed.items()
        }
        return dataclasses.replace(state, iteration=state.iteration + 1, is_finite=finite, **kept)

    def _gradient(
        self, state: TrainingState, constants: Constants, low: Array, high: Array
    ) -> tuple[Array, Tree, Array]:
        """Return the loss, its gradient by the parameters, and the output that it is of."""
        key = jax.random.fold_in(jax.random.key(state.seed), 2 * state.iteration + 1)

        def loss(params: Tree) -> tuple[Array, Array]:
            output = self.apply(params, constants, low, key)
            if constants.features is None:
                return losses.l1(output, high), output
            logits = self._judge(state.discriminator, constants, output)
            weight = self.recipe.adversarial_weight
            value = losses.perceptual_adversarial(
                constants.features, output, high, logits, adversarial_weight=weight
            )
            return value, output

        (value, output), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        return value, gradient, output

    def _discriminator_loss(
        self, discriminator: Tree, constants: Constants, output: Array, high: Array
    ) -> Array:
        output = jax.lax.stop_gradient(output)
        return losses.discriminator(
            self._judge(discriminator, constants, high),
            self._judge(discriminator, constants, output),
        )

    def _judge(self, discriminator: Tree, constants: Constants, images: Array) -> Array:
        # A copy: its running statistics change with each call, which nothing here reads or keeps.
        judge: Any = nnx.merge(
            self.discriminator_graph, discriminator, constants.discriminator_frozen, copy=True
        )
        return judge(images)

    def _moved(self, params: Tree, gradient: Tree, opt_state: Tree) -> tuple[Tree, Tree]:
        with jax.numpy_dtype_promotion("standard"):  # optax counts in whole numbers
            updates, opt_state = self.optimiser.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def _build_discriminator(self, seed: int) -> nnx.Module:
        return VGGStyleDiscriminator(
            num_features=self.recipe.discriminator_features,
            input_size=self.recipe.crop_px,
            dtype=jnp.dtype(self.recipe.dtype),
            rngs=nnx.Rngs(seed),
        )


def batch_key(seed: Array, iteration: Array) -> Array:
    """Return the key of the batch of an update: the same for all networks of a seed."""
    return jax.random.fold_in(jax.random.key(seed), 2 * iteration)


def _mean_over(axis: str | None, tree: Tree) -> Tree:
    return tree if axis is None else jax.lax.pmean(tree, axis)


def _adam(recipe: TrainingRecipe) -> optax.GradientTransformation:
    least = LEAST_RATE if recipe.schedule == "cosine" else 1.0
    rate = optax.warmup_cosine_decay_schedule(
        init_value=recipe.learning_rate if recipe.warmup_iters == 0 else 0.0,
        peak_value=recipe.learning_rate,
        warmup_steps=recipe.warmup_iters,
        decay_steps=max(recipe.num_iters, recipe.warmup_iters + 1),
        end_value=least * recipe.learning_rate,
    )
    first, second = BETAS
    steps = [optax.adam(rate, b1=first, b2=second)]
    if recipe.max_gradient_norm:
        steps.insert(0, optax.clip_by_global_norm(recipe.max_gradient_norm))
    return optax.chain(*steps)


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
