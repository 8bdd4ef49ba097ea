"""From a fitted network to whole-numbered codes, with as little loss as the bits allow.

Rounding to the nearest code loses much, as errors of layers before the last come out many times
larger. Three things win most of it back:

- *Steps by sensitivity.* An array whose weights move the picture more gets finer steps, such that
  every weight is to blame for the same share of the error; for codes that are then entropy-coded
  this is the best allotment of bits. One factor common to all steps is left, which the size of
  the file decides.
- *Rounding with feedback.* Within a layer, weights are rounded one after the other, and those still
  to come make up for the error so far. Source: Frantar et al., GPTQ (2023), after Hassibi & Stork's
  Optimal Brain Surgeon, here with the Gauss-Newton matrix of the picture itself.
- *Retraining.* Layers are rounded first to last; after each one, those behind it are trained on,
  as floats, to make up for what it lost.

Letters: L sine layers, J networks, P parameters of a layer, C channels, N sampled pixels.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet import trainer
from jaxfleet.resumable import Resumable
from jaxinr import buckets, siren, trainers
from jaxinr.codec import bitstream, range_code
from jaxinr.codec.bitstream import Header
from jaxinr.program import SirenProgram
from jaxinr.quantise import KINDS, Quantised
from jaxinr.siren import Params

SAMPLED_PIXELS = 2048  # for the Gauss-Newton matrices: three times as many rows
BLOCK_WEIGHTS = 2048  # rounded together; their matrix takes 32 MB and about a second
DAMPING = 1e-2  # of the mean on the diagonal, as the matrices are nearly singular
UPDATE_PIXELS = 16384  # of training what is not rounded yet
FACTORS = (2.0**-24, 2.0**12)  # that steps are looked for between


@dataclasses.dataclass(frozen=True)
class TailProgram(SirenProgram):
    """Train the layers from `hyper["first_layer"]` [G] on; those before it stay as they are."""

    def loss_and_gradient(
        self, params: Params, hyper: dict[str, Array], batch: dict[str, Array]
    ) -> tuple[Array, Params]:
        """Return the parent's, with gradients of zero, at which Adam rests, for fixed layers."""
        loss, gradient = super().loss_and_gradient(params, hyper, batch)
        masked = []
        for depth, layer in enumerate(gradient):
            trained = (hyper["first_layer"] <= depth).astype(jnp.float32)
            masked.append(
                {
                    "weight": layer["weight"] * trained[:, None, None],
                    "bias": layer["bias"] * trained[:, None],
                }
            )
        return loss, tuple(masked)


def train_tail(
    image: np.ndarray,
    headers: Sequence[Header],
    networks: Sequence[Params],
    first: int,
    *,
    num_iters: int,
    learning_rate: float,
    kept: Resumable | None = None,
) -> list[Params]:
    """Return the networks of one picture, trained on from layer `first` side by side.

    Args:
        image: [H, W, 3] uint8.
        headers: what each network is; one depth and one kind of coordinates.
        networks: layers as `Header.layer_shapes` says.
        first: the first layer that may change.
        num_iters: Adam updates, from moments of zero.
        learning_rate: of Adam.
        kept: the trainings that this is one of.

    Returns:
        The best networks that were passed, the given ones included.
    """
    trials = [
        dataclasses.replace(
            header.trial,
            num_iters=num_iters,
            learning_rate=learning_rate,
            pixels_per_update=UPDATE_PIXELS,
        )
        for header in headers
    ]
    starts = [coloured(header, network) for header, network in zip(headers, networks, strict=True)]
    plan = buckets.make_buckets(
        trials,
        [image.shape[:2]] * len(trials),
        shards=sum(mesh.size for mesh in trainer.lanes()),
        platform=jax.local_devices()[0].platform,
        coordinates=headers[0].coordinates,
    )
    trained = list(networks)
    for bucket in plan:
        if isinstance(bucket, buckets.Bucket):
            whole = bucket.program
            program = TailProgram(**{f.name: getattr(whole, f.name) for f in fields(whole)})
            bucket = dataclasses.replace(bucket, program=program)
        make = functools.partial(
            trainers.make_trainer,
            bucket,
            trials,
            [image],
            [0] * len(trials),
            initial_params=starts.__getitem__,
            more_hyper={"first_layer": np.full(len(trials), first, np.int32)},
        )
        for _, finished in (kept or Resumable()).train(make):
            for one in finished:
                job = int(bucket.jobs[one.job])
                header = headers[job]
                trained[job] = of_file(header, siren.crop(one.params, header.layer_size))
    return trained


