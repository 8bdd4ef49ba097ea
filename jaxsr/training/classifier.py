"""The training of a network that tells classes of pictures apart: first its head, then all of it.

Letters: N crops in a batch, c side of a crop in pixels.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, and the code to it
(JeremyIV/SISR-fingerprints, `cnn_classifier.py`): "plateau" among the decays of a rate. Different
is that a seed decides all that is drawn. For networks that learn from scratch there is "cosine":
Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
"""

import dataclasses
import functools
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError

PATIENCE = 3  # epochs without a better loss before the rate falls
FACTOR = 0.1  # by which it falls
LEAST_GAIN = 1e-4  # of the loss, for a better one
WARM_UP = 0.08  # of the updates of a part, in which the rate rises from zero
WEIGHT_DECAY = 0.05
POOL_BYTES = 2**28  # of crops that are mixed before they are dealt out
_BATCH = "batch"  # axis of the mesh
_LAST_LAYER = nnx.PathContains("fc")


def _kernels(weights: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, weights)


PLATEAU, COSINE = "plateau", "cosine"
_OPTIMISERS = {  # decay of the rate -> Adamax, or AdamW that leaves biases and gains alone
    PLATEAU: optax.scale_by_adamax(),
    COSINE: optax.chain(
        optax.scale_by_adam(), optax.add_decayed_weights(WEIGHT_DECAY, mask=_kernels)
    ),
}
DECAYS = tuple(_OPTIMISERS)

