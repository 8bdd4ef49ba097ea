"""What the layers of several kinds share in JAX: affine layers in a row, and units that are none.

Widths are padded so that networks share a program. A unit that was padded must stay at 0, or it
would change the layers after it. A sine does that by itself; where f(0) is not 0, `own` masks it,
and as a masked unit passes no gradient on either, its weights keep their zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jaxfleet import lazy
from jaxinr import siren
from jaxinr.kind import Params

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array
else:
    jnp = lazy.module("jax.numpy")


def own(activations: Array, layer_size: Array | int) -> Array:
    """[W, P] activations with zeros for units past the network's own `layer_size`."""
    place = jnp.arange(activations.shape[0], dtype=jnp.int32)[:, None]
    return jnp.where(place < layer_size, activations, jnp.float32(0))


def evaluate(
    params: Params,
    features: Array,
    scales: tuple[Array | float, Array | float],
    activation: Callable[[Array, int], Array],
    products: tuple[str, str],
) -> Array:
    """Evaluate a network of real layers: [I, P] inputs to [3, P] colours.

    Args:
        params: layers.
        features: inputs of the first.
        scales: factors of the first hidden layer's pre-activations, and of the others'.
        activation: (scaled pre-activations [W, P], place of the layer) -> activations.
        products: of the first hidden layer, and of the others; `siren.PRODUCTS`.
    """
    for depth, layer in enumerate(params[:-1]):
        later = min(depth, 1)
        scaled = siren.affine(
            scales[later] * layer["weight"],
            scales[later] * layer["bias"],
            features,
            products[later],
        )
        features = activation(scaled, depth)
    return siren.affine(params[-1]["weight"], params[-1]["bias"], features)
