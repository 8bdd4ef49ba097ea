"""Attribution by linear discriminant analysis: "linear", "spectrum" and "dct".

The three differ in what the discriminant is of: how neighbouring pixels go together at each place
of the up-sampling grid (`jaxsr.grid_statistics`), the power spectra of noise residuals, and the
cosine transforms of the crops themselves (`jaxsr.spectral_features`). All crops that lie side by
side in a training picture are learnt from.

Letters: N crops, c side of a crop in pixels, K classes, D features.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxsr import attribution, grid_statistics, lda, periodicity, spectral_features
from jaxsr.attribution import Described, Labelled, Progress
from jaxsr.crops import check_crops, in_batches
from jaxsr.open_set import Gaussians

LINEAR, SPECTRUM, DCT = "linear", "spectrum", "dct"
_FEATURES: Mapping[str, Callable[..., Array]] = {
    LINEAR: grid_statistics.grid_statistics,
    SPECTRUM: spectral_features.spectrum_features,
    DCT: spectral_features.dct_features,
}
METHODS = tuple(_FEATURES)
# Options of each: those of its function, with their defaults.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    LINEAR: {"period": grid_statistics.PERIOD, "reach": grid_statistics.REACH},
    SPECTRUM: {"residual": "wavelet", "bins": spectral_features.BINS},
    DCT: {"bins": spectral_features.BINS},
}
_LDA = "lda."  # in names of arrays


@dataclass(frozen=True, eq=False)
class DiscriminantAttributor:
    """A discriminant of features.

    Attributes:
        method: "linear", "spectrum" or "dct".
        classes: K names.
        crop_px: c.
        options: of the features.
        discriminant: of `describe`.
    """

    method: str
    classes: tuple[str, ...]
    crop_px: int
    options: Mapping[str, Any]
    discriminant: lda.Lda

    @property
    def changed_options(self) -> dict[str, Any]:
        """Those of `options` that are not as the method has them by default."""
        defaults = _OPTIONS[self.method]
        return {name: value for name, value in self.options.items() if value != defaults[name]}

    def describe(self, crops: np.ndarray) -> np.ndarray:
        """What the discriminant is of: [N, c, c, 3] uint8 to [N, D] float32."""
        check_crops(crops, self.crop_px)
        return in_batches(_describer(self.method, self.options), crops)

    def log_scores(self, crops: np.ndarray) -> np.ndarray:
        """Log-probabilities, [N, c, c, 3] uint8 to [N, K] float32; see `Attributor`."""
        return self.log_scores_of(self.describe(crops))

    def features(self, crops: np.ndarray) -> np.ndarray:
        """Whitened coordinates of `lda.project`, [N, min(K - 1, D)] float32."""
        return self.features_of(self.describe(crops))

    def log_scores_of(self, described: np.ndarray) -> np.ndarray:
        """`log_scores` of crops that were described, [N, D], before."""
        return lda.log_scores(self.discriminant, described)

    def features_of(self, described: np.ndarray) -> np.ndarray:
        """`features` of crops that were described, [N, D], before."""
        return lda.project(self.discriminant, described)

    @functools.cached_property
    def gaussians(self) -> Gaussians:
        """Where the classes lie among `features`, as the discriminant has it."""
        means = lda.class_means(self.discriminant)
        unit = np.eye(means.shape[1])
        spread = np.sqrt(1.0 + np.mean(means**2, axis=0))  # of all classes together
        return Gaussians(np.ones(len(unit)), unit, means, unit / spread, np.zeros(len(unit)))

    def find_grid(
        self, crops: np.ndarray, gaussians: Gaussians | None = None
    ) -> tuple[tuple[int, int], np.ndarray]:
        """Where the grid of up-sampling begins in a picture that was cut off somewhere.

        Of all places that one is taken which makes the crops most like a class, by the mean of
        `Gaussians.relative_mahalanobis`: of few classes, which leave few coordinates to be like one
        in, it is often another. "linear" alone sees where a grid begins.

        Args:
            crops: [N, c, c, 3] uint8, of one picture; they lie a multiple of the period apart, as
                those of `crops.tiles`.
            gaussians: of the classes, among `features`; None for those of the discriminant.

        Returns:
            Rows and columns from the first pixel of the crops to where the grid begins, and
            [N, D] float32: what `describe` gives of crops that begin there.
        """
        described = self.describe(crops)
        period = self.options["period"] if self.method == LINEAR else 1
        gaussians = self.gaussians if gaussians is None else gaussians
        likeness, found = -np.inf, ((0, 0), described)
        for rows, columns in itertools.product(range(period), repeat=2):
            moved = grid_statistics.at_shift(described, rows, columns, period=period)
            familiar = float(gaussians.relative_mahalanobis(self.features_of(moved)).mean())
            if familiar > likeness:
                likeness, found = familiar, ((rows, columns), moved)
        return found

    def log_scores_anywhere(self, crops: np.ndarray) -> np.ndarray:
        """`log_scores` of crops of one picture, wherever the grid begins in it: see `find_grid`.

        `log_scores` takes it to begin at the first pixel of each crop, where it is in a picture
        that nothing was cut off from.
        """
        return self.log_scores_of(self.find_grid(crops)[1])

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and facts that `from_arrays` takes."""
        arrays = {f"{_LDA}{name}": array for name, array in self.discriminant._asdict().items()}
        return arrays, {"options": dict(self.options)}


