"""How long a machine takes to fit one SIREN, and to render it: a model measured in seconds.

    python launch/benchmark.py --part=calibrate

measures a machine and keeps the result in the user's cache. Until then times are rough: those that
the engine's rates on large networks imply for two cores of 2024, not measured one by one.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np

from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.scripts import compiled
from jaxinr.trial import flops_per_pixel

FILE = "siren_speed.json"


@dataclasses.dataclass(frozen=True)
class Speed:
    """The speed of one device.

    Attributes:
        fit: five numbers, seconds of a fit beside its updates; of an update; and of an update for
            each pixel, for each unit of hidden layers and pixel, and for each operation.
        shared: four numbers, as the last of `fit`, for networks that all cores work on together.
        shared_from: operations of an update above which they do.
        render: four numbers, seconds of a call; for each pixel, for each unit and pixel, and for
            each operation of a training step, of which rendering makes a third.
        device: which.
    """

    fit: tuple[float, ...]
    shared: tuple[float, ...]
    shared_from: float
    render: tuple[float, ...]
    device: str

    def update_seconds(self, rows: np.ndarray) -> np.ndarray:
        """[N] seconds of an update of networks [N, len(inputs.TRIAL)]."""
        terms = _terms(rows)
        alone, shared = terms @ np.array(self.fit[1:]), terms @ np.array(self.shared)
        return np.where(terms[:, -1] > self.shared_from, shared, alone)

    def encode_seconds(self, rows: np.ndarray, iterations: np.ndarray) -> np.ndarray:
        """[N, ...] seconds of fits [N, len(inputs.TRIAL)] of [N, ...] updates."""
        each = self.update_seconds(rows)
        return self.fit[0] + each.reshape(-1, *[1] * (iterations.ndim - 1)) * iterations

    def decode_seconds(self, rows: np.ndarray) -> np.ndarray:
        """[N] seconds of rendering networks [N, len(inputs.TRIAL)]."""
        return _terms(rows) @ np.array(self.render)

    def save(self, path: Path) -> None:
        """Write a JSON file."""
        storage.write_atomically(path, json.dumps(dataclasses.asdict(self), indent=1).encode())


TYPICAL = Speed(
    fit=(4e-3, 5e-5, 2e-9, 0.3e-9, 12e-12),
    shared=(5e-4, 1e-9, 0.15e-9, 6e-12),
    shared_from=2e8,
    render=(2e-3, 5e-9, 0.3e-9, 2e-12),
    device="two cores of 2024, roughly",
)


def path() -> Path:
    """Return where the speed of this machine is kept."""
    return compiled.folder() / FILE


def known() -> Speed:
    """Return the speed that was measured on this machine, or `TYPICAL`."""
    try:
        return load(path())
    except (InputError, RuntimeError):  # never measured here, or a user without a home
        return TYPICAL


def load(file: Path) -> Speed:
    """Return what `Speed.save` wrote.

    Raises:
        InputError: naming the file, if it is not there, damaged or of another version.
    """
    try:
        values = json.loads(file.read_bytes())
        kinds = (tuple(map(float, values[name])) for name in ("fit", "shared", "render"))
        fit, shared, render = kinds
        if (len(fit), len(shared), len(render)) != (5, 4, 4):
            raise ValueError("other terms")
        return Speed(fit, shared, float(values["shared_from"]), render, str(values["device"]))
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(
            f"{file} holds no speed of a device; run launch/benchmark.py --part=calibrate again."
        ) from None


def _terms(rows: np.ndarray) -> np.ndarray:
    """[N, 4] one, pixels, units times pixels and operations of an update."""
    pixels = rows[:, 4] * rows[:, 5]
    units = rows[:, 0] * rows[:, 1]
    flops = flops_per_pixel(rows[:, 0], rows[:, 1])
    return np.stack([np.ones(len(rows)), pixels, units * pixels, flops * pixels], 1)


def fitted(
    rows: np.ndarray,
    update_seconds: np.ndarray,
    render_seconds: np.ndarray,
    *,
    start: float,
    shared_from: float,
    device: str,
) -> Speed:
    """Fit the model to measurements, by relative errors, no term below zero.

    Args:
        rows: [N, len(inputs.TRIAL)] of the networks that were measured.
        update_seconds: [N].
        render_seconds: [N].
        start: seconds of a fit beside its updates.
        shared_from: operations of an update above which all cores share it.
        device: which.
    """
    from scipy import optimize

    terms = _terms(rows)

    def weights(seconds: np.ndarray, of: np.ndarray) -> tuple[float, ...]:
        relative = terms[of] / seconds[of, None]
        size = relative.max(0)
        found, _ = optimize.nnls(relative / size, np.ones(len(relative)))
        return tuple((found / size).tolist())

    is_shared = terms[:, -1] > shared_from
    return Speed(
        fit=(start, *weights(update_seconds, ~is_shared)),
        shared=weights(update_seconds, is_shared),
        shared_from=shared_from,
        render=weights(render_seconds, np.full(len(rows), True)),
        device=device,
    )