def quantise(
    image: np.ndarray,
    headers: Sequence[Header],
    networks: Sequence[Params],
    payload_bits: float,
    *,
    num_iters: int,
    learning_rate: float,
    kept: Resumable | None = None,
) -> list[Quantised | None]:
    """Return the codes of fitted networks, each of at most so many bits.

    Args:
        image: [H, W, 3] uint8.
        headers: what each network is; one depth and one kind of coordinates.
        networks: their weights, layers as `Header.layer_shapes` says.
        payload_bits: that the codes may take.
        num_iters: Adam updates after each layer but the last.
        learning_rate: of those.
        kept: the trainings that these are some of.

    Returns:
        One for each network; None where even the coarsest steps take more bits.
    """
    rounders = [
        Rounder(header, network, payload_bits)
        for header, network in zip(headers, networks, strict=True)
    ]
    last = headers[0].num_layers
    kept = kept or Resumable()
    for depth in range(last + 1):
        for rounder in rounders:
            rounder.round_layer()
        able = [rounder for rounder in rounders if not rounder.failed]
        if able and depth < last and num_iters:
            train = functools.partial(
                train_tail,
                image,
                [rounder.header for rounder in able],
                [rounder.network for rounder in able],
                depth + 1,
                num_iters=num_iters,
                learning_rate=learning_rate,
                kept=kept,
            )
            for rounder, network in zip(able, kept.once(train), strict=True):
                rounder.network = tuple(network)
    return [rounder.quantised for rounder in rounders]


