"""What a zoo will cost, before anything is trained: FLOPs, memory, disk, time."""

from collections.abc import Sequence

import jax

from experiments.zoo.config import ZooConfig
from experiments.zoo.plan import PlannedFleet
from jaxfleet.progress import clock
from jaxsr.training import cost as training_cost


def summary(config: ZooConfig, fleet_list: Sequence[PlannedFleet]) -> str:
    """Return the plan as a table, and sums."""
    devices = jax.local_devices()
    rate = training_cost.flops_per_second(devices)
    lines = [
        "fleet                        networks   updates  GFLOP/update  MiB/network      time",
    ]
    total = disk = memory = 0.0
    most = 0
    for fleet in fleet_list:
        program = fleet.program
        flops = fleet.flops * program.recipe.num_iters * len(fleet.networks)
        per_network = training_cost.state_bytes(program) + training_cost.activation_bytes(program)
        total += flops
        weights = training_cost.weight_bytes(program) / (2 if config.half_weights else 1)
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
