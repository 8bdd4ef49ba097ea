"""Networks of one architecture and scale trained side by side, a group of them on each device.

Devices do not wait for each other: a thread serves each, and takes the next group when its own has
ended. What a group is, and what is compiled for it: `groups`.

Where a plan has fewer networks than devices, one after the other has them all, its batch spread.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxfleet.progress import Underway
from jaxsr.datasets import training_sets
from jaxsr.training import strategy as training_strategy
from jaxsr.training.program import Constants, TrainingProgram, TrainingState
from jaxsr.training.strategy import Strategy

Tree = Any

SEGMENT_SECONDS = 2.0  # until the host has a look


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """One network to train.

    Attributes:
        seed: of its weights and batches.
        dataset: which of the trainer's.
        start: gives the parameters to go on from; None to draw them.
    """

    seed: int
    dataset: int = 0
    start: Callable[[], Tree] | None = None


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """One trained network.

    Attributes:
        job: its place among the jobs.
        status: "done" or "diverged".
        params: the averaged parameters, a tree of numpy arrays; those before it diverged.
        iterations: [T] int32, where the loss was noted.
        losses: [T] float32, its running mean.
        scored: [S] int32, updates before each validation.
        scores: [S] float32, what validation gave.
        seconds: wall time, shared evenly among the networks of a group.
    """

    job: int
    status: str
    params: Tree
    iterations: np.ndarray
    losses: np.ndarray
    scored: np.ndarray
    scores: np.ndarray
    seconds: float


@dataclasses.dataclass
class _Group:
    """Networks that are updated together, as far as they are."""

    jobs: list[int]
    states: list[TrainingState] | None = None  # on the host until a device takes them
    iteration: int = 0
    iterations: list[int] = dataclasses.field(default_factory=list)
    losses: list[np.ndarray] = dataclasses.field(default_factory=list)
    scored: list[int] = dataclasses.field(default_factory=list)
    scores: list[np.ndarray] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


@dataclasses.dataclass
class _Lane:
    """A device, or several: what is there, the group that is trained, and that group's states."""

    mesh: Mesh
    everywhere: NamedSharding  # a copy on each of its devices
    constants: Constants
    datasets: dict[int, training_sets.Dataset]
    group: _Group | None = None
    states: Any = None
    updates: int = 0  # made in the last segment, of all its networks


