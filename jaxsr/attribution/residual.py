"""Attribution by fingerprints of noise residuals, pixel on pixel: "prnu" and "ncc".

The fingerprint of a class is made of the residuals of the middles of its training pictures, which
are of one size c: what a network adds must lie at the same pixels. "prnu" takes the class whose
fingerprint is nearest, the baseline of "Fingerprints of Super Resolution Networks", 2022; "ncc" the
one that correlates best, as for cameras.

Letters: N crops, c side of a crop in pixels, K classes.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from jaxfleet.errors import InputError
from jaxsr.attribution import calibration
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import PixelClassifier
from jaxsr.datasets.crops import BATCH, centre, in_batches
from jaxsr.fingerprints import correlation, prnu, residuals

PRNU, NCC = "prnu", "ncc"
ESTIMATES = ("mean", "maximum_likelihood")
_GREY = 255.0  # grey levels in the range of a picture


@dataclasses.dataclass(frozen=True, eq=False)
class ResidualClassifier(PixelClassifier):
    """Fingerprints that residuals are compared with.

    Attributes:
        method: "prnu" or "ncc".
        classes: K names.
        fingerprints: [K, c, c, 3] float32, in the unit of images, 1 the whole range; [K, c, c, 1]
            if they are cleaned.
        residual: the method of `jaxsr.noise_residual`.
        cleaned: whether fingerprints and residuals went through `prnu.clean`.
        temperature: of "ncc": what correlations are divided by; of "prnu" 1.
    """

    method: str
    classes: tuple[str, ...]
    fingerprints: np.ndarray
    residual: str
    cleaned: bool = False
    temperature: float = 1.0

    @property
    def crop_px(self) -> int:  # type: ignore[override]  # it follows from the fingerprints
        """The side of a crop, c, pixels."""
        return self.fingerprints.shape[1]

    def log_scores_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return log-probabilities, [N, c, c, 3] uint8 to [N, K] float32; see `Classifier`.

        A crop without a residual, such as one of a single colour, says nothing: all classes are
        equally probable.
        """
        scores = self._of_crops(extracted, _distances if self.method == PRNU else correlation.ncc)
        scores = scores.astype(np.float64)
        if self.method == NCC:
            return calibration.calibrated(scores, self.temperature)
        apart = scores - np.min(scores, axis=1, keepdims=True)
        return scipy.special.log_softmax(-np.log1p(apart), axis=1).astype(np.float32)

    def embedding_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return correlations with the fingerprints, [N, c, c, 3] uint8 to [N, K] float32."""
        return self._of_crops(extracted, correlation.ncc)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and facts that `from_arrays` takes."""
        facts = {
            "residual": self.residual,
            "cleaned": self.cleaned,
            "temperature": self.temperature,
        }
        return {"fingerprints": self.fingerprints}, facts

    def _of_crops(self, crops: np.ndarray, compare: Callable[[Array, Array], Array]) -> np.ndarray:
        fingerprints = jnp.asarray(self.fingerprints)

        def of_batch(some: np.ndarray) -> Array:
            found = _residuals(some, self.residual)
            return compare(prnu.clean(found) if self.cleaned else found, fingerprints)

        return in_batches(of_batch, crops)


def fit_prnu(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int,
    seed: int = 0,
    validation: attribution.Labelled | None = None,
    progress: attribution.Progress | None = None,
    residual: str = "wavelet",
) -> ResidualClassifier:
    """Return the nearest mean residual, by squared Euclidean distance in grey levels.

    Of a distance d the probability is proportional to 1 / (d - d_min + 1). With "bm3d" residuals
    lose what is less than a whole grey level, as in the paper. Arguments are those of
    `attribution.fit`; nothing is drawn at random, nor asked of the validation.

    Args:
        pictures: N of [H, W, 3] uint8.
        labels: [N] int.
        classes: K names.
        crop_px: c.
        seed: not used.
        validation: not used.
        progress: called with the part that is done.
        residual: "wavelet", "gaussian", "wiener" or "bm3d"; the last needs its package and seconds
            for each picture.

    Raises:
        InputError: if a picture is too small, there is no such residual, or bm3d is not installed.

    Source: `prnu_classifier.py` of the paper's code; Marra et al., "Do GANs leave artificial
    fingerprints?", 2019.
    """
    del seed, validation
    totals = _totals(pictures, labels, len(classes), crop_px, residual, progress)
    fingerprints = np.stack([np.asarray(prnu.mean(total)) for total in totals])
    return ResidualClassifier(PRNU, tuple(classes), fingerprints, residual)


