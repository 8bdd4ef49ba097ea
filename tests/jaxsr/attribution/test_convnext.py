"""The network classifier learns textures, goes on after an interruption, and says what is wrong."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError
from jaxsr.attribution import convnext as attribution_convnext
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.convnext import ConvNeXtClassifier
from jaxsr.datasets.crops import GRID_PX, centre
from jaxsr.networks import convnext
from jaxsr.state_dicts import names as torch_names
from jaxsr.training import classifier as classifier_training
from jaxsr.training.classifier import Schedule

CLASSES = ("rows", "columns", "checks")
CROP_PX = 32
# Of a network of two blocks, so that it compiles quickly.
SMALL = {"size": "zepto", "batch_size": 8, "learning_rate": 0.02, "crops_per_picture": 1}


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
    arrays, theirs = (classifier.to_arrays()[0] for classifier in (one, other))
    assert arrays.keys() == theirs.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.slow
@pytest.mark.parametrize("inputs", attribution_convnext.INPUTS)
def test_textures_are_told_apart(inputs, tmp_path):
    held_out, truth = pictures_of(9, 1)
    told, parts = [], []
    classifier = fit(
        count=96,
        inputs=inputs,
        epochs=15,
        validation=(held_out, truth),
        progress=parts.append,
        on_epoch=lambda *facts: told.append(facts),
    )
    crops = np.stack([centre(picture, CROP_PX) for picture in held_out])
    scores, features = classifier.log_scores(crops), classifier.embedding(crops)
    assert (scores.shape, scores.dtype) == ((9, 3), np.float32)
    assert (features.shape, features.dtype) == ((9, 8), np.float32)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    epochs, losses, accuracies = zip(*told, strict=True)
    assert epochs == tuple(range(1, 16))
    assert losses[-1] < losses[0] / 4
    assert max(accuracies) == np.mean(np.argmax(scores, axis=1) == truth) == 1.0
    np.testing.assert_allclose(parts, np.arange(1, 181) / 180)

    classifier_files.save(classifier, tmp_path / "convnext.safetensors")
    again = classifier_files.load(tmp_path / "convnext.safetensors")
    np.testing.assert_array_equal(again.log_scores(crops), scores)
    np.testing.assert_array_equal(again.embedding(crops), features)


@pytest.mark.slow
def test_where_in_the_grid_a_pattern_begins_is_learnt_from_scratch():
    def pictures_of(count, seed):
        """Noise over stripes along either axis that begin bright, or dark."""
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % 4
        stripes = 16 * (-1.0) ** (np.arange(60) // 2 + labels[:, None] // 2)
        patterns = np.where(labels[:, None, None] % 2, stripes[:, None], stripes[:, :, None])
        noise = rng.normal(128, 16, (count, 60, 60, 3))
        return (noise + patterns[..., None]).clip(0, 255).astype(np.uint8), labels

    classifier = attribution.fit(
        *("convnext", *pictures_of(32, 0), ("a", "b", "c", "d")),
        crop_px=CROP_PX,
        **{**SMALL, "crops_per_picture": 4},
        epochs=12,
    )
    pictures, truth = pictures_of(24, 1)
    crops = np.concatenate([pictures[:, :CROP_PX, :CROP_PX], pictures[:, 24:56, 24:56]])
    of_truth = classifier.log_scores(crops)[np.arange(48), np.tile(truth, 2)]
    assert np.mean(np.exp(of_truth)) > 0.8  # half, if crops began anywhere


class Killed(Exception):
    pass


def killed_after(last):
    def on_epoch(epoch, loss, accuracy):
        if epoch == last:
            raise Killed

    return on_epoch


@pytest.mark.slow
def test_an_interrupted_training_ends_in_the_same_bits(tmp_path):
    start = torch_names.to_arrays(attribution_convnext._build(5, "zepto", 4, "float32", seed=3))
    options = {
        "weights": start,
        "head_epochs": 2,
        "epochs": 2,
        "validation": pictures_of(6, 1),
        "checkpoint": tmp_path / "state",
    }
    whole = fit(**{**options, "checkpoint": None})

    for last in (1, 3):  # among the epochs of the last layer, and of all
        with pytest.raises(Killed):
            fit(**options, on_epoch=killed_after(last))
        if last == 1:
            kept = Checkpoints(tmp_path / "state").load()["weights"]
            fresh = attribution_convnext._build(3, "zepto", 4, "float32", seed=0)
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
    arrays, theirs = (classifier.to_arrays()[0] for classifier in (spread, alone))
    # Adamax moves by the rate at first, whatever the gradient: 3 updates of 0.02.
    close = [np.mean(np.abs(array - theirs[name]) < 0.002) for name, array in arrays.items()]
    assert np.mean(close) > 0.95


@pytest.mark.slow
def test_a_part_ends_when_the_rate_is_too_low(monkeypatch):
    monkeypatch.setattr(classifier_training, "PATIENCE", 0)
    monkeypatch.setattr(classifier_training, "LEAST_GAIN", 1.0)  # no loss is ever better
    told = []
    options = {"learning_rate": 5e-4, "on_epoch": lambda *facts: told.append(facts)}
    start = torch_names.to_arrays(attribution_convnext._build(5, "zepto", 4, "float32", seed=3))
    fit(epochs=9, weights=start, head_epochs=0, **options)
    assert len(told) == 3  # at 5e-4, 5e-5 and 5e-6; 5e-7 is below 4e-6
    assert all(np.isnan(accuracy) for _, _, accuracy in told)


def test_what_is_not_told_is_as_in_the_paper_where_there_are_weights(monkeypatch):
    def trained_with(**options):
        def train(model, material, schedule, **_):
            facts.append((material, schedule))

        facts = []
        monkeypatch.setattr(classifier_training, "train", train)
        pictures, labels = pictures_of(6, 0, side=72)
        found = attribution_convnext.fit(
            *(pictures, labels, CLASSES), crop_px=72, size="zepto", **options
        )
        return types.SimpleNamespace(
            kind=found.inputs.kind, material=facts[0][0], schedule=facts[0][1]
        )

    start = torch_names.to_arrays(attribution_convnext._build(5, "zepto", 4, "float32", seed=3))
    paper = trained_with(weights=start)
    assert paper.kind == "rgb"
    assert paper.schedule == Schedule(3, 15, 16, 5e-4, "plateau")
    assert (paper.material.crop_px, paper.material.crops_per_picture) == (72, 1)
    assert paper.material.grid_px == 1
    drawn = trained_with(head_epochs=2)
    assert drawn.kind == "residual"
    assert drawn.schedule == attribution_convnext.FROM_SCRATCH.schedule
    assert (drawn.material.crop_px, drawn.material.grid_px) == (64, GRID_PX)
    told = trained_with(
        **{"inputs": "rgb", "train_crop_px": 40, "crops_per_picture": 3, "epochs": 7}
    )
    assert (told.kind, told.material.crop_px, told.schedule.epochs) == ("rgb", 40, 7)
    assert told.material.crops_per_picture == 3


@pytest.mark.parametrize(
    ("crop_px", "tile_px", "starts"),
    [(224, 224, [0]), (224, 64, [0, 72, 144]), (96, 48, [0, 48]), (95, 48, [0]), (47, 23, [0, 24])],
)
def test_tiles_begin_at_multiples_of_the_grid(crop_px, tile_px, starts):
    crops = np.random.default_rng(0).integers(0, 256, (2, crop_px, crop_px, 3), np.uint8)
    found = attribution_convnext._tiles(jnp.asarray(crops), tile_px)
    expected = [
        crop[i : i + tile_px, j : j + tile_px] for crop in crops for i in starts for j in starts
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_tiles_of_a_crop_are_taken_for_independent():
    model = attribution_convnext._build(3, "zepto", 4, "float32", seed=0)
    inputs = attribution_convnext.Transform("residual", 0.05)
    whole, of_tiles = (
        ConvNeXtClassifier(CLASSES, crop_px, 40, "zepto", 4, inputs, model) for crop_px in (90, 40)
    )
    crops = np.random.default_rng(0).integers(0, 256, (5, 90, 90, 3), np.uint8)
    tiles = [crops[:, i : i + 40, j : j + 40] for i in (0, 48) for j in (0, 48)]
    scores = attribution.combine(np.stack([of_tiles.log_scores(some) for some in tiles], axis=1))
    np.testing.assert_allclose(whole.log_scores(crops), scores, rtol=1e-4, atol=1e-4)
    features = np.mean([of_tiles.embedding(some) for some in tiles], axis=0)
    np.testing.assert_allclose(whole.embedding(crops), features, rtol=1e-4, atol=1e-4)


def test_classifiers_from_before_there_were_tiles_look_at_whole_crops():
    model = attribution_convnext._build(3, "zepto", 4, "float32", seed=0)
    inputs = attribution_convnext.Transform()
    arrays, facts = attribution.to_arrays(
        ConvNeXtClassifier(CLASSES, 90, 40, "zepto", 4, inputs, model)
    )
    assert attribution.from_arrays(arrays, facts).tile_px == 40
    del facts["tile_px"]
    assert attribution.from_arrays(arrays, facts).tile_px == 90


def test_residuals_are_scaled_to_variance_one():
    pictures, _ = pictures_of(6, 0)
    deviation = attribution_convnext._residual_deviation(pictures, CROP_PX)
    crops = np.stack([centre(picture, CROP_PX) for picture in pictures])
    given = attribution_convnext.Transform("residual", deviation)(crops)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(given))), 1, rtol=1e-4)
    flat = np.full((2, 40, 40, 3), 7, np.uint8)
    assert attribution_convnext._residual_deviation(flat, CROP_PX) > 0


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
        ({"train_crop_px": 31}, "train_crop_px is 31; .* crops of 32 pixels or more"),
        ({"crops_per_picture": 0}, "crops_per_picture is 0; give 1 or more"),
        ({"crop_px": 38}, "37 x 37 pixels, smaller than a crop of 38"),
        ({"weights": "missing.npz"}, r"missing\.npz: no ConvNeXt of size zepto"),
        ({"weights": {"stem.0.bias": np.zeros(4)}}, "weights: no ConvNeXt .* missing: "),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(options, message):
    pictures, labels = pictures_of(4, 0)
    with pytest.raises(InputError, match=message):
        attribution_convnext.fit(
            *(pictures, labels, CLASSES), **{"crop_px": CROP_PX, **SMALL, **options}
        )
