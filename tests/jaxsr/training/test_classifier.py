"""Training of classifiers: rates, optimisers and batches against references, and what diverges."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxfleet.errors import InputError
from jaxsr.training import classifier as classifier_training
from jaxsr.training.classifier import Material, Schedule


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


def test_the_rate_rises_and_falls_as_that_of_optax():
    schedule = Schedule(learning_rate=0.01, decay=classifier_training.COSINE)
    warm_up = classifier_training.WARM_UP
    for done, rate in ((0, 0), (warm_up / 2, 0.005), (warm_up, 0.01), (0.5 + warm_up / 2, 0.005)):
        np.testing.assert_allclose(schedule.cosine_rate(done), rate, atol=1e-9)
    expected = optax.warmup_cosine_decay_schedule(0, 0.01, round(1000 * warm_up), 1000)
    found = [schedule.cosine_rate(step / 1000) for step in range(1001)]
    np.testing.assert_allclose(found, [expected(step) for step in range(1001)], atol=1e-7)


def test_kernels_alone_decay_as_by_adamw_of_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}
    theirs = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in weights.items()}
    decays = {"kernel": classifier_training.WEIGHT_DECAY, "bias": 0.0}
    groups = [{"params": [theirs[name]], "weight_decay": decay} for name, decay in decays.items()]
    reference = torch.optim.AdamW(groups, lr=0.01)
    ours = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), weights)
    optimiser = classifier_training._OPTIMISERS[classifier_training.COSINE]
    opt_state = optimiser.init(ours)
    for _ in range(3):
        gradient = {name: rng.normal(size=array.shape) for name, array in weights.items()}
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(gradient[name])
        reference.step()
        gradient = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), gradient)
        with jax.numpy_dtype_promotion("standard"):
            steps, opt_state = optimiser.update(gradient, opt_state, ours)
        ours = jax.tree.map(lambda p, step: p - np.float32(0.01) * step, ours, steps)
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name].detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool_bytes", [1, 2**28])  # one batch at a time, or the whole epoch
def test_each_picture_is_in_one_batch_of_an_epoch(monkeypatch, pool_bytes):
    monkeypatch.setattr(classifier_training, "POOL_BYTES", pool_bytes)
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


def test_pictures_are_read_once_for_several_crops_in_the_grid():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*rng.integers(13, 22, 2), 3), np.uint8) for _ in range(5)]
    pictures[2] = pictures[2][:5, :5]  # with room for one crop alone
    asked = []

    class Counted(list):
        def __getitem__(self, row):
            asked.append(int(row))
            return super().__getitem__(row)

    labels = np.arange(5)
    own = {"crops_per_picture": 300, "grid_px": 4}
    material = Material(Counted(pictures), labels, 5, lambda crops: crops, **own)
    batches = list(material.batches(2, 0))
    assert len(batches) == material.count(2) == 750
    assert sorted(asked) == list(range(5))
    assert sum(weights.sum() for _, _, weights in batches) == 5 * 300
    seen = {label: set() for label in range(5)}
    for crops, owners, weights in batches:
        for crop, label in zip(crops[weights > 0], owners[weights > 0], strict=True):
            seen[int(label)].add(crop.tobytes())
    for label, picture in enumerate(pictures):
        there = [range(0, side - 4, 4) for side in picture.shape[:2]]
        assert seen[label] == {
            picture[i : i + 5, j : j + 5].tobytes() for i in there[0] for j in there[1]
        }


class MeanColours(nnx.Module):
    """A linear classifier of mean colours."""

    def __init__(self, key):
        self.fc = nnx.Linear(3, 3, rngs=nnx.Rngs(key))

    def __call__(self, images):
        return self.fc(images.mean(axis=(1, 2)))


class Scaled:
    """Images in [0, 1], times a number."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def __repr__(self):
        return f"Scaled({self.factor})"

    def __call__(self, crops):
        return crops.astype(np.float32) / np.float32(255) * np.float32(self.factor)


def coloured(**options):
    """Noise that is brightest in the colour of its class, to learn from."""
    labels = np.arange(12) % 3
    noise = np.random.default_rng(0).integers(0, 128, (12, 9, 9, 3), np.uint8)
    pictures = noise + 100 * np.eye(3, dtype=np.uint8)[labels][:, None, None]
    return Material(pictures, labels, **{"crop_px": 4, "prepare": Scaled(), **options})


class Killed(Exception):
    pass


@pytest.mark.parametrize("decay", classifier_training.DECAYS)
def test_an_interrupted_training_goes_on_to_the_same_bits(decay, tmp_path, key):
    def trained(material, checkpoint=None, on_epoch=None):
        model = MeanColours(key)
        schedule = Schedule(1, 3, 4, 0.05, decay)
        classifier_training.train(
            model, material, schedule, seed=0, checkpoint=checkpoint, on_epoch=on_epoch
        )
        return np.asarray(model.fc.kernel[...])

    def killed_at(last):
        def on_epoch(epoch, loss, accuracy):
            if epoch == last:
                raise Killed

        return on_epoch

    material = coloured(crops_per_picture=5, grid_px=2)
    for last in (1, 3):
        with pytest.raises(Killed):
            trained(material, tmp_path / "state", killed_at(last))
    np.testing.assert_array_equal(trained(material, tmp_path / "state"), trained(material))
    for other in (coloured(crops_per_picture=4, grid_px=2), coloured(crops_per_picture=5)):
        with pytest.raises(InputError, match="of another training; remove it"):
            trained(other, tmp_path / "state")


@pytest.mark.parametrize("decay", classifier_training.DECAYS)
def test_colours_are_learnt_at_either_decay(decay, key):
    model, losses = MeanColours(key), []
    classifier_training.train(
        *(model, coloured(crops_per_picture=8), Schedule(0, 8, 8, 0.1, decay)),
        seed=0,
        on_epoch=lambda epoch, loss, accuracy: losses.append(loss),
    )
    fresh = coloured(crops_per_picture=2)
    crops, labels, _ = next(fresh.batches(24, 1))
    assert losses[-1] < losses[0] / 2
    np.testing.assert_array_equal(np.argmax(model(fresh.prepare(crops)), axis=1), labels)


def test_a_loss_that_is_not_finite_ends_the_training(key):
    with pytest.raises(InputError, match=r"loss .* nan in epoch 1; lower its learning_rate"):
        classifier_training.train(
            MeanColours(key), coloured(prepare=Scaled(np.inf)), Schedule(0, 1, 4), seed=0
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0; give 1 or more"),
        ({"learning_rate": 1e-6}, "learning_rate is 1e-06"),
        ({"decay": "linear"}, "No decay 'linear'; use one of plateau, cosine"),
    ],
)
def test_schedules_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Schedule(**options)
