"""A zoo of super-resolution networks: architecture x scale x loss x training set x seed.

Train them as fleets, one for each architecture, scale and loss. Source: Vonderfecht and Liu,
"Fingerprints of super resolution networks", 2022; `launch/flagfiles/sr_zoo/paper.flags`.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
from flax import nnx

import jaxfleet
from experiments.report import columns
from experiments.zoo import cost, evaluate, plan, report
from experiments.zoo.config import ZooConfig
from experiments.zoo.plan import PlannedFleet as PlannedFleet
from experiments.zoo.plan import PlannedNetwork as PlannedNetwork
from experiments.zoo.plan import make_fleets as make_fleets
from experiments.zoo.plan import make_networks as make_networks
from jaxfleet import executors, rundir, shards, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import decibels
from jaxfleet.progress import Progress
from jaxfleet.results import store
from jaxfleet.results.showing import counted
from jaxsr import evaluation
from jaxsr.datasets import training_sets
from jaxsr.datasets.training_sets import TrainingSet
from jaxsr.files import networks as network_files
from jaxsr.state_dicts import names as torch_names
from jaxsr.training import feature_networks, losses
from jaxsr.training import trainer as sr_trainer
from jaxsr.training.program import TrainingProgram
from jaxsr.training.trainer import TrainedNetwork
from jaxsr.upscale import run as run_network

GIGA = 1e9
_NEUTRAL = (
    *("checkpoint_minutes", "dry_run", "shard", "num_shards", "strategy", "fleet_group"),
    *("data_dir", "vgg_weights", "resnet_weights"),
)


def schema() -> pa.Schema:
    """Return the columns of the table."""
    texts = ("network", "architecture", "overrides", "loss", "training_set", "status")
    wholes = ("trial_id", "scale", "seed", "num_iters", "parameters")
    kinds: dict[str, pa.DataType] = {
        **dict.fromkeys(texts, pa.string()),
        **dict.fromkeys(wholes, pa.int64()),
        **dict.fromkeys(("iteration_history", "validation_iterations"), pa.list_(pa.int32())),
        **dict.fromkeys(("loss_history", "validation_psnr_y_db"), pa.list_(pa.float32())),
    }
    return columns.schema("zoo", kinds)


def is_zoo(manifest: Mapping[str, Any]) -> bool:
    """Return whether a run directory is one of these."""
    return {"architecture", "training_set"} <= set(manifest["plan"])


def run(config: ZooConfig, run_dir: Path) -> str:
    """Train what is not trained yet, measure all networks and write the report.

    Returns:
        What was done and where to look; of a dry run, the plan and its cost.

    Raises:
        InputError: for flags, photographs, weights and directories that cannot be used, and if
            every network diverged.
        OSError: if the disk is full.
    """
    networks = make_networks(config)
    shard = shards.choose(config.shard, config.num_shards)
    if not config.benchmark:
        raise InputError("--benchmark is empty; name a set to measure networks on.")
    plan.refuse_twice("benchmark", [evaluation.parse_set(text)[0] for text in config.benchmark])
    pool = _Pool(config, _validation_set(config, run_dir))
    for scale in config.scale:
        for text in config.benchmark:
            pool.benchmark(text, scale)
    features = _load_features(config)
    fleet_list = make_fleets(config, networks, features, shard)
    if config.dry_run:
        rundir.check(run_dir, rundir.TABLE)
        return cost.summary(config, fleet_list)
    for training_set, scale in dict.fromkeys(
        (network.training_set, network.scale) for fleet in fleet_list for network in fleet.networks
    ):
        pool.dataset(training_set, scale)
    digests = {
        one.name: pool.digest(one) for one in dict.fromkeys(n.training_set for n in networks)
    }
    facts = {**_facts(config), "photographs": digests, "validation": pool.validation_set}
    free = ("benchmark", "validation")
    results = store.Store(run_dir, facts, schema(), network={}, shard=shard, free=free)
    try:
        with storage.naming(run_dir):
            storage.make_folder(run_dir / network_files.NETWORKS, "--run_dir")
            _train(config, run_dir, networks, fleet_list, pool, results)
            statuses = jaxfleet.open(run_dir).to_pandas(["status"])["status"]
            if len(statuses) < len(networks):
                return (
                    f"Shard {shard.index} of {shard.count} is done, {len(statuses)} of "
                    f"{len(networks)} networks in all. The last shard to end writes the report."
                )
            if (statuses == "diverged").all():
                raise InputError(
                    "every network diverged; give a new --run_dir and a lower --learning_rate."
                )
            evaluate.evaluate(run_dir, config.benchmark, config.vgg_weights or None)
            page = report.write(run_dir, planned=len(networks))
            rundir.finish(run_dir)
    finally:
        results.close()
    executors.clear_checkpoints(run_dir)  # once their lock is free
    return f"{counted(len(networks), 'network')}. Look at {page}"


def _validation_set(config: ZooConfig, run_dir: Path) -> str:
    """Return the set that networks are validated on while they train: the run's first one.

    A run keeps to it, so that the table is of one set; `evaluation.parquet` has any others.
    """
    if not (run_dir / rundir.MANIFEST).exists():
        return config.benchmark[0]
    plan = rundir.read(run_dir)["plan"]
    return str(plan.get("validation") or plan.get("benchmark", config.benchmark)[0])


class _Pool:
    """Photographs that are read once."""

    def __init__(self, config: ZooConfig, validation_set: str) -> None:
        self.config = config
        self.validation_set = validation_set
        self.dataset = functools.cache(self._dataset)
        self.benchmark = functools.cache(self._benchmark)

    def _dataset(self, training_set: TrainingSet, scale: int) -> training_sets.Dataset:
        return training_sets.load(
            training_set,
            scale=scale,
            crop_px=self.config.crop_px,
            data_dir=self.config.data_dir or None,
        )

    def _benchmark(self, text: str, scale: int) -> evaluation.BenchmarkSet:
        return evaluation.load_set(*evaluation.parse_set(text), scale)

    def validation(self, scale: int) -> evaluation.BenchmarkSet:
        """Return the set that networks are validated on while they train."""
        return self.benchmark(self.validation_set, scale)

    def digest(self, training_set: TrainingSet) -> str:
        """Return the digest of the photographs, at the first of the scales."""
        pixels = np.asarray(self.dataset(training_set, self.config.scale[0]).high)
        return rundir.checksum(pixels.tobytes())


def _train(
    config: ZooConfig,
    run_dir: Path,
    networks: Sequence[PlannedNetwork],
    fleet_list: Sequence[PlannedFleet],
    pool: _Pool,
    results: store.Store,
) -> None:
    results.done -= _lost(run_dir, networks, results.done)
    works = [_make_work(config, run_dir, fleet, pool) for fleet in fleet_list]
    own = [network for fleet in fleet_list for network in fleet.networks]
    flops = sum(
        fleet.flops * fleet.program.recipe.num_iters
        for fleet in fleet_list
        for network in fleet.networks
        if network.trial_id not in results.done
    )
    done = sum(network.trial_id in results.done for network in own)
    if done < len(own):
        rundir.unfinish(run_dir)
        for scale in dict.fromkeys(network.scale for network in own):
            pool.validation(scale)  # refused now if it cannot be read any more
    with Progress(len(own), flops / GIGA, fits_done=done, unit="networks", work="GFLOP") as display:
        for name in results.set_aside:
            display.note(f"{name} was damaged or missing; its networks are trained again.")
        executors.run_here(works, results, display, checkpoint_minutes=config.checkpoint_minutes)
    results.merge()


def _make_work(
    config: ZooConfig, run_dir: Path, fleet: PlannedFleet, pool: _Pool
) -> executors.Work:
    program, recipe = fleet.program, fleet.program.recipe

    def start(skip: Sequence[int]) -> sr_trainer.ZooTrainer:
        sets = list(dict.fromkeys(network.training_set for network in fleet.networks))
        scale = fleet.networks[0].scale
        return sr_trainer.ZooTrainer(
            program,
            [
                sr_trainer.TrainingJob(
                    network.seed,
                    sets.index(network.training_set),
                    _beginning(config, run_dir, network, program),
                )
                for network in fleet.networks
            ],
            [pool.dataset(one, scale) for one in sets],
            strategy=fleet.strategy(config, jax.local_devices()),
            log_every=min(config.log_every, recipe.num_iters),
            validate_every=config.validate_every or max(1, recipe.num_iters // 10),
            validate=lambda model: _measure(model, pool.validation(scale))["psnr_y_db"],
            skip=skip,
            work=fleet.flops / GIGA,
        )

    def row(trained: TrainedNetwork) -> dict[str, Any]:
        return _keep(config, run_dir, fleet, trained, pool)

    ids = np.array([network.trial_id for network in fleet.networks])
    return executors.Work(fleet.name, ids, start, row, shown="psnr_y_db")


def _keep(
    config: ZooConfig, run_dir: Path, fleet: PlannedFleet, trained: TrainedNetwork, pool: _Pool
) -> dict[str, Any]:
    """Write a network's file, and return its row of the table."""
    network, program = fleet.networks[trained.job], fleet.program
    overrides = dict(network.architecture.overrides)
    facts = {
        "network": network.name,
        "loss": network.loss,
        "training_set": network.training_set.name,
        "seed": network.seed,
        "num_iters": program.recipe.num_iters,
    }
    saved = network_files.SavedNetwork(
        network.architecture.base,
        network.scale,
        overrides,
        facts,
        torch_names.to_arrays(program.model(trained.params)),
    )
    measured = {"psnr_y_db": float("nan"), "ssim_y": float("nan")}
    if trained.status == "done":
        path = evaluate.network_path(run_dir, network.name)
        network_files.write(path, saved, half=config.half_weights)
        measured = _measure(network_files.read(path).build(), pool.validation(network.scale))
    return {
        "trial_id": network.trial_id,
        **facts,
        "architecture": network.architecture.name,
        "overrides": json.dumps(overrides),
        "scale": network.scale,
        "status": trained.status,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
        **measured,
        "iteration_history": trained.iterations,
        "loss_history": trained.losses,
        "validation_iterations": trained.scored,
        "validation_psnr_y_db": trained.scores,
        "seconds": trained.seconds,
    }


