"""What training a network costs, before it is trained: FLOPs, memory, and how fast a device is."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.networks import convolution
from jaxsr.training.program import TrainingProgram, TrainingState

PROBE = (4, 64, 64, 64)  # pictures, rows, columns and features of the convolution that is timed
PROBE_SECONDS = 1.0
KERNEL_PX = 3


def flops_per_update(program: TrainingProgram) -> float:
    """Return the FLOPs of an update of one network and its discriminator, as XLA counts them."""
    lowered = jax.jit(program.update).lower(program.shapes, program.constants, *_batch(program))
    analysis = lowered.cost_analysis()
    return float(analysis["flops"]) if analysis else 0.0


def state_bytes(program: TrainingProgram) -> int:
    """Return the bytes of one network in training: weights, average, optimiser, discriminator."""
    return _bytes(program.shapes)


def weight_bytes(program: TrainingProgram) -> int:
    """Return the bytes of the float32 weights of one network."""
    return _bytes(program.shapes.params)


def activation_bytes(program: TrainingProgram) -> int:
    """Return the most bytes that the gradient of the l1 loss of one batch keeps."""
    low, _ = _batch(program)

    def kept(state: TrainingState, low: jax.Array) -> object:
        return jax.vjp(lambda params: program.apply(params, program.constants, low), state.params)

    return _bytes(jax.eval_shape(kept, program.shapes, low))


def flops_per_second(devices: Sequence[jax.Device]) -> float:
    """Measure the FLOP/s of the gradient of convolutions, on all devices at once."""
    images, rows, columns, features = PROBE
    shape, pad = (KERNEL_PX, KERNEL_PX, features, features), KERNEL_PX // 2

    @jax.jit
    def gradient(kernels: jax.Array, x: jax.Array) -> jax.Array:
        def loss(kernels: jax.Array) -> jax.Array:
            y = x
            for kernel in kernels:
                y = convolution.conv_general_dilated(y, kernel, (1, 1), ((pad, pad), (pad, pad)))
            return jnp.sum(y**2)

        return jax.grad(loss)(kernels)

    arguments = [
        jax.device_put((jnp.full((2, *shape), 1e-3), jnp.ones(PROBE)), device) for device in devices
    ]
    jax.block_until_ready([gradient(*own) for own in arguments])
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < PROBE_SECONDS:
        jax.block_until_ready([gradient(*own) for own in arguments])
        calls += len(devices)
    products = 2 + 1 + 2  # forward, by the second input, by both kernels
    flops = products * 2 * images * rows * columns * float(np.prod(shape))
    return flops * calls / (time.perf_counter() - start)


def _batch(program: TrainingProgram) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    recipe = program.recipe
    low, high = (
        jax.ShapeDtypeStruct((recipe.batch_size, side, side, 3), jnp.float32)
        for side in (recipe.crop_px // program.scale, recipe.crop_px)
    )
    return low, high


def _bytes(tree: object) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)
