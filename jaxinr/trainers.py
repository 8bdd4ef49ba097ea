"""How the trials of a bucket are trained: their arrays, and where they begin."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jaxfleet import executors, trainer
from jaxinr import kind as kinds
from jaxinr import pixels as minibatches
from jaxinr.buckets import AnyBucket, CpuBucket, seconds_per_pixel
from jaxinr.networks import registry
from jaxinr.program import pack, pack_shuffled
from jaxinr.trial import Trial


class Watched(executors.Trainer, Protocol):
    """A trainer whose networks can be looked at while they train."""

    def best(self) -> Sequence[trainer.Best]:
        """Return each network in training, with its best parameters so far."""


def make_trainer(
    bucket: AnyBucket,
    trials: Sequence[Trial],
    pictures: Sequence[np.ndarray],
    picture_of: Sequence[int],
    *,
    target_loss: Sequence[float] | np.ndarray | None = None,
    bias_init: str = "coin",
    initial_params: Callable[[int], Any] | None = None,
    more_hyper: Mapping[str, np.ndarray] | None = None,
    skip: Sequence[int] = (),
    log_spacing: str = "linear",
) -> Watched:
    """Return a trainer of a bucket's jobs; `Finished.job` is an index into `bucket.jobs`.

    Args:
        bucket: from `make_buckets`.
        trials: all trials.
        pictures: [H, W, 3] arrays, uint8 or all float32; asked for those of the jobs alone.
        picture_of: for each trial, the index of its picture.
        target_loss: for each trial, the loss at which it may stop; 0 for never.
        bias_init: see `registry.init`.
        initial_params: index of a trial -> weights at its own width to start from, in place of
            those of its seed.
        more_hyper: name -> [number of trials] array, what the program needs beside `Trial`; of the
            CPU kernel `first_layer`, the first layer that is trained.
        skip: positions in `bucket.jobs` that need no training.
        log_spacing: one of `histories.SPACINGS`.
    """
    jobs = bucket.jobs
    targets = np.zeros(len(jobs), np.float32)
    if target_loss is not None:
        targets += np.asarray(target_loss, np.float32)[jobs]
    if isinstance(bucket, CpuBucket):
        return _make_team(
            bucket, trials, pictures, picture_of, targets,
            bias_init=bias_init, initial_params=initial_params, skip=skip, log_spacing=log_spacing,
            first_layers=(more_hyper or {}).get("first_layer"),
        )  # fmt: skip
    program = bucket.program
    used = sorted({picture_of[job] for job in jobs})
    place = {picture: i for i, picture in enumerate(used)}
    own = [trials[job] for job in jobs]
    shapes = np.array([pictures[picture_of[job]].shape[:2] for job in jobs], np.int32)
    hyper: dict[str, np.ndarray] = {
        name: np.array([getattr(trial, name) for trial in own], kind)
        for name, kind in (
            ("learning_rate", np.float32),
            ("learning_rate_decay", np.float32),
            ("num_iters", np.int32),
            *registry.KINDS[program.network].traced_types(),
        )
    }
    hyper["target_loss"] = targets
    hyper["image"] = np.array([place[picture_of[job]] for job in jobs], np.int32)
    hyper["height"], hyper["width"] = shapes[:, 0], shapes[:, 1]
    counts = shapes.prod(axis=1).tolist()
    used_pictures = [pictures[picture] for picture in used]
    data: Any
    if program.is_stochastic:
        pairs = zip(own, counts, strict=True)
        hyper["offset"] = np.array([minibatches.first_of(*pair) for pair in pairs], np.int32)
        wrap = int(np.prod(program.drawn))
        data = pack_shuffled(used_pictures, program.blocks, program.block, wrap)
    else:
        data = pack(used_pictures, program.blocks, program.block)
    hyper |= {name: values[jobs] for name, values in (more_hyper or {}).items()}

    def start(position: int) -> Any:
        job = int(jobs[position])
        if initial_params is not None:
            return kinds.pad(initial_params(job), program.layer_shapes)
        return kinds.pad(registry.init(trials[job], bias_init=bias_init), program.layer_shapes)

    return trainer.FleetTrainer(
        program,
        hyper,
        data,
        work=_pixels_of_updates(own, counts),
        slots_per_shard=bucket.slots_per_shard,
        params=start,
        skip=skip,
        log_spacing=log_spacing,
    )


def _make_team(
    bucket: CpuBucket,
    trials: Sequence[Trial],
    pictures: Sequence[np.ndarray],
    picture_of: Sequence[int],
    targets: np.ndarray,
    *,
    bias_init: str,
    initial_params: Callable[[int], Any] | None,
    skip: Sequence[int],
    log_spacing: str,
    first_layers: np.ndarray | None,
) -> Watched:
    """Return a trainer that uses the CPU kernel."""
    from jaxinr.kernels import host, network  # bring in Numba

    jobs = bucket.jobs
    cores = sum(mesh.size for mesh in trainer.lanes())
    counts, own = bucket.pixels, [trials[job] for job in jobs]
    work = _pixels_of_updates(own, counts.tolist())
    seconds = [seconds_per_pixel(trial.layer_size, trial.num_layers) for trial in own]
    costs = work * np.array([trial.num_iters for trial in own]) * np.array(seconds)

    def begin(position: int) -> network.Network:
        job, count = int(jobs[position]), int(counts[position])
        trial, picture = trials[job], pictures[picture_of[job]]
        if initial_params is not None:
            params = initial_params(job)
        else:
            params = registry.init(trial, bias_init=bias_init)
        return network.Network(
            position,
            trial,
            picture,
            params,
            coordinates=bucket.coordinates,
            log_at=minibatches.log_points(trial, count, bucket.log_every, log_spacing),
            target_loss=float(targets[position]),
            cores=cores,
            first_layer=0 if first_layers is None else int(first_layers[job]),
        )

    return host.Team(begin, work=work, costs=costs, cores=cores, skip=skip)


def _pixels_of_updates(trials: Sequence[Trial], pixels: Sequence[int]) -> np.ndarray:
    """Return [N] pixels that an update of each trial takes; `pixels` are those of the pictures."""
    pairs = zip(trials, pixels, strict=True)
    return np.array([minibatches.pixels_of_update(trial, count) for trial, count in pairs], float)