class ZooTrainer:
    """Train every job; call `step` until it says there is nothing left.

    Args:
        program: of all jobs.
        jobs: the networks.
        datasets: that the jobs count; sent to a device when a network there needs it.
        strategy: from `training_strategy.choose`.
        devices: to train on; None for all of this process.
        log_every: updates between notes of the loss.
        validate_every: updates between validations; there is one at the end in any case.
        validate: of a network with averaged weights, any number; None for no validation.
        skip: jobs that need no training.
        work: what an update of a network counts for, for `work_done`.
        wanted_seconds: of a segment; it lasts longer by the rest of a call.
    """

    def __init__(
        self,
        program: TrainingProgram,
        jobs: Sequence[TrainingJob],
        datasets: Sequence[training_sets.Dataset],
        *,
        strategy: Strategy,
        devices: Sequence[jax.Device] | None = None,
        log_every: int = 50,
        validate_every: int = 1000,
        validate: Callable[[nnx.Module], float] | None = None,
        skip: Sequence[int] = (),
        work: float = 1.0,
        wanted_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        """Make lanes; nothing is compiled or sent yet."""
        self.program, self.strategy = program, strategy
        self.log_every, self.validate_every = log_every, validate_every
        self.work_done = self.segment_seconds = 0.0  # in the last segment
        self._wanted_seconds = wanted_seconds
        self._jobs, self._datasets, self._validate, self._work = jobs, datasets, validate, work
        left = [job for job in range(len(jobs)) if job not in set(skip)]
        devices = list(devices or jax.local_devices())
        self._lanes = []
        for some in [devices] if strategy.spread else [[device] for device in devices]:
            mesh = jax.make_mesh(
                (len(some),), (training_strategy.BATCH,), (AxisType.Auto,), devices=some
            )
            everywhere = NamedSharding(mesh, PartitionSpec())
            constants = jax.device_put(program.constants, everywhere)
            self._lanes.append(_Lane(mesh, everywhere, constants, {}))
        self._waiting = self._grouped(left)
        self._threads = concurrent.futures.ThreadPoolExecutor(len(self._lanes))
        self._advance = training_strategy.compiled(
            program, strategy, self._lanes[0].mesh if strategy.spread else None
        )

    @property
    def training(self) -> np.ndarray:
        """[N] bool, all true: one for every network in training or taken up again."""
        return np.ones(len(self.underway()), bool)

    def underway(self) -> list[Underway]:
        """Return how far each network in training, or taken up again, is."""
        total = self.program.recipe.num_iters
        return [
            Underway(group.iteration, total, self._work)
            for group in self._begun()
            for _ in group.jobs
        ]

    def _begun(self) -> list[_Group]:
        begun = [lane.group for lane in self._lanes if lane.group]
        return begun + [group for group in self._waiting if group.states is not None]

    def step(self) -> list[TrainedNetwork] | None:
        """Train for a segment and return what finished; None when all is done."""
        for lane in self._lanes:
            if lane.group is None and self._waiting:
                lane.group = self._waiting.pop(0)
        busy = [lane for lane in self._lanes if lane.group]
        if not busy:
            self._threads.shutdown()
            return None
        start = time.perf_counter()
        finished = [one for found in self._threads.map(self._segment, busy) for one in found]
        self.segment_seconds = time.perf_counter() - start
        self.work_done = self._work * sum(lane.updates for lane in busy)
        return finished

    def losses(self) -> np.ndarray:
        """Return mean squared errors equal to the last validations in dB."""
        scores = [lane.group.scores[-1] for lane in self._lanes if lane.group and lane.group.scores]
        return 10.0 ** (-np.concatenate(scores) / 10.0) if scores else np.zeros(0)

    def snapshot(self) -> dict[str, Any]:
        """Return everything in flight, as numpy arrays; `restore` takes it back on any machine."""
        for lane in self._lanes:
            if lane.group:
                lane.group.states = self._unpacked(lane)
        return {"groups": [_as_arrays(group) for group in self._begun()]}

    def restore(self, snapshot: Mapping[str, Any], done: Sequence[int] = ()) -> bool:
        """Go on from a snapshot of the same program and jobs; groups that are `done` are left.

        Returns False, and does nothing, if the snapshot is of other networks.
        """
        shapes = self.program.shapes
        structure = jax.tree.structure(shapes)
        expected = [leaf.shape for leaf in jax.tree.leaves(shapes)]
        taken = []
        for arrays in snapshot["groups"]:
            members = arrays["states"]
            if any([leaf.shape for leaf in leaves] != expected for leaves in members):
                return False
            group = _from_arrays(arrays, [jax.tree.unflatten(structure, m) for m in members])
            if not set(group.jobs) <= set(done):
                taken.append(group)
        begun = {job for group in taken for job in group.jobs}
        left = [j for group in self._waiting for j in group.jobs if j not in begun]
        self._waiting = taken + self._grouped(left)
        return True

    def _grouped(self, jobs: Sequence[int]) -> list[_Group]:
        """Group jobs as equally as possible, so that few sizes are compiled."""
        lanes = len(self._lanes)
        rounds = -(-len(jobs) // (self.strategy.group * lanes))
        size = -(-len(jobs) // (rounds * lanes)) if jobs else 1
        return [_Group(list(jobs[i : i + size])) for i in range(0, len(jobs), size)]

    def _segment(self, lane: _Lane) -> list[TrainedNetwork]:
        """Update a lane's group until time is up or it has ended; in a thread of its own."""
        group = lane.group
        assert group is not None
        start, first = time.perf_counter(), group.iteration
        if lane.states is None:
            self._place(lane, group)
        total = self.program.recipe.num_iters
        ended = False
        while not ended:
            every = (self.log_every, self.validate_every)
            event = min(total, *(group.iteration // n * n + n for n in every))
            count = min(self.strategy.updates, event - group.iteration)
            self._call(lane, group, count)
            group.iteration += count
            ended = group.iteration == total
            if ended or group.iteration % self.log_every == 0:
                ended |= not self._note(lane, group)
            if ended or group.iteration % self.validate_every == 0:
                self._score(lane, group)
            if time.perf_counter() - start > self._wanted_seconds:
                break
        lane.updates = (group.iteration - first) * len(group.jobs)
        group.seconds += time.perf_counter() - start
        return self._collect(lane, group) if ended else []

    def _place(self, lane: _Lane, group: _Group) -> None:
        """Draw weights, or take those of the host, and send them with their data."""
        jobs = [self._jobs[job] for job in group.jobs]
        states = group.states or [
            self.program.init(job.seed, job.start() if job.start else None) for job in jobs
        ]
        group.states = None
        lane.states = jax.device_put(self._packed(states), lane.everywhere)
        for index in {job.dataset for job in jobs} - set(lane.datasets):
            first = lane.mesh.devices[0]
            lane.datasets[index] = jax.device_put(self._datasets[index], first)

    def _call(self, lane: _Lane, group: _Group, count: int) -> None:
        recipe = self.program.recipe
        batches = tuple(
            training_strategy.draw(
                np.int32(self._jobs[job].seed),
                np.int32(group.iteration),
                lane.datasets[self._jobs[job].dataset],
                count=count,
                batch_size=recipe.batch_size,
                crop_px=recipe.crop_px,
            )
            for job in group.jobs
        )
        spread = NamedSharding(lane.mesh, PartitionSpec(None, training_strategy.BATCH))
        lane.states = self._advance(lane.states, lane.constants, jax.device_put(batches, spread))
        jax.block_until_ready(jax.tree.leaves(lane.states)[-1])

    def _note(self, lane: _Lane, group: _Group) -> bool:
        """Keep the losses; return whether any network is still finite."""
        states = self._unpacked(lane)
        finite = np.array([bool(state.is_finite) for state in states])
        losses = np.array([float(state.loss) for state in states])
        group.iterations.append(group.iteration)
        group.losses.append(np.where(finite, losses, np.nan).astype(np.float32))
        return bool(finite.any())

    def _score(self, lane: _Lane, group: _Group) -> None:
        if self._validate is None:
            return
        models = [self.program.model(state.average) for state in self._unpacked(lane)]
        group.scored.append(group.iteration)
        group.scores.append(np.array([self._validate(model) for model in models], np.float32))

    def _collect(self, lane: _Lane, group: _Group) -> list[TrainedNetwork]:
        states = jax.device_get(self._unpacked(lane))
        lane.group = lane.states = None
        losses = np.stack(group.losses, axis=1)
        scores = np.reshape(group.scores, (-1, len(states))).T.astype(np.float32)
        return [
            TrainedNetwork(
                job=job,
                status="done" if state.is_finite else "diverged",
                params=state.average,
                iterations=np.array(group.iterations, np.int32),
                losses=losses[i],
                scored=np.array(group.scored, np.int32),
                scores=scores[i],
                seconds=group.seconds / len(states),
            )
            for i, (job, state) in enumerate(zip(group.jobs, states, strict=True))
        ]

    def _packed(self, states: Sequence[TrainingState]) -> Any:
        if not self.strategy.stacked:
            return tuple(states)
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *states)

    def _unpacked(self, lane: _Lane) -> list[TrainingState]:
        if not self.strategy.stacked:
            return list(lane.states)
        assert lane.group is not None
        return [
            jax.tree.map(lambda leaf, i=i: leaf[i], lane.states)
            for i in range(len(lane.group.jobs))
        ]


def _as_arrays(group: _Group) -> dict[str, Any]:
    assert group.states is not None
    members = len(group.jobs)
    return {
        "states": [jax.tree.leaves(jax.device_get(state)) for state in group.states],
        "jobs": np.array(group.jobs),
        "iteration": np.array(group.iteration),
        "iterations": np.array(group.iterations, np.int32),
        "losses": np.reshape(group.losses, (-1, members)).astype(np.float32),
        "scored": np.array(group.scored, np.int32),
        "scores": np.reshape(group.scores, (-1, members)).astype(np.float32),
        "seconds": np.array(group.seconds),
    }


def _from_arrays(arrays: Mapping[str, Any], states: list[TrainingState]) -> _Group:
    return _Group(
        jobs=arrays["jobs"].tolist(),
        states=states,
        iteration=int(arrays["iteration"]),
        iterations=arrays["iterations"].tolist(),
        losses=list(arrays["losses"]),
        scored=arrays["scored"].tolist(),
        scores=list(arrays["scores"]),
        seconds=float(arrays["seconds"]),
    )
