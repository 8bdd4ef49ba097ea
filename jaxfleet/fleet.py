"""N independent trainings as one compiled program.

Letters: N slots, G networks in a group, M most log points in a segment. A slot trains one network.
Groups are small enough to stay in cache: the program takes them one after the other (`lax.map`),
each for a whole segment of iterations, and `shard_map` spreads the slots over devices. Between
segments the host takes finished networks out and puts new ones in; shapes never change, so
nothing is compiled twice. What a network is, and its loss, is the `Program`'s business.
"""

import dataclasses
import functools
import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

RUNNING, DONE, TARGET, DIVERGED, IDLE = range(5)
STATUS_NAMES = ("running", "done", "target", "diverged", "idle")

ADAM_DECAY_MEAN, ADAM_DECAY_SQUARE, ADAM_EPSILON = 0.9, 0.999, 1e-8
SLOTS = "slots"  # the mesh axis

Tree = Any


class Program(Protocol):
    """The static part of a bucket of trainings; hashable, so that it is compiled once.

    Every function works on one group: leaves have a leading axis [G, ...].
    """

    @property
    def group(self) -> int:
        """Networks that are taken together."""
        ...

    @property
    def log_every(self) -> int:
        """Iterations between noted losses."""
        ...

    @property
    def max_logs(self) -> int:
        """M, most log intervals of a segment."""
        ...

    @property
    def is_stochastic(self) -> bool:
        """Whether updates take a part of the data, and only log points measure all of it."""
        ...

    def __hash__(self) -> int:
        """Equal programs are compiled once."""
        ...

    def prepare(self, hyper: dict[str, Array], data: Tree) -> Tree:
        """Return what the loss needs of the shared `data`; called once per group and segment."""
        ...

    def loss_and_gradient(
        self, params: Tree, hyper: dict[str, Array], batch: Tree
    ) -> tuple[Array, Tree]:
        """Return [G] losses, and their gradients like `params`."""
        ...

    def draw(self, hyper: dict[str, Array], batch: Tree, iteration: Array) -> Tree:
        """Return the batch of an update, given each network's iteration [G]; stochastic only."""
        ...

    def loss(self, params: Tree, hyper: dict[str, Array], batch: Tree) -> Array:
        """Return the [G] losses over all data; stochastic programs only."""
        ...

    def result(self, params: Tree, hyper: dict[str, Array], batch: Tree) -> Tree:
        """Return what is kept of a finished network beside its parameters."""
        ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FleetState:
    """N slots. `hyper` holds [N] arrays: learning_rate, num_iters, target_loss and the program's.

    A target_loss of 0 means none. Where `hyper` has a learning_rate_decay, half a cosine takes that
    share of the learning rate away.

    Attributes:
        params: trees with leaves [N, ...], `iteration` updates old.
        mean: Adam's first moments.
        square: Adam's second moments.
        best: parameters of the lowest loss so far.
        best_loss: [N] float32, the loss of `best`.
        best_iteration: [N] int32, updates made before `best`.
        loss: [N] float32, last measured loss.
        iteration: [N] int32, updates made.
        status: [N] int32, one of RUNNING, DONE, TARGET, DIVERGED, IDLE.
        hyper: name -> [N] array.
    """

    params: Tree
    mean: Tree
    square: Tree
    best: Tree
    best_loss: Array
    best_iteration: Array
    loss: Array
    iteration: Array
    status: Array
    hyper: dict[str, Array]


def _where(mask: Array, new: Tree, old: Tree) -> Tree:
    """Select per slot the leaves of `new` where mask [N] is true, of `old` elsewhere."""
    return jax.tree.map(
        lambda n, o: jnp.where(mask.reshape(mask.shape + (1,) * (n.ndim - 1)), n, o), new, old
    )


def _column(values: Array, like: Array) -> Array:
    return values.reshape(values.shape + (1,) * (like.ndim - 1))


def _observe(state: FleetState, loss: Array, watched: Array) -> FleetState:
    """Record the loss of the present parameters for the slots in `watched` [N] bool."""
    better = watched & (loss < state.best_loss)
    return dataclasses.replace(
        state,
        best=_where(better, state.params, state.best),
        best_loss=jnp.where(better, loss, state.best_loss),
        best_iteration=jnp.where(better, state.iteration, state.best_iteration),
        loss=jnp.where(watched, loss, state.loss),
    )


def _verdict(state: FleetState) -> Array:
    """Return [N] DIVERGED, TARGET or RUNNING, by the last measured loss alone."""
    target = state.hyper["target_loss"]
    reached = (target > 0) & (state.loss <= target)
    status = jnp.where(reached, TARGET, RUNNING)
    return jnp.where(jnp.isfinite(state.loss), status, DIVERGED)


