import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.fingerprints import correlation


def test_ncc_is_that_of_numpy(key):
    first, second = jax.random.split(key)
    residuals = 3 + jax.random.normal(first, (3, 6, 5, 2))
    fingerprints = jax.random.uniform(second, (2, 6, 5, 2))
    rows = np.concatenate([residuals.reshape(3, -1), fingerprints.reshape(2, -1)])
    expected = np.corrcoef(rows.astype(np.float64))[:3, 3:]
    np.testing.assert_allclose(correlation.ncc(residuals, fingerprints), expected, atol=1e-5)


@pytest.mark.parametrize("strength", [0.05, 0.3, 1.0])
def test_a_known_fingerprint_is_found_at_the_predicted_ncc(key, strength):
    of_fingerprint, of_noise = jax.random.split(key)
    fingerprint = jax.random.normal(of_fingerprint, (1, 256, 256, 1))
    residual = strength * fingerprint + jax.random.normal(of_noise, fingerprint.shape)
    predicted = strength / np.sqrt(strength**2 + 1)
    found = correlation.ncc(residual, fingerprint)
    np.testing.assert_allclose(found, [[predicted]], atol=4 / 256)  # four standard errors
    unrelated = correlation.ncc(jnp.roll(residual, 9, 1), fingerprint)
    np.testing.assert_allclose(unrelated, [[0.0]], atol=4 / 256)


def test_a_constant_correlates_with_nothing(key):
    constant, noise = jnp.full((1, 9, 9, 1), 0.1), jax.random.normal(key, (1, 9, 9, 1))
    assert correlation.ncc(constant, noise)[0, 0] == 0.0


def test_shapes_are_checked():
    small, large = jnp.zeros((4, 4, 1)), jnp.zeros((8, 8, 1))
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 1\).*\(1, 8, 8, 1\)"):
        correlation.ncc(small[None], large[None])
    with pytest.raises(TypeError, match="uint8"):
        correlation.ncc(jnp.zeros((1, 4, 4, 1), jnp.uint8), small[None])
