"""Attribution by kernel ridge regression on what `jaxsr.crop_regression` sees: "kernel".

A discriminant draws planes between classes. Where a class is made of many networks, such as all of
one loss, no plane parts it from the others, and a kernel does: it is what model parsing takes. For
classes of a network each planes do, and better.

Letters: N crops, c side of a crop in pixels, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxsr import calibration, crop_regression, kernel_ridge
from jaxsr.attribution import Described, Labelled, Progress
from jaxsr.crop_regression import CropRegression
from jaxsr.crops import check_crops, in_batches

KERNEL = "kernel"
_TEMPERATURE = 0.2  # of expected shares, where there is no validation


@dataclass(frozen=True, eq=False)
class KernelAttributor:
    """A regression of the classes of crops.

    Attributes:
        classes: K names.
        crop_px: c.
        regression: of 1 for the class of a crop and 0 for the others.
        temperature: that what is expected is divided by for log-scores.
    """

    classes: tuple[str, ...]
    crop_px: int
    regression: CropRegression
    temperature: float

    @property
    def method(self) -> str:
        """Always "kernel"."""
        return KERNEL

    def log_scores(self, crops: np.ndarray) -> np.ndarray:
        """Log-probabilities, [N, c, c, 3] uint8 to [N, K] float32; see `Attributor`."""
        return calibration.calibrated(self.features(crops), self.temperature)

    def features(self, crops: np.ndarray) -> np.ndarray:
        """What is expected for each class, about 0 to 1: [N, c, c, 3] uint8 to [N, K] float32."""
        check_crops(crops, self.crop_px)
        found = in_batches(crop_regression.features_of, crops)
        return self.regression.predict(found)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and facts that `from_arrays` takes."""
        return self.regression.to_arrays(), {"temperature": self.temperature}


def fit(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int,
    seed: int = 0,
    validation: Labelled | None = None,
    progress: Progress | None = None,
    landmarks: int = kernel_ridge.LANDMARKS,
    described: Described | None = None,
    described_validation: Described | None = None,
) -> KernelAttributor:
    """A regression that has learnt from all crops that lie side by side in pictures.

    Arguments are those of `attribution.fit`, and:

    Args:
        pictures: of [H, W, 3] uint8, the up-sampling grid beginning at their first pixel.
        labels: [len(pictures)] int.
        classes: K names.
        crop_px: c.
        seed: of which crops are landmarks.
        validation: pictures and labels whose crops say how sure to be; without them a temperature
            of 0.2 is taken.
        progress: called with the part that is done.
        landmarks: of `kernel_ridge.fit`.
        described: what `describe` gave of these pictures, which are then not looked at.
        described_validation: the same of those of the validation.

    Raises:
        InputError: if a picture is too small, or crops of this size cannot be used.
    """
    if described is None:
        described = crop_regression.describe(pictures, crop_px=crop_px, progress=progress)
    targets = np.eye(len(classes))[np.asarray(labels)[described.owners]]
    regression = crop_regression.fit(described.features, targets, seed=seed, landmarks=landmarks)
    attributor = KernelAttributor(tuple(classes), crop_px, regression, _TEMPERATURE)
    if validation is None or not len(validation[0]):
        return attributor
    seen = described_validation
    if seen is None:
        seen = crop_regression.describe(validation[0], crop_px=crop_px)
    expected = regression.predict(seen.features)
    truth = np.asarray(validation[1])[seen.owners]
    return replace(attributor, temperature=calibration.fit_temperature(expected, truth))


def describe(method: str, pictures: Sequence[np.ndarray], **options: Any) -> Described:
    """What the regression is of: see `crop_regression.describe`."""
    assert method == KERNEL
    return crop_regression.describe(pictures, **options)


def from_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> KernelAttributor:
    """The inverse of `attribution.to_arrays`.

    Raises:
        KeyError: if an array or a fact is missing.
        ValueError: if they do not fit.
    """
    regression = crop_regression.from_arrays(arrays)
    if regression.num_targets != len(facts["classes"]):
        raise ValueError(f"A regression of {regression.num_targets} classes does not fit.")
    return KernelAttributor(
        tuple(facts["classes"]), facts["crop_px"], regression, facts["temperature"]
    )
