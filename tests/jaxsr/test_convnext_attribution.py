"""The network classifier learns textures, goes on after an interruption, and says what is wrong."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError
from jaxsr import (
    attribution,
    attributor_files,
    classifier_training,
    convnext_attribution,
    torch_names,
)
from jaxsr.classifier_training import Material, Schedule
from jaxsr.networks import convnext

CLASSES = ("rows", "columns", "checks")
CROP_PX = 32
# Of a network of two blocks, so that it compiles quickly.
SMALL = {"size": "zepto", "batch_size": 8, "learning_rate": 0.02}


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setitem(convnext.SIZES, "zepto", convnext.Size((1, 1), (4, 8)))


def pictures_of(count, seed, side=37):
    """Noise over stripes of two pixels that run as the class says, or both ways."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    stripes = 24 * (-1.0) ** (np.arange(side) // 2)
    down, across = stripes[:, None], stripes[None, :]
    patterns = np.stack(
        [np.broadcast_to(p, (side, side)) for p in (down, across, down * across / 24)]
    )
    noise = rng.normal(128, 12, (count, side, side, 3))
    return (noise + patterns[labels][..., None]).clip(0, 255).astype(np.uint8), labels


def fit(*, count=20, **options):  # two batches, and one of four
    pictures, labels = pictures_of(count, 0)
    return attribution.fit(
        "convnext", pictures, labels, CLASSES, crop_px=CROP_PX, **{**SMALL, **options}
    )


def assert_same_arrays(one, other):
    arrays, theirs = (attributor.to_arrays()[0] for attributor in (one, other))
    assert arrays.keys() == theirs.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.slow
@pytest.mark.parametrize("inputs", convnext_attribution.INPUTS)
def test_textures_are_told_apart(inputs, tmp_path):
    held_out, truth = pictures_of(9, 1)
    told, parts = [], []
    attributor = fit(
        count=96,
        inputs=inputs,
        epochs=15,
        validation=(held_out, truth),
        progress=parts.append,
        on_epoch=lambda *facts: told.append(facts),
    )
    crops = np.stack([attribution.centre(picture, CROP_PX) for picture in held_out])
    scores, features = attributor.log_scores(crops), attributor.features(crops)
    assert (scores.shape, scores.dtype) == ((9, 3), np.float32)
    assert (features.shape, features.dtype) == ((9, 8), np.float32)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    epochs, losses, accuracies = zip(*told, strict=True)
    assert epochs == tuple(range(1, 16))
    assert losses[-1] < losses[0] / 4
    assert max(accuracies) == np.mean(np.argmax(scores, axis=1) == truth) == 1.0
    np.testing.assert_allclose(parts, np.arange(1, 181) / 180)

    attributor_files.save(attributor, tmp_path / "convnext.safetensors")
    again = attributor_files.load(tmp_path / "convnext.safetensors")
    np.testing.assert_array_equal(again.log_scores(crops), scores)
    np.testing.assert_array_equal(again.features(crops), features)


class Killed(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_training_ends_in_the_same_bits(tmp_path):
    start = torch_names.to_arrays(convnext_attribution._build(5, "zepto", 4, "float32", seed=3))
    options = {
        "weights": start,
        "head_epochs": 2,
        "epochs": 2,
        "validation": pictures_of(6, 1),
        "checkpoint": tmp_path / "state",
    }
    whole = fit(**{**options, "checkpoint": None})

    def killed_after(last):
        def on_epoch(epoch, loss, accuracy):
            if epoch == last:
                raise Killed

        return on_epoch

    for last in (1, 3):  # among the epochs of the last layer, and of all
        with pytest.raises(Killed):
            fit(**options, on_epoch=killed_after(last))
        if last == 1:
            kept = Checkpoints(tmp_path / "state").load()["weights"]
            fresh = convnext_attribution._build(3, "zepto", 4, "float32", seed=0)
            convnext.load_weights(fresh, start, head=False)
            before = classifier_training._weights(fresh)
            moved = [a.shape for a, b in zip(before, kept, strict=True) if np.any(a != b)]
            assert sorted(moved) == [(3,), (8, 3)]  # of the last layer alone
    assert_same_arrays(fit(**options), whole)
    with pytest.raises(InputError, match="of another training; remove it"):
        fit(**options, learning_rate=0.01)


@pytest.mark.slow
def test_batches_on_two_devices_train_as_on_one(monkeypatch):
    spread = fit(epochs=1)
    one = jax.make_mesh((1,), ("batch",), (AxisType.Auto,), devices=jax.local_devices()[:1])
    monkeypatch.setattr(classifier_training, "_mesh", lambda batch_size: one)
    alone = fit(epochs=1)
    arrays, theirs = (attributor.to_arrays()[0] for attributor in (spread, alone))
    # Adamax moves by the rate at first, whatever the gradient: 3 updates of 0.02.
    close = [np.mean(np.abs(array - theirs[name]) < 0.002) for name, array in arrays.items()]
    assert np.mean(close) > 0.95


def test_the_rate_falls_as_that_of_pytorch():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.Adamax([parameter], lr=5e-4)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="min", patience=3)
    standing = classifier_training._Standing(rate=5e-4)
    rates = set()
    for loss in np.random.default_rng(0).uniform(1, 1.001, 40).tolist():
        scheduler.step(loss)
        standing = standing.after(loss)
        np.testing.assert_allclose(standing.rate, optimiser.param_groups[0]["lr"], rtol=1e-6)
        rates.add(round(np.log10(standing.rate), 3))
        if standing.rate < 1e-7:  # PyTorch goes no further
            break
    assert len(rates) > 3