def _adam(state: FleetState, gradient: Tree, moving: Array) -> FleetState:
    """Make one Adam update (Kingma & Ba 2015, as in PyTorch) of slots `moving` [N] bool."""
    iteration = state.iteration + moving.astype(jnp.int32)
    age = jnp.maximum(iteration, 1).astype(jnp.float32)
    # 1 - decay^age, which float32 would round to five digits at first.
    rate = state.hyper["learning_rate"] / -jnp.expm1(age * math.log(ADAM_DECAY_MEAN))
    if "learning_rate_decay" in state.hyper:
        half_turns = (age - 1.0) / state.hyper["num_iters"].astype(jnp.float32)
        lost = 0.5 - 0.5 * jnp.cos(math.pi * half_turns)
        rate *= 1.0 - state.hyper["learning_rate_decay"] * lost
    correction = lax.rsqrt(-jnp.expm1(age * math.log(ADAM_DECAY_SQUARE)))

    def leaf(p: Array, m: Array, v: Array, g: Array) -> tuple[Array, Array, Array]:
        keep = _column(moving, p)
        m = jnp.where(keep, ADAM_DECAY_MEAN * m + (1.0 - ADAM_DECAY_MEAN) * g, m)
        v = jnp.where(keep, ADAM_DECAY_SQUARE * v + (1.0 - ADAM_DECAY_SQUARE) * g * g, v)
        step = _column(rate, p) * m / (jnp.sqrt(v) * _column(correction, p) + ADAM_EPSILON)
        return jnp.where(keep, p - step, p), m, v

    leaves = jax.tree.map(leaf, state.params, state.mean, state.square, gradient)
    params, mean, square = jax.tree.transpose(
        jax.tree.structure(state.params), jax.tree.structure((0, 0, 0)), leaves
    )
    return dataclasses.replace(state, params=params, mean=mean, square=square, iteration=iteration)


def _train_group(
    program: Program, state: FleetState, data: Tree, intervals: Array
) -> tuple[FleetState, Array]:
    """Run one group for `intervals` log intervals; return the losses at their starts [G, M]."""
    batch = program.prepare(state.hyper, data)

    def iterate(state: FleetState, _: None) -> tuple[FleetState, Array]:
        loss, gradient = program.loss_and_gradient(state.params, state.hyper, batch)
        running = state.status == RUNNING
        state = _observe(state, loss, running)
        state = _adam(state, gradient, running & (_verdict(state) == RUNNING))
        finished = state.iteration >= state.hyper["num_iters"]
        status = jnp.where(finished & (_verdict(state) == RUNNING), DONE, _verdict(state))
        return dataclasses.replace(
            state, status=jnp.where(running, status, state.status)
        ), state.loss

    def update(state: FleetState, _: None) -> tuple[FleetState, None]:
        part = program.draw(state.hyper, batch, state.iteration)
        loss, gradient = program.loss_and_gradient(state.params, state.hyper, part)
        running = state.status == RUNNING
        lost = running & ~jnp.isfinite(loss)
        state = _adam(state, gradient, running & ~lost)
        status = jnp.where(state.iteration >= state.hyper["num_iters"], DONE, RUNNING)
        status = jnp.where(running, jnp.where(lost, DIVERGED, status), state.status)
        return dataclasses.replace(
            state, status=status, loss=jnp.where(lost, jnp.nan, state.loss)
        ), None

    def interval(i: Array, carry: tuple[FleetState, Array]) -> tuple[FleetState, Array]:
        state, losses = carry
        if program.is_stochastic:
            running = state.status == RUNNING
            state = _observe(state, program.loss(state.params, state.hyper, batch), running)
            state = dataclasses.replace(
                state, status=jnp.where(running, _verdict(state), state.status)
            )
            noted = state.loss
            state, _ = lax.scan(update, state, None, length=program.log_every)
        else:
            state, inner = lax.scan(iterate, state, None, length=program.log_every)
            noted = inner[0]
        return state, lax.dynamic_update_index_in_dim(losses, noted, i, axis=1)

    empty = jnp.full((program.group, program.max_logs), jnp.nan, jnp.float32)
    return lax.fori_loop(0, intervals, interval, (state, empty))


