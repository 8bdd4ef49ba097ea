"""Pictures of made-up networks, and an attributor that tells them apart in no time."""

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

from experiments import page
from jaxsr import attribution, picture_sets

NOISES = {"edsr": 2.0, "rcan": 8.0, "rdn": 24.0}  # of an architecture; seed and set have colours
ORIGINS = (("A", 1), ("A", 3), ("B", 1))
SPLITS = {f"{split}{number}": split for split in picture_sets.SPLITS for number in range(4)}
SIDE = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """Nearest mean of colour and noise, in units of the scatter within a class."""

    classes: tuple[str, ...]
    crop_px: int
    means: np.ndarray
    method: str = "spectrum"

    def log_scores(self, crops):
        apart = np.square(self.features(crops)[:, None] - self.means).sum(axis=-1)
        return log_softmax(-apart / 2, axis=1).astype(np.float32)

    def features(self, crops):
        pixels = crops.astype(np.float32)
        noise = np.log1p(np.diff(pixels, axis=1).std(axis=(1, 2, 3)))
        return np.concatenate([pixels.mean(axis=(1, 2)), 10 * noise[:, None]], axis=1)

    def to_arrays(self):
        return {"means": self.means}, {}


@pytest.fixture
def quick_attribution(monkeypatch):
    """Has `attribution.fit` make `Statistics`; the fits from now on: [(classes, pictures)]."""
    calls = []

    def fit(method, pictures, labels, classes, *, crop_px, seed, validation, progress=None):
        del seed, validation, progress
        crops = np.stack([attribution.centre(picture, crop_px) for picture in pictures])
        blank = Statistics(tuple(classes), crop_px, np.zeros((len(classes), 4)), method)
        features = blank.features(crops)
        means = [features[labels == k].mean(axis=0) for k in range(len(classes))]
        calls.append((tuple(classes), len(pictures)))
        return dataclasses.replace(blank, means=np.array(means, np.float32))

    def from_arrays(arrays, facts):
        return Statistics(
            tuple(facts["classes"]), facts["crop_px"], arrays["means"], facts["method"]
        )

    monkeypatch.setattr(attribution, "describe", lambda *args, **options: None)
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
    (run_dir / "index").mkdir(parents=True)
    for architecture, (training_set, seed) in itertools.product(NOISES, ORIGINS):
        network = f"{architecture}-{training_set}-x2-l1-s{seed}"
        (run_dir / "images" / network).mkdir(parents=True)
        rows = []
        for image_id, split in SPLITS.items():
            draw = np.random.default_rng([*map(ord, network + image_id)])
            colour = np.array([100, 60 + 20 * seed, 200 if training_set == "A" else 120])
            noise = NOISES[architecture] * draw.standard_normal((SIDE, SIDE, 3))
            pixels = np.clip(np.round(colour + noise), 0, 255).astype(np.uint8)
            file = picture_sets.file_of(network, image_id)
            Image.fromarray(pixels).save(run_dir / file)
            facts = {"architecture": architecture, "training_set": training_set, "seed": seed}
            data = (run_dir / file).read_bytes()
            rows.append(
                {
                    **{"network": network, "kind": "network", "image_id": image_id},
                    **{"split": split, "file": file, "height": SIDE, "width": SIDE, **facts},
                    **{"overrides": "{}", "scale": 2, "loss": "l1", "num_iters": 1},
                    **{"parameters": 1, "psnr_y_db": 30.0, "source": "runs/zoo"},
                    **{"network_checksum": network, "photo_checksum": image_id},
                    "file_checksum": picture_sets.checksum(data),
                }
            )
        picture_sets.write_rows(run_dir, network, rows)
    return run_dir
