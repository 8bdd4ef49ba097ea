"""Attribution by kernel ridge regression on features of crops: method "kernel".

A discriminant draws planes between classes. Where a class is made of many networks, such as all of
one loss, no plane parts it from the others, and a kernel does: it is what model parsing takes. For
classes of a network each planes do, and better.

Letters: N crops, K classes, D features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxsr.attribution import calibration, crop_regression, kernel_ridge
from jaxsr.attribution.classifier import FeatureClassifier
from jaxsr.attribution.crop_regression import CropRegression

_TEMPERATURE = 0.2  # of expected shares, where there is no validation


@dataclass(frozen=True, eq=False)
class KernelClassifier(FeatureClassifier):
    """A regression of the classes of crops.

    Attributes:
        regression: of 1 for the class of a crop and 0 for the others.
        temperature: that what is expected is divided by for log-scores.
    """

    regression: CropRegression
    temperature: float

    def log_scores_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return `log_scores` [N, K] of features [N, D]."""
        return calibration.calibrated(self.embedding_of(extracted), self.temperature)

    def embedding_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return what is expected for each class, about 0 to 1, [N, K] float32."""
        return self.regression.predict(extracted)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and facts that `from_arrays` takes."""
        return self.regression.to_arrays(), {"temperature": self.temperature}


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    method: str,
    classes: Sequence[str],
    crop_px: int,
    options: Mapping[str, Any],
    seed: int = 0,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    landmarks: int = kernel_ridge.LANDMARKS,
) -> KernelClassifier:
    """Fit a regression to features of crops.

    Args:
        features: [N, D] float32.
        labels: [N] int, places in `classes`.
        method: as of `FeatureClassifier`.
        classes: K names.
        crop_px: as of `FeatureClassifier`.
        options: as of `FeatureClassifier`.
        seed: of which crops are landmarks.
        validation: features and labels of other crops, which say how sure to be; without them a
            temperature of 0.2 is taken.
        landmarks: of `kernel_ridge.fit`.
    """
    targets = np.eye(len(classes))[labels]
    regression = crop_regression.fit(features, targets, seed=seed, landmarks=landmarks)
    classifier = KernelClassifier(
        method, tuple(classes), crop_px, options, regression, _TEMPERATURE
    )
    if validation is None:
        return classifier
    expected = regression.predict(validation[0])
    return replace(classifier, temperature=calibration.fit_temperature(expected, validation[1]))


def from_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> KernelClassifier:
    """Invert `attribution.to_arrays`.

    Raises:
        KeyError: if an array or a fact is missing.
        ValueError: if they do not fit.
    """
    regression = crop_regression.from_arrays(arrays)
    if regression.num_targets != len(facts["classes"]):
        raise ValueError(f"A regression of {regression.num_targets} classes does not fit.")
    return KernelClassifier(
        facts["method"],
        tuple(facts["classes"]),
        facts["crop_px"],
        {},
        regression,
        facts["temperature"],
    )
