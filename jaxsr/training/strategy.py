"""What one compiled call updates: a group of networks, on one device or with spread batches.

Networks of a group are written out one after the other, or stacked under `vmap`; a group of one
leaves a device to a single network. On a CPU with a device for each core, groups of one are the
fastest (see BUILD.md): convolutions fall off their fast path in `vmap` and in loops, and one core
has no use for more networks.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from jaxfleet.errors import InputError
from jaxsr.datasets import training_sets
from jaxsr.training import program as training_program
from jaxsr.training.program import Constants, TrainingProgram, TrainingState

BATCH = "batch"  # axis of a mesh
STRATEGIES = ("auto", "single", "unrolled", "vmap")
ACCELERATOR_GROUP = 4  # networks in a call, unless asked otherwise
ACCELERATOR_UPDATES = 10  # in a call; on a CPU a loop inside the program costs more than it saves


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A way for devices to train their networks.

    Attributes:
        group: networks in a call.
        stacked: under `vmap`; otherwise written out one after the other.
        updates: of each network in a call.
        spread: whether a group has all devices, and its batches are spread over them.
    """

    group: int = 1
    stacked: bool = False
    updates: int = 1
    spread: bool = False


def choose(
    strategy: str, group: int, devices: Sequence[jax.Device], *, networks: int, batch_size: int
) -> Strategy:
    """Choose the strategy that flags ask for.

    Args:
        strategy: one of `STRATEGIES`.
        group: networks in a call; 0 for the default.
        devices: to train on.
        networks: of this kind in the whole plan, whatever part of them is trained here: what is
            chosen decides in which order numbers are summed.
        batch_size: of a network; spread over devices only if it can be in equal parts.

    Raises:
        InputError: if a group of several is asked of "single".
    """
    on_cpu = devices[0].platform == "cpu"
    if strategy == "auto":
        strategy = "single" if on_cpu and group <= 1 else "unrolled"
    if strategy == "single" and group > 1:
        raise InputError(f"A group of {group} networks is not single; use unrolled or vmap.")
    default = 1 if strategy == "single" else ACCELERATOR_GROUP
    updates = 1 if on_cpu else ACCELERATOR_UPDATES
    spread = networks < len(devices) and batch_size % len(devices) == 0
    return Strategy(group or default, strategy == "vmap", updates, spread)


@functools.partial(jax.jit, static_argnames=("count", "batch_size", "crop_px"))
def draw(
    seed: Array, iteration: Array, dataset: training_sets.Dataset, *, count: int, **shape: int
) -> tuple[Array, Array]:
    """Return batches of `count` updates from `iteration` on: [count, N, ...] in low and high."""
    keys = jax.vmap(training_program.batch_key, (None, 0))(seed, iteration + jnp.arange(count))
    return jax.vmap(lambda key: training_sets.sample(key, dataset, **shape))(keys)


def compiled(program: TrainingProgram, strategy: Strategy, mesh: Mesh | None) -> Callable[..., Any]:
    """Return states of a group, constants, batches -> states after them; `mesh` spreads batches."""
    update = functools.partial(program.update, axis=BATCH if mesh else None)

    def advance(
        state: TrainingState, constants: Constants, lows: Array, highs: Array
    ) -> TrainingState:
        if len(lows) == 1:
            return update(state, constants, lows[0], highs[0])
        return jax.lax.scan(
            lambda state, batch: (update(state, constants, *batch), None), state, (lows, highs)
        )[0]

    def unrolled(states: Any, constants: Constants, batches: Any) -> Any:
        return tuple(advance(s, constants, *b) for s, b in zip(states, batches, strict=True))

    def stacked(states: Any, constants: Constants, batches: Any) -> Any:
        lows, highs = (jnp.stack(batch) for batch in zip(*batches, strict=True))
        return jax.vmap(advance, (0, None, 0, 0))(states, constants, lows, highs)

    call = stacked if strategy.stacked else unrolled
    if mesh is not None:
        whole, spread = PartitionSpec(), PartitionSpec(None, BATCH)
        call = jax.shard_map(
            call, mesh=mesh, in_specs=(whole, whole, spread), out_specs=whole, check_vma=False
        )
    return jax.jit(call, donate_argnums=0)
