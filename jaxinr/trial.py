"""One fit to be made: the hyperparameters of a network and of its training.

Field names are the columns of the published COIN collection (Vonderfecht & Liu, TMLR 2024), plus
`w0` and `learning_rate`, which were constant there, and what other kinds of networks than SIRENs
have.
"""

import dataclasses
import functools
import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxinr.kind import CHANNELS as CHANNELS
from jaxinr.networks.registry import KINDS, hyperparameters

SIREN = "siren"
_HYPERPARAMETERS = hyperparameters()
_WHOLE = ("layer_size", "num_layers", "num_iters", "seed", "pixels_per_update")
_COMMON = ("network", "learning_rate", "learning_rate_decay", *_WHOLE)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)  # a plan has 300,000
class Trial:
    """Hyperparameters of one network and its full-batch Adam training.

    Defaults are COIN's, except for `num_iters`: COIN made 50,000 updates.

    A hyperparameter that is None takes the default of its kind (see `jaxinr.networks`), or stays
    None if the kind does not have it.

    Attributes:
        layer_size: units in each hidden layer, at least 1; complex units in a WIRE.
        num_layers: hidden layers, at least 1; the linear output layer comes on top.
        w0_initial: frequency factor of the first layer of a SIREN or a FINER.
        w0: frequency factor of the other layers of a SIREN or a FINER.
        learning_rate: of Adam, at the beginning.
        learning_rate_decay: fraction of the learning rate removed by the last update along half a
            cosine: 0 keeps it constant, 1 ends at 0, as updates on a part of the pixels need to
            converge.
        num_iters: Adam updates.
        seed: of the initial weights; the same seed gives the same network on any device.
        pixels_per_update: pixels used in each update, in random order; 0 for all pixels.
        network: kind of the network: "siren", "finer", "gauss", "wire" or "relu_fourier".
        first_bias_scale: of a FINER; its first biases are within plus or minus this.
        sigma: width of a Gaussian network's bell; or of a ReLU network's random frequencies, in
            cycles per unit of the coordinates, which span 2.
        omega0: frequency factor of a WIRE.
        s0: scale of a WIRE's envelope.
        num_frequencies: random frequencies of a ReLU network, each with a sine and a cosine.
    """

    layer_size: int = 28
    num_layers: int = 10
    w0_initial: float = 30.0
    w0: float = 30.0
    learning_rate: float = 2e-4
    learning_rate_decay: float = 0.0
    num_iters: int = 2000
    seed: int = 0
    pixels_per_update: int = 0
    network: str = SIREN
    first_bias_scale: float | None = None
    sigma: float | None = None
    omega0: float | None = None
    s0: float | None = None
    num_frequencies: int | None = None

    def __new__(cls, **values: Any) -> "Trial":
        """Refuse names that no trial has, and say which its network has."""
        if not values.keys() <= cls.__dataclass_fields__.keys():
            unknown = [name for name in values if name not in cls.__dataclass_fields__]
            network = values.get("network", SIREN)
            own = KINDS[network].hyperparameters if network in KINDS else _HYPERPARAMETERS
            raise TypeError(
                f"a trial has no {unknown[0]!r}; a {network} network has "
                f"{', '.join((*_COMMON, *own))}."
            )
        return object.__new__(cls)  # slots make the class anew, and super() takes the first one

    def __post_init__(self) -> None:
        """Refuse what cannot be trained; fill in the defaults of the kind."""
        for name in _WHOLE:
            _check_whole(name, getattr(self, name))
        for name in ("layer_size", "num_layers", "num_iters"):
            if not 1 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be in [1, 2**31); got {getattr(self, name)}.")
        for name in ("w0_initial", "w0", "learning_rate"):
            _check_positive(name, getattr(self, name))
        if not 0 <= self.learning_rate_decay <= 1:
            raise ValueError(
                f"learning_rate_decay must be in [0, 1]; got {self.learning_rate_decay}."
            )
        for name in ("seed", "pixels_per_update"):
            if not 0 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be in [0, 2**31); got {getattr(self, name)}.")
        if self.network not in KINDS:
            raise ValueError(f"network must be one of {', '.join(KINDS)}; got {self.network!r}.")
        own = KINDS[self.network].hyperparameters
        for name in _HYPERPARAMETERS:
            value, default = getattr(self, name), _DEFAULTS[name]
            if name not in own and value != default:
                raise ValueError(
                    f"a {self.network} network has no {name}; leave it out. It has "
                    f"{', '.join(own)}."
                )
            if name in own and value is None:
                one = own[name]
                object.__setattr__(self, name, int(one.default) if one.integer else one.default)
            elif name in own and default is None:
                if own[name].integer:
                    _check_whole(name, value)
                _check_positive(name, value)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Trial":
        """Make the trial of a table's row; missing and null values take their defaults.

        Raises:
            KeyError: if the row lacks a size, w0, the learning rate, iterations or the seed.
        """
        values = {}
        for name in cls.__dataclass_fields__:
            value = row.get(name) if name in _LATER else row[name]
            if value is not None and value == value:  # NaN is what pandas makes of null
                values[name] = _KINDS[name](value)
        return cls(**values)

    def as_row(self) -> dict[str, Any]:
        """Return field -> value; None for hyperparameters that the kind does not have."""
        own = KINDS[self.network].hyperparameters
        return {
            name: getattr(self, name) if name in own or name not in _HYPERPARAMETERS else None
            for name in self.__dataclass_fields__
        }

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters of the network's kind, by name."""
        return {name: getattr(self, name) for name in KINDS[self.network].hyperparameters}

    @property
    def static(self) -> tuple[int, ...]:
        """Hyperparameters that the shapes depend on, in the order of the kind."""
        return tuple(getattr(self, name) for name in KINDS[self.network].static)

    @property
    def layer_shapes(self) -> list[tuple[int, int]]:
        """(out, in) of every layer, first to last; num_layers + 1 of them, and fixed ones."""
        return KINDS[self.network].shapes(self.layer_size, self.num_layers, *self.static)

    @property
    def parameters(self) -> int:
        """Number of trained weights and biases; complex ones count twice."""
        return _sizes(self.layer_size, self.num_layers, self.network, self.static)[0]

    @property
    def flops_per_pixel(self) -> int:
        """Floating-point operations of a training step per pixel; see `flops_per_pixel`."""
        return _sizes(self.layer_size, self.num_layers, self.network, self.static)[1]

    def bits_per_pixel(self, height: int, width: int, *, bits: int = 16) -> float:
        """Return the size of the network at `bits` per parameter, over the pixels of the image."""
        return self.parameters * bits / (height * width)


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Trial)}
# Fields that older tables do not have.
_LATER = (
    "learning_rate_decay",
    "pixels_per_update",
    "network",
    *(name for name in _HYPERPARAMETERS if _DEFAULTS[name] is None),
)
_KINDS: dict[str, type] = {
    name: int
    if name in _WHOLE or (name in _HYPERPARAMETERS and _HYPERPARAMETERS[name][0].integer)
    else str
    if name == "network"
    else float
    for name in _DEFAULTS
}


