"""What a zoo will cost, before anything is trained: FLOPs, memory, disk, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxfleet.progress import clock
from jaxsr.networks import convolution
from jaxsr.training import Program, State

if TYPE_CHECKING:
    from experiments.sr_zoo_config import ZooConfig
    from experiments.sr_zoo_plan import Fleet

PROBE = (4, 64, 64, 64)  # pictures, rows, columns and features of the convolution that is timed
PROBE_SECONDS = 1.0
KERNEL_PX = 3


def flops_per_update(program: Program) -> float:
    """Of one network and its discriminator, as XLA counts them before it optimises."""
    lowered = jax.jit(program.update).lower(program.shapes, program.constants, *_batch(program))
    analysis = lowered.cost_analysis()
    return float(analysis["flops"]) if analysis else 0.0


def state_bytes(program: Program) -> int:
    """Of one network in training: weights, their average, moments, the discriminator."""
    return _bytes(program.shapes)


def activation_bytes(program: Program) -> int:
    """What the gradient of the l1 loss of one batch keeps of the way forward, at most."""
    low, _ = _batch(program)

    def kept(state: State, low: jax.Array) -> object:
        return jax.vjp(lambda params: program.apply(params, program.constants, low), state.params)

    return _bytes(jax.eval_shape(kept, program.shapes, low))


def describe(config: ZooConfig, fleet_list: Sequence[Fleet]) -> str:
    """The plan as a table, and sums."""
    devices = jax.local_devices()
    rate = flops_per_second(devices)
    lines = [
        "fleet                        networks   updates  GFLOP/update  MiB/network      time",
    ]
    total = disk = memory = 0.0
    most = 0
    for fleet in fleet_list:
        program = fleet.program
        flops = fleet.flops * program.recipe.num_iters * len(fleet.networks)
        per_network = state_bytes(program) + activation_bytes(program)
        total += flops
        weights = _bytes(program.shapes.params) / (2 if config.half_weights else 1)
        disk += weights * len(fleet.networks)
        strategy = fleet.strategy(config, devices)
        lanes = 1 if strategy.spread else len(devices)
        side_by_side = min(strategy.group * lanes, len(fleet.networks))
        most = max(most, side_by_side)
        memory = max(memory, side_by_side * per_network)
        lines.append(
            f"{fleet.name:28} {len(fleet.networks):8}  {program.recipe.num_iters:8}  "
            f"{fleet.flops / 1e9:12.4g}  {per_network / 2**20:11.0f}  {clock(flops / rate):>8}"
        )
    count = sum(len(fleet.networks) for fleet in fleet_list)
    lines += [
        f"{count} networks in {len(fleet_list)} fleets on {len(devices)} x "
        f"{devices[0].device_kind}, up to {most} side by side",
        f"{total / 1e15:.4g} PFLOP, about {memory / 2**20:.0f} MiB of states and activations "
        f"(photographs come on top), {disk / 2**20:.0f} MiB of networks on disk",
        f"about {clock(total / rate)}, compilation not counted, at {rate / 1e9:.0f} GFLOP/s: what "
        "convolutions of 64 features reach here; narrow networks and attention are slower",
    ]
    return "\n".join(lines)


def flops_per_second(devices: Sequence[jax.Device]) -> float:
    """Of the gradient of convolutions, on all devices at once."""
    images, rows, columns, features = PROBE
    shape, pad = (KERNEL_PX, KERNEL_PX, features, features), KERNEL_PX // 2

    @jax.jit
    def gradient(kernels: jax.Array, x: jax.Array) -> jax.Array:
        def loss(kernels: jax.Array) -> jax.Array:
            y = x
            for kernel in kernels:
                y = convolution.conv_general_dilated(y, kernel, (1, 1), ((pad, pad), (pad, pad)))
            return jnp.sum(y**2)

        return jax.grad(loss)(kernels)

    arguments = [
        jax.device_put((jnp.full((2, *shape), 1e-3), jnp.ones(PROBE)), device) for device in devices
    ]
    jax.block_until_ready([gradient(*own) for own in arguments])
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < PROBE_SECONDS:
        jax.block_until_ready([gradient(*own) for own in arguments])
        calls += len(devices)
    products = 2 + 1 + 2  # forward, by the second input, by both kernels
    flops = products * 2 * images * rows * columns * float(np.prod(shape))
    return flops * calls / (time.perf_counter() - start)


def _batch(program: Program) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    recipe = program.recipe
    low, high = (
        jax.ShapeDtypeStruct((recipe.batch_size, side, side, 3), jnp.float32)
        for side in (recipe.crop_px // program.scale, recipe.crop_px)
    )
    return low, high


def _bytes(tree: object) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)