def fit_linear(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int,
    seed: int = 0,
    validation: Labelled | None = None,
    progress: Progress | None = None,
    period: int = grid_statistics.PERIOD,
    reach: int = grid_statistics.REACH,
    shrinkage: float | None = None,
    described: Described | None = None,
) -> DiscriminantAttributor:
    """A discriminant of `grid_statistics`: which combinations of neighbours a network leaves.

    Arguments are those of `attribution.fit`; nothing is drawn at random, nor asked of the
    validation.

    Args:
        pictures: of [H, W, 3] uint8, the up-sampling grid beginning at their first pixel.
        labels: [len(pictures)] int.
        classes: K names.
        crop_px: c.
        seed: not used.
        validation: not used.
        progress: called with the part that is done.
        period: of the grid, a multiple of the scales.
        reach: pixels to either side.
        shrinkage: of `lda.fit`.
        described: what `describe` gave of these pictures, which are then not looked at.

    Raises:
        InputError: if a picture or the crops are too small.
    """
    del seed, validation
    options = {"period": period, "reach": reach}
    if described is None:
        described = describe(LINEAR, pictures, crop_px=crop_px, progress=progress, **options)
    return _fit(LINEAR, described, labels, classes, crop_px, options, shrinkage)


def fit_spectrum(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int,
    seed: int = 0,
    validation: Labelled | None = None,
    progress: Progress | None = None,
    residual: str = "wavelet",
    bins: int = spectral_features.BINS,
    shrinkage: float | None = None,
    described: Described | None = None,
) -> DiscriminantAttributor:
    """A discriminant of the power spectra of residuals; see `spectral_features`.

    Arguments are those of `fit_linear`, and:

    Args:
        pictures: of [H, W, 3] uint8.
        labels: [len(pictures)] int.
        classes: K names.
        crop_px: c, at least 17 and 2 B.
        seed: not used.
        validation: not used.
        progress: called with the part that is done.
        residual: "wavelet", "gaussian" or "wiener".
        bins: B, even, of each axis of a pooled spectrum.
        shrinkage: of `lda.fit`.
        described: as of `fit_linear`.

    Raises:
        InputError: if a picture is too small, there is no such residual, or crops do not fill the
            bins.
    """
    del seed, validation
    options = {"residual": residual, "bins": bins}
    if described is None:
        described = describe(SPECTRUM, pictures, crop_px=crop_px, progress=progress, **options)
    return _fit(SPECTRUM, described, labels, classes, crop_px, options, shrinkage)