@pytest.mark.slow
def test_a_part_ends_when_the_rate_is_too_low(monkeypatch):
    monkeypatch.setattr(classifier_training, "PATIENCE", 0)
    monkeypatch.setattr(classifier_training, "LEAST_GAIN", 1.0)  # no loss is ever better
    told = []
    fit(epochs=9, learning_rate=5e-4, on_epoch=lambda *facts: told.append(facts))
    assert len(told) == 3  # at 5e-4, 5e-5 and 5e-6; 5e-7 is below 4e-6
    assert all(np.isnan(accuracy) for _, _, accuracy in told)


def test_each_picture_is_in_one_batch_of_an_epoch():
    rng = np.random.default_rng(0)
    pictures = [np.full((*rng.integers(5, 9, 2), 3), i, np.uint8) for i in range(11)]
    for picture in pictures:
        picture[:, :, 1] = np.arange(len(picture))[:, None]
    material = Material(pictures, np.arange(11) % 4, 5, lambda crops: crops)
    epoch = list(material.batches(4, 7, 1, 0))
    crops, labels, weights = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
    np.testing.assert_array_equal(weights, [1] * 11 + [0])
    numbers = crops[:11, 0, 0, 0]
    assert sorted(numbers) == list(range(11))
    np.testing.assert_array_equal(labels[:11], numbers % 4)
    assert np.all(np.diff(crops[:11, :, 0, 1].astype(int), axis=1) == 1)  # rows in a row
    for (again, *_), (first, *_) in zip(material.batches(4, 7, 1, 0), epoch, strict=True):
        np.testing.assert_array_equal(again, first)
    other = np.concatenate([batch[0] for batch in material.batches(4, 7, 1, 1)])
    assert np.any(other != crops)


def test_residuals_are_scaled_to_variance_one():
    pictures, _ = pictures_of(6, 0)
    deviation = convnext_attribution._residual_deviation(pictures, CROP_PX)
    crops = np.stack([attribution.centre(picture, CROP_PX) for picture in pictures])
    given = convnext_attribution.Inputs("residual", deviation)(crops)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(given))), 1, rtol=1e-4)
    flat = np.full((2, 40, 40, 3), 7, np.uint8)
    assert convnext_attribution._residual_deviation(flat, CROP_PX) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "No ConvNeXt of size 'huge'"),
        ({"inputs": "grey"}, "No inputs 'grey'; use one of rgb, residual"),
        ({"stem_stride": 3}, "stem_stride is 1, 2 or 4; got 3"),
        ({"dtype": "int8"}, "No dtype 'int8'"),
        ({"epochs": 0}, "epochs is 0; give 1 or more"),
        ({"learning_rate": 1e-6}, "learning_rate is 1e-06"),
        ({"crop_px": 31}, "crops of 32 pixels or more"),
        ({"crop_px": 38}, "37 x 37 pixels, smaller than a crop of 38"),
        ({"weights": "missing.npz"}, r"missing\.npz: no ConvNeXt of size zepto"),
        ({"weights": {"stem.0.bias": np.zeros(4)}}, "weights: no ConvNeXt .* missing: "),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(options, message):
    pictures, labels = pictures_of(4, 0)
    with pytest.raises(InputError, match=message):
        convnext_attribution.fit(
            *(pictures, labels, CLASSES), **{"crop_px": CROP_PX, **SMALL, **options}
        )


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_training():
    pictures, labels = pictures_of(4, 0)
    model = convnext_attribution._build(3, "zepto", 4, "float32", seed=0)
    material = Material(pictures, labels, CROP_PX, Overflowing())
    with pytest.raises(InputError, match=r"loss .* nan in epoch 1; lower its learning_rate"):
        classifier_training.train(model, material, Schedule(0, 1, 4), seed=0)


class Overflowing:
    def __call__(self, crops):
        return crops.astype(np.float32) * np.float32(np.inf)
