"""A trained forecaster: asked about fits, written to one file and read from it."""

import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxfleet import fleet
from jaxfleet.cards import CardKind
from jaxfleet.errors import InputError
from jaxinr.forecaster import descriptors, inputs, training
from jaxinr.forecaster.network import Shape
from jaxinr.forecaster.training import TARGET_DB, ForecasterRecipe, Scaling

PACKAGED = "forecaster.safetensors"
CARDS = CardKind(
    "jaxinr.forecaster", "forecaster", "train it again with launch/siren_predictor.py", version=4
)
# Of fits on 96 x 96 and 192 x 128 pixels, after training on 24 and 48: BUILD.md, The forecaster.
DB_PER_RANGE = 3.0  # spread of what is asked a whole training range outside of it
DB_PER_DEVIATION = 0.1  # spread of a picture with one that deviates further
MAX_EXCESS_DB = 10.0  # of these two together
TOLERANCE = 1e-2  # of a range: rounding is no excess
_CHUNK = 1024  # fits in one call of the compiled program
RUNGS = 12  # of a ladder of iterations: a factor of 1.5 from one to the next
_SCALING = tuple(field.name for field in dataclasses.fields(Scaling))

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Trained:
    """An ensemble, and what it was trained on.

    Attributes:
        params: parameters, members in front, float32 or, to save space, float16.
        shape: of each member.
        scaling: of its inputs.
        spread: what the ensemble's standard deviation is multiplied by, found on photographs of
            the validation split.
        card: what it was trained on and how well it does, JSON-able.
    """

    params: Any
    shape: Shape
    scaling: Scaling
    spread: float
    card: Mapping[str, Any]

    @property
    def low(self) -> dict[str, float]:
        """Least of the training range, by the names of `inputs.ENCODED` without log2."""
        return _by_name(self.scaling.low)

    @property
    def high(self) -> dict[str, float]:
        """Greatest of the training range."""
        return _by_name(self.scaling.high)

    def range_at(self, pixels: int) -> tuple[dict[str, float], dict[str, float]]:
        """Least and greatest, as `low` and `high`, on pictures of about so many pixels."""
        axes = np.zeros((1, inputs.AXES), np.float32)
        axes[0, inputs.PIXELS] = np.log2(pixels)
        low, high = self.scaling.bounds(axes)
        return _by_name(low[0]), _by_name(high[0])

    @functools.cached_property
    def _ready(self) -> Any:
        """The parameters as the compiled programs take them: float32, on the device."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), self.params)

    def look(self, described: np.ndarray, thumbnails: np.ndarray) -> Array:
        """All that depends on the pictures alone: [members, P, width + products].

        Args:
            described: [P, D] descriptors.
            thumbnails: [P, S, S, 3] uint8.
        """
        return _programs(self.shape)[0](self._ready, self.scaling.pictures(described), thumbnails)

    def ask(
        self, looks: Array, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the best PSNR in dB, both [N] float32.

        Args:
            looks: [members, N, ...] or, all of one picture, [members, 1, ...] of `look`.
            described: [N, D] or [D] descriptors of the pictures.
            rows: [N, len(inputs.TRIAL)] of the trials.
            iterations: [N] Adam updates, at least 1.
        """
        encoded = inputs.encode(rows, iterations, described)
        scaled = self.scaling.fits(encoded)
        mean, std = np.zeros((2, len(rows)), np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            some = scaled[part]
            count = len(some)
            size = min(_CHUNK, 1 << max(count - 1, 0).bit_length())  # few shapes, few compilations
            some = np.pad(some, ((0, size - count), (0, 0)), mode="edge")
            seen = looks
            if looks.shape[1] > 1:
                pad = ((0, 0), (0, size - count), (0, 0))
                seen = jnp.pad(looks[:, part], pad)
            means, stds = _programs(self.shape)[1](self._ready, seen, some)
            mean[part], std[part] = np.asarray(means)[:count], np.asarray(stds)[:count]
        constant_db = described[..., inputs.CONSTANT]
        excess = DB_PER_RANGE * self.excess(encoded).max(-1) + self.strangeness(described)
        excess = np.minimum(excess, MAX_EXCESS_DB).astype(np.float32)
        return mean + constant_db, np.hypot(self.spread * std, excess)

    def best_so_far(
        self, looks: Array, described: np.ndarray, rows: np.ndarray, iterations: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation as `ask`, of means that never fall with more iterations.

        The best PSNR so far cannot fall, and nothing is known beyond the training range, so the
        mean stays there. The networks are asked at `RUNGS` numbers of iterations of the training
        range; the mean is the running maximum of these answers, interpolated over log iterations.

        Args:
            looks: of one picture, [members, 1, ...] of `look`.
            described: [D] descriptors of the picture.
            rows: as `ask`.
            iterations: as `ask`.
        """
        pixels = 2.0 ** inputs.encode(rows[:1], iterations[:1], described)[0, inputs.PIXELS]
        low, high = (bound["iterations"] for bound in self.range_at(pixels))
        rungs = np.r_[np.geomspace(1, low, 3)[:-1], np.geomspace(low, high, RUNGS)]
        everywhere = np.tile(rows, (len(rungs), 1)), np.repeat(rungs, len(rows))
        answers = self.ask(looks, described, *everywhere)[0].reshape(len(rungs), len(rows))
        # Below the range it is extrapolated, and must not lift what is known.
        answers[:2] = np.minimum(answers[:2], answers[2])
        rising = np.maximum.accumulate(answers, axis=0)
        place = np.interp(np.log(iterations), np.log(rungs), np.arange(len(rungs)))
        below = np.minimum(place.astype(int), len(rungs) - 2)
        share = (place - below).astype(np.float32)
        network = np.arange(len(rows))
        first, second = rising[below, network], rising[below + 1, network]
        mean = np.minimum(first + share * (second - first), second)  # no rounding makes it fall
        return mean, self.ask(looks, described, rows, iterations)[1]

    def predict(self, fits: training.Fits, at: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [N] for fits on many pictures, after their `at`-th point."""
        thumbnails = training.or_blank(fits.thumbnails, len(fits.described))
        looks = self.look(fits.described, thumbnails)[:, fits.picture]
        return self.ask(looks, fits.described[fits.picture], fits.rows, fits.iterations[:, at])

    def excess(self, encoded: np.ndarray) -> np.ndarray:
        """[N, AXES] how far outside the training range of such pictures, in ranges; 0 inside."""
        axes = encoded[:, : inputs.AXES]
        low, high = self.scaling.bounds(axes)
        outside = np.maximum(low - axes, axes - high) / self.scaling.width
        return np.where(outside > TOLERANCE, outside, 0)

    def strangeness(self, described: np.ndarray) -> np.ndarray:
        """[...] dB of spread that a picture [..., D] adds which is unlike those of training."""
        far = np.abs(described - self.scaling.described_mean) / self.scaling.described_std
        return DB_PER_DEVIATION * np.maximum(far.max(-1) - training.EDGE, 0)

    def save(self, path: Path) -> None:
        """Write one safetensors file; loading it runs no code."""
        arrays = {f"member{name}": leaf for name, leaf in _leaves(self.params).items()}
        members = len(next(iter(arrays.values())))
        arrays |= {f"scaling.{name}": getattr(self.scaling, name) for name in _SCALING}
        card = {
            "shape": dataclasses.asdict(self.shape),
            "members": members,
            "spread": self.spread,
            "descriptors": list(descriptors.NAMES),
            "card": dict(self.card),
        }
        CARDS.write(path, card, arrays)

    @classmethod
    def load(cls, path: Path) -> "Trained":
        """Return what `save` wrote.

        Raises:
            InputError: naming the file, if it is not there, damaged, foreign or of another version.
        """
        card, arrays = CARDS.read(path)
        with CARDS.reading(str(path)):
            if card["descriptors"] != list(descriptors.NAMES):
                raise InputError(f"a forecaster of another version; {CARDS.remedy}.")
            shape = Shape(**card["shape"])
            blank = jax.eval_shape(
                lambda: training.create(ForecasterRecipe(members=card["members"], shape=shape))[0]
            )
            leaves = {name: arrays[f"member{name}"] for name in _leaves(blank)}
            expected = {name: leaf.shape for name, leaf in _leaves(blank).items()}
            if {name: leaf.shape for name, leaf in leaves.items()} != expected:
                raise ValueError("weights of other sizes")
            scaling = Scaling(**{name: arrays[f"scaling.{name}"] for name in _SCALING})
            params = jax.tree.unflatten(jax.tree.structure(blank), leaves.values())
            return cls(params, shape, scaling, float(card["spread"]), card["card"])


@functools.cache
def packaged() -> Trained:
    """Return the forecaster that is installed with the package."""
    file = importlib.resources.files("jaxinr") / "data" / PACKAGED
    with importlib.resources.as_file(file) as path:
        return Trained.load(path)


def _by_name(octaves: np.ndarray) -> dict[str, float]:
    names = [name.removeprefix("log2_") for name in inputs.ENCODED]
    return dict(zip(names, (2.0 ** octaves.astype(np.float64)).tolist(), strict=True))


def _leaves(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


@functools.cache
def _programs(shape: Shape) -> tuple[Any, Any]:
    """Compiled: (params, described, thumbnails) -> looks; (params, looks, fits) -> mean, std."""
    definition = training.graph(shape)
    options = fleet.compiler_options(jax.default_backend())

    @functools.partial(jax.jit, compiler_options=options)
    def look(params: Any, described: Array, thumbnails: Array) -> Array:
        pictures = training.to_float(thumbnails)
        return jax.vmap(lambda own: nnx.merge(definition, own).pictures(described, pictures))(
            params
        )

    @functools.partial(jax.jit, compiler_options=options)
    def ask(params: Any, looks: Array, fits: Array) -> tuple[Array, Array]:
        answers = jax.vmap(lambda own, x: nnx.merge(definition, own)(x, fits))(params, looks)
        means, stds = (x.reshape(-1, len(fits)) for x in answers)
        mean = means.mean(0, keepdims=True)  # of the mixture of all of them, and so its variance
        variance = jnp.mean(jnp.square(stds) + jnp.square(means - mean), 0)
        return mean[0] * TARGET_DB, jnp.sqrt(variance) * TARGET_DB

    return look, ask
