"""A forecaster of its own, trained for seconds on fits whose PSNR is a formula."""

from pathlib import Path

import numpy as np
import pytest

from jaxinr.forecaster import descriptors, inputs, training
from jaxinr.forecaster.reach import Reach
from jaxinr.forecaster.scaling import Scaling
from jaxinr.forecaster.trained import Trained


def smooth_pictures(count: int, side: int = 24) -> list[np.ndarray]:
    """Random pictures, each of other smoothness: [side, side, 3] uint8."""
    key = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side] / side
    pictures = []
    for number in range(count):
        waves = sum(
            key.normal(size=3)
            * np.sin(2 * np.pi * (fy * y + fx * x) + key.uniform(0, 6))[..., None]
            for fy, fx in key.integers(0, 2 + number % 6, (6, 2))
        )
        grain = key.normal(size=(side, side, 3)) * (number % 4) * 0.05
        pictures.append(np.clip(128 + 30 * (waves + grain), 0, 255).astype(np.uint8))
    return pictures


def formula_db(described: np.ndarray, rows: np.ndarray, iterations: np.ndarray) -> np.ndarray:
    """PSNR by a law that only these tests know; half a dB of noise belongs on top."""
    rate = np.log2(inputs.parameters(rows)) + 0.5 * np.log2(iterations)
    peak = np.log2(rows[:, 2] / 30.0)
    return described[:, descriptors.AT["constant_db"]] + 1.2 * rate - 0.5 * peak**2 - 6


@pytest.fixture(scope="session")
def formula_fits() -> training.TrainingFits:
    """3,000 fits on 60 pictures, noted after 10, 100 and 1,000 updates."""
    key = np.random.default_rng(7)
    pictures = smooth_pictures(60)
    described = np.stack([descriptors.describe(picture) for picture in pictures])
    count = 3000
    rows = np.stack(
        [
            key.integers(4, 33, count),
            key.integers(1, 9, count),
            np.exp(key.uniform(np.log(5), np.log(100), count)),
            np.full(count, 1e-3),
            np.full(count, 24.0),
            np.full(count, 24.0),
        ],
        axis=1,
    )
    picture = key.integers(0, len(pictures), count)
    iterations = np.tile([10, 100, 1000], (count, 1))
    best_db = np.stack(
        [formula_db(described[picture], rows, iterations[:, t]) for t in range(3)], axis=1
    )
    best_db += key.normal(0, 0.5, (count, 1))
    return training.TrainingFits(described, picture, rows, iterations, best_db, np.ones(count))


@pytest.fixture(scope="session")
def recipe() -> training.ForecasterRecipe:
    """Small and quick."""
    return training.ForecasterRecipe(members=2, steps=600, fits=256, width=32)


@pytest.fixture(scope="session")
def forecaster(formula_fits: training.TrainingFits, recipe: training.ForecasterRecipe) -> Trained:
    """Trained on the first 50 pictures, not calibrated."""
    own = formula_fits.of(formula_fits.picture < 50)
    scaling = Scaling.of(own.encoded().features, own.weights)
    params, state = training.create(recipe)
    step = training.make_step(own, scaling, recipe)
    for number in range(recipe.steps):
        params, state, _ = step(params, state, number)
    reach = Reach.of(own.described, own.rows, own.iterations[:, -1], own.best_db[:, -1])
    params = {name: np.asarray(leaf) for name, leaf in params.items()}
    return Trained(params, scaling, reach, {"fits": 3000})


@pytest.fixture(scope="session")
def forecaster_file(forecaster: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on a disk."""
    path: Path = tmp_path_factory.mktemp("forecaster") / "forecaster.safetensors"
    forecaster.save(path)
    return path
