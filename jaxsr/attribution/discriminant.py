"""Attribution by linear discriminant analysis of features: "linear", "spectrum" and "dct".

The three differ in what the discriminant is of: how neighbouring pixels go together at each place
of the up-sampling grid (`jaxsr.fingerprints.phase_autocorrelation`), the power spectra of noise
residuals, and the cosine transforms of the crops themselves (`jaxsr.attribution.features`; Frank et
al., "Leveraging frequency analysis for deep fake image recognition", 2020, learn ridge regression
on all coefficients of that). All crops that lie side by side in a training picture are learnt from.

Letters: N crops, K classes, D features.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxsr.attribution import lda
from jaxsr.attribution.classifier import FeatureClassifier
from jaxsr.attribution.open_set import Gaussians

_LDA = "lda."  # in names of arrays


@dataclass(frozen=True, eq=False)
class DiscriminantClassifier(FeatureClassifier):
    """A discriminant of features.

    Attributes:
        discriminant: of the features.
    """

    discriminant: lda.Lda

    def log_scores_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return `log_scores` [N, K] of features [N, D]."""
        return lda.log_scores(self.discriminant, extracted)

    def embedding_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return the whitened coordinates of `lda.project`, [N, min(K - 1, D)] float32."""
        return lda.project(self.discriminant, extracted)

    @functools.cached_property
    def gaussians(self) -> Gaussians:
        """The Gaussians of the classes among `features`, by the discriminant."""
        means = lda.class_means(self.discriminant)
        unit = np.eye(means.shape[1])
        spread = np.sqrt(1.0 + np.mean(means**2, axis=0))  # of all classes together
        return Gaussians(np.ones(len(unit)), unit, means, unit / spread, np.zeros(len(unit)))

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and facts that `from_arrays` takes."""
        arrays = {f"{_LDA}{name}": array for name, array in self.discriminant._asdict().items()}
        return arrays, {"options": dict(self.options)}


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    method: str,
    classes: Sequence[str],
    crop_px: int,
    options: Mapping[str, Any],
    shrinkage: float | None = None,
) -> DiscriminantClassifier:
    """Fit a discriminant to features of crops.

    Args:
        features: [N, D] float32.
        labels: [N] int, places in `classes`.
        method: as of `FeatureClassifier`.
        classes: K names.
        crop_px: as of `FeatureClassifier`.
        options: as of `FeatureClassifier`.
        shrinkage: of `lda.fit`.
    """
    discriminant = lda.fit(features, labels, len(classes), shrinkage)
    return DiscriminantClassifier(method, tuple(classes), crop_px, options, discriminant)


def from_arrays(
    arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> DiscriminantClassifier:
    """Invert `attribution.to_arrays`.

    Raises:
        KeyError: if an array or a fact is missing.
        ValueError: if they do not fit.
    """
    discriminant = lda.Lda(**{name: arrays[f"{_LDA}{name}"] for name in lda.Lda._fields})
    if len(discriminant.biases) != len(facts["classes"]):
        raise ValueError(f"A discriminant of {len(discriminant.biases)} classes does not fit.")
    return DiscriminantClassifier(
        facts["method"], tuple(facts["classes"]), facts["crop_px"], facts["options"], discriminant
    )
