"""What a kind of coordinate network consists of, and what all kinds share. Without JAX's compiler.

A network is a tuple of layers `{"weight": [out, in], "bias": [out]}`, float32, whatever its kind.
Letters: L hidden layers, W units of a hidden layer, P points.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Params = tuple[dict[str, Any], ...]  # of jax or numpy arrays
Shapes = list[tuple[int, int]]  # (out, in) of every layer, first to last

INPUTS, CHANNELS = 2, 3


class Spec(Protocol):
    """The part of a `jaxinr.Trial` that `Kind.init` reads."""

    @property
    def network(self) -> str:
        """Name of its kind."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the draws."""
        ...

    @property
    def layer_shapes(self) -> Shapes:
        """(out, in) of every layer."""
        ...

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """The hyperparameters of the network's kind, by name."""
        ...


class Apply(Protocol):
    """The network as a function."""

    def __call__(
        self, params: Params, values: Mapping[str, Any], points: Any, products: str
    ) -> Any:
        """Return colours [3, P], not clipped, at points [2, P]; `values` of the kind's `traced`."""
        ...


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """A number that a kind of network has beside its size.

    Attributes:
        default: taken where a trial does not give it.
        lower: least value that a grid may have.
        upper: greatest value that a grid may have.
        meaning: what tables and figures call it.
        integer: whether it is a whole number.
    """

    default: float
    lower: float
    upper: float
    meaning: str
    integer: bool = False


@dataclasses.dataclass(frozen=True)
class TorchNames:
    """The names of layers in the PyTorch code of a kind; `{}` stands for the place in `net`.

    Attributes:
        hidden: of a hidden layer.
        last: of the output layer.
        stride: places in `net` from one layer to the next.
        fixed: of the weights of layers that are not trained.
    """

    hidden: str
    last: str
    stride: int = 1
    fixed: tuple[str, ...] = ()

    def layers(self, count: int) -> list[str]:
        """Return the names of `count` trained layers."""
        places = [place * self.stride for place in range(count)]
        return [self.hidden.format(i) for i in places[:-1]] + [self.last.format(places[-1])]

    def count(self, greatest: int) -> int:
        """Return the trained layers of a network whose greatest place in `net` is this."""
        return greatest // self.stride + (1 if "{}" in self.last else 2)


