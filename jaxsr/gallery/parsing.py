"""How the network that made a picture was built, though nobody has seen that network before.

One regression (`jaxsr.attribution.crop_regression`) tells all hyperparameters at once: one target
for each value of each, 1 where a network has it.

Letters: N pictures, T crops, c side of a crop in pixels, D features, V values of all
hyperparameters together.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet import lazy
from jaxsr.attribution import calibration, kernel_ridge
from jaxsr.attribution.methods import CropFeatures
from jaxsr.datasets.crops import in_batches

if TYPE_CHECKING:
    from jaxsr.attribution import crop_regression
    from jaxsr.attribution.crop_regression import CropRegression
else:  # whoever asks for no hyperparameter need not wait for JAX
    crop_regression = lazy.module("jaxsr.attribution.crop_regression")

FOLDS = 3  # of the networks, for how sure to be about those that are not known


@dataclass(frozen=True, eq=False)
class Parser:
    """Tells hyperparameters from crops.

    Attributes:
        values: hyperparameter -> its values, two or more.
        temperatures: hyperparameter -> what the expected shares of its values are divided by.
        arrays: of the `regression`.
    """

    values: Mapping[str, tuple[Any, ...]]
    temperatures: Mapping[str, float]
    arrays: Mapping[str, np.ndarray]

    @functools.cached_property
    def regression(self) -> "CropRegression":
        """Of the V targets: those of the first hyperparameter by name, and so on."""
        return crop_regression.from_arrays(self.arrays)

    def parse(self, crops: np.ndarray) -> dict[str, tuple[Any, float]]:
        """Return the most probable value of each hyperparameter, and its probability.

        Args:
            crops: [T, c, c, 3] uint8, of one picture, the grid beginning at their first pixel.
        """
        return self.parse_features(in_batches(crop_regression.FEATURES.of, crops))

    def parse_features(self, features: np.ndarray) -> dict[str, tuple[Any, float]]:
        """Parse [T, D] features of `crop_regression.FEATURES`."""
        expected = self.regression.predict(features).mean(axis=0)
        found = {}
        for name, columns in _columns(self.values).items():
            log_scores = calibration.calibrated(expected[columns], self.temperatures[name])
            best = int(log_scores.argmax())
            found[name] = (self.values[name][best], float(np.exp(log_scores[best])))
        return found

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays of the parser, and the rest of it as JSON-able facts."""
        facts = {"values": dict(self.values), "temperatures": dict(self.temperatures)}
        return dict(self.arrays), facts

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> "Parser":
        """Return the parser of `to_arrays`.

        Raises:
            KeyError: if an array or a fact is missing.
        """
        values = {name: tuple(own) for name, own in facts["values"].items()}
        return cls(values, facts["temperatures"], arrays)


def fit(
    facts: Sequence[Mapping[str, Any]],
    known: tuple[CropFeatures, np.ndarray],
    validation: tuple[CropFeatures, np.ndarray],
    *,
    seed: int = 0,
    landmarks: int = kernel_ridge.LANDMARKS,
) -> Parser | None:
    """Fit a parser to images of several networks.

    Args:
        facts: of each network, hyperparameter -> value. Those that some network does not state,
            or of which all have one value, are not told; two networks or more.
        known: `attribution.extract_features("kernel", ...)` of N pictures, and [N] int, indices
            into `facts`.
        validation: the same for other photographs. They calibrate the probabilities, by regressions
            that learn from two thirds of the networks and predict the others.
        seed: of which crops are landmarks.
        landmarks: as of `kernel_ridge.fit`.

    Returns:
        None if there is nothing to tell.
    """
    stated = sorted({name for own in facts for name in own})
    values = {name: _values(name, facts) for name in stated}
    values = {name: own for name, own in values.items() if len(own) > 1}
    if not values:
        return None
    of_network = np.concatenate(
        [
            [[float(one[name] == value) for value in own] for one in facts]
            for name, own in values.items()
        ],
        axis=1,
    )
    extracted, labels = known
    targets = of_network[np.asarray(labels)[extracted.owners]]
    options = {"seed": seed, "landmarks": landmarks}
    regression = crop_regression.fit(extracted.features, targets, **options)

    means = _of_strangers(of_network, known, validation, options)
    truth = of_network[np.asarray(validation[1])]
    temperatures = {
        name: calibration.fit_temperature(means[:, own], truth[:, own].argmax(axis=1))
        for name, own in _columns(values).items()
    }
    return Parser(values, temperatures, regression.to_arrays())


def _of_strangers(
    of_network: np.ndarray,
    known: tuple[CropFeatures, np.ndarray],
    asked: tuple[CropFeatures, np.ndarray],
    options: Mapping[str, int],
) -> np.ndarray:
    """Predict images by regressions that were fitted to other networks.

    Args:
        of_network: [networks, V] float, the targets.
        known: pictures to learn from, and the network of each.
        asked: n pictures, and the network of each.
        options: of `crop_regression.fit`.

    Returns:
        [n, V] float64, means over crops.
    """
    extracted, labels = known
    seen, truth = asked
    fold_of = np.random.default_rng(options["seed"]).permutation(len(of_network)) % FOLDS
    owner, asked_owner = np.asarray(labels)[extracted.owners], np.asarray(truth)[seen.owners]
    expected = np.zeros((len(seen.owners), of_network.shape[1]), np.float32)
    for fold in set(fold_of.tolist()):
        others, own = fold_of[owner] != fold, fold_of[asked_owner] == fold
        regression = crop_regression.fit(
            extracted.features[others], of_network[owner[others]], **options
        )
        expected[own] = regression.predict(seen.features[own])
    sums = np.zeros((len(truth), of_network.shape[1]))
    np.add.at(sums, seen.owners, expected)
    return sums / np.bincount(seen.owners)[:, None]


def _values(name: str, facts: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """List the different values, sorted; none if a network does not state its own."""
    if not all(own.get(name) for own in facts):
        return ()
    return tuple(sorted({own[name] for own in facts}))


def _columns(values: Mapping[str, Sequence[Any]]) -> dict[str, slice]:
    """Return where the targets of each hyperparameter are, whatever the order of the mapping."""
    names = sorted(values)
    ends = np.cumsum([len(values[name]) for name in names]).tolist()
    return {
        name: slice(end - len(values[name]), end) for name, end in zip(names, ends, strict=True)
    }
