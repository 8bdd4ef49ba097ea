"""From features to what the model takes: standardised, and moved into the range of training."""

import dataclasses

import numpy as np

from jaxinr.forecaster.inputs import OF_TRIAL

EDGE = 0.002  # share of the fits that lie below, and above, the range of a feature
FARTHEST = (
    3.0  # standard deviations at which that range ends at the latest, for an image's features
)


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The mean and the spread of F features.

    Attributes:
        mean: [F] over the fits of training.
        std: [F]; infinite for what hardly varied, so that it counts for nothing.
        low: [F] of the range of training, scaled.
        high: [F] of the range of training, scaled.
    """

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, weights: np.ndarray) -> "Scaling":
        """Compute the scaling of fits [N, F], which are drawn as often as `weights` [N] say."""
        share = weights / weights.sum()
        mean = share @ features
        std = np.sqrt(share @ np.square(features - mean))
        std = np.where(std > 1e-3, std, np.inf)
        scaled = (features - mean) / std
        edges = np.quantile(scaled, (EDGE, 1 - EDGE), axis=0)
        edges[:, OF_TRIAL:] = np.clip(edges[:, OF_TRIAL:], -FARTHEST, FARTHEST)
        return cls(*(np.asarray(x, np.float32) for x in (mean, std, *edges)))

    def scaled(self, features: np.ndarray) -> np.ndarray:
        """Scale features [N, F]; what lies outside the training range is moved to its edge.

        Beyond it, only what the model knows of capacity, frequencies and time goes on.
        """
        return np.clip((features - self.mean) / self.std, self.low, self.high)
