"""What is expected of the network behind a crop, by two kernel ridge regressions together.

One is of the logarithms of the crop's cosine transform (`spectral_features.dct_features`), the
other of how neighbouring pixels go together at each place of the up-sampling grid
(`jaxsr.grid_statistics`); what they predict is averaged. They err on different networks: see the
table of parsers in BUILD.md.

Letters: N crops, c side of a crop in pixels, D features, T targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxsr import attribution, discriminant_attribution, grid_statistics, kernel_ridge
from jaxsr.attribution import Described, Progress
from jaxsr.discriminant_attribution import DCT, LINEAR
from jaxsr.kernel_ridge import KernelRidge
from jaxsr.spectral_features import BINS, dct_features

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
        """T."""
        return len(self.of_transform.offsets)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """What is expected, [N, D] features as `describe` gives them to [N, T] float32."""
        one = kernel_ridge.predict(self.of_transform, features[:, :_SPLIT])
        return (one + kernel_ridge.predict(self.of_grid, features[:, _SPLIT:])) / 2

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The inverse of `from_arrays`."""
        both = zip(_PARTS, (self.of_transform, self.of_grid), strict=True)
        return {f"{part}.{name}": own for part, one in both for name, own in one._asdict().items()}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> CropRegression:
    """The regression of `CropRegression.to_arrays`.

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
    """The regression of targets on what `describe` gives.

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


def features_of(crops: np.ndarray) -> np.ndarray:
    """[N, c, c, 3] uint8, the grid beginning at their first pixel, to [N, D] float32."""
    on_device = jnp.asarray(crops)
    both = (dct_features(on_device), grid_statistics.grid_statistics(on_device))
    return np.concatenate([np.asarray(one) for one in both], axis=1)


def describe(
    pictures: Sequence[np.ndarray], *, crop_px: int, progress: Progress | None = None
) -> Described:
    """Features of all crops that lie side by side in pictures: see `attribution.describe`.

    Raises:
        InputError: if a picture is too small, or crops of this size cannot be used.
    """
    check(crop_px)
    return attribution.describe_by(features_of, pictures, crop_px=crop_px, progress=progress)


def check(crop_px: int) -> None:
    """Refuses crops of a size that cannot be used.

    Raises:
        InputError: saying what they lack.
    """
    for method in (DCT, LINEAR):
        discriminant_attribution.check(method, crop_px)
