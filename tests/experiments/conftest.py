"""Pictures of made-up networks, a classifier that tells them apart in no time, and a small zoo."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from scipy.special import log_softmax

import jaxsr
from experiments.report import page
from experiments.zoo import run as zoo_run
from experiments.zoo.evaluate import network_path
from jaxfleet.results.store import Store
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import PixelClassifier
from jaxsr.datasets import picture_sets
from jaxsr.datasets.crops import centre
from tests.experiments import picture_rows

NOISES = {"edsr": 2.0, "rcan": 8.0, "rdn": 24.0}  # of an architecture; seed and set have colours
ORIGINS = (("A", 1), ("A", 3), ("B", 1))
SPLITS = {f"{split}{number}": split for split in picture_sets.SPLITS for number in range(4)}
SIDE = 40
TINY = {"num_features": 3, "num_convs": 1}  # of `LittleZoo`
PHOTOS = {"dawn": (70, 75), "dusk": (70, 75), "noon": (81, 64)}  # rows, columns


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics(PixelClassifier):
    """Nearest mean of colour and noise, in units of the scatter within a class."""

    classes: tuple[str, ...]
    crop_px: int
    means: np.ndarray
    method: str = "spectrum"

    def log_scores_of(self, crops):
        apart = np.square(self.embedding_of(crops)[:, None] - self.means).sum(axis=-1)
        return log_softmax(-apart / 2, axis=1).astype(np.float32)

    def embedding_of(self, crops):
        pixels = crops.astype(np.float32)
        noise = np.log1p(np.diff(pixels, axis=1).std(axis=(1, 2, 3)))
        return np.concatenate([pixels.mean(axis=(1, 2)), 10 * noise[:, None]], axis=1)

    def to_arrays(self):
        return {"means": self.means}, {}


@pytest.fixture
def foreign(tmp_path_factory):
    """A folder that holds something, but no run."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "thesis.tex").write_text("42")
    return folder


@pytest.fixture
def quick_attribution(monkeypatch):
    """Has `attribution.fit` make `Statistics`; the fits from now on: [(classes, pictures)]."""
    calls = []

    def fit(method, pictures, labels, classes, *, crop_px, seed, validation, progress=None):
        del seed, validation, progress
        crops = np.stack([centre(picture, crop_px) for picture in pictures])
        blank = Statistics(tuple(classes), crop_px, np.zeros((len(classes), 4)), method)
        features = blank.embedding(crops)
        means = [features[labels == k].mean(axis=0) for k in range(len(classes))]
        calls.append((tuple(classes), len(pictures)))
        return dataclasses.replace(blank, means=np.array(means, np.float32))

    def from_arrays(arrays, facts):
        return Statistics(
            tuple(facts["classes"]), facts["crop_px"], arrays["means"], facts["method"]
        )

    monkeypatch.setattr(attribution, "extract_features", lambda *args, **options: None)
    monkeypatch.setattr(attribution, "fit", fit)
    monkeypatch.setattr(attribution, "from_arrays", from_arrays)
    return calls


@pytest.fixture
def no_figures(monkeypatch):
    """Pages without figures, which take longest."""
    monkeypatch.setattr(page, "plot", lambda folder, drawing: "")


@pytest.fixture(scope="session")
def made_up_pictures(tmp_path_factory):
    """The folder of the pictures of nine networks, four photographs in each split."""
    run_dir = tmp_path_factory.mktemp("made_up") / "pictures"
    for architecture, (training_set, seed) in itertools.product(NOISES, ORIGINS):
        network = f"{architecture}-{training_set}-x2-l1-s{seed}"
        facts = {"architecture": architecture, "training_set": training_set, "seed": seed}
        rows = []
        for image_id, split in SPLITS.items():
            draw = np.random.default_rng([*map(ord, network + image_id)])
            colour = np.array([100, 60 + 20 * seed, 200 if training_set == "A" else 120])
            noise = NOISES[architecture] * draw.standard_normal((SIDE, SIDE, 3))
            pixels = np.clip(np.round(colour + noise), 0, 255).astype(np.uint8)
            rows.append(picture_rows.add(run_dir, network, image_id, split, pixels, **facts))
        picture_sets.write_rows(run_dir, network, rows)
    return run_dir


@dataclasses.dataclass(frozen=True)
class LittleZoo:
    """A zoo of three networks and one that diverged, and three photographs.

    Attributes:
        path: of the folder of both, `zoo` and `photos`, which stays as it is.
    """

    path: Path

    @staticmethod
    def save(path, scale, seed):
        model = jaxsr.build("srvgg", scale=scale, rngs=nnx.Rngs(seed), **TINY)
        jaxsr.save(model, path, architecture="srvgg", scale=scale, overrides=TINY)

    @staticmethod
    def row(number, scale, loss, seed, status="done"):
        return {
            "trial_id": number,
            "network": f"tiny-A-x{scale}-{loss}-s{seed}",
            "architecture": "tiny",
            "overrides": json.dumps(TINY),
            "scale": scale,
            "loss": loss,
            "training_set": "A",
            "seed": seed,
            "num_iters": 10,
            "parameters": jaxsr.count_parameters("srvgg", scale=scale, **TINY),
            "status": status,
        }

    @staticmethod
    def picture(height, width, phase):
        """Waves, which networks change by what they do and not by chance."""
        y, x = np.mgrid[:height, :width] / 5.0
        waves = np.stack([np.sin(x + y + phase), np.cos(x - y / 2), np.sin(y * phase)], axis=-1)
        return np.round(127.5 + 120 * waves).astype(np.uint8)


@pytest.fixture(scope="session")
def little_zoo(tmp_path_factory):
    made = LittleZoo(tmp_path_factory.mktemp("little"))
    zoo, photos = made.path / "zoo", made.path / "photos"
    store = Store(zoo, {}, zoo_run.schema(), network={})
    rows = [made.row(0, 2, "l1", 1), made.row(1, 2, "l1", 2), made.row(2, 4, "vgg_adv", 1)]
    store.add([*rows, made.row(3, 2, "vgg_adv", 1, "diverged")])
    store.flush()
    store.close()
    (zoo / "networks").mkdir()
    for one in rows:
        made.save(network_path(zoo, one["network"]), one["scale"], one["seed"])
    photos.mkdir()
    for phase, (name, size) in enumerate(PHOTOS.items()):
        Image.fromarray(made.picture(*size, phase)).save(photos / f"{name}.png")
    return made
