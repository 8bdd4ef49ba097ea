"""Classifiers of crops: what every attribution method fits.

Letters: N crops, c side of a crop in pixels, K classes, D features.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxsr.attribution.open_set import Gaussians
from jaxsr.attribution.table import features_of
from jaxsr.datasets.crops import check_crops, in_batches
from jaxsr.fingerprints.crop_features import Features

FEW = 16  # crops, whose features are quicker computed than a program for them is loaded


class Classifier(abc.ABC):
    """Predicts the class of each crop.

    Attributes:
        method: one of `METHODS`.
        classes: K names.
        crop_px: the side of a crop, c, pixels.
    """

    method: str
    classes: tuple[str, ...]
    crop_px: int

    @abc.abstractmethod
    def extract(self, crops: np.ndarray) -> np.ndarray:
        """Extract the features that scores and embeddings are computed from.

        Args:
            crops: [N, c, c, 3] uint8; the upsampling grid begins at their first pixel.

        Returns:
            [N, ...]: features of the crops, or the crops themselves.
        """

    @abc.abstractmethod
    def log_scores_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return `log_scores` of extracted features."""

    @abc.abstractmethod
    def embedding_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return `embedding` of extracted features."""

    @abc.abstractmethod
    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and JSON-able facts that restore the classifier.

        Method, classes and crop_px need not be among the facts: `methods.to_arrays` adds them.
        """

    @property
    @abc.abstractmethod
    def period(self) -> int:
        """Period in pixels of the grid that its features depend on; 1 if there is none."""

    @abc.abstractmethod
    def shifted(self, extracted: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """Return the features of shifted crops, exact except at their borders.

        Args:
            extracted: [N, ...] features of crops.
            rows: by how many pixels the shifted crops begin further down.
            columns: by how many pixels they begin further right.
        """

    @property
    def gaussians(self) -> Gaussians | None:
        """Gaussians of the classes in the space of `embedding`, if the method has them."""
        return None

    def log_scores(self, crops: np.ndarray) -> np.ndarray:
        """Return log-probabilities, not calibrated.

        Args:
            crops: [N, c, c, 3] uint8.

        Returns:
            [N, K] float32; the exponentials of a row sum to 1.
        """
        return self.log_scores_of(self.extract(crops))

    def embedding(self, crops: np.ndarray) -> np.ndarray:
        """Return the vectors between which distances of crops are measured.

        Args:
            crops: [N, c, c, 3] uint8.

        Returns:
            [N, D] float32.
        """
        return self.embedding_of(self.extract(crops))

    def find_grid(
        self, crops: np.ndarray, gaussians: Gaussians | None = None
    ) -> tuple[tuple[int, int], np.ndarray]:
        """Find where the upsampling grid begins in a picture that was cropped.

        The offset is the one at which the crops are most like a class, by the mean of
        `Gaussians.relative_mahalanobis`, or of the highest log score if there are no Gaussians.
        With few classes, and so few dimensions of the embedding, it is often wrong.

        Args:
            crops: [N, c, c, 3] uint8, of one picture; they lie a multiple of the period apart, as
                those of `tiles`.
            gaussians: of the classes, in the space of `embedding`; None for those of the method.

        Returns:
            Rows and columns from the first pixel of the crops to where the grid begins, and the
            [N, ...] features of crops that begin there.
        """
        extracted = self.extract(crops)
        gaussians = self.gaussians if gaussians is None else gaussians

        ways = range(self.period)
        places = [(rows, columns) for rows in ways for columns in ways]
        if len(places) == 1:
            return places[0], extracted
        moved = [self.shifted(extracted, *place) for place in places]
        everywhere = np.concatenate(moved)  # one product is quicker than one for each place
        if gaussians is None:
            likeness = self.log_scores_of(everywhere).max(axis=1)
        else:
            likeness = gaussians.relative_mahalanobis(self.embedding_of(everywhere))
        best = int(np.argmax(likeness.reshape(len(places), -1).mean(axis=1)))
        return places[best], moved[best]

    def log_scores_anywhere(self, crops: np.ndarray) -> np.ndarray:
        """Return `log_scores` of crops of one picture after `find_grid`.

        `log_scores` assumes that the grid begins at the first pixel of each crop, as in a picture
        that was not cropped.
        """
        return self.log_scores_of(self.find_grid(crops)[1])


class PixelClassifier(Classifier):
    """A classifier of the pixels of crops."""

    period = 4  # serves scales of 2 and 4

    def extract(self, crops: np.ndarray) -> np.ndarray:
        """Return the crops, [N, c, c, 3] uint8, which are checked."""
        check_crops(crops, self.crop_px)
        return crops

    def shifted(self, extracted: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """Return crops rolled by the shift; pixels before it move to the end."""
        return np.roll(extracted, (-rows, -columns), axis=(1, 2))


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureClassifier(Classifier):
    """A classifier of features of crops.

    Attributes:
        method: one of `METHODS`, with features.
        classes: K names.
        crop_px: c.
        options: of the features.
    """

    method: str
    classes: tuple[str, ...]
    crop_px: int
    options: Mapping[str, Any]

    def extract(self, crops: np.ndarray) -> np.ndarray:
        """Return features of crops, [N, c, c, 3] uint8 to [N, D] float32."""
        check_crops(crops, self.crop_px)
        if self._features.in_numpy is not None and len(crops) <= FEW:
            return self._features.in_numpy(crops, **self._all_options)
        return in_batches(lambda some: self._features.of(some, self.options), crops)

    @property
    def period(self) -> int:
        """Period in pixels of the grid that the features depend on; 1 if there is none."""
        return self._features.period(**self._all_options)

    def shifted(self, extracted: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """Return the features of shifted crops."""
        return self._features.shifted(extracted, rows, columns, **self._all_options)

    @property
    def _features(self) -> Features:
        found = features_of(self.method)
        assert found is not None
        return found

    @property
    def _all_options(self) -> dict[str, Any]:
        return {**self._features.options, **self.options}
