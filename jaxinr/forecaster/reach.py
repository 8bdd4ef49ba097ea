"""What a forecaster was trained on, and how sure it is inside and outside of that.

Inside, the deviation that the ensemble forecasts is multiplied by a factor for each group of fits
(pixels, iterations, weights), so that nine tenths of the validation photographs' fits lie within
the interval that should hold so many. Outside it grows, up to that of the training fits themselves:
then the forecast says no more than that it is a SIREN's.
"""

import dataclasses

import numpy as np

from jaxinr.forecaster import inputs, model
from jaxinr.forecaster.descriptors import AT, BANDS, RADII
from jaxinr.forecaster.inputs import TRIAL

NINETY = 1.6449  # deviations to each side that hold nine tenths of a Gaussian
NAMES = (*TRIAL[:4], "weights", "side", "effective_iterations")
DB_PER_OCTAVE = 0.7  # spread of what is asked an octave outside of the range
DB_PER_DEVIATION = 0.1  # spread of a picture with a descriptor that deviates further than `EDGE`
EDGE = 5.0
SLACK = 0.02  # octaves: rounding is no excess
PIXELS, ITERATIONS, WEIGHTS = (1000, 4096, 15000), (2000,), (300, 1500)  # ends of groups
LEAST = 20  # fits of a group that has a factor of its own
# Descriptors that pictures of all sizes have alike: none of finer detail than 16 pixels hold.
_STEADY = [
    place
    for name, place in AT.items()
    if not name.startswith(("band", "cosines", "wavelets")) or name in BANDS[: RADII.index(8.0) + 1]
]
_STEP = 0.5  # octaves of weights for which the longest training is kept
_WEIGHTS_OCTAVES = np.arange(4.0, 17.0, _STEP, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Reach:
    """Range of training and calibration.

    Attributes:
        low: [len(NAMES)] log2 of the least that was trained on; sides are square roots of areas,
            effective iterations those at a learning rate of `model.RATE`.
        high: [len(NAMES)] log2 of the greatest.
        longest: [K] log2 of the effective iterations that were trained on, for each number of
            weights of `_WEIGHTS_OCTAVES`.
        described_mean: [D] of the pictures.
        described_std: [D].
        factors: [4, 2, 3] of the deviation, by pixels, iterations and weights.
        prior_db: [2] mean and standard deviation of the training fits.
    """

    low: np.ndarray
    high: np.ndarray
    longest: np.ndarray
    described_mean: np.ndarray
    described_std: np.ndarray
    factors: np.ndarray
    prior_db: np.ndarray

    @classmethod
    def of(
        cls, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray, best_db: np.ndarray
    ) -> "Reach":
        """Describe training fits, not calibrated yet.

        Args:
            described: [P, D] descriptors of the pictures.
            rows: [N, len(TRIAL)].
            iterations: [N] at the end.
            best_db: [N] at the end.
        """
        axes = _axes(rows, iterations)
        weights, time = axes[:, NAMES.index("weights")], axes[:, -1]
        near = np.abs(weights[:, None] - _WEIGHTS_OCTAVES) <= _STEP
        longest = np.where(near, time[:, None], -np.inf).max(0)
        known = np.isfinite(longest)
        longest = np.interp(_WEIGHTS_OCTAVES, _WEIGHTS_OCTAVES[known], longest[known])
        arrays = (
            *(axes.min(0), axes.max(0), longest, described.mean(0), described.std(0)),
            *(np.ones((4, 2, 3)), np.array([best_db.mean(), best_db.std()])),
        )
        return cls(*(np.asarray(array, np.float32) for array in arrays))

    def calibrated(
        self, rows: np.ndarray, iterations: np.ndarray, error_db: np.ndarray, std_db: np.ndarray
    ) -> "Reach":
        """Return the same with factors from the errors [N] of fits that were not trained on.

        A group of fewer than `LEAST` such fits has the factor of the fits of its iterations, or of
        all.
        """
        ratio = np.abs(error_db) / std_db / NINETY
        place = groups(rows, iterations)
        factors = np.empty(self.factors.shape, np.float32)
        for group in np.ndindex(*factors.shape):
            own = [np.all([place[i] == group[i] for i in kept], 0) for kept in _COARSER]
            some = next((x for x in own if x.sum() >= LEAST), np.ones(len(ratio), bool))
            # The place of the finite sample's quantile, so that a new fit is inside as often.
            share = min(0.9 * (1 + 1 / some.sum()), 1.0)
            factors[group] = np.quantile(ratio[some], share)
        return dataclasses.replace(self, factors=factors)

    def widened(
        self, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray, std: np.ndarray
    ) -> np.ndarray:
        """[N, T] standard deviations, calibrated inside the range and wider outside.

        Args:
            described: [N, D] or [D] descriptors of the pictures.
            rows: [N, len(TRIAL)].
            iterations: [N, T].
            std: [N, T] of the ensemble.
        """
        every, asked = np.repeat(rows, iterations.shape[1], 0), iterations.ravel()
        outside = self._excess(_axes(every, asked))
        excess = outside.sum(1).reshape(std.shape)
        excess = DB_PER_OCTAVE * excess + self.strangeness(described)[..., None]
        inside = self.factors[groups(every, asked)].reshape(std.shape) * std
        most = np.maximum(inside, self.prior_db[1])
        return np.minimum(np.hypot(inside, excess), most).astype(np.float32)

    def strangeness(self, described: np.ndarray) -> np.ndarray:
        """[...] dB of spread that a picture [..., D] adds which is unlike those of training."""
        far = np.abs(described - self.described_mean) / np.maximum(self.described_std, 0.01)
        return DB_PER_DEVIATION * np.maximum(far[..., _STEADY].max(-1) - EDGE, 0)

    def outside(
        self, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> tuple[str, ...]:
        """Return one line for each thing that was not trained on; arguments as of `widened`."""
        axes = _axes(np.repeat(rows, iterations.shape[1], 0), iterations.ravel())
        excess = self._excess(axes)
        lines = []
        for place in np.flatnonzero(excess.any(0)):
            name = NAMES[place]
            asked, known = axes[:, place], (self.low[place], self.high[place])
            if name == "effective_iterations":
                lines.append(self._too_long(axes[excess[:, place].argmax()]))
            else:
                spans = (
                    " to ".join(dict.fromkeys(map(_number, ends)))
                    for ends in ((asked.min(), asked.max()), known)
                )
                lines.append("{} {}, trained on {}".format(name, *spans))
        if np.any(self.strangeness(described) > 0):
            lines.append("a picture unlike those of training")
        return tuple(lines)

    def is_outside(
        self, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> np.ndarray:
        """Return for each trial [N] whether its forecast lies outside of the training range.

        Args:
            described: [D] descriptors of the picture.
            rows: [N, len(TRIAL)].
            iterations: [N].
        """
        beyond = self._excess(_axes(rows, iterations)).any(1)
        return np.asarray(beyond | (self.strangeness(described) > 0))

    def _excess(self, axes: np.ndarray) -> np.ndarray:
        """[N, len(NAMES)] octaves outside of the range of training."""
        outside = np.maximum(self.low - axes, axes - self.high)
        side, time = NAMES.index("side"), NAMES.index("effective_iterations")
        # Shorter trainings are the beginnings of longer ones, and a small network leaves all that
        # a larger picture has besides.
        outside[:, side] = self.low[side] - axes[:, side]
        outside[:, time] = axes[:, time] - self._longest(axes)
        return np.where(outside > SLACK, outside, 0)

    def _longest(self, axes: np.ndarray) -> np.ndarray:
        """[...] octaves of effective iterations that networks of such sizes were trained for."""
        found: np.ndarray = np.interp(
            axes[..., NAMES.index("weights")], _WEIGHTS_OCTAVES, self.longest
        )
        return found

    def _too_long(self, axes: np.ndarray) -> str:
        """Name a training [len(NAMES)] that is too long, and the longest at its learning rate."""
        rate = axes[NAMES.index("learning_rate")]
        per_iteration = rate - np.log2(model.RATE)
        asked, longest = (2.0 ** (x - per_iteration) for x in (axes[-1], self._longest(axes)))
        return (
            f"{asked:,.0f} iterations of {_number(axes[NAMES.index('weights')])} weights at a "
            f"learning rate of {_number(rate)}, trained on at most {longest:,.0f}"
        )


_COARSER = ((0, 1, 2), (0, 1), (1, 2), (1,))  # axes of groups that are told apart


def _axes(rows: np.ndarray, iterations: np.ndarray) -> np.ndarray:
    """[N, len(NAMES)] log2 of what ranges are kept of."""
    side = np.sqrt(rows[:, 4] * rows[:, 5])
    effective = iterations * (rows[:, 3] / model.RATE)
    columns = [*rows[:, :4].T, inputs.parameters(rows), side, effective]
    return np.log2(np.stack(columns, 1))


def groups(rows: np.ndarray, iterations: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return three times [N]: places of fits among `PIXELS`, `ITERATIONS` and `WEIGHTS`."""
    values = (rows[:, 4] * rows[:, 5], iterations, inputs.parameters(rows))
    ends = (PIXELS, ITERATIONS, WEIGHTS)
    return tuple(np.searchsorted(e, v, "left") for e, v in zip(ends, values, strict=True))


def _number(octaves: float) -> str:
    value = 2.0**octaves
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
