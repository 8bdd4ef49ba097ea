"""Which network made a picture: every method behind one interface.

    attributor = attribution.fit("spectrum", pictures, labels, classes, crop_px=224)
    log_scores = attributor.log_scores(crops.tiles(picture, 224))  # [n, K]
    of_picture = attribution.combine(log_scores)                   # [K]

A class is a network, or any other thing that pictures may have in common. A method is a module
(`METHODS`) with a function that fits it and `from_arrays(arrays, facts)`, the inverse of
`Attributor.to_arrays`; it is imported when it is asked for. One whose method learns from features
of crops has `describe` too, so that several attributors can learn from what was computed once.
`jaxsr.attributor_files` keeps attributors. Those of method linear have `log_scores_anywhere` too,
for pictures that something was cut off from.

Letters: N crops, n tiles of a picture, c side of a crop in pixels, K classes, D features, H rows,
W columns.
"""

import collections
import importlib
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.special

from jaxfleet.errors import InputError
from jaxsr.crops import BATCH, CROP_PX, in_batches, tiles

_METHODS = {  # method -> its module, and the function there that fits it
    "prnu": ("jaxsr.residual_attribution", "fit_prnu"),
    "ncc": ("jaxsr.residual_attribution", "fit_ncc"),
    "spectrum": ("jaxsr.discriminant_attribution", "fit_spectrum"),
    "dct": ("jaxsr.discriminant_attribution", "fit_dct"),
    "linear": ("jaxsr.discriminant_attribution", "fit_linear"),
    "kernel": ("jaxsr.kernel_attribution", "fit"),
    "convnext": ("jaxsr.convnext_attribution", "fit"),
}
METHODS = tuple(_METHODS)

Labelled = tuple[Sequence[np.ndarray], np.ndarray]  # pictures and their labels
Progress = Callable[..., object]


class Attributor(Protocol):
    """Says of crops which class they belong to."""

    @property
    def method(self) -> str:
        """One of `METHODS`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""

    @property
    def crop_px(self) -> int:
        """The side of a crop, c, pixels."""

    def log_scores(self, crops: np.ndarray) -> np.ndarray:
        """Log-probabilities, not calibrated.

        Args:
            crops: [N, c, c, 3] uint8.

        Returns:
            [N, K] float32; the exponentials of a row sum to 1.
        """

    def features(self, crops: np.ndarray) -> np.ndarray:
        """What distances between crops are of.

        Args:
            crops: [N, c, c, 3] uint8.

        Returns:
            [N, D] float32.
        """

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What it takes to make it again: arrays, and facts that JSON can hold.

        Method, classes and crop_px need not be among the facts: `to_arrays` here adds them.
        """


class Described(NamedTuple):
    """What a method sees of pictures, for several attributors to learn from.

    Attributes:
        features: [T, D] float32, of crops.
        owners: [T] int64, rising: the place of the picture that each is of.
    """

    features: np.ndarray
    owners: np.ndarray

    def of(self, places_of: np.ndarray) -> "Described":
        """Those of some pictures, [N] int, each at most once; their places are the new ones."""
        new = np.full(self.owners.max(initial=-1) + 1, -1)
        new[places_of] = np.arange(len(places_of))
        owners = new[self.owners]
        order = np.argsort(owners, kind="stable")[np.count_nonzero(owners < 0) :]
        return Described(self.features[order], owners[order])


def describe(
    method: str,
    pictures: Sequence[np.ndarray],
    *,
    crop_px: int = CROP_PX,
    progress: Progress | None = None,
    **options: Any,
) -> Described | None:
    """What a method sees of pictures; None of a method that learns from pixels.

    Arguments are those of `fit`, and so is what it raises.
    """
    if method not in METHODS:
        raise InputError(f"No method '{method}' of attribution; use one of {', '.join(METHODS)}.")
    function = getattr(importlib.import_module(_METHODS[method][0]), "describe", None)
    if function is None:
        return None
    described: Described = function(method, pictures, crop_px=crop_px, progress=progress, **options)
    return described


def describes_validation(method: str) -> bool:
    """Whether what a method sees of validation pictures may be given to `fit` too."""
    module, name = _METHODS[method]
    function = getattr(importlib.import_module(module), name)
    return "described_validation" in inspect.signature(function).parameters