Tree = Any
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # crops, labels, weights: 0 for what only fills


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The length and learning rate of a training.

    Attributes:
        head_epochs: in which only the last layer trains; 0 for none.
        epochs: in which all weights train, with an optimiser that begins anew.
        batch_size: N.
        learning_rate: the highest.
        decay: "plateau", by Adamax: a part begins with the highest rate. Each time the loss of the
            training has not fallen for more than `PATIENCE` epochs it falls to a tenth. "cosine",
            by AdamW: it rises in a straight line over the first `WARM_UP` of a part, then falls as
            half a cosine, to zero at the end.
        least_rate: a part of decay "plateau" ends when the rate is below it.

    Raises:
        InputError: if a value is out of its range.
    """

    head_epochs: int = 3
    epochs: int = 15
    batch_size: int = 16
    learning_rate: float = 5e-4
    decay: str = PLATEAU
    least_rate: float = 4e-6

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("head_epochs", 0), ("epochs", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; give {least} or more.")
        if self.decay not in DECAYS:
            raise InputError(f"No decay '{self.decay}'; use one of {', '.join(DECAYS)}.")
        if not 0 < self.least_rate <= self.learning_rate:
            raise InputError(
                f"learning_rate is {self.learning_rate}; give at least least_rate, "
                f"{self.least_rate}, which is above 0."
            )

    def goes_on(self, rate: float) -> bool:
        """Return whether a part goes on at this rate of decay "plateau"; of another, it does."""
        return self.decay != PLATEAU or rate >= self.least_rate

    def cosine_rate(self, done: float) -> float:
        """Return the rate of decay "cosine" when this share of a part is done, 0 to 1."""
        rising = done / WARM_UP
        falling = (1.0 + np.cos(np.pi * (done - WARM_UP) / (1.0 - WARM_UP))) / 2.0
        return self.learning_rate * float(rising if rising < 1.0 else falling)


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """The pictures that a network learns from.

    Attributes:
        pictures: of [H, W, 3] uint8, each side at least c; each is asked for once an epoch.
        labels: their classes, int.
        crop_px: c.
        prepare: crops [N, c, c, 3] uint8 to what the network takes, under `jit`; hashable.
        crops_per_picture: in an epoch.
        grid_px: crops begin at multiples of it, pixels.
    """

    pictures: Sequence[np.ndarray]
    labels: np.ndarray
    crop_px: int
    prepare: Callable[[Array], Array]
    crops_per_picture: int = 1
    grid_px: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.crops_per_picture < 1:
            raise InputError(f"crops_per_picture is {self.crops_per_picture}; give 1 or more.")

    def count(self, batch_size: int) -> int:
        """Return the batches of an epoch."""
        return -(-len(self.pictures) * self.crops_per_picture // batch_size)

    def batches(self, batch_size: int, *seed: int) -> Iterator[Batch]:
        """Yield random crops of every picture in random order; the last batch is filled up.

        Of some pictures at a time, so that each is asked for once.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.pictures))
        bytes_of_batch = batch_size * self.crops_per_picture * 3 * self.crop_px**2
        at_once = batch_size * max(1, POOL_BYTES // bytes_of_batch)
        for start in range(0, len(order), at_once):
            crops, labels = self._cut(order[start : start + at_once], rng)
            mixed = rng.permutation(len(crops))
            for first in range(0, len(mixed), batch_size):
                some = mixed[first : first + batch_size]
                weights = (np.arange(batch_size) < len(some)).astype(np.float32)
                rows = np.resize(some, batch_size)
                yield crops[rows], labels[rows], weights

    def _cut(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return all crops of an epoch of these pictures, and their classes."""
        count = self.crops_per_picture
        crops = np.empty((len(rows) * count, self.crop_px, self.crop_px, 3), np.uint8)
        for place, row in enumerate(rows):
            picture = self.pictures[row]
            room = np.subtract(picture.shape[:2], self.crop_px) // self.grid_px + 1
            corners = rng.integers(room, size=(count, 2)) * self.grid_px
            for crop, (top, left) in zip(crops[place * count :], corners, strict=False):
                crop[:] = picture[top : top + self.crop_px, left : left + self.crop_px]
        return crops, np.repeat(self.labels[rows].astype(np.int32), count)


@dataclasses.dataclass
class _Standing:
    """The state of a training between two epochs."""

    part: int = 0  # 0 the head, 1 all weights
    epoch: int = 0  # made in this part
    rate: float = 0.0
    least_loss: float = np.inf
    idle_epochs: int = 0  # since the loss was least, or the rate fell
    best_accuracy: float = -1.0

    def after(self, loss: float) -> "_Standing":
        """Return the standing after another epoch of this mean loss."""
        new = dataclasses.replace(self, epoch=self.epoch + 1)
        if loss < self.least_loss * (1.0 - LEAST_GAIN):
            new.least_loss, new.idle_epochs = loss, 0
        else:
            new.idle_epochs += 1
        if new.idle_epochs > PATIENCE:
            new.rate, new.idle_epochs = self.rate * FACTOR, 0
        return new


def train(
    model: nnx.Module,
    material: Material,
    schedule: Schedule,
    *,
    seed: int,
    validate: Callable[[nnx.Module], float] | None = None,
    progress: Callable[[float], object] | None = None,
    on_epoch: Callable[[int, float, float], object] | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Train a classifier in place; of its second part the most accurate weights are kept.

    Batches are spread over all devices of the process, if they can be in equal parts.

    Args:
        model: whose last layer is called `fc`; from crops that are prepared to logits.
        material: what it learns from.
        schedule: how long, and how fast.
        seed: of the order of pictures and of their crops.
        validate: accuracy of a network, 0 to 1, asked after each epoch; without it the last
            weights are kept.
        progress: called after each batch with the part of all epochs that is done, 0 to 1; 1 is
            not reached if the last part ends early.
        on_epoch: called with the number of an epoch, from 1 on through both parts, the mean loss
            of its batches, and the accuracy, NaN without `validate`.
        checkpoint: folder where the state is kept after each epoch, and which a training goes on
            from, to the same bits; it may go when the result is kept elsewhere.

    Raises:
        InputError: if the loss is no longer finite, or the checkpoint is of another training.
        OSError: if the checkpoint cannot be written.
    """
    checkpoints = None if checkpoint is None else Checkpoints(checkpoint)
    best = _weights(model)
    identity = _identity(material, schedule, seed, best)
    mesh = _mesh(schedule.batch_size)
    counts = (schedule.head_epochs, schedule.epochs)
    standing = _Standing(rate=schedule.learning_rate)
    kept = None if checkpoints is None else checkpoints.load()
    if kept is not None:
        standing, best = _restored(kept, identity, model, checkpoint)
    opt_state = None if kept is None else kept["opt_state"]
    for part in range(standing.part, len(counts)):
        if part != standing.part:
            standing, opt_state = _Standing(part=part, rate=schedule.learning_rate), None
        update = _Part(
            model, material.prepare, mesh, schedule.decay, only_last=part == 0, opt_state=opt_state
        )
        while standing.epoch < counts[part] and schedule.goes_on(standing.rate):
            made = sum(counts[:part]) + standing.epoch
            losses: list[Array] = []
            total = material.count(schedule.batch_size)
            for batch in material.batches(schedule.batch_size, seed, part, standing.epoch):
                rate = standing.rate
                if schedule.decay == COSINE:
                    done = (standing.epoch + (len(losses) + 0.5) / total) / counts[part]
                    rate = schedule.cosine_rate(done)
                losses.append(update(batch, rate))
                if progress is not None:
                    progress((made + len(losses) / total) / sum(counts))
            crops = len(material.pictures) * material.crops_per_picture
            loss = float(np.sum(jax.device_get(losses)) / crops)
            if not np.isfinite(loss):
                raise InputError(
                    f"The loss of the classifier is {loss} in epoch {made + 1}; lower its "
                    f"learning_rate, {schedule.learning_rate}."
                )
            update.write_to(model)
            accuracy = float("nan") if validate is None else validate(model)
            standing = standing.after(loss)
            if validate is None or accuracy > standing.best_accuracy:
                standing.best_accuracy, best = accuracy, _weights(model)
            if checkpoints is not None:
                numbers = np.array([identity, *dataclasses.astuple(standing)], np.float64)
                checkpoints.save(
                    {
                        "numbers": numbers,
                        "weights": _weights(model),
                        "best": best,
                        "opt_state": update.opt_state(),
                    }
                )
            if on_epoch is not None:
                on_epoch(made + 1, loss, accuracy)
    _set_weights(model, best)


class _Part:
    """A part of the training on its devices: what trains there, the rest, and the opt_state."""

    def __init__(
        self,
        model: nnx.Module,
        prepare: Callable[[Array], Array],
        mesh: Mesh,
        decay: str,
        *,
        only_last: bool,
        opt_state: Sequence[np.ndarray] | None,
    ) -> None:
        """`opt_state` are of a checkpoint; None to begin."""
        parts: Any = nnx.split(model, _LAST_LAYER if only_last else nnx.Param, ...)
        graph, trained, rest = parts
        trained = jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32), trained)  # to donate
        state = _OPTIMISERS[decay].init(trained)
        if opt_state is not None:
            state = jax.tree.unflatten(jax.tree.structure(state), opt_state)
        whole = NamedSharding(mesh, PartitionSpec())
        self._trained, self._moments, self._rest = jax.device_put((trained, state, rest), whole)
        self._spread = NamedSharding(mesh, PartitionSpec(_BATCH))
        self._update = _compiled(graph, prepare, mesh, decay)

    def __call__(self, batch: Batch, rate: float) -> Array:
        """Make one update; return the sum of the losses of the crops of a batch, [] float32."""
        self._trained, self._moments, loss = self._update(
            self._trained,
            self._moments,
            self._rest,
            np.float32(rate),
            jax.device_put(batch, self._spread),
        )
        return loss

    def opt_state(self) -> list[np.ndarray]:
        """Return the state of the optimiser, on the host."""
        return jax.device_get(jax.tree.leaves(self._moments))

    def write_to(self, model: nnx.Module) -> None:
        """Write the trained parameters to a model, on the default device."""
        nnx.update(model, jax.tree.map(jnp.asarray, jax.device_get(self._trained)))