def _same(params: Params) -> Params:
    """Return real weights as they are."""
    return params


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        name: as a trial's `network` says it.
        hyperparameters: name -> what it may be; each is a field of `Trial`.
        shapes: (W, L, *values of `static`) -> (out, in) of every layer.
        init: (trial) -> initial weights as its paper has them, NumPy arrays.
        apply: the network as a function; products is one of `siren.PRODUCTS`.
        torch: how PyTorch code names the layers.
        traced: attributes of a trial that `apply` reads; they may differ in one program.
        static: hyperparameters that shapes depend on.
        fixed_layers: layers at the start that are not trained.
        parts: real numbers that a unit holds, 2 where it is complex.
        seconds: rough time of an activation, in those of a sine; for comparing plans.
        to_complex: params -> the same with complex weights, for PyTorch.
        from_complex: the way back.
    """

    name: str
    hyperparameters: Mapping[str, Hyperparameter]
    shapes: Callable[..., Shapes]
    init: Callable[[Spec], Params]
    apply: Apply
    torch: TorchNames
    traced: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    fixed_layers: int = 0
    parts: int = 1
    seconds: float = 1.0
    to_complex: Callable[[Params], Params] = _same
    from_complex: Callable[[Params], Params] = _same

    def traced_types(self) -> list[tuple[str, type]]:
        """Return the names of `traced`, with the types that a program takes them in."""
        return [(name, np.int32 if name == "layer_size" else np.float32) for name in self.traced]

    def traced_values(self, trial: Spec) -> dict[str, Any]:
        """Return what `apply` reads of one trial, as NumPy scalars."""
        return {name: kind(getattr(trial, name)) for name, kind in self.traced_types()}

    def count(self, shapes: Sequence[tuple[int, int]]) -> int:
        """Return the weights and biases that are trained."""
        return sum(out * (fan_in + 1) for out, fan_in in shapes[self.fixed_layers :])

    def flops_per_pixel(self, shapes: Sequence[tuple[int, int]]) -> int:
        """Return the FLOPs of one training step per pixel, in matrix products alone.

        Forward and weight gradients take 2 each per multiplication, input gradients 2 for all but
        the first trained layer; a fixed layer takes the first 2 alone. Between complex units each
        stored number is multiplied twice. Activations, biases and Adam are not counted.
        """
        last, total = len(shapes) - 1, 0
        for depth, (out, fan_in) in enumerate(shapes):
            between = self.fixed_layers < depth < last
            products = out * fan_in * (self.parts if between else 1)
            rounds = 1 + (depth >= self.fixed_layers) + (depth > self.fixed_layers)
            total += 2 * rounds * products
        return total


def dense_shapes(layer_size: int, num_layers: int) -> Shapes:
    """Return (out, in) of a network of coordinates to L layers of W units to colours."""
    sizes = [INPUTS] + [layer_size] * num_layers + [CHANNELS]
    return [(sizes[i + 1], sizes[i]) for i in range(num_layers + 1)]


# Draws are made on the host: compiling a generator for each shape takes longer than all of them.
# The stream of PCG64 is one that NumPy keeps from version to version.


def uniform_layers(
    seed: int, shapes: Sequence[tuple[int, int]], bounds: Sequence[tuple[float, float]]
) -> Params:
    """Draw layers with weights U(-a, a) and biases U(-b, b); `bounds` are (a, b) per layer."""
    words = np.random.PCG64(seed).random_raw(sum(out * (fan_in + 1) for out, fan_in in shapes))
    draws = (words >> np.uint64(11)) * 2.0**-52 - 1.0  # 53 bits, in [-1, 1)
    return _layers(draws, shapes, bounds)


def normal_layers(
    seed: int, shapes: Sequence[tuple[int, int]], deviations: Sequence[tuple[float, float]]
) -> Params:
    """Draw layers of normal weights and biases, mean 0; `deviations` are per layer."""
    count = sum(out * (fan_in + 1) for out, fan_in in shapes)
    half = -(-count // 2)
    words = np.random.PCG64(seed).random_raw(2 * half)
    draws = ((words >> np.uint64(11)) + 1.0) * 2.0**-53  # in (0, 1]
    radius, angle = np.sqrt(-2.0 * np.log(draws[:half])), 2.0 * math.pi * draws[half:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])  # Box and Muller
    return _layers(normal, shapes, deviations)


def _layers(
    draws: np.ndarray,
    shapes: Sequence[tuple[int, int]],
    factors: Sequence[tuple[float, float]],
) -> Params:
    layers, start = [], 0
    for (out, fan_in), (of_weight, of_bias) in zip(shapes, factors, strict=True):
        middle, end = start + out * fan_in, start + out * (fan_in + 1)
        weight = (of_weight * draws[start:middle]).astype(np.float32)
        bias = (of_bias * draws[middle:end]).astype(np.float32)
        layers.append({"weight": weight.reshape(out, fan_in), "bias": bias})
        start = end
    return tuple(layers)


def without_biases(params: Params) -> Params:
    """Return the same weights with biases of zero."""
    return tuple({**layer, "bias": np.zeros_like(layer["bias"])} for layer in params)


def pad(params: Params, shapes: Sequence[tuple[int, int]]) -> Params:
    """Pad a network with zero rows and columns after its own, up to these shapes."""
    return tuple(
        {name: _grown(np.asarray(layer[name], np.float32), shape[:rank]) for name, rank in _RANKS}
        for layer, shape in zip(params, shapes, strict=True)
    )


def crop(params: Params, shapes: Sequence[tuple[int, int]]) -> Params:
    """Invert `pad`: return the network of these shapes, as NumPy arrays."""
    return tuple(
        {name: np.asarray(layer[name])[tuple(map(slice, shape[:rank]))] for name, rank in _RANKS}
        for layer, shape in zip(params, shapes, strict=True)
    )


_RANKS = (("weight", 2), ("bias", 1))


def _grown(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(array, [(0, to - size) for size, to in zip(array.shape, shape, strict=True)])
