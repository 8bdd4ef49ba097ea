"""The image that a network stores, at any size."""

import functools
from typing import Any

import jax
import numpy as np

from jaxfleet import trainer
from jaxinr import inputs, siren
from jaxinr.kernels import choice
from jaxinr.networks.registry import KINDS
from jaxinr.siren import Params
from jaxinr.trial import Trial

BLOCK = 1 << 16


def render(
    params: Params,
    trial: Trial,
    shape: tuple[int, int],
    *,
    coordinates: str = "coin",
    clip: bool = False,
) -> Any:
    """Render the image that a network stores, at any size: [H, W, 3] float32.

    Args:
        params: layers `{"weight": [out, in], "bias": [out]}`, as the trial says.
        trial: gives the kind, the shapes and the hyperparameters.
        shape: (height, width). `coin` coordinates depend on the aspect ratio alone.
        coordinates: as in `fit`.
        clip: whether to clip values to [0, 1], as viewers such as matplotlib need; otherwise they
            may lie slightly outside.

    Raises:
        TypeError: if `shape` is not two whole numbers.
        ValueError: if shapes or names are not as above.
    """
    asked = np.asarray(shape)
    if asked.shape != (2,) or asked.dtype.kind not in "iu":
        raise TypeError(f"shape must be (height, width), whole numbers; got {shape!r}.")
    height, width = shape = int(asked[0]), int(asked[1])
    if height < 1 or width < 1 or height * width >= inputs.MAX_PIXELS:
        raise ValueError(
            f"shape must be (height, width), both at least 1, below 2^23 pixels; got {shape}."
        )
    inputs.check_params("params", params, trial)
    inputs.check_choice("coordinates", coordinates, siren.COORDINATES)
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), tuple(params))
    size = (trial.num_layers, trial.layer_size)
    platform = jax.local_devices()[0].platform
    if choice.choose("auto", platform, *size, network=trial.network) == "numba":
        from jaxinr.kernels import network

        picture = network.render(layers, trial, shape, coordinates, cores=trainer.usable_cores())
    else:
        picture = _render(layers, trial, shape, coordinates)
    return np.clip(picture, 0.0, 1.0) if clip else picture


def _render(layers: Params, trial: Trial, shape: tuple[int, int], coordinates: str) -> np.ndarray:
    """Render by XLA's program."""
    height, width = shape
    values = KINDS[trial.network].traced_values(trial)
    # In blocks of a power of two, the last one filled up: few sizes, so few compilations.
    pixels = height * width
    block = min(BLOCK, 1 << (pixels - 1).bit_length())
    index = np.zeros(-(-pixels // block) * block, np.int32)
    index[:pixels] = np.arange(pixels, dtype=np.int32)
    pieces = [
        _render_block(layers, values, part, height, width, coordinates, trial.network)
        for part in index.reshape(-1, block)
    ]
    return np.concatenate(pieces, axis=1).T[:pixels].reshape(height, width, 3)


@functools.partial(jax.jit, static_argnames=("coordinates", "network"))
def _render_block(
    params: Params,
    values: dict[str, jax.Array],
    index: jax.Array,
    height: jax.Array,
    width: jax.Array,
    coordinates: str,
    network: str,
) -> jax.Array:
    points = siren.points_of(index, height, width, coordinates)
    return KINDS[network].apply(params, values, points, "float32")
