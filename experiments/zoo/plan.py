"""The plan of a zoo: which networks, and which of them train side by side."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import jax

from experiments.zoo.config import Architecture, ZooConfig
from jaxfleet.errors import InputError
from jaxfleet.shards import Shard
from jaxsr.datasets.training_sets import TrainingSet
from jaxsr.training import cost as training_cost
from jaxsr.training import losses
from jaxsr.training import strategy as training_strategy
from jaxsr.training.program import TrainingProgram
from jaxsr.training.strategy import Strategy


@dataclasses.dataclass(frozen=True)
class PlannedNetwork:
    """One network of the plan."""

    trial_id: int
    architecture: Architecture
    scale: int
    loss: str
    training_set: TrainingSet
    seed: int

    @property
    def name(self) -> str:
        """Unique in the zoo."""
        return self.name_with(self.loss)

    def name_with(self, loss: str) -> str:
        """Return the name of the network that differs in its loss alone."""
        parts = (self.architecture.name, self.training_set.name, f"x{self.scale}", loss)
        return "-".join((*parts, f"s{self.seed}"))


@dataclasses.dataclass(frozen=True)
class PlannedFleet:
    """Networks of one architecture, scale and loss, those of this process."""

    name: str
    networks: tuple[PlannedNetwork, ...]
    planned: int  # networks of the kind in the whole plan
    program: TrainingProgram
    flops: float  # of an update of one network

    def strategy(self, config: ZooConfig, devices: Sequence[jax.Device]) -> Strategy:
        """Return how devices train them.

        Raises:
            InputError: for flags that contradict each other.
        """
        return training_strategy.choose(
            config.strategy,
            config.fleet_group,
            devices,
            networks=self.planned,
            batch_size=self.program.recipe.batch_size,
        )


def make_networks(config: ZooConfig) -> list[PlannedNetwork]:
    """Plan the networks: architectures, then scales, losses (l1 first), training sets, seeds.

    Raises:
        InputError: if a flag cannot be used, or two networks would have one name.
    """
    architectures = [Architecture.parse(text) for text in config.architecture]
    sets = [TrainingSet.parse(text) for text in config.training_set]
    refuse_twice("architecture", [one.name for one in architectures])
    refuse_twice("training_set", [one.name for one in sets])
    for loss in config.loss:
        config.recipe(loss)
    if config.pretraining == "l1" and "l1" not in config.loss:
        raise InputError("--pretraining=l1 goes on from l1 networks: add --loss=l1.")
    ordered = sorted(dict.fromkeys(config.loss), key=lambda loss: loss != "l1")
    seeds = list(dict.fromkeys(config.seed))
    pairs = [
        (one, seed)
        for number, one in enumerate(sets)
        for seed in (seeds[: config.seeds_elsewhere] if number else seeds)
    ]
    points = itertools.product(architectures, dict.fromkeys(config.scale), ordered, pairs)
    networks = [
        PlannedNetwork(number, architecture, scale, loss, training_set, seed)
        for number, (architecture, scale, loss, (training_set, seed)) in enumerate(points)
    ]
    if not networks:
        raise InputError(
            "There is no network to train: --architecture, --scale, --loss, --training_set and "
            "--seed need a value each."
        )
    return networks


def make_fleets(
    config: ZooConfig,
    networks: Sequence[PlannedNetwork],
    features: Mapping[str, losses.FeatureNetwork | None],
    shard: Shard,
) -> list[PlannedFleet]:
    """Make the fleets of a shard, l1 before what goes on from it.

    Networks that differ in their loss alone stay in one shard.

    Raises:
        InputError: for a hyperparameter, scale or crop that a network cannot have.
    """
    fleets_of: dict[tuple[str, int, str], PlannedFleet] = {}
    grouped: dict[tuple[str, int, str], list[PlannedNetwork]] = {}
    for network in networks:
        key = (network.architecture.name, network.scale, network.loss)
        grouped.setdefault(key, []).append(network)
    for key, members in grouped.items():
        first = members[0]
        try:
            program = TrainingProgram(
                first.architecture.base,
                first.scale,
                first.architecture.overrides,
                config.recipe(first.loss),
                features[first.loss],
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"--architecture={first.architecture.name}: {error}") from None
        flops = training_cost.flops_per_update(program)
        name = f"{key[0]}-x{key[1]}-{key[2]}"
        fleets_of[key] = PlannedFleet(name, tuple(members), len(members), program, flops)
    families: dict[str, float] = {}
    for fleet in fleets_of.values():
        for network in fleet.networks:
            family = network.name_with("")
            work = fleet.flops * fleet.program.recipe.num_iters
            families[family] = families.get(family, 0.0) + work
    own = shard.cut(list(families.values()))
    mine = {family for family, is_mine in zip(families, own, strict=True) if is_mine}
    cut = [
        dataclasses.replace(
            fleet, networks=tuple(n for n in fleet.networks if n.name_with("") in mine)
        )
        for fleet in fleets_of.values()
    ]
    return [fleet for fleet in cut if fleet.networks]


def refuse_twice(flag: str, names: Sequence[str]) -> None:
    """Refuse two of one name.

    Raises:
        InputError: naming them.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--{flag}: two are called {name}; write NAME=... to tell them apart.")