@functools.lru_cache(maxsize=4)
def _compiled(
    graph: nnx.GraphDef[nnx.Module], prepare: Callable[[Array], Array], mesh: Mesh, decay: str
) -> Callable[..., tuple[Tree, Tree, Array]]:
    """Compile (parameters, opt_state, rest, rate, batch) -> (parameters, opt_state, loss)."""

    def loss(trained: Tree, rest: Tree, crops: Array, labels: Array, weights: Array) -> Array:
        model: Any = nnx.merge(graph, trained, rest)
        logits = model(prepare(crops))
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.sum(weights * each)

    def update(
        trained: Tree, opt_state: Tree, rest: Tree, rate: Array, batch: Sequence[Array]
    ) -> tuple[Tree, Tree, Array]:
        value, gradient = jax.value_and_grad(loss)(trained, rest, *batch)
        value, gradient, count = jax.lax.psum((value, gradient, jnp.sum(batch[2])), _BATCH)
        gradient = jax.tree.map(lambda leaf: leaf / count, gradient)
        with jax.numpy_dtype_promotion("standard"):  # optax counts in whole numbers
            steps, opt_state = _OPTIMISERS[decay].update(gradient, opt_state, trained)
        return jax.tree.map(lambda p, step: p - rate * step, trained, steps), opt_state, value

    whole, spread = PartitionSpec(), PartitionSpec(_BATCH)
    everywhere = jax.shard_map(
        update,
        mesh=mesh,
        in_specs=(whole, whole, whole, whole, spread),
        out_specs=whole,
        check_vma=False,
    )
    return jax.jit(everywhere, donate_argnums=(0, 1))


