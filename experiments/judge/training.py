"""Training of the network that turns evidence into an embedding and answers.

A perceptron sees the evidence of a picture and the state of its file. It learns four things at a
time: the class, the family and the group (`GROUPS`) as sums of the probabilities of classes, the
group by an output of its own, and the scale in bins.

Letters: N pictures, D values of evidence and state, U units, K classes, B bins of scale.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

HIDDEN = (224, 128)
_Tree = dict[str, Array]


class Targets(NamedTuple):
    """What the network learns.

    classes: [N] int; -1 where only the group counts.
    groups: [N] int.
    bins: [N] int.
    family_of: [K] int, of each class.
    group_of: [K] int, of each class.
    """

    classes: np.ndarray
    groups: np.ndarray
    bins: np.ndarray
    family_of: np.ndarray
    group_of: np.ndarray


def train(
    key: Array,
    inputs: np.ndarray,
    targets: Targets,
    num_bins: int,
    *,
    epochs: int,
    batch: int = 256,
    learning_rate: float = 1e-3,
    tell: Callable[[str], object] = lambda line: None,
) -> dict[str, np.ndarray]:
    """Train the network.

    Args:
        key: of weights, order and dropout.
        inputs: [N, D] float16, standardised.
        targets: of the N pictures.
        num_bins: B.
        epochs: passes over the pictures.
        batch: pictures of an update.
        learning_rate: the highest.
        tell: called with a line after each epoch.

    Returns:
        Weights: `w1`, `b1`, `w2`, `b2` to the embedding; `class`, `group`, `scale` from it, [U, .].
    """
    sizes = {"class": len(targets.family_of), "group": 3, "scale": num_bins}
    params = _init(key, inputs.shape[1], sizes)
    batch = min(batch, len(inputs))
    steps = len(inputs) // batch
    schedule = optax.cosine_onecycle_schedule(epochs * steps, learning_rate, 0.2)
    optimiser = optax.adamw(schedule, weight_decay=0.05)
    state = optimiser.init(params)
    family_of, group_of = jnp.asarray(targets.family_of), jnp.asarray(targets.group_of)

    def loss(params: _Tree, key: Array, given: Array, labels: tuple[Array, ...]) -> Array:
        first, second, third = jax.random.split(key, 3)
        given = given + 0.1 * jax.random.normal(first, given.shape)
        given = jnp.where(jax.random.bernoulli(second, 0.9, given.shape), given, 0.0) / 0.9
        embedded = embed(params, given, third)
        classes, groups, bins = labels
        logits = jax.nn.log_softmax(embedded @ params["class"])
        known = (classes >= 0).astype(jnp.float32)
        own = jnp.maximum(classes, 0)
        same_family = family_of[None, :] == family_of[own][:, None]
        same_group = group_of[None, :] == groups[:, None]
        smooth = 0.95 * _pick(logits, own) + 0.05 * logits.mean(axis=1)
        parts = known * (smooth + 0.5 * _within(logits, same_family))
        parts += 0.3 * known * _within(logits, same_group)
        parts += 1.0 * _pick(jax.nn.log_softmax(embedded @ params["group"]), groups)
        parts += 0.5 * _pick(jax.nn.log_softmax(embedded @ params["scale"]), bins)
        return -jnp.mean(parts)

    @jax.jit
    def update(
        params: _Tree, state: Any, key: Array, given: Array, labels: tuple[Array, ...]
    ) -> tuple[_Tree, Any, Array]:
        value, slope = jax.value_and_grad(loss)(params, key, given.astype(jnp.float32), labels)
        with jax.numpy_dtype_promotion("standard"):  # optax counts steps in int32
            change, state = optimiser.update(slope, state, params)
        return optax.apply_updates(params, change), state, value

    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        order, total = rng.permutation(len(inputs)), 0.0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            labels = tuple(jnp.asarray(x[rows]) for x in targets[:3])
            key, own = jax.random.split(key)
            params, state, value = update(params, state, own, inputs[rows], labels)
            total += float(value)
        tell(f"epoch {epoch + 1} of {epochs}: loss {total / steps:.3f}")
    return {name: np.asarray(value) for name, value in params.items()}


def embed(params: _Tree, given: Array, key: Array | None = None) -> Array:
    """[N, D] to [N, U]; with dropout if there is a key."""
    hidden = jax.nn.gelu(given @ params["w1"] + params["b1"][None])
    if key is not None:
        hidden = jnp.where(jax.random.bernoulli(key, 0.7, hidden.shape), hidden, 0.0) / 0.7
    return jax.nn.gelu(hidden @ params["w2"] + params["b2"][None])


def _init(key: Array, size: int, outputs: dict[str, int]) -> _Tree:
    widths = (size, *HIDDEN)
    keys = jax.random.split(key, 2 + len(outputs))
    params: _Tree = {}
    for i, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        scale = (2.0 / fan_in) ** 0.5
        params[f"w{i + 1}"] = scale * jax.random.normal(keys[i], (fan_in, fan_out))
        params[f"b{i + 1}"] = jnp.zeros(fan_out)
    for own, (name, count) in zip(keys[2:], outputs.items(), strict=True):
        params[name] = 0.02 * jax.random.normal(own, (widths[-1], count))
    return params


def _pick(log_scores: Array, labels: Array) -> Array:
    return jnp.take_along_axis(log_scores, labels[:, None], axis=1)[:, 0]


def _within(log_scores: Array, inside: Array) -> Array:
    return jax.nn.logsumexp(jnp.where(inside, log_scores, -jnp.inf), axis=1)
