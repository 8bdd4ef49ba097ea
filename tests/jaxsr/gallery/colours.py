"""A classifier whose features are mean colours, and pictures of its classes."""

import dataclasses

import numpy as np

from jaxsr.attribution.classifier import PixelClassifier
from jaxsr.gallery.core import ClassCard

CROP = 8
CARDS = (
    ClassCard("camera", "original"),
    ClassCard("edsr-x2", facts={"architecture": "edsr", "scale": 2, "loss": "l1", "seed": 1}),
    ClassCard("edsr-x4", facts={"architecture": "edsr", "scale": 4, "seed": 1}),
    ClassCard("rdn-x4", facts={"architecture": "rdn", "scale": 4, "loss": "vgg"}),
)
COLOURS = np.array([[90, 90, 90], [150, 90, 90], [90, 150, 90], [90, 90, 150]], float)
SPREAD = 6.0  # of the mean colour within a class, grey levels


@dataclasses.dataclass(frozen=True)
class Colours(PixelClassifier):
    """Features are the mean colour of a crop."""

    classes: tuple[str, ...] = tuple(card.name for card in CARDS)
    crop_px: int = CROP
    method: str = "colours"

    period = 1  # colours see no grid

    def embedding_of(self, crops):
        return crops.astype(np.float32).mean(axis=(1, 2))

    def log_scores_of(self, crops):
        raise AssertionError("a gallery looks at features alone")

    def to_arrays(self):
        return {"nothing": np.zeros(1, np.float32)}, {"note": "mean colours"}


def flat(colour, height=CROP, width=CROP):
    return np.broadcast_to(np.asarray(colour, np.uint8), (height, width, 3)).copy()


def drawn(colour, count, seed, height=CROP, width=2 * CROP):
    """Pictures of a colour about that of a class, and grain."""
    draw = np.random.default_rng(seed)
    base = np.asarray(colour) + SPREAD * draw.standard_normal((count, 1, 1, 3))
    grain = 3 * draw.standard_normal((count, height, width, 3))
    return list(np.clip(np.round(base + grain), 0, 255).astype(np.uint8))


def labelled(count, seed):
    pictures = [p for k, c in enumerate(COLOURS) for p in drawn(c, count, seed + k)]
    return pictures, np.repeat(np.arange(len(COLOURS)), count)