def _finish_group(program: Program, state: FleetState, data: Tree) -> tuple[FleetState, Tree]:
    """Measure the parameters after the last update; make the results of the best ones."""
    batch = program.prepare(state.hyper, data)
    if program.is_stochastic:
        loss = program.loss(state.params, state.hyper, batch)
    else:
        loss, _ = program.loss_and_gradient(state.params, state.hyper, batch)
    done = state.status == DONE
    state = _observe(state, loss, done)
    verdict = jnp.where(_verdict(state) == RUNNING, DONE, _verdict(state))
    state = dataclasses.replace(state, status=jnp.where(done, verdict, state.status))
    return state, program.result(state.best, state.hyper, batch)


def _over_groups(program: Program, some: Array, work: Any, idle: Any, state: FleetState) -> Any:
    """Map work(group) over the groups of a shard; groups without a slot in `some` idle."""
    groups = state.status.shape[0] // program.group
    split = jax.tree.map(lambda x: x.reshape((groups, program.group) + x.shape[1:]), (some, state))
    result = lax.map(lambda item: lax.cond(item[0].any(), work, idle, item[1]), split)
    return jax.tree.map(lambda x: x.reshape((groups * program.group,) + x.shape[2:]), result)


def compiler_options(platform: str) -> dict[str, Any]:
    """Return options for 512-bit vectors on a CPU, instead of 256: half the cost of a sine."""
    return {"xla_cpu_prefer_vector_width": 512} if platform == "cpu" else {}


class Fleet:
    """The compiled functions of a program on a mesh; get one from `fleet`."""

    def __init__(self, program: Program, mesh: Mesh) -> None:
        """Compiles nothing yet."""
        self.program = program
        self.slots = NamedSharding(mesh, PartitionSpec(SLOTS))
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        options = compiler_options(mesh.devices.flat[0].platform)
        split, whole = PartitionSpec(SLOTS), PartitionSpec()

        def segment(state: FleetState, data: Tree, intervals: Array) -> tuple[FleetState, Array]:
            def idle(group: FleetState) -> tuple[FleetState, Array]:
                return group, jnp.full((program.group, program.max_logs), jnp.nan, jnp.float32)

            def work(group: FleetState) -> tuple[FleetState, Array]:
                return _train_group(program, group, data, intervals)

            return _over_groups(program, state.status == RUNNING, work, idle, state)

        def finish(state: FleetState, data: Tree) -> tuple[FleetState, Tree]:
            def work(group: FleetState) -> tuple[FleetState, Tree]:
                return _finish_group(program, group, data)

            def idle(group: FleetState) -> tuple[FleetState, Tree]:
                kinds = jax.eval_shape(work, group)[1]
                return group, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), kinds)

            ended = (state.status != RUNNING) & (state.status != IDLE)
            return _over_groups(program, ended, work, idle, state)

        def shard(function: Any, inputs: Any) -> Any:
            return jax.jit(
                jax.shard_map(
                    function, mesh=mesh, in_specs=inputs, out_specs=(split, split), check_vma=False
                ),
                donate_argnums=0,
                compiler_options=options,
            )

        self.segment = shard(segment, (split, whole, whole))
        self.finish = shard(finish, (split, whole))
        self.refill = jax.jit(_refill, donate_argnums=0, out_shardings=self.slots)

    def idle(self, params: Tree, hyper: dict[str, Any]) -> FleetState:
        """Return slots without a training, as many as `hyper` has rows; `params` is one network."""
        count = len(hyper["learning_rate"])
        number: Any = np.zeros(count, np.float32)
        whole: Any = np.zeros(count, np.int32)
        zeros = jax.tree.map(lambda leaf: np.zeros((count, *leaf.shape), leaf.dtype), params)
        state = FleetState(
            params=zeros, mean=zeros, square=zeros, best=zeros, best_loss=number,
            best_iteration=whole, loss=number, iteration=whole, status=whole + IDLE, hyper=hyper,
        )  # fmt: skip
        return jax.device_put(state, self.slots, may_alias=False)


def _refill(state: FleetState, mask: Array, params: Tree, hyper: dict[str, Array]) -> FleetState:
    """Start fresh trainings in the slots of `mask` [N] bool; the other slots keep theirs."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    number, whole = jnp.zeros_like(state.loss), jnp.zeros_like(state.status)
    fresh = FleetState(
        params=params, mean=zeros, square=zeros, best=params, best_loss=number + jnp.inf,
        best_iteration=whole, loss=number, iteration=whole, status=whole + RUNNING, hyper=hyper,
    )  # fmt: skip
    return _where(mask, fresh, state)


@functools.cache
def fleet(program: Program, mesh: Mesh) -> Fleet:
    """Return the fleet of a program on a mesh with the one axis `slots`, compiled once."""
    return Fleet(program, mesh)