@functools.lru_cache(maxsize=8)
def _mesh(batch_size: int) -> Mesh:
    devices = jax.local_devices()
    some = devices if batch_size % len(devices) == 0 else devices[:1]
    return jax.make_mesh((len(some),), (_BATCH,), (AxisType.Auto,), devices=some)


def _weights(model: nnx.Module) -> list[np.ndarray]:
    return jax.device_get(jax.tree.leaves(nnx.state(model, nnx.Param)))


def _set_weights(model: nnx.Module, leaves: Sequence[np.ndarray]) -> None:
    structure = jax.tree.structure(nnx.state(model, nnx.Param))
    nnx.update(model, jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in leaves]))


def _restored(
    kept: dict[str, Any], identity: int, model: nnx.Module, checkpoint: Path | None
) -> tuple[_Standing, list[np.ndarray]]:
    """Restore a checkpoint: give its weights to the model and return the rest."""
    theirs, part, epoch, rate, least, idle, accuracy = kept["numbers"].tolist()
    shapes = [leaf.shape for leaf in _weights(model)]
    if theirs != identity or shapes != [leaf.shape for leaf in kept["weights"]]:
        raise InputError(f"{checkpoint} is of another training; remove it, or name another folder.")
    _set_weights(model, kept["weights"])
    return _Standing(int(part), int(epoch), rate, least, int(idle), accuracy), kept["best"]


def _identity(
    material: Material, schedule: Schedule, seed: int, weights: Sequence[np.ndarray]
) -> int:
    """Return a number that two trainings hardly share unless they begin alike."""
    crops = [material.crop_px, material.crops_per_picture, material.grid_px]
    facts = [dataclasses.asdict(schedule), seed, crops, repr(material.prepare)]
    arrays = [np.asarray(material.labels, np.int64), *weights]
    return functools.reduce(
        lambda checksum, array: zlib.crc32(np.ascontiguousarray(array).data, checksum),
        arrays,
        zlib.crc32(json.dumps(facts).encode()),
    )
