"""Classifiers that name the network behind a picture: every method behind one interface.

    classifier = attribution.fit("spectrum", pictures, labels, classes, crop_px=224)
    log_scores = classifier.log_scores(crops.tiles(picture, 224))  # [n, K]
    of_picture = attribution.combine(log_scores)                   # [K]

A class is a network, or any other thing that pictures may have in common. A method is an entry of
`jaxsr.attribution.table`. Several classifiers may share the features of pictures
(`extract_features`). `jaxsr.attribution.files` reads and writes classifiers.

Letters: N crops, n tiles of a picture, c side of a crop in pixels, K classes, D features, H rows,
W columns.
"""

import collections
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from jaxfleet.errors import InputError
from jaxsr.attribution.classifier import Classifier
from jaxsr.attribution.table import check_options, features_of, method_of, options_of
from jaxsr.datasets.crops import BATCH, CROP_PX, in_batches, tiles

Labelled = tuple[Sequence[np.ndarray], np.ndarray]  # pictures and their labels
Progress = Callable[..., object]


class CropFeatures(NamedTuple):
    """Features of the crops of pictures, which several classifiers may share.

    Attributes:
        features: [T, D] float32, a row per crop.
        owners: [T] int64, not falling: the index of the picture that each crop is from.
    """

    features: np.ndarray
    owners: np.ndarray

    def of(self, places_of: np.ndarray) -> "CropFeatures":
        """Return the features of pictures [N] int, each at most once, which number them anew."""
        new = np.full(self.owners.max(initial=-1) + 1, -1)
        new[places_of] = np.arange(len(places_of))
        owners = new[self.owners]
        order = np.argsort(owners, kind="stable")[np.count_nonzero(owners < 0) :]
        return CropFeatures(self.features[order], owners[order])


def extract_features(
    method: str,
    pictures: Sequence[np.ndarray],
    *,
    crop_px: int = CROP_PX,
    progress: Progress | None = None,
    **options: Any,
) -> CropFeatures | None:
    """Extract the features of pictures; None if the method learns from pixels.

    Arguments and errors are those of `fit`; options of the classifier make no difference.
    """
    features = features_of(method)
    if features is None:
        return None
    check_options(method, crop_px, **options)
    own = {name: options[name] for name in features.options if name in options}
    return extract_with(
        lambda crops: features.of(crops, own), pictures, crop_px=crop_px, progress=progress
    )


def extract_with(
    function: Callable[[np.ndarray], Any],
    pictures: Sequence[np.ndarray],
    *,
    crop_px: int = CROP_PX,
    progress: Progress | None = None,
) -> CropFeatures:
    """Compute a feature function of all crops that lie side by side in each image.

    Args:
        function: as of `crops.in_batches`, to [B, D].
        pictures: of [H, W, 3] uint8.
        crop_px: c.
        progress: called with the part that is done.

    Raises:
        InputError: if a picture is too small.
    """
    features, owners = [], []
    waiting = np.empty((0, crop_px, crop_px, 3), np.uint8)
    for place, picture in enumerate(pictures):
        crops = tiles(picture, crop_px)
        owners.append(np.full(len(crops), place))
        waiting = np.concatenate([waiting, crops])
        last = place + 1 == len(pictures)
        whole = len(waiting) if last else len(waiting) // BATCH * BATCH
        if whole:
            features.append(in_batches(function, waiting[:whole]))
            waiting = waiting[whole:]
            if progress is not None:
                progress((place + 1) / len(pictures))
    return CropFeatures(np.concatenate(features), np.concatenate(owners))


