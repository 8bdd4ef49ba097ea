"""A trained forecaster: asked about fits in NumPy, written to one file and read from it."""

import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxfleet.cards import CardKind
from jaxfleet.errors import InputError
from jaxinr.forecaster import descriptors, inputs, model
from jaxinr.forecaster.reach import Reach
from jaxinr.forecaster.scaling import Scaling

PACKAGED = "forecaster.safetensors"
CARDS = CardKind(
    "jaxinr.forecaster", "forecaster", "train it again with launch/siren_predictor.py", version=6
)
_CHUNK = 4096  # fits times numbers of iterations at a time: they stay in cache


@dataclasses.dataclass(frozen=True)
class Trained:
    """An ensemble, and what it was trained on.

    Attributes:
        params: of `model.init`, float32, members in front.
        scaling: of the features.
        reach: what it was trained on, and how sure it is inside and outside.
        card: what it was trained on and how well it does, JSON-able.
    """

    params: Mapping[str, np.ndarray]
    scaling: Scaling
    reach: Reach
    card: Mapping[str, Any]

    def ask(
        self, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecast the best PSNR in dB; the mean never falls with more iterations.

        Args:
            described: [N, D] or, all of one image, [D] descriptors.
            rows: [N, len(inputs.TRIAL)] of the trials.
            iterations: [N, T] Adam updates, at least 1.

        Returns:
            Mean and standard deviation, [N, T] float32 each.
        """
        mean, std = self.raw(described, rows, iterations)
        return mean, self.reach.widened(described, rows, iterations, std)

    def raw(
        self, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the ensemble says, as `ask`, before the deviation is calibrated."""
        mean, std = np.zeros((2, *iterations.shape), np.float32)
        length = max(_CHUNK // max(iterations.shape[1], 1), 1)
        for start in range(0, len(rows), length):
            part = slice(start, start + length)
            own = described if described.ndim == 1 else described[part]
            mean[part], std[part] = self._ask(own, rows[part], iterations[part])
        return mean, std

    def _ask(
        self, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        encoded = inputs.encode(rows, described)
        scaled = self.scaling.scaled(encoded.features).astype(np.float32)
        times = iterations.astype(np.float32)
        answers = []
        for member in range(self.params["bias"].shape[0]):
            own = {name: leaf[member] for name, leaf in self.params.items()}
            shapes = model.shape(np, own, scaled)
            answers.append(model.answer(np, own, shapes, encoded, inputs.BAND_OCTAVES, times))
        means, stds = (np.stack(x) for x in zip(*answers, strict=True))
        mean = means.mean(0)  # of the mixture of all of them, and so its variance
        return mean, np.sqrt(np.mean(np.square(stds) + np.square(means - mean), 0))

    def save(self, path: Path) -> None:
        """Write one safetensors file; loading it runs no code."""
        arrays = {f"member.{name}": leaf for name, leaf in self.params.items()}
        for name in ("scaling", "reach"):
            part = getattr(self, name)
            arrays |= {f"{name}.{f.name}": getattr(part, f.name) for f in dataclasses.fields(part)}
        names = {"descriptors": descriptors.NAMES, "features": inputs.FEATURES}
        CARDS.write(path, {**_listed(names), "card": dict(self.card)}, arrays)

    @classmethod
    def load(cls, path: Path) -> "Trained":
        """Return what `save` wrote.

        Raises:
            InputError: naming the file, if it is not there, damaged, foreign or of another version.
        """
        card, arrays = CARDS.read(path)
        with CARDS.reading(str(path)):
            names = {"descriptors": descriptors.NAMES, "features": inputs.FEATURES}
            if {name: card[name] for name in names} != _listed(names):
                raise InputError(f"a forecaster of another version; {CARDS.remedy}.")
            blank = model.init(np.random.default_rng(0), 1)
            params = {name: arrays[f"member.{name}"].astype(np.float32) for name in blank}
            scaling, reach = (
                {f.name: arrays[f"{name}.{f.name}"] for f in dataclasses.fields(part)}
                for name, part in (("scaling", Scaling), ("reach", Reach))
            )
            return cls(params, Scaling(**scaling), Reach(**reach), card["card"])


def _listed(names: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(values) for name, values in names.items()}


@functools.cache
def packaged() -> Trained:
    """Return the forecaster that is installed with the package."""
    file = importlib.resources.files("jaxinr") / "data" / PACKAGED
    with importlib.resources.as_file(file) as path:
        return Trained.load(path)


def chosen(path: str) -> Trained:
    """Return the forecaster of a file; that of the package if the path is empty.

    Raises:
        InputError: if the file is missing, damaged or of another version.
    """
    return Trained.load(Path(path)) if path else packaged()
