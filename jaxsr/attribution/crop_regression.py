"""What is expected of the network behind a crop, by two kernel ridge regressions together.

One is of the logarithms of the crop's cosine transform (`features.dct_features`), the
other of how neighbouring pixels go together at each place of the up-sampling grid
(`jaxsr.fingerprints.phase_autocorrelation`); what they predict is averaged. They err on different
networks: see the table of parsers in BUILD.md.

Letters: N crops, c side of a crop in pixels, D features, T targets.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsr.attribution import kernel_ridge
from jaxsr.attribution.features import BINS, DCT
from jaxsr.attribution.kernel_ridge import KernelRidge
from jaxsr.fingerprints.crop_features import Features
from jaxsr.fingerprints.phase_autocorrelation import FEATURES as GRID
from jaxsr.fingerprints.phase_autocorrelation import PERIOD

_SPLIT = 3 * BINS**2  # features of the cosine transform; those after them are of the grid
_PARTS = ("transform", "grid")  # in names of arrays


@dataclass(frozen=True, eq=False)
class CropRegression:
    """Two regressions of the same targets.

    Attributes:
        of_transform: of cosine transforms.
        of_grid: of statistics of the grid.
    """

    of_transform: KernelRidge
    of_grid: KernelRidge

    @property
    def num_targets(self) -> int:
        """The number of targets, T."""
        return len(self.of_transform.offsets)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predict the targets, [N, D] of `transform_and_grid` to [N, T] float32."""
        one = kernel_ridge.predict(self.of_transform, features[:, :_SPLIT])
        return (one + kernel_ridge.predict(self.of_grid, features[:, _SPLIT:])) / 2

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Invert `from_arrays`."""
        both = zip(_PARTS, (self.of_transform, self.of_grid), strict=True)
        return {f"{part}.{name}": own for part, one in both for name, own in one._asdict().items()}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> CropRegression:
    """Return the regression of `CropRegression.to_arrays`.

    Raises:
        KeyError: if an array is missing.
    """
    return CropRegression(
        *(
            KernelRidge(**{name: arrays[f"{part}.{name}"] for name in KernelRidge._fields})
            for part in _PARTS
        )
    )


def fit(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    landmarks: int = kernel_ridge.LANDMARKS,
) -> CropRegression:
    """Fit the regression of targets on the features of `transform_and_grid`.

    Args:
        features: [N, D] float32.
        targets: [N, T] float.
        seed: of which crops are landmarks.
        landmarks: as of `kernel_ridge.fit`.
    """
    return CropRegression(
        *(
            kernel_ridge.fit(own, targets, seed=seed, landmarks=landmarks)
            for own in (features[:, :_SPLIT], features[:, _SPLIT:])
        )
    )


def transform_and_grid(crops: Array) -> Array:
    """Map [N, c, c, 3] uint8, the grid beginning at their first pixel, to [N, D] float32."""
    return jnp.concatenate([DCT.of(crops), GRID.of(crops)], axis=1)


def check(crop_px: int) -> None:
    """Refuse crops of a size that cannot be used.

    Raises:
        InputError: saying what they lack.
    """
    for part in (DCT, GRID):
        part.check(crop_px, **part.options)


def at_shift(features: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return `transform_and_grid` of crops that begin elsewhere: see `Features.shifted`."""
    of_grid = GRID.shifted(features[:, _SPLIT:], rows, columns, **GRID.options)
    return np.concatenate([features[:, :_SPLIT], of_grid], axis=1)


FEATURES = Features(transform_and_grid, check, period=lambda: PERIOD, shifted=at_shift)
