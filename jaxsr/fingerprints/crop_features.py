"""Feature functions of crops: what attribution, parsing and galleries learn from.

A method that does not learn from pixels names one (`jaxsr.attribution.methods`). A feature function
sees each crop by itself, and says where the grid of up-sampling that it sees repeats itself, so
that a picture which was cut out of a larger one can be looked at from where its grid begins.

Letters: N crops, c side of a crop in pixels, D features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jax import Array


def _no_grid(**options: Any) -> int:
    """Return the period of features that see no grid: 1."""
    del options
    return 1


def _unmoved(features: np.ndarray, rows: int, columns: int, **options: Any) -> np.ndarray:
    """Return the features of crops that begin elsewhere: the same, if they see no grid."""
    del rows, columns, options
    return features


@dataclass(frozen=True)
class Features:
    """A feature function.

    Attributes:
        function: [N, c, c, 3] uint8, the grid beginning at their first pixel, and the options, to
            [N, D] float.
        check: raises InputError for a side c and options that cannot be used together.
        options: with their defaults.
        period: of the options, pixels after which the grid repeats itself; 1 if it sees none.
        shifted: features of crops, rows, columns and the options to the features of crops that
            begin so many pixels further on, but for what lies at the borders.
        in_numpy: the same function of few crops, without anything to compile; None without one.
    """

    function: "Callable[..., Array]"
    check: Callable[..., None]
    options: Mapping[str, Any] = field(default_factory=dict)
    period: Callable[..., int] = _no_grid
    shifted: Callable[..., np.ndarray] = _unmoved
    in_numpy: Callable[..., np.ndarray] | None = None

    def of(self, crops: "np.ndarray | Array", options: Mapping[str, Any] | None = None) -> "Array":
        """Return the features [N, D] of crops [N, c, c, 3] uint8."""
        import jax.numpy as jnp  # here, since whoever asks about one picture need not wait for it

        return self.function(jnp.asarray(crops), **{**self.options, **(options or {})})
