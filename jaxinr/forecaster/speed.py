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
        render: four numbers, seconds of a call; for each pixel, for each unit and pixel, and for
            each operation of a training step, of which rendering makes a third.
        device: which.
    """

    fit: tuple[float, ...]
    render: tuple[float, ...]
    device: str

    def update_seconds(self, rows: np.ndarray) -> np.ndarray:
        """[N] seconds of an update of networks [N, len(inputs.TRIAL)]."""
        return self.fit[1] + _terms(rows) @ np.array(self.fit[2:])

    def encode_seconds(self, rows: np.ndarray, iterations: np.ndarray) -> np.ndarray:
        """[N, ...] seconds of fits [N, len(inputs.TRIAL)] of [N, ...] updates."""
        each = self.update_seconds(rows)
        return self.fit[0] + each.reshape(-1, *[1] * (iterations.ndim - 1)) * iterations

    def decode_seconds(self, rows: np.ndarray) -> np.ndarray:
        """[N] seconds of rendering networks [N, len(inputs.TRIAL)]."""
        return self.render[0] + _terms(rows) @ np.array(self.render[1:])

    def save(self, path: Path) -> None:
        """Write a JSON file."""
        storage.write_atomically(path, json.dumps(dataclasses.asdict(self), indent=1).encode())


TYPICAL = Speed(
    (4e-3, 5e-5, 2e-9, 0.3e-9, 6e-12), (2e-3, 5e-9, 0.3e-9, 2e-12), "two cores of 2024, roughly"
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
        fit, render = (tuple(map(float, values[name])) for name in ("fit", "render"))
        if (len(fit), len(render)) != (5, 4):
            raise ValueError("other terms")
        return Speed(fit, render, str(values["device"]))
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(
            f"{file} holds no speed of a device; run launch/benchmark.py --part=calibrate again."
        ) from None


def _terms(rows: np.ndarray) -> np.ndarray:
    """[N, 3] pixels, units times pixels and operations of an update."""
    pixels = rows[:, 4] * rows[:, 5]
    units = rows[:, 0] * rows[:, 1]
    flops = flops_per_pixel(rows[:, 0], rows[:, 1])
    return pixels[:, None] * np.stack([np.ones(len(rows)), units, flops], 1)


def fitted(
    rows: np.ndarray, update_seconds: np.ndarray, render_seconds: np.ndarray, start: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit the model to measurements, by relative errors, no term below zero.

    Args:
        rows: [N, len(inputs.TRIAL)] of the networks that were measured.
        update_seconds: [N].
        render_seconds: [N].
        start: seconds of a fit beside its updates.

    Returns:
        `Speed.fit` and `Speed.render`.
    """
    from scipy import optimize

    terms = np.concatenate([np.ones((len(rows), 1)), _terms(rows)], 1)
    found = []
    for seconds in (update_seconds, render_seconds):
        relative = terms / seconds[:, None]
        size = relative.max(0)
        weights, _ = optimize.nnls(relative / size, np.ones(len(rows)))
        found.append(tuple((weights / size).tolist()))
    return (start, *found[0]), found[1]