def describe_by(
    function: Callable[[np.ndarray], Any],
    pictures: Sequence[np.ndarray],
    *,
    crop_px: int = CROP_PX,
    progress: Progress | None = None,
) -> Described:
    """What a function sees of all crops that lie side by side in each picture.

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
    return Described(np.concatenate(features), np.concatenate(owners))


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
    **options: Any,
) -> Attributor:
    """An attributor that has learnt from pictures.

    Args:
        method: one of `METHODS`.
        pictures: N of [H, W, 3] uint8; sizes may differ, each at least c. Each is asked for when
            it is needed, so that the sequence may read files.
        labels: [N] int, places in `classes`.
        classes: K different names, each with a picture at least.
        crop_px: c.
        seed: of what is drawn at random, if anything is.
        validation: pictures and labels that nothing is learnt from but when to stop, or how sure
            to be.
        progress: called now and then with the part that is done, from 0 to 1.
        options: of the method; see the function of its module.

    Raises:
        InputError: if there is no such method or option, a class has no picture, a name is there
            twice, a label is out of range, or a picture is smaller than a crop or no [H, W, 3].
        TypeError: if a picture is not uint8.
    """
    if method not in METHODS:
        raise InputError(f"No method '{method}' of attribution; use one of {', '.join(METHODS)}.")
    _check_classes(classes)
    _check_labels(labels, len(pictures), classes)
    missing = [name for k, name in enumerate(classes) if not np.any(np.asarray(labels) == k)]
    if missing:
        raise InputError(f"No picture of {missing[0]} to learn from; give one, or leave it out.")
    if validation is not None:
        _check_labels(validation[1], len(validation[0]), classes)
    module, name = _METHODS[method]
    function = getattr(importlib.import_module(module), name)
    known = list(inspect.signature(function).parameters)
    for option in options:
        if option not in known:
            raise InputError(
                f"Method '{method}' has no option '{option}'; it has "
                f"{', '.join(known[known.index('progress') + 1 :]) or 'none'}."
            )
    fitted: Attributor = function(
        pictures,
        np.asarray(labels),
        tuple(classes),
        crop_px=crop_px,
        seed=seed,
        validation=validation,
        progress=progress,
        **options,
    )
    return fitted


def tiles(picture: np.ndarray, crop_px: int) -> np.ndarray:
    """Cut a picture into crops that lie about side by side; together they lie about its middle.

    They begin as `tile_starts` says.

    Args:
        picture: [H, W, 3] uint8.
        crop_px: c, at least 1.

    Returns:
        [n, c, c, 3] uint8, row by row.

    Raises:
        InputError: if the picture is smaller than a crop, or no [H, W, 3].
        TypeError: if it is not uint8.
    """
    check_picture(picture, crop_px)
    tops, lefts = (tile_starts(size, crop_px) for size in picture.shape[:2])
    return np.stack(
        [picture[y : y + crop_px, x : x + crop_px] for y, x in itertools.product(tops, lefts)]
    )


def tile_starts(size_px: int, crop_px: int) -> range:
    """Return where the crops of `tiles` begin along one axis: at multiples of 24 pixels.

    There each crop sees the grids of up-sampling by 2, 3, 4 and of JPEG where the whole picture has
    them. Crops are as far apart as the multiple of 24 that is nearest to their side, so that those
    of 224 pixels overlap by 8; those that are smaller than 24 pixels lie side by side.

    Args:
        size_px: rows or columns of the picture.
        crop_px: c, at least 1.

    Returns:
        None where the picture is smaller than a crop.
    """
    if size_px < crop_px:
        return range(0)
    pitch = crop_px if crop_px < GRID_PX else round(crop_px / GRID_PX) * GRID_PX
    extent = (size_px - crop_px) // pitch * pitch
    first = (size_px - crop_px - extent) // 2 // GRID_PX * GRID_PX
    return range(first, first + extent + 1, pitch)


def centre(picture: np.ndarray, crop_px: int) -> np.ndarray:
    """About the middle of a picture, [H, W, 3] uint8 to [c, c, 3], a view.

    It begins at a multiple of 24 pixels, as `tiles` do.

    Raises:
        InputError: if the picture is smaller than a crop, or no [H, W, 3].
        TypeError: if it is not uint8.
    """
    check_picture(picture, crop_px)
    top, left = ((size - crop_px) // 2 // GRID_PX * GRID_PX for size in picture.shape[:2])
    return picture[top : top + crop_px, left : left + crop_px]


def combine(log_scores: np.ndarray) -> np.ndarray:
    """Log-probabilities of several crops, or pictures, that one network made.

    They are taken for independent, with equal chances beforehand: log scores are added.

    Args:
        log_scores: [..., N, K] float, N at least 1.

    Returns:
        [..., K] float32; the exponentials sum to 1.
    """
    total = np.sum(np.asarray(log_scores, np.float64), axis=-2)
    return scipy.special.log_softmax(total, axis=-1).astype(np.float32)


def majority(log_scores: np.ndarray) -> np.ndarray:
    """The class that most of several crops, or pictures, vote for, each for its likeliest.

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


def to_arrays(attributor: Attributor) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """An attributor as arrays and JSON-able facts, for a file that holds more than it."""
    arrays, facts = attributor.to_arrays()
    common = {
        "method": attributor.method,
        "classes": list(attributor.classes),
        "crop_px": attributor.crop_px,
    }
    return arrays, {**facts, **common}


def from_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Attributor:
    """The inverse of `to_arrays`.

    Raises:
        InputError: if the method is not known.
        KeyError: if an array or a fact is missing.
    """
    if facts["method"] not in METHODS:
        raise InputError(
            f"No method '{facts['method']}' of attribution; use one of {', '.join(METHODS)}."
        )
    module = importlib.import_module(_METHODS[facts["method"]][0])
    restored: Attributor = module.from_arrays(arrays, facts)
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
