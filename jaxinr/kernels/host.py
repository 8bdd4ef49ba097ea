"""The host of the CPU kernel: cores take networks one by one, the heaviest of the next few first.

While there are as many networks as cores, each core trains one. Of the last few, a large one has
its pixels shared out to all cores. A network's numbers are the same either way; see `cpu`.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxfleet.progress import Underway
from jaxfleet.trainer import SEGMENT_SECONDS, Best, Finished
from jaxinr.kernels import cpu
from jaxinr.kernels.network import Network, Part, aligned

SORTED = 64  # networks, that the heaviest is the first of


def in_turn(costs: np.ndarray) -> np.ndarray:
    """Return the order of jobs: [J], SORTED of them after SORTED others, each the heaviest first.

    So the last ones are light, and all cores end at nearly the same time. Each SORTED of them are a
    sample of all, every so manieth, so that what a stopped run has fitted is one too.
    """
    samples = -(-len(costs) // SORTED)
    return np.lexsort((-costs, np.arange(len(costs)) % max(1, samples)))


class Team:
    """Train jobs on the cores of this process; an `executors.Trainer`.

    Args:
        begin: job -> its `Network`.
        work: [J] what one iteration of a job counts for in `work_done`, e.g. its pixels.
        costs: [J] of whole trainings, for the order; see `in_turn`.
        cores: threads at work.
        skip: jobs that need no training.
    """

    def __init__(
        self,
        begin: Callable[[int], Network],
        *,
        work: np.ndarray,
        costs: np.ndarray,
        cores: int,
        skip: Sequence[int] = (),
    ) -> None:
        """Start no training yet."""
        self._begin, self._work, self._cores = begin, np.asarray(work, float), cores
        order = in_turn(costs)
        self._queue = order[~np.isin(order, skip)][::-1].tolist()  # the next job is the last
        self._networks: list[Network] = []
        self._threads = concurrent.futures.ThreadPoolExecutor(cores)
        self._lock, self._local = threading.Lock(), threading.local()
        self.work_done = self.segment_seconds = 0.0

    @property
    def training(self) -> np.ndarray:
        """[N] bool: the networks in training, all of them true."""
        return np.ones(len(self._networks), bool)

    def step(self) -> list[Finished] | None:
        """Train for about a second and return what finished; None when all is done."""
        if not self._networks and not self._queue:
            self._threads.shutdown()
            return None
        start = time.perf_counter()
        before = {one.job: int(one.record.iteration) for one in self._networks}
        while len(self._networks) < self._cores and self._queue:
            self._networks.append(self._begin(self._queue.pop()))
        if len(self._networks) < self._cores and any(one.is_large for one in self._networks):
            ended = self._step_together(start + SEGMENT_SECONDS)
        else:
            ended = self._step_apart(start + SEGMENT_SECONDS)
        finished = list(self._threads.map(Network.finish, ended))
        self.segment_seconds = time.perf_counter() - start
        self.work_done = sum(
            float(self._work[one.job]) * (int(one.record.iteration) - before.get(one.job, 0))
            for one in (*self._networks, *ended)
        )
        return finished

    def underway(self) -> list[Underway]:
        """Return how far each network in training is."""
        return [
            Underway(int(one.record.iteration), int(one.record.num_iters), self._work[one.job])
            for one in self._networks
        ]

    def losses(self) -> np.ndarray:
        """Return the last noted loss of each network in training."""
        return np.array([one.record.loss for one in self._networks if one.record.logged])

    def best(self) -> list[Best]:
        """Return each network in training as it is now."""
        return [one.best() for one in self._networks]

    def snapshot(self) -> dict[str, Any]:
        """Return everything in flight, as numpy arrays; `restore` takes it back."""
        return {"networks": [one.snapshot() for one in self._networks]}

    def restore(self, snapshot: Mapping[str, Any], done: Sequence[int] = ()) -> bool:
        """Go on from a snapshot of the same jobs; `done` jobs are left out.

        Return False, and do nothing, if the snapshot is of another kernel.
        """
        if "networks" not in snapshot:
            return False
        over = set(np.asarray(done, int).tolist())
        saved = {int(one[0][0]): one for one in snapshot["networks"]}
        for job in saved.keys() - over:
            network = self._begin(job)
            network.restore(saved[job])
            self._networks.append(network)
        self._queue = [job for job in self._queue if job not in saved]
        return True

    def _step_apart(self, deadline: float) -> list[Network]:
        """Train a network on each core, for a turn at least; who finishes takes the next.

        Return what ended.
        """
        waiting, ended = list(reversed(self._networks)), list[Network]()
        self._networks = []

        def work(_: int) -> None:
            while True:
                with self._lock:
                    if waiting:
                        network = waiting.pop()
                    elif self._queue:
                        network = self._begin(self._queue.pop())
                    else:
                        return
                begun = time.perf_counter()
                scratch = self._scratch(network)
                while network.is_running:
                    network.advance(scratch)
                    if time.perf_counter() >= deadline:
                        break
                network.seconds += (time.perf_counter() - begun) / self._cores
                with self._lock:
                    (self._networks if network.is_running else ended).append(network)
                if time.perf_counter() >= deadline:
                    return

        list(self._threads.map(work, range(self._cores)))
        self._networks += waiting
        return ended

    def _step_together(self, deadline: float) -> list[Network]:
        """Train the first large network with all cores. Return it if it ended."""
        network = next(one for one in self._networks if one.is_large)
        begun = time.perf_counter()

        def each(work: Part, parts: int) -> None:
            left = iter(range(parts))

            def some(_: int) -> None:
                scratch = self._scratch(network)
                for part in left:  # the interpreter's lock makes this safe
                    work(part, scratch)

            list(self._threads.map(some, range(self._cores)))

        while network.is_running:
            network.advance_together(each)
            if time.perf_counter() >= deadline:
                break
        network.seconds += time.perf_counter() - begun
        if network.is_running:
            return []
        self._networks.remove(network)
        return [network]

    def _scratch(self, network: Network) -> np.ndarray:
        """Return this thread's memory, large enough for a network."""
        size = cpu.scratch_size(network.trial.num_layers, network.trial.layer_size)
        memory = getattr(self._local, "memory", None)
        if memory is None or len(memory) < size:
            memory = self._local.memory = aligned(size)
        return memory[:size]