def fit(
    method: str,
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int = CROP_PX,
    seed: int = 0,
    validation: Labelled | None = None,
    progress: Progress | None = None,
    extracted: CropFeatures | None = None,
    extracted_validation: CropFeatures | None = None,
    **options: Any,
) -> Classifier:
    """Fit a classifier to pictures.

    Args:
        method: one of `METHODS`.
        pictures: N of [H, W, 3] uint8; sizes may differ, each at least c. Each is asked for when
            it is needed, so that the sequence may read files. The grid of up-sampling begins at
            their first pixel.
        labels: [N] int, places in `classes`.
        classes: K different names, each with a picture at least.
        crop_px: c.
        seed: of what is drawn at random, if anything is.
        validation: pictures and labels that nothing is learnt from but when to stop, or how sure
            to be.
        progress: called now and then with the part that is done, from 0 to 1.
        extracted: what `extract_features` returned for these pictures and options; the pictures
            are then not read.
        extracted_validation: the same for the validation pictures.
        options: of the features and of the classifier; see `options_of`.

    Raises:
        InputError: if there is no such method or option, a class has no picture, a name is there
            twice, a label is out of range, or a picture is smaller than a crop or no [H, W, 3].
        TypeError: if a picture is not uint8.
    """
    chosen, features = method_of(method), features_of(method)
    _check_classes(classes)
    _check_labels(labels, len(pictures), classes)
    missing = [name for k, name in enumerate(classes) if not np.any(np.asarray(labels) == k)]
    if missing:
        raise InputError(f"No picture of {missing[0]} to learn from; give one, or leave it out.")
    if validation is not None:
        _check_labels(validation[1], len(validation[0]), classes)
    known = options_of(method)
    for option in options:
        if option not in known:
            raise InputError(
                f"Method '{method}' has no option '{option}'; it has {', '.join(known) or 'none'}."
            )
    if features is None:
        return chosen.function(
            pictures,
            np.asarray(labels),
            tuple(classes),
            crop_px=crop_px,
            seed=seed,
            validation=validation,
            progress=progress,
            **options,
        )

    def seen(some: Sequence[np.ndarray], progress: Progress | None = None) -> CropFeatures:
        found = extract_features(method, some, crop_px=crop_px, progress=progress, **options)
        assert found is not None
        return found

    own = {**features.options, **{n: v for n, v in options.items() if n in features.options}}
    given: dict[str, Any] = {n: v for n, v in options.items() if n not in features.options}
    parameters = inspect.signature(chosen.function).parameters
    if "seed" in parameters:
        given["seed"] = seed
    if "validation" in parameters and validation is not None and len(validation[0]):
        apart = extracted_validation or seen(validation[0])
        given["validation"] = (apart.features, np.asarray(validation[1])[apart.owners])
    extracted = extracted or seen(pictures, progress)
    return chosen.function(
        extracted.features,
        np.asarray(labels)[extracted.owners],
        method=method,
        classes=tuple(classes),
        crop_px=crop_px,
        options=own,
        **given,
    )


def combine(log_scores: np.ndarray) -> np.ndarray:
    """Combine log-probabilities of several crops, or pictures, that one network made.

    The crops count as independent and the classes as equally likely: log scores are added.

    Args:
        log_scores: [..., N, K] float, N at least 1.

    Returns:
        [..., K] float32; the exponentials sum to 1.
    """
    total = np.sum(np.asarray(log_scores, np.float64), axis=-2)
    return scipy.special.log_softmax(total, axis=-1).astype(np.float32)


def majority(log_scores: np.ndarray) -> np.ndarray:
    """Return the class that most of several crops or images vote for, each for its likeliest.

    Between classes of as many votes the sum of log scores decides, as in `combine`.

    Args:
        log_scores: [..., N, K] float, N at least 1.

    Returns:
        [...] int64, places in the K classes.
    """
    num_classes = np.shape(log_scores)[-1]
    choices = np.argmax(log_scores, axis=-1)
    votes = np.sum(choices[..., None] == np.arange(num_classes), axis=-2)
    most = votes == np.max(votes, axis=-1, keepdims=True)
    return np.argmax(np.where(most, combine(log_scores), -np.inf), axis=-1)


def to_arrays(classifier: Classifier) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a classifier as arrays and JSON-able facts, for a file that holds more than it."""
    arrays, facts = classifier.to_arrays()
    common = {
        "method": classifier.method,
        "classes": list(classifier.classes),
        "crop_px": classifier.crop_px,
    }
    return arrays, {**facts, **common}


def from_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Classifier:
    """Invert `to_arrays`.

    Raises:
        InputError: if the method is not known.
        KeyError: if an array or a fact is missing.
    """
    restored: Classifier = method_of(facts["method"]).from_arrays(arrays, facts)
    return restored


def _check_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise InputError(f"Attribution needs two classes or more; got {len(classes)}.")
    name, count = collections.Counter(classes).most_common(1)[0]
    if count > 1:
        raise InputError(f"The class {name} is there {count} times; names must differ.")


def _check_labels(labels: np.ndarray, count: int, classes: Sequence[str]) -> None:
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{count} pictures need as many whole numbers for labels; got shape {labels.shape}, "
            f"{labels.dtype}."
        )
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if len(outside):
        raise InputError(f"Label {outside[0]} names none of the {len(classes)} classes.")
