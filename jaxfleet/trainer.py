"""The host's side of a fleet: fills slots with jobs, collects what finishes, refills.

A job is a row of `hyper`: job i's networks, rates, budgets and data index. Lanes are copies of the
fleet that run at the same time from one Python thread each: one lane over all devices as a rule;
one per core in a process where JAX has started with a single CPU device (a notebook).
"""

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from jaxfleet import fleet, histories
from jaxfleet.progress import Underway

Tree = Any

SEGMENT_SECONDS = 1.0  # aimed at: long enough to hide the host, short enough to watch
MAX_GROUPS_PER_SHARD = 32


@dataclasses.dataclass(frozen=True)
class Best:
    """A network in training, with the best parameters so far.

    Attributes:
        job: its row in `hyper`.
        iteration: updates made.
        loss: of `params`.
        params: a tree of numpy arrays.
    """

    job: int
    iteration: int
    loss: float
    params: Tree


@dataclasses.dataclass(frozen=True)
class Finished:
    """One trained network.

    Attributes:
        job: its row in `hyper`.
        status: "done", "target" or "diverged".
        params: the best parameters, a tree of numpy arrays.
        result: what the program keeps beside them.
        loss: after the last update; NaN where diverged.
        best_loss: of `params`; inf if no loss was ever finite.
        best_iteration: updates made before `params`.
        iterations: [T] int32, where the loss was noted: see `histories.log_points`.
        losses: [T] float32; the last one is not finite where diverged.
        seconds: wall time, shared evenly among the networks that trained at the time.
    """

    job: int
    status: str
    params: Tree
    result: Tree
    loss: float
    best_loss: float
    best_iteration: int
    iterations: np.ndarray
    losses: np.ndarray
    seconds: float


