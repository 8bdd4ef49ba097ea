"""The making of a gallery.

    made = gallery_fit.make(classifier, cards, (pictures, labels), (others, their_labels))

Letters: N pictures, T tiles, K classes, D features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxfleet.errors import InputError
from jaxsr.attribution import calibration, open_set
from jaxsr.attribution.classifier import Classifier
from jaxsr.attribution.open_set import Gaussians
from jaxsr.fingerprints import welch
from jaxsr.gallery.core import ClassCard, Gallery
from jaxsr.gallery.parsing import Parser
from jaxsr.gallery.tiles import embeddings_of

SURE = 0.95  # probability that is enough in any case
DRAWN = 8  # pictures that the spectrum of a class is of
KNOWN_RATE = 0.95  # of tiles of the classes that count as known


def make(
    classifier: Classifier,
    cards: Sequence[ClassCard],
    known: tuple[Sequence[np.ndarray], np.ndarray],
    validation: tuple[Sequence[np.ndarray], np.ndarray],
    *,
    features: Sequence[np.ndarray] | None = None,
    facts: Mapping[str, Any] | None = None,
    parser: Parser | None = None,
) -> Gallery:
    """Make a gallery of the classes of a classifier.

    Args:
        classifier: already fitted; only its features are used.
        cards: K, in the order of the labels.
        known: N pictures [H, W, 3] uint8 that show where the classes lie, and [N] int labels;
            those that the classifier was fitted on will do.
        validation: the same, of other photographs: what calibrates.
        features: what `tiles.embeddings_of` gives of the known pictures, where it is at hand.
        facts: to be kept with it, JSON-able.
        parser: to be kept with it, for pictures of networks that it does not know.

    Raises:
        InputError: if a class has fewer than two pictures, there are none to calibrate with, or a
            picture cannot be used.
    """
    pictures, labels = known
    counts = np.bincount(labels, minlength=len(cards))
    if counts.min() < 2:
        name = cards[int(np.argmin(counts))].name
        raise InputError(f"Class '{name}' has {counts.min()} pictures to learn from; give it more.")
    if not len(validation[0]):
        raise InputError("There are no pictures of split validation, which calibrate; make some.")
    features = embeddings_of(classifier, pictures) if features is None else features
    tile_labels = np.repeat(labels, [len(one) for one in features])
    gaussians = open_set.fit_gaussians(np.concatenate(features), tile_labels).rounded()
    apart = embeddings_of(classifier, validation[0])
    temperature, growth, threshold = calibrate(gaussians, apart, validation[1])
    side = min(welch.SIDE_PX, classifier.crop_px)
    spectra = [
        welch.mean((pictures[i] for i in np.flatnonzero(labels == k)[:DRAWN].tolist()), side)
        for k in range(len(cards))
    ]
    made = Gallery(
        classifier,
        tuple(cards),
        gaussians,
        temperature,
        growth,
        threshold,
        np.stack(spectra),
        facts or {},
        parser=parser,
    )
    sure = np.quantile([made.chances(one).max() for one in apart], 1 - KNOWN_RATE)
    return replace(made, least_probability=min(float(sure), SURE))


def calibrate(
    gaussians: Gaussians, features: Sequence[np.ndarray], labels: np.ndarray
) -> tuple[float, float, float]:
    """Fit the temperature, its growth with the number of tiles, and the threshold: see `Gallery`.

    Both temperatures, that of single tiles and that of whole pictures, are the ones that make the
    labels likeliest; but never surer than the distances are. The threshold keeps 95 % of single
    tiles; of several tiles, whose mean distance varies less, it keeps more.

    Args:
        gaussians: of the classes.
        features: N arrays [T, D] float of pictures; T may differ.
        labels: [N] int.
    """
    counts = np.asarray([len(one) for one in features])
    together = np.concatenate(features)
    scores = -0.5 * gaussians.squared_distances(together)
    of_tile = max(1.0, calibration.fit_temperature(scores, np.repeat(labels, counts)))
    growth = 0.0
    if counts.max() > 1:
        starts = np.r_[0, np.cumsum(counts)[:-1]]
        of_picture = calibration.fit_temperature(np.add.reduceat(scores, starts, axis=0), labels)
        ratio = np.log(max(1.0, of_picture) / of_tile)
        growth = float(np.clip(ratio / np.log(counts).mean(), 0, 1))
    familiar = gaussians.relative_mahalanobis(together)
    return of_tile, growth, float(open_set.threshold_at_tpr(familiar, KNOWN_RATE))
