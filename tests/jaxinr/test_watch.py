"""A watched training is that of `fit`, and ends where its generator is closed."""

import numpy as np
import pytest

import jaxinr
from jaxfleet import trainer
from jaxinr import buckets
from jaxinr.kernels import host

TRIAL = jaxinr.Trial(layer_size=8, num_layers=2, learning_rate=1e-3, num_iters=200)


def picture(height=20, width=24):
    y, x = np.mgrid[:height, :width] / 8.0
    return np.uint8(127.5 + 120 * np.stack([np.sin(x + y), np.cos(x - y), np.sin(y)], axis=-1))


@pytest.fixture(params=["numba", "xla"])
def kernel(request, monkeypatch):
    """Segments that are too short for the whole training, on either kernel."""
    make = buckets.make_buckets
    monkeypatch.setattr(
        buckets, "make_buckets", lambda *args, **kw: make(*args, **{**kw, "kernel": request.param})
    )
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(host, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr("jaxinr.kernels.network.TURN_FLOPS", 1.0)


def test_the_last_moment_is_what_fit_returns(kernel):
    *moments, last = jaxinr.watch(picture(), TRIAL)
    assert moments
    assert last.status == "done"
    assert last.iteration == TRIAL.num_iters
    expected = jaxinr.fit([picture()], [TRIAL])
    assert last.psnr_db == pytest.approx(expected.best_psnr_db[0], abs=0.02)
    for moment in moments:
        drawn = jaxinr.render(moment.params, TRIAL, (20, 24))
        error = np.mean((drawn - picture() / 255) ** 2)
        assert moment.psnr_db == pytest.approx(-10 * np.log10(error), abs=0.01)
        assert moment.status == "running"
    iterations = [moment.iteration for moment in (*moments, last)]
    assert iterations == sorted(iterations)
    quality = [moment.psnr_db for moment in (*moments, last)]
    assert quality == sorted(quality)


def test_a_moment_keeps_its_weights_while_training_goes_on(kernel):
    moments = jaxinr.watch(picture(), TRIAL)
    first = next(moments)
    before = [layer["weight"].copy() for layer in first.params]
    next(moments)
    for layer, weight in zip(first.params, before, strict=True):
        np.testing.assert_array_equal(layer["weight"], weight)
    moments.close()


def test_what_fit_refuses_is_refused():
    with pytest.raises(ValueError, match=r"must be \[H, W, 3\]"):
        next(jaxinr.watch(np.zeros((4, 4)), TRIAL))