def _check_whole(name: str, value: Any) -> None:
    # The type first: the abstract class is slow to ask.
    if type(value) is not int and not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number; got {value!r}.")


def _check_positive(name: str, value: Any) -> None:
    if type(value) is not float and not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; got {value!r}.")
    if not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be positive and finite; got {value}.")


def require_sirens(trials: Iterable[Trial], what: str) -> None:
    """Refuse other kinds of networks, where only SIRENs are known.

    Raises:
        ValueError: naming the kind.
    """
    for trial in trials:
        if trial.network != SIREN:
            raise ValueError(f"{what} is for SIRENs; got a {trial.network} network.")


def count_parameters(
    layer_size: Any, num_layers: Any, network: str = SIREN, static: Sequence[Any] = ()
) -> Any:
    """Return the number of weights and biases that are trained; of arrays of networks, an array.

    Args:
        layer_size: units of a hidden layer.
        num_layers: hidden layers.
        network: kind.
        static: see `Trial.static`.
    """
    return _of_shapes(KINDS[network].count, layer_size, num_layers, network, static)


def grid(**axes: Any) -> list[Trial]:
    """Return the trials of every combination, the last keyword fastest.

        jaxinr.grid(layer_size=[8, 16], num_layers=3, seed=range(4))  # 8 trials

    Args:
        axes: hyperparameters of `Trial`, each one value or several in a list, tuple, range or
            array; others have their defaults.

    Raises:
        TypeError, ValueError: as `Trial`.
    """
    values = [
        [value] if isinstance(value, str) or not hasattr(value, "__len__") else list(value)
        for value in axes.values()
    ]
    return [Trial(**dict(zip(axes, one, strict=True))) for one in itertools.product(*values)]


def flops_per_pixel(
    layer_size: Any, num_layers: Any, network: str = SIREN, static: Sequence[Any] = ()
) -> Any:
    """Return the floating-point operations of a training step per pixel, in matrix products alone.

    Arguments as of `count_parameters`, arrays too; what is counted says `Kind.flops_per_pixel`.
    """
    return _of_shapes(KINDS[network].flops_per_pixel, layer_size, num_layers, network, static)


@functools.lru_cache(maxsize=1 << 16)  # a plan of 300,000 networks asks several times
def _sizes(
    layer_size: int, num_layers: int, network: str, static: tuple[int, ...]
) -> tuple[int, int]:
    """Return the parameters and the FLOPs per pixel of one network."""
    shape = (layer_size, num_layers, network, static)
    return count_parameters(*shape), flops_per_pixel(*shape)


def _of_shapes(
    total: Callable[[Any], Any], layer_size: Any, num_layers: Any, network: str, static: Any
) -> Any:
    """Sum over layers: hidden layers after the first are alike, whatever the kind."""
    one, two = (total(KINDS[network].shapes(layer_size, count, *static)) for count in (1, 2))
    return one + (num_layers - 1) * (two - one)