def fit_ncc(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int,
    seed: int = 0,
    validation: attribution.Labelled | None = None,
    progress: attribution.Progress | None = None,
    residual: str = "wavelet",
    estimate: str = "mean",
    cleaned: bool = False,
) -> ResidualClassifier:
    """Return the largest normalised cross-correlation with a fingerprint.

    Scores are correlations over a temperature: the one that fits the middles of the validation
    pictures best or, without them, the spread 1 / sqrt(3 c^2) of correlations by chance.

    Args:
        pictures: N of [H, W, 3] uint8.
        labels: [N] int.
        classes: K names.
        crop_px: c.
        seed: not used; nothing is drawn at random.
        validation: pictures and labels, for the temperature alone.
        progress: called with the part that is done.
        residual: "wavelet", "gaussian", "wiener" or "bm3d".
        estimate: "mean" or "maximum_likelihood", the functions of `jaxsr.fingerprints.prnu`.
        cleaned: whether to take away what is common to cameras, and level the spectrum, by
            `prnu.clean`. Most of what an up-sampler leaves goes with it.

    Raises:
        InputError: if a picture is too small, there is no such residual or estimate, or bm3d is not
            installed.

    Source: Marra et al., 2019 (mean); Chen et al., "Determining image origin and integrity using
    sensor noise", 2008 (maximum likelihood, cleaning).
    """
    del seed
    if estimate not in ESTIMATES:
        raise InputError(f"No estimate '{estimate}'; use one of {', '.join(ESTIMATES)}.")
    of_total = prnu.mean if estimate == "mean" else prnu.maximum_likelihood
    totals = _totals(pictures, labels, len(classes), crop_px, residual, progress)
    fingerprints = np.stack(
        [np.asarray(prnu.clean(of_total(t)) if cleaned else of_total(t)) for t in totals]
    )
    chance = 1.0 / np.sqrt(fingerprints[0].size)
    classifier = ResidualClassifier(
        NCC, tuple(classes), fingerprints, residual, cleaned, float(chance)
    )
    if validation is None or len(validation[0]) == 0:
        return classifier
    held_out, truth = validation
    found = [
        classifier.embedding(_centres(held_out, range(i, min(i + BATCH, len(held_out))), crop_px))
        for i in range(0, len(held_out), BATCH)
    ]
    temperature = calibration.fit_temperature(np.concatenate(found), truth)
    return dataclasses.replace(classifier, temperature=temperature)


def from_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> ResidualClassifier:
    """Invert `attribution.to_arrays`.

    Raises:
        KeyError: if an array or a fact is missing.
        ValueError: if they do not fit.
    """
    fingerprints = arrays["fingerprints"]
    side = facts["crop_px"]
    if fingerprints.shape[:3] != (len(facts["classes"]), side, side):
        raise ValueError(f"`fingerprints` of shape {fingerprints.shape} do not fit the classes.")
    return ResidualClassifier(
        facts["method"],
        tuple(facts["classes"]),
        fingerprints,
        facts["residual"],
        bool(facts["cleaned"]),
        float(facts["temperature"]),
    )


def _totals(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    num_classes: int,
    crop_px: int,
    residual: str,
    progress: attribution.Progress | None,
) -> list[prnu.Sums]:
    """Return the totals over the central crops of each class."""
    done = 0
    totals = []
    for k in range(num_classes):
        rows = np.flatnonzero(labels == k)
        parts = []
        for start in range(0, len(rows), BATCH):
            crops = _centres(pictures, rows[start : start + BATCH], crop_px)
            found = in_batches(lambda some: _residuals(some, residual), crops)
            parts.append(prnu.sums(_images(crops), jnp.asarray(found)))
            done += len(crops)
            if progress is not None:
                progress(done / len(pictures))
        totals.append(functools.reduce(prnu.add, parts))
    return totals


def _centres(pictures: Sequence[np.ndarray], rows: Iterable[int], crop_px: int) -> np.ndarray:
    """Return [n, c, c, 3] uint8."""
    return np.stack([centre(pictures[int(row)], crop_px) for row in rows])


def _images(crops: np.ndarray) -> Array:
    """Return [N, c, c, 3] uint8 as float32 in [0, 1]."""
    return jnp.asarray(crops, jnp.float32) / _GREY


def _residuals(crops: np.ndarray, method: str) -> Array:
    """Map [N, c, c, 3] uint8 to float32, of whole grey levels with "bm3d"."""
    found = residuals.noise_residual(_images(crops), method)
    return jnp.trunc(found * _GREY) / _GREY if method == "bm3d" else found


@jax.jit
def _distances(found: Array, fingerprints: Array) -> Array:
    """Return [N, K] squares of distances in grey levels, less the square of the residual itself.

    Without a residual the nearest fingerprint would be the weakest; all distances are 0 then.
    """
    products = jnp.einsum("nhwc,khwc->nk", found, fingerprints, precision=jax.lax.Precision.HIGHEST)
    energies = jnp.sum(fingerprints**2, axis=(1, 2, 3))
    distances = _GREY**2 * (energies[None, :] - 2.0 * products)
    return jnp.where(jnp.any(found != 0.0, axis=(1, 2, 3))[:, None], distances, 0.0)