def _measure(model: nnx.Module, pictures: evaluation.BenchmarkSet) -> dict[str, float]:
    """Return means over a set, exact pictures left out of that of decibels."""
    rows = evaluation.measure(functools.partial(run_network, nnx.split(model)), pictures)
    return {name: decibels.mean([row[name] for row in rows]).db for name in ("psnr_y_db", "ssim_y")}


def _beginning(
    config: ZooConfig, run_dir: Path, network: PlannedNetwork, program: TrainingProgram
) -> Callable[[], Any] | None:
    """Return the parameters that a network goes on from; None where they are drawn."""
    if config.pretraining == "none" or network.loss == "l1":
        return None
    path = evaluate.network_path(run_dir, network.name_with("l1"))

    def read() -> Any:
        if not path.exists():  # its training diverged, and so will this one, at once
            return jax.tree.map(lambda leaf: np.full(leaf.shape, np.nan), program.shapes.params)
        return nnx.state(network_files.read(path).build(), nnx.Param)

    return read


def _lost(run_dir: Path, networks: Sequence[PlannedNetwork], done: set[int]) -> set[int]:
    """Return the networks in the table whose files are gone."""
    if not done:
        return set()
    there = set(storage.names(run_dir / network_files.NETWORKS))
    frame = jaxfleet.open(run_dir).to_pandas(["trial_id", "status"])
    saved = frame[frame["status"] == "done"]["trial_id"].tolist()
    return {i for i in saved if evaluate.network_path(run_dir, networks[i].name).name not in there}


def _load_features(config: ZooConfig) -> dict[str, losses.FeatureNetwork | None]:
    """Return the feature networks by loss.

    Raises:
        InputError: if a loss needs weights that are not given, or cannot be read.
    """
    paths = {"vgg_adv": config.vgg_weights, "resnet_adv": config.resnet_weights}
    found: dict[str, losses.FeatureNetwork | None] = {}
    for loss in config.loss:
        path = paths.get(loss)
        if path == "":
            flag = loss.removesuffix("_adv")
            raise InputError(f"--loss={loss} compares features: --{flag}_weights=FILE names them.")
        try:
            found[loss] = losses.load_features(loss, path)
        except (ValueError, FileNotFoundError, ImportError) as error:
            raise InputError(str(error)) from error
    if config.vgg_weights and "vgg_adv" not in found:  # the measures at the end need them
        try:
            feature_networks.load_vgg19(config.vgg_weights)
        except (ValueError, FileNotFoundError, ImportError) as error:
            raise InputError(f"--vgg_weights: {error}") from error
    return found


def _facts(config: ZooConfig) -> dict[str, Any]:
    """Return the flags that define the results."""
    return {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name not in _NEUTRAL
    }