def usable_cores() -> int:
    """Return the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lanes(devices: Sequence[jax.Device] | None = None) -> list[Mesh]:
    """Return meshes that train side by side: one over all devices, or one per core of a lone CPU.

    A process that asked JAX for one CPU device has one core of the machine, and so one mesh.
    """
    devices = list(devices or jax.local_devices())
    mesh = jax.make_mesh((len(devices),), (fleet.SLOTS,), (AxisType.Auto,), devices=devices)
    chosen: int = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]  # set at run time
    alone = len(devices) == 1 and devices[0].platform == "cpu" and chosen != 1
    return [mesh] * (usable_cores() if alone else 1)


def layout(jobs: int, shards: int, group: int) -> tuple[int, int]:
    """Return (group, slots on each shard) for a number of jobs: even, and never above `group`."""
    share = max(1, -(-jobs // shards))
    groups = min(-(-share // group), MAX_GROUPS_PER_SHARD)
    group = min(group, -(-share // groups))
    return group, group * groups


class FleetTrainer:
    """Train every job of `hyper`; call `step` until it says there is nothing left.

    Args:
        program: a `fleet.Program`, with its `group` as `layout` gave it.
        hyper: name -> [J] array, one row per job: learning_rate, num_iters, target_loss and what
            the program needs.
        data: shared by all jobs, a tree of arrays; sent to each device once.
        work: [J] what one iteration of a job counts for, e.g. its pixels; for `work_done`.
        params: job -> its initial parameters, a tree of numpy arrays.
        skip: jobs that need no training.
        meshes: from `lanes`.
        log_spacing: one of `histories.SPACINGS`, which multiples of `log_every` are noted.
    """

    def __init__(
        self,
        program: fleet.Program,
        hyper: Mapping[str, np.ndarray],
        data: Tree,
        *,
        work: np.ndarray,
        params: Callable[[int], Tree],
        slots_per_shard: int,
        skip: Sequence[int] = (),
        meshes: Sequence[Mesh] | None = None,
        log_spacing: str = "linear",
    ) -> None:
        """Send the data to the devices and create idle slots."""
        self.program, self.hyper, self._params = program, dict(hyper), params
        self._work, self._log_spacing = np.asarray(work, float), log_spacing
        self.work_done = self.segment_seconds = 0.0  # in the last segment
        meshes = meshes or lanes()
        self._fleet = fleet.fleet(program, meshes[0])
        self._data = jax.device_put(data, self._fleet.everywhere)
        self._per_lane = slots_per_shard * meshes[0].size
        self.slots = self._per_lane * len(meshes)
        # Neighbouring jobs go to different shards, so that each has as much to do.
        order = np.arange(self.slots).reshape(-1, slots_per_shard).T.ravel()
        self._fill_order = order
        self.job = np.full(self.slots, -1)
        self._seconds = np.zeros(self.slots)
        self._history: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(self.slots)]
        budgets = np.asarray(hyper["num_iters"])
        left = np.setdiff1d(np.arange(len(budgets)), np.asarray(skip, int))
        self.queue = list(left[np.argsort(-budgets[left], kind="stable")])
        row = {name: values[np.zeros(self._per_lane, int)] for name, values in self.hyper.items()}
        self._blank = jax.tree.map(np.zeros_like, params(0))
        self.states = [self._fleet.idle(self._blank, row) for _ in meshes]
        self._threads = concurrent.futures.ThreadPoolExecutor(len(meshes))
        self._seconds_per_interval = 0.0

    @property
    def training(self) -> np.ndarray:
        """[N] bool: slots with a job in them."""
        return self.job >= 0

    def step(self) -> list[Finished] | None:
        """Refill, train for one segment and return what finished; None when all is done."""
        self._refill()
        if not self.training.any():
            self._threads.shutdown()
            return None
        intervals = self._intervals()
        start = time.perf_counter()
        before = self._gather("iteration")
        losses = np.concatenate(self._each_lane(lambda i: self._segment(i, intervals)))
        status, after = self._gather("status"), self._gather("iteration")
        self.segment_seconds = time.perf_counter() - start
        self._seconds_per_interval = self.segment_seconds / intervals
        self._seconds[self.training] += self.segment_seconds / self.training.sum()
        self.work_done = float((self._work[self.job] * (after - before))[self.training].sum())
        for slot in np.flatnonzero(self.training).tolist():
            self._note(slot, losses[slot], intervals, int(before[slot]), int(after[slot]))
        ended = self.training & (status != fleet.RUNNING) & (status != fleet.IDLE)
        return self._collect(np.flatnonzero(ended)) if ended.any() else []

    def underway(self) -> list[Underway]:
        """Return how far each training network is."""
        slots = np.flatnonzero(self.training)
        made, jobs = self._gather("iteration")[slots].tolist(), self.job[slots]
        totals = np.asarray(self.hyper["num_iters"])[jobs].tolist()
        return list(map(Underway, made, totals, self._work[jobs].tolist()))

    def losses(self) -> np.ndarray:
        """Return the last noted loss of each training network."""
        return np.array([self._history[s][-1][1][-1] for s in np.flatnonzero(self.training)])

    def best(self) -> list[Best]:
        """Return each training network as it is now."""
        found = []
        for slot in np.flatnonzero(self.training).tolist():
            lane, row = divmod(slot, self._per_lane)
            state = self.states[lane]
            params = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), state.best)
            iteration, loss = int(state.iteration[row]), float(state.best_loss[row])
            found.append(Best(int(self.job[slot]), iteration, loss, params))
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return everything in flight, as numpy arrays; `restore` takes it back."""
        tables = [
            [np.concatenate(column) for column in zip(*self._history[slot], strict=True)]
            if self._history[slot]
            else [np.zeros(0, np.int32), np.zeros(0, np.float32)]
            for slot in range(self.slots)
        ]
        return {
            "states": [jax.tree.leaves(jax.device_get(state)) for state in self.states],
            "job": self.job.copy(),
            "seconds": self._seconds.copy(),
            "length": np.array([len(table[0]) for table in tables]),
            "iterations": np.concatenate([table[0] for table in tables]),
            "losses": np.concatenate([table[1] for table in tables]),
        }

    def restore(self, snapshot: Mapping[str, Any], done: Sequence[int] = ()) -> bool:
        """Go on from a snapshot of the same program and jobs; `done` jobs are left out.

        Returns False, and does nothing, if the snapshot has other slots than this machine.
        """
        if _shapes(snapshot["states"]) != _shapes([jax.tree.leaves(s) for s in self.states]):
            return False
        structure = jax.tree.structure(self.states[0])
        self.states = [
            jax.device_put(jax.tree.unflatten(structure, list(leaves)), self._fleet.slots)
            for leaves in snapshot["states"]
        ]
        self.job = np.array(snapshot["job"])
        self._seconds = np.array(snapshot["seconds"])
        ends = np.cumsum(snapshot["length"])[:-1]
        tables = zip(
            np.split(snapshot["iterations"], ends), np.split(snapshot["losses"], ends), strict=True
        )
        self._history = [[table] if len(table[0]) else [] for table in tables]
        self.job[np.isin(self.job, np.asarray(done, int))] = -1
        self._retire(~self.training)
        taken = set(self.job.tolist())
        self.queue = [job for job in self.queue if job not in taken]
        return True

    def _segment(self, lane: int, intervals: int) -> np.ndarray:
        state, losses = self._fleet.segment(self.states[lane], self._data, np.int32(intervals))
        self.states[lane] = state
        return np.asarray(losses)

    def _each_lane(self, work: Callable[[int], Any]) -> list[Any]:
        return list(self._threads.map(work, range(len(self.states))))

    def _gather(self, name: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(state, name)) for state in self.states])

    def _split(self, values: np.ndarray, lane: int) -> np.ndarray:
        return values[lane * self._per_lane : (lane + 1) * self._per_lane]

    def _intervals(self) -> int:
        """Return log intervals of the next segment: up to the next end, within about a second."""
        slots = np.flatnonzero(self.training)
        budgets = np.asarray(self.hyper["num_iters"])[self.job[slots]]
        left = -(-(budgets - self._gather("iteration")[slots]) // self.program.log_every)
        wanted = max(int(left.min()), int(np.median(budgets)) // (16 * self.program.log_every), 1)
        if (np.asarray(self.hyper["target_loss"])[self.job[slots]] > 0).any():
            wanted = min(wanted, max(1, int(left.max()) // 8))
        if self._seconds_per_interval:
            wanted = min(wanted, max(1, round(SEGMENT_SECONDS / self._seconds_per_interval)))
        else:
            wanted = 1  # a signal waits for its end
        return min(wanted, self.program.max_logs)

    def _note(self, slot: int, losses: np.ndarray, intervals: int, first: int, last: int) -> None:
        at = first + self.program.log_every * np.arange(intervals, dtype=np.int32)
        seen = (at < last) | (at == first)
        seen &= histories.is_log_point(at, self.program.log_every, self._log_spacing)
        if seen.any():
            self._history[slot].append((at[seen], losses[:intervals][seen]))

    def _refill(self) -> None:
        free = [slot for slot in self._fill_order if self.job[slot] < 0][: len(self.queue)]
        if not free:
            return
        jobs, self.queue = self.queue[: len(free)], self.queue[len(free) :]
        mask = np.zeros(self.slots, bool)
        mask[free] = True
        self.job[free], self._seconds[free] = jobs, 0.0
        for slot in free:
            self._history[slot] = []
        rows = np.where(mask, self.job, jobs[0])
        hyper = {name: np.asarray(values)[rows] for name, values in self.hyper.items()}
        trees = [
            self._params(int(job)) if new else self._blank
            for job, new in zip(rows, mask, strict=True)
        ]
        params = jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
        for lane, state in enumerate(self.states):
            part = self._split(mask, lane)
            if part.any():
                placed = jax.tree.map(lambda x, lane=lane: self._split(x, lane), (params, hyper))
                placed = jax.device_put(placed, self._fleet.slots)
                self.states[lane] = self._fleet.refill(state, part, *placed)

    def _retire(self, free: np.ndarray) -> None:
        """Mark slots [N] bool as idle on the device, so that their groups cost nothing."""
        for lane, state in enumerate(self.states):
            part = self._split(free, lane)
            status = jnp.where(part, fleet.IDLE, state.status)
            self.states[lane] = dataclasses.replace(
                state, status=jax.device_put(status, self._fleet.slots)
            )

    def _collect(self, slots: np.ndarray) -> list[Finished]:
        def finish(lane: int) -> Tree:
            if not np.isin(self._split(np.arange(self.slots), lane), slots).any():
                return None
            self.states[lane], result = self._fleet.finish(self.states[lane], self._data)
            return jax.tree.map(np.asarray, result)

        results = self._each_lane(finish)
        names = ("status", "iteration", "loss", "best_loss", "best_iteration")
        columns = {name: self._gather(name) for name in names}
        best = [jax.tree.map(np.asarray, state.best) for state in self.states]
        finished = []
        for slot in slots:
            lane, row = divmod(int(slot), self._per_lane)
            status = int(columns["status"][slot])
            iterations, losses = (np.concatenate(x) for x in zip(*self._history[slot], strict=True))
            last = columns["iteration"][slot]
            if iterations[-1] != last:
                iterations = np.append(iterations, last)
                losses = np.append(losses, columns["loss"][slot])
            finished.append(
                Finished(
                    job=int(self.job[slot]),
                    status=fleet.STATUS_NAMES[status],
                    params=jax.tree.map(lambda x, row=row: x[row].copy(), best[lane]),
                    result=jax.tree.map(lambda x, row=row: x[row].copy(), results[lane]),
                    loss=float(columns["loss"][slot]) if status != fleet.DIVERGED else float("nan"),
                    best_loss=float(columns["best_loss"][slot]),
                    best_iteration=int(columns["best_iteration"][slot]),
                    iterations=iterations.astype(np.int32),
                    losses=losses.astype(np.float32),
                    seconds=float(self._seconds[slot]),
                )
            )
        self.job[slots] = -1
        gone = np.zeros(self.slots, bool)
        gone[slots] = True
        self._retire(gone)
        return finished


def _shapes(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf.shape, tree)
