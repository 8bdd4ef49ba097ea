"""The baseline: what one writes first. `jax.vmap` over networks, jnp.sin, optax.adam, one scan.

Kept to be measured against; nothing else uses it. Full batch, all networks and pixels at once.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxinr import siren
from jaxinr.siren import Params
from jaxinr.trial import Trial


def apply(params: Params, w0_initial: float, w0: float, points: Array) -> Array:
    """Map [P, 2] points to [P, 3] colours."""
    features = points
    for depth, layer in enumerate(params[:-1]):
        omega = w0_initial if depth == 0 else w0
        features = jnp.sin(omega * (features @ layer["weight"].T + layer["bias"][None]))
    return features @ params[-1]["weight"].T + params[-1]["bias"][None]


def start(trials: list[Trial]) -> Params:
    """Draw networks of trials that differ in their seeds only; leaves [N, ...]."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(siren.init, trials))


@functools.partial(jax.jit, static_argnames=("trial", "steps"), donate_argnums=0)
def train(
    carry: tuple[Params, Any], points: Array, targets: Array, *, trial: Trial, steps: int
) -> tuple[tuple[Params, Any], Array]:
    """Make `steps` Adam updates of N networks; return (params, opt_state), losses [steps, N].

    Args:
        carry: parameters, leaves [N, ...], and `optax.adam(...).init` of them.
        points: [P, 2] float32.
        targets: [N, P, 3] float32.
        trial: w0_initial, w0 and learning rate of all.
        steps: updates.
    """
    optimizer = optax.adam(trial.learning_rate)

    def loss(params: Params, target: Array) -> Array:
        return jnp.mean((apply(params, trial.w0_initial, trial.w0, points) - target) ** 2)

    def total(params: Params) -> tuple[Array, Array]:
        losses = jax.vmap(loss)(params, targets)
        return losses.sum(), losses

    def step(carry: tuple[Params, Any], _: None) -> tuple[tuple[Params, Any], Array]:
        params, state = carry
        (_, losses), gradient = jax.value_and_grad(total, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), losses

    return jax.lax.scan(step, carry, None, length=steps)
