"""Networks stored as JSON: waifu2x's VGG7, and WebSR's, which are Anime4K's with other weights.

VGG7 enlarges by repetition and then convolves. A network of WebSR is written as the shader that it
was made from. Source: waifu2x by nagadomi, and WebSR 0.0.15, layers/anime4k.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pictures import shaders
from jaxfleet.errors import InputError

_LEAK = 0.1  # slope of VGG7's activations below 0


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load a network: [3, h, w] float32 from 0 to 1 to [3, 2 h, 2 w].

    Raises:
        InputError: if the file holds none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        if isinstance(found, list):
            layers = [
                (np.asarray(one["weight"], np.float32), np.asarray(one["bias"], np.float32))
                for one in found
            ]
            return lambda picture: vgg7(layers, picture)
        passes = shaders.parse(to_shader(list(found["layers"].values())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}: no network in JSON; name one of waifu2x's VGG7 or of WebSR."
        ) from None
    return lambda picture: shaders.run(passes, picture)


def vgg7(layers: Sequence[tuple[np.ndarray, np.ndarray]], picture: np.ndarray) -> np.ndarray:
    """Enlarge a picture by a stack of convolutions: [C, h, w] to [C, 2 h, 2 w].

    Args:
        layers: weights [out, in, rows, columns] and biases [out] of each convolution.
        picture: float32, whose edges go on.
    """
    margin = sum(weight.shape[2] // 2 for weight, _ in layers)
    large = picture.repeat(2, axis=1).repeat(2, axis=2)
    values = jnp.asarray(np.pad(large, ((0, 0), (margin,) * 2, (margin,) * 2), "edge"))[None]
    for k, (weight, bias) in enumerate(layers):
        values = jax.lax.conv(values, jnp.asarray(weight), (1, 1), "VALID")
        values += bias[:, None, None][None]
        if k < len(layers) - 1:
            values = jnp.where(values > 0, values, _LEAK * values)
    return np.asarray(values[0])


def to_shader(layers: Sequence[Mapping[str, Any]]) -> str:
    """Write a network of WebSR as a shader of mpv."""
    *convolutions, shuffle = layers
    paired = 2 if any("conv2d_tf1" in one["inputs"] for one in layers) else 1
    passes = [_convolution(one, paired) for one in convolutions]
    sources = list(shuffle["inputs"])
    first = sources[0]
    values = [
        f"{name}_tex((vec2(0.5) - f) * {first}_pt + {first}_pos)[i.y * 2 + i.x]"
        for name in sources * (3 // len(sources))
    ]
    passes.append(
        f"//!HOOK MAIN\n//!WIDTH MAIN.w 2 *\n//!HEIGHT MAIN.h 2 *\nvec4 hook() {{\n"
        f"vec2 f = fract({first}_pos * {first}_size);\nivec2 i = ivec2(f * vec2(2.0));\n"
        f"return vec4({', '.join(values)}, 0.0) + MAIN_tex(MAIN_pos);\n}}\n"
    )
    return "".join(passes)


def _convolution(layer: Mapping[str, Any], paired: int) -> str:
    """Write a convolution of 3 x 3 or 1 x 1 pixels, of what is above 0 and of what is below."""
    terms = []
    inputs = list(layer["inputs"])
    for group in (inputs[i : i + paired] for i in range(0, len(inputs), paired)):
        if group == ["input_image"]:
            terms.append("MAIN_texOff(vec2(%d, %d))")
            continue
        for sign in ("", "-"):
            terms += [f"max({sign}{name}_texOff(vec2(%d, %d)), 0.0)" for name in group]
    matrices = np.asarray(layer["weights"], np.float32).reshape(-1, 16)
    radius = 1 if len(matrices) == 9 * len(terms) else 0
    around = range(-radius, radius + 1)
    places = [(term, (x, y)) for term in terms for x in around for y in around]
    lines = [
        f"r += mat4({', '.join(map(repr, matrix.tolist()))}) * {term % place};\n"
        for matrix, (term, place) in zip(matrices, places, strict=True)
    ]
    bias = ", ".join(map(repr, layer["bias"]))
    return (
        f"//!HOOK MAIN\n//!SAVE {layer['output']}\nvec4 hook() {{\nvec4 r = vec4({bias});\n"
        f"{''.join(lines)}return r;\n}}\n"
    )
