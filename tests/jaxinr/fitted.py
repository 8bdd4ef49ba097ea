"""Small trials, pictures and comparisons for tests of fits."""

import dataclasses

import jax
import numpy as np

from jaxinr import Trial

# Networks of one depth that differ in all else; budgets are no multiples of log_every (10), widths
# share a program of 8 units.
TRIALS = [
    Trial(layer_size=5, num_layers=2, w0_initial=20.0, learning_rate=1e-3, num_iters=25, seed=1),
    Trial(layer_size=8, num_layers=2, w0_initial=10.0, learning_rate=5e-3, num_iters=60, seed=2),
    Trial(layer_size=5, num_layers=2, w0_initial=30.0, learning_rate=2e-4, num_iters=33, seed=3),
    Trial(layer_size=8, num_layers=2, w0=15.0, learning_rate=2e-3, num_iters=47, seed=4),
    Trial(layer_size=5, num_layers=2, w0_initial=4.75, learning_rate=1e-2, num_iters=7, seed=5),
    Trial(layer_size=8, num_layers=2, w0_initial=15.0, learning_rate=1e-3, num_iters=60, seed=6),
]
SIZES = [(12, 17), (19, 11), (10, 21)]  # the last one is too low for SSIM


def picture(height, width, phase):
    """A smooth photograph stand-in with some noise, [height, width, 3] uint8."""
    rows, columns = np.mgrid[:height, :width] / 10.0
    waves = [np.sin(rows + phase), np.cos(columns - phase), np.sin(rows * columns + phase)]
    noise = np.random.default_rng(round(10 * phase)).normal(0, 0.05, (height, width, 3))
    return np.uint8(np.clip(127 + 100 * (np.stack(waves, axis=-1) + noise), 0, 255))


def psnr_db(decoded, image):
    """By hand, in float64, from raw output and an uint8 picture."""
    return -10 * np.log10(np.mean((np.asarray(decoded, np.float64) - image / 255) ** 2))


def same(one, other):
    """Asserts that two fits are equal bit for bit, but for the time that they took."""
    one, other = (dataclasses.asdict(fit) | {"seconds": 0.0} for fit in (one, other))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def alike(one, other):
    """Asserts that two fits are equal up to the order of float32 sums.

    Padding, groups and blocks change that order, which moves gradients by about 1e-7 of the largest
    one. Adam divides by their size, so an entry that is nearly zero may step otherwise by a small
    part of the learning rate, here at most 1e-2. Seen on one machine: equal weights and 2e-6 dB;
    another network than its own is off by over 0.1 dB.
    """
    assert one.status == other.status
    assert one.best_iteration == other.best_iteration
    np.testing.assert_array_equal(one.iteration_history, other.iteration_history)
    np.testing.assert_allclose(one.psnr_history, other.psnr_history, rtol=0, atol=1e-3)
    np.testing.assert_allclose(one.best_psnr_db, other.best_psnr_db, rtol=0, atol=1e-3)
    np.testing.assert_allclose(one.psnr_db, other.psnr_db, rtol=0, atol=1e-3)
    for mine, theirs in zip(*map(jax.tree.leaves, (one.params, other.params)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-4)
