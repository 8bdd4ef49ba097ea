"""One job over many machines: each takes a share of the trials and talks to none of the others.

Every machine works out the same plan and cuts it in the same way, so nothing but the run directory
is shared. Trials stand in the order of their programs, and each share is a stretch of that line:
all stretches cost the same, and a machine compiles as few programs as can be.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from jaxfleet.errors import InputError


@dataclasses.dataclass(frozen=True)
class Shard:
    """Share `index` of `count`, counted from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a share that there is not."""
        if not 0 <= self.index < self.count:
            raise InputError(
                f"--shard={self.index} of --num_shards={self.count}: shards count from 0 to "
                "num_shards - 1."
            )

    @property
    def suffix(self) -> str:
        """Suffix of the names of this share's files; empty for the whole."""
        return f"-{self.index:05}-of-{self.count:05}" if self.count > 1 else ""

    def cut(self, costs: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return [N] bool: which of a line of N trials with these costs are this shard's.

        A trial belongs to the share that its middle falls into, so every trial has one shard.
        """
        costs = np.asarray(costs, float)
        middle = np.cumsum(costs) - costs / 2
        owner = np.floor(middle / costs.sum() * self.count) if costs.size else costs
        return np.minimum(owner, self.count - 1).astype(int) == self.index


WHOLE = Shard()


def from_environment(environ: Mapping[str, str] = os.environ) -> Shard | None:
    """Return the share that a batch system gives this process; None outside of one.

    SLURM job arrays (whose indices may start anywhere), Kubernetes indexed jobs, whose size is read
    from NUM_SHARDS, which the job file must set, and workers of a Cloud TPU pod.

    Raises:
        InputError: if the variables contradict each other.
    """
    if "SLURM_ARRAY_TASK_ID" in environ:
        index = _whole(environ, "SLURM_ARRAY_TASK_ID") - _whole(environ, "SLURM_ARRAY_TASK_MIN", 0)
        return Shard(index, _whole(environ, "SLURM_ARRAY_TASK_COUNT", 1))
    if "JOB_COMPLETION_INDEX" in environ:
        index = _whole(environ, "JOB_COMPLETION_INDEX")
        if "NUM_SHARDS" not in environ:
            raise InputError(
                "JOB_COMPLETION_INDEX is set, but not how many there are: give --num_shards, or "
                "NUM_SHARDS in the job file."
            )
        return Shard(index, _whole(environ, "NUM_SHARDS"))
    if "TPU_WORKER_ID" in environ and "TPU_WORKER_HOSTNAMES" in environ:
        hosts = [name for name in environ["TPU_WORKER_HOSTNAMES"].split(",") if name]
        return Shard(_whole(environ, "TPU_WORKER_ID"), max(len(hosts), 1))
    return None


def choose(index: int | None, count: int | None) -> Shard:
    """Return the share that flags name, else that of the batch system, else the whole.

    Raises:
        InputError: if only one of the two is known, or they do not fit.
    """
    if index is not None and count is not None:
        return Shard(index, count)
    environ = dict(os.environ)
    if count is not None:
        environ["NUM_SHARDS"] = str(count)
    found = from_environment(environ)
    if index is None and count is None:
        return found or WHOLE
    if found is None:
        raise InputError("--shard and --num_shards belong together outside a job array.")
    return Shard(found.index if index is None else index, found.count if count is None else count)


def _whole(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    if name not in environ and default is not None:
        return default
    try:
        return int(environ[name])
    except (KeyError, ValueError):
        raise InputError(f"{name}={environ.get(name, '')} is no whole number.") from None
