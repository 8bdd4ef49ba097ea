"""The forecaster's model: a learning curve with as few freedoms as the physics leaves it.

A network that has been trained for a while reproduces frequencies up to a cutoff. What is left of
a band of energy E at frequency f is E / (1 + (cutoff / f)^q), and the mean square error is the sum
over the bands of the image: the same scene at another size has other bands above, all of which a
small network leaves as they are. The cutoff starts low and rises with the logarithm of time, never
falling. Its slopes are a profile over time that all networks share, which a linear function and a
perceptron of the hyperparameters and the image scale, tilt and delay: few trainings are long, and
late in them a large network does what a smaller one did. The cutoff is relative to the capacity,
the highest frequency of a picture with as many frequencies as the network has weights.
The last stretch has no end; its slope halves every `HALVING` octaves.

A network with as many weights as the image has values can store all of it: a cutoff near the
highest frequency that the pixels hold, `limit`, runs away from there. In a large image it is far.

One code for NumPy and JAX: `xp` is the module of arrays. Letters: N fits, T times, B bands, F
features, K knots of time.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxinr.forecaster.inputs import FEATURES, OF_TRIAL

# log2 of (updates x learning rate^exponent); stretches between are two octaves.
KNOTS = np.arange(-4.0, 14.0, 2.0, dtype=np.float32)
HALVING = 6.0
CODE = 3  # numbers in which the perceptron sees an image: with more, it learns photographs by heart
RATE = 1e-3  # learning rate at which time is counted in updates
OUTPUTS = 7  # level, tilt and delay of the slopes; start, sharpness, spread and its slope
FIRST_DB, LAST_DB = 0.05, 60.0
START, SLOPE, SHARPNESS = -3.0, -1.0, 1.5  # of the cutoff, before anything is learnt

_ALONG = np.linspace(-1, 1, len(KNOTS), dtype=np.float32)

Params = dict[str, Any]


class Prediction(NamedTuple):
    """Mean and standard deviation of the best PSNR in dB, [N, T] each."""

    mean_db: Any
    std_db: Any


def init(key: np.random.Generator, width: int) -> Params:
    """Draw the parameters of one member, float32."""

    def normal(fan_in: int, fan_out: int) -> np.ndarray:
        return key.normal(0, (2 / fan_in) ** 0.5, (fan_in, fan_out)).astype(np.float32)

    bias = np.zeros(OUTPUTS, np.float32)
    bias[3:5] = START, SHARPNESS
    return {
        "linear": np.zeros((len(FEATURES), OUTPUTS), np.float32),
        "bias": bias,
        "code": normal(len(FEATURES) - OF_TRIAL, CODE),
        "first": normal(OF_TRIAL + CODE, width),
        "first_bias": np.zeros(width, np.float32),
        "second": normal(width, width),
        "second_bias": np.zeros(width, np.float32),
        "last": np.zeros((width, OUTPUTS), np.float32),
        "profile": np.full(len(KNOTS), SLOPE, np.float32),
        "rate": np.float32(0.8),
        "crowding": np.float32(1.0),
        "margin": np.float32(0.0),
    }


def shape(xp: Any, params: Params, features: Any) -> Any:
    """[N, OUTPUTS] that shape the learning curve of each fit.

    Args:
        xp: numpy or jax.numpy.
        params: of one member.
        features: [N, F] scaled.
    """
    coded = features[:, OF_TRIAL:] @ params["code"]
    coded = xp.concatenate([features[:, :OF_TRIAL], coded], 1)
    x = xp.maximum(coded @ params["first"] + params["first_bias"], 0)
    x = x + xp.maximum(x @ params["second"] + params["second_bias"], 0)
    return features @ params["linear"] + params["bias"] + x @ params["last"]


def answer(
    xp: Any, params: Params, shapes: Any, inputs: Any, octaves: Any, iterations: Any
) -> Prediction:
    """Compute the learning curves.

    Args:
        xp: numpy or jax.numpy.
        params: of one member.
        shapes: [N, OUTPUTS] of `shape`.
        inputs: `inputs.EncodedFits` of the fits.
        octaves: [B] log2 of the middle of each band.
        iterations: [N, T] Adam updates, float32, at least 1.
    """
    level, tilt, delay, start, sharpness, spread, later = (
        shapes[:, i, None] for i in range(OUTPUTS)
    )
    slopes = softplus(xp, params["profile"] + level + tilt * _ALONG)
    rate = xp.log2(inputs.learning_rates / RATE)[:, None]
    time = xp.log2(iterations) + params["rate"] * rate - delay
    since = time[..., None] - KNOTS
    ramps = softplus(xp, 2 * since) / 2
    late = HALVING / math.log(2) * (1 - xp.exp2(-ramps[..., -1:] / HALVING))
    ramps = xp.concatenate([ramps[..., :-1] - ramps[..., 1:], late], -1)
    cutoff = inputs.capacity[:, None] + start + xp.einsum("nk,ntk->nt", slopes, ramps)
    near = cutoff - inputs.limit[:, None] + params["margin"]
    cutoff = cutoff + softplus(xp, params["crowding"]) * softplus(xp, 2 * near) / 2
    sharp = math.log(2) * (softplus(xp, sharpness) + 0.3)
    power = sharp[..., None] * (cutoff[..., None] - octaves)
    left = 1 / (1 + xp.exp(xp.clip(power, -40, 40)))  # NumPy's exp2 is slower
    error = xp.einsum("nb,ntb->nt", inputs.energies, left)
    mean_db = -10 * xp.log10(error + 10 ** (-LAST_DB / 10))
    return Prediction(mean_db, softplus(xp, spread + later * (time - 8) / 8) + FIRST_DB)


def softplus(xp: Any, x: Any) -> Any:
    """log(1 + exp(x)), to float32's epsilon; in NumPy four times as fast as `logaddexp`."""
    return xp.maximum(x, 0) + xp.log(1 + xp.exp(-xp.abs(x)))