def fit_dct(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int,
    seed: int = 0,
    validation: Labelled | None = None,
    progress: Progress | None = None,
    bins: int = spectral_features.BINS,
    shrinkage: float | None = None,
    described: Described | None = None,
) -> DiscriminantAttributor:
    """A discriminant of the cosine transforms of crops; see `spectral_features`.

    Arguments are those of `fit_spectrum`.

    Raises:
        InputError: if a picture is too small, or crops do not fill the bins.

    Source: Frank et al., "Leveraging frequency analysis for deep fake image recognition", 2020, who
    learn ridge regression on all coefficients.
    """
    del seed, validation
    options = {"bins": bins}
    if described is None:
        described = describe(DCT, pictures, crop_px=crop_px, progress=progress, **options)
    return _fit(DCT, described, labels, classes, crop_px, options, shrinkage)


def describe(
    method: str,
    pictures: Sequence[np.ndarray],
    *,
    crop_px: int,
    progress: Progress | None = None,
    **options: Any,
) -> Described:
    """What discriminants are of: features of all crops that lie side by side in each picture.

    Args:
        method: "linear", "spectrum" or "dct".
        pictures: of [H, W, 3] uint8.
        crop_px: c.
        progress: called with the part that is done.
        options: of the features; see the functions that fit.

    Raises:
        InputError: if options or pictures cannot be used.
    """
    options = {**_OPTIONS[method], **options}
    check(method, crop_px, **options)
    describer = _describer(method, options)
    return attribution.describe_by(describer, pictures, crop_px=crop_px, progress=progress)


def check(method: str, crop_px: int, **options: Any) -> None:
    """Refuses options that cannot be used, or not with crops of this size.

    Args:
        method: "linear", "spectrum" or "dct".
        crop_px: c.
        options: of the features; see the functions that fit.

    Raises:
        InputError: naming what is wrong.
    """
    options = {**_OPTIONS[method], **options}
    if method == LINEAR:
        period, reach = options["period"], options["reach"]
        if period < 1 or reach < 1:
            raise InputError(f"period and reach must be at least 1; got {period} and {reach}.")
        if crop_px % period:
            raise InputError(
                f"Crops of {crop_px} pixels are no multiple of the grid of {period}; take one."
            )
        least = grid_statistics.least_px(period, reach)
        if crop_px < least:
            raise InputError(
                f"A grid of {period} and a reach of {reach} need crops of {least} pixels or more; "
                f"got {crop_px}."
            )
        return
    residual = options.get("residual", "wavelet")
    if residual not in spectral_features.RESIDUALS:
        known = ", ".join(spectral_features.RESIDUALS)
        raise InputError(f"No residual '{residual}' here; use one of {known}.")
    bins = options["bins"]
    least = max(2 * bins, 2 * max(periodicity.PERIODS) + 1)
    if bins < 2 or bins % 2 or crop_px < least:
        raise InputError(
            f"Spectra of {bins} bins need an even number of them, at least 2, and crops of {least} "
            f"pixels or more; got {crop_px}."
        )


def from_arrays(
    arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> DiscriminantAttributor:
    """The inverse of `attribution.to_arrays`.

    Raises:
        KeyError: if an array or a fact is missing.
        ValueError: if they do not fit.
    """
    discriminant = lda.Lda(**{name: arrays[f"{_LDA}{name}"] for name in lda.Lda._fields})
    if len(discriminant.biases) != len(facts["classes"]):
        raise ValueError(f"A discriminant of {len(discriminant.biases)} classes does not fit.")
    return DiscriminantAttributor(
        facts["method"], tuple(facts["classes"]), facts["crop_px"], facts["options"], discriminant
    )


def _fit(
    method: str,
    described: Described,
    labels: np.ndarray,
    classes: Sequence[str],
    crop_px: int,
    options: Mapping[str, Any],
    shrinkage: float | None,
) -> DiscriminantAttributor:
    truth = np.asarray(labels)[described.owners]
    discriminant = lda.fit(described.features, truth, len(classes), shrinkage)
    return DiscriminantAttributor(method, tuple(classes), crop_px, options, discriminant)


def _describer(method: str, options: Mapping[str, Any]) -> Callable[[np.ndarray], Array]:
    function = functools.partial(_FEATURES[method], **options)
    return lambda crops: function(jnp.asarray(crops))
