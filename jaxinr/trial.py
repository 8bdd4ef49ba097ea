"""One fit to be made: the hyperparameters of a SIREN and of its training.

Field names are the columns of the published COIN collection (Vonderfecht & Liu, TMLR 2024), plus
`w0` and `learning_rate`, which were constant there.
"""

import dataclasses
import numbers
import typing
from collections.abc import Mapping
from typing import Any

CHANNELS = 3
_LATER_COLUMNS = ("pixels_per_update",)  # that older tables lack


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)  # a plan has 300,000
class Trial:
    """Hyperparameters of one SIREN and its full-batch Adam training. Defaults are COIN's.

    Attributes:
        layer_size: units in each sine layer, at least 1.
        num_layers: sine layers, at least 1; the linear output layer comes on top.
        w0_initial: frequency factor of the first sine layer.
        w0: frequency factor of the other sine layers.
        learning_rate: of Adam, constant.
        num_iters: Adam updates.
        seed: of the initial weights; the same seed gives the same network on any device.
        pixels_per_update: pixels of the picture that each update takes, in random order; 0 for
            all of them.
    """

    layer_size: int = 28
    num_layers: int = 10
    w0_initial: float = 30.0
    w0: float = 30.0
    learning_rate: float = 2e-4
    num_iters: int = 2000
    seed: int = 0
    pixels_per_update: int = 0

    def __post_init__(self) -> None:
        """Refuses what cannot be trained."""
        for name in ("layer_size", "num_layers", "num_iters", "seed", "pixels_per_update"):
            value = getattr(self, name)  # the type first: the abstract class is slow to ask
            if type(value) is not int and not isinstance(value, numbers.Integral):
                raise TypeError(f"{name} must be a whole number; got {value!r}.")
        for name in ("layer_size", "num_layers", "num_iters"):
            if not 1 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be in [1, 2**31); got {getattr(self, name)}.")
        for name in ("w0_initial", "w0", "learning_rate"):
            number: Any = getattr(self, name)
            real = type(number) is float or isinstance(number, numbers.Real)
            if not real:
                raise TypeError(f"{name} must be a number; got {number!r}.")
            if not 0 < number < float("inf"):
                raise ValueError(f"{name} must be positive and finite; got {number}.")
        for name in ("seed", "pixels_per_update"):
            if not 0 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be in [0, 2**31); got {getattr(self, name)}.")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Trial":
        """Return the trial of a table's row; what tables did not always have may be absent."""
        kinds = typing.get_type_hints(cls)
        names = [name for name in kinds if name in row or name not in _LATER_COLUMNS]
        return cls(**{name: kinds[name](row[name]) for name in names})

    @property
    def layer_sizes(self) -> list[int]:
        """Inputs, units of every sine layer, outputs."""
        return [2, *[self.layer_size] * self.num_layers, CHANNELS]

    @property
    def layer_shapes(self) -> list[tuple[int, int]]:
        """(out, in) of every layer, first to last; num_layers + 1 of them."""
        sizes = self.layer_sizes
        return [(sizes[i + 1], sizes[i]) for i in range(self.num_layers + 1)]

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return count_parameters(self.layer_size, self.num_layers)

    def bits_per_pixel(self, height: int, width: int, *, bits: int = 16) -> float:
        """Size of the network at `bits` per parameter, over the pixels of the image."""
        return self.parameters * bits / (height * width)


def count_parameters(layer_size: Any, num_layers: Any) -> Any:
    """Return the number of weights and biases; of arrays of networks, an array."""
    hidden = (num_layers - 1) * layer_size * (layer_size + 1)
    return 3 * layer_size + hidden + CHANNELS * (layer_size + 1)


def flops_per_pixel(layer_size: Any, num_layers: Any) -> Any:
    """Return the floating-point operations of a training step per pixel, in matrix products alone.

    Forward and weight gradients take 2 each per weight, input gradients 2 for all but the first
    layer. Sines, biases and Adam are not counted. Arrays of networks give an array.
    """
    weights = (num_layers - 1) * layer_size**2 + (2 + CHANNELS) * layer_size
    return 6 * weights - 4 * layer_size