class Rounder:
    """One network on its way from floats to codes, layer by layer."""

    def __init__(self, header: Header, network: Params, bits: float) -> None:
        """Nothing is rounded yet; `bits` are for the codes of all layers."""
        self.header, self.network, self.failed = header, network, False
        self._bits_left = bits
        self._initial = _arrays(header.initial())
        self._codes: list[np.ndarray] = []
        self._steps: list[np.float32] = []
        squares = [value for one in self._derivatives() for value in one.mean_squares()]
        influence = np.sqrt(squares)
        self._relative_steps = 1.0 / np.maximum(influence, 1e-6 * influence.max() + 1e-30)

    @property
    def quantised(self) -> Quantised | None:
        """The codes, once every layer is rounded; None where they would not fit."""
        return None if self.failed else Quantised(_layers(self._codes), np.array(self._steps))

    def round_layer(self) -> None:
        """Round the next layer, and put the result into `network`."""
        if self.failed:
            return
        done = len(self._codes)
        is_last = done == 2 * self.header.num_layers
        arrays = _arrays(self.network)
        derivatives = self._derivatives()[done // 2]
        factor = self._finest_factor(arrays[done:])
        for _ in range(32):  # once, but for the last layer, as feedback may cost bits
            steps = bitstream.nearest_steps(factor * self._relative_steps[done : done + 2])
            codes = round_with_feedback(arrays[done], arrays[done + 1], steps, derivatives)
            bits = sum(map(self._bits, codes, steps, (done, done + 1)))
            if bits <= self._bits_left or (not is_last and math.isfinite(bits)):
                break
            factor *= 2.0 ** (1 / 8)
        else:
            self.failed = True
            return
        self._bits_left -= bits
        self._codes += codes
        self._steps += list(steps)
        arrays[done : done + 2] = [
            code.astype(np.float32) * step for code, step in zip(codes, steps, strict=True)
        ]
        self.network = _layers(arrays)

    def _finest_factor(self, values: Sequence[np.ndarray]) -> float:
        """Return the least factor of the steps to come whose codes fit into the bits left."""
        done = len(self._codes)
        low, high = (math.log2(factor) for factor in FACTORS)
        for _ in range(24):
            middle = 0.5 * (low + high)
            steps = bitstream.nearest_steps(2.0**middle * self._relative_steps[done:])
            codes = [np.rint(array / step) for array, step in zip(values, steps, strict=True)]
            bits = sum(map(self._bits, codes, steps, range(done, done + len(codes))))
            low, high = (low, middle) if bits <= self._bits_left else (middle, high)
        return 2.0**high

    def _bits(self, codes: np.ndarray, step: np.float32, place: int) -> float:
        """Return the bits of the codes of the array at `place`; inf where they cannot be coded."""
        try:
            predicted = bitstream.predict(self._initial[place], step)
            return range_code.best_spread(codes - predicted)[1]
        except ValueError:
            return math.inf

    def _derivatives(self) -> list["Derivatives"]:
        trial = self.header.trial
        pixels = self.header.height * self.header.width
        index = np.random.PCG64(0).random_raw(SAMPLED_PIXELS) % np.uint64(pixels)
        points = siren.points_of(
            jnp.asarray(index.astype(np.int32)),
            self.header.height,
            self.header.width,
            self.header.coordinates,
        )
        w0s = np.float32(trial.w0_initial), np.float32(trial.w0)
        return [
            Derivatives(np.asarray(inputs), np.asarray(slopes))
            for inputs, slopes in zip(*_derivatives(self.network, *w0s, points), strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class Derivatives:
    """The derivatives of the picture's colours by the weights of one layer.

    The derivative by a weight is the input it multiplies times the one by its unit's bias.

    Attributes:
        inputs: [in, N], of the layer.
        slopes: [N, C, out], by the biases.
    """

    inputs: np.ndarray
    slopes: np.ndarray

    def mean_squares(self) -> tuple[float, float]:
        """Over weights, pixels and colours: of the derivatives by weights, and by biases."""
        by_pixel = np.mean(self.slopes**2, axis=(1, 2))
        return float(np.mean(self.inputs**2 @ by_pixel) / len(by_pixel)), float(np.mean(by_pixel))

    def gauss_newton(self, rows: slice) -> np.ndarray:
        """Return [P, P] float64: products of derivatives, for some units' weights and then bias."""
        inputs = np.concatenate([self.inputs, np.ones_like(self.inputs[:1])])
        slopes = self.slopes[:, :, rows]
        count = slopes.shape[0] * slopes.shape[1]
        jacobian = slopes[..., None] * inputs.T[:, None, None]  # [N, C, rows, in + 1]
        jacobian = jacobian.reshape(count, -1)
        return (jacobian.T @ jacobian).astype(np.float64) / count


@jax.jit
def _derivatives(
    params: Params, w0_initial: Array, w0: Array, points: Array
) -> tuple[list[Array], list[Array]]:
    """Compute what `Derivatives` holds, for every layer."""
    inputs = [points]
    for depth, layer in enumerate(params[:-1]):
        omega = (w0_initial if depth == 0 else w0) * (1.0 / math.pi)
        inputs.append(
            siren.sinpi(siren.affine(omega * layer["weight"], omega * layer["bias"], inputs[-1]))
        )

    def colours(biases: list[Array], point: Array) -> Array:
        layers = tuple(
            {"weight": layer["weight"], "bias": bias}
            for layer, bias in zip(params, biases, strict=True)
        )
        return siren.apply(layers, w0_initial, w0, point[:, None])[:, 0]

    slopes = jax.vmap(jax.jacrev(colours), in_axes=(None, 1))(
        [layer["bias"] for layer in params], points
    )
    return inputs, slopes


def round_with_feedback(
    weight: np.ndarray, bias: np.ndarray, steps: np.ndarray, derivatives: Derivatives
) -> list[np.ndarray]:
    """Return codes of a layer, each rounded to the nearest after the corrections of those before.

    Args:
        weight: [out, in].
        bias: [out].
        steps: of the weights and of the biases.
        derivatives: of the layer.

    Returns:
        [out, in] and [out] int32.
    """
    table = np.concatenate([weight, bias[:, None]], axis=1).astype(np.float64)
    step = np.append(np.full(weight.shape[1], steps[0], np.float64), steps[1])
    table /= step
    units = max(1, BLOCK_WEIGHTS // len(step))
    for start in range(0, len(table), units):
        rows = slice(start, start + units)
        scale = np.tile(step, len(table[rows]))
        matrix = derivatives.gauss_newton(rows) * np.outer(scale, scale)
        table[rows] = _feedback(table[rows].ravel(), matrix).reshape(-1, len(step))
    codes = np.clip(table, -bitstream.MAX_CODE, bitstream.MAX_CODE).astype(np.int32)
    return [codes[:, :-1], codes[:, -1]]


def _feedback(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return whole numbers near `values` [P] with a small x @ matrix @ x of the differences x."""
    level = matrix.trace() / len(matrix)
    if not level > 0:  # nothing depends on these weights
        return np.rint(values)
    inverse = np.linalg.inv(matrix / level + DAMPING * np.eye(len(matrix)))
    factor = np.linalg.cholesky(inverse).T
    values = values.copy()
    for i in range(len(values)):
        nearest = np.rint(values[i])
        values[i + 1 :] -= (values[i] - nearest) / factor[i, i] * factor[i, i + 1 :]
        values[i] = nearest
    return values


def _arrays(layers: Params) -> list[np.ndarray]:
    return [np.asarray(layer[kind]) for layer in layers for kind in KINDS]


def _layers(arrays: Sequence[np.ndarray]) -> Params:
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    return tuple(dict(zip(KINDS, pair, strict=True)) for pair in pairs)


def coloured(header: Header, network: Params) -> Params:
    """Return the network with three output rows, as programs take it."""
    if not header.grey:
        return network
    last = {kind: np.concatenate([array] * 3) for kind, array in network[-1].items()}
    return (*network[:-1], last)


def of_file(header: Header, network: Params) -> Params:
    """Return the network with the output rows of the file: for grey, the mean of three."""
    if not header.grey:
        return network
    return (*network[:-1], bitstream.one_row(network[-1]))
