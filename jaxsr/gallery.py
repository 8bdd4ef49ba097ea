"""A gallery of networks: which of them made a picture, how that one was built, or none of them.

    gallery = jaxsr.Gallery.open()
    found = gallery.identify(picture)
    found.ranking[0], found.is_known, found.is_super_resolved, found.hyperparameters["scale"]
    gallery.add("mine-x4", pictures, scale=4).save("larger.safetensors")

A picture is cut into tiles. The features that an attributor finds in each have a distance from
every class (Mahalanobis', with one covariance for all), whose squares add up. Probabilities are
calibrated, and the distance beyond which a picture is of no class is chosen, on photographs that
the attributor did not learn from.

Letters: N pictures, T tiles, K classes, c side of a tile in pixels, s side of a spectrum.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.special

from jaxfleet import places
from jaxfleet.errors import InputError
from jaxsr import attribution, open_set, residual_spectra
from jaxsr.attribution import Attributor
from jaxsr.discriminant_attribution import DiscriminantAttributor
from jaxsr.open_set import Gaussians

KINDS = ("network", "bicubic", "original", "elsewhere")  # as `jaxsr.picture_sets` has them
FACTS = ("architecture", "scale", "loss", "training_set", "seed", "num_iters")
HYPERPARAMETERS = ("architecture", "scale", "loss", "training_set")
MOST_TILES = 16  # of a picture that are looked at
LEAST_PICTURES = 20  # to enrol a network
SURE = 0.95  # probability that is enough in any case
DRAWN = 8  # pictures that the spectrum of a class is of
KNOWN_RATE = 0.95  # of tiles of the classes that count as known


@dataclass(frozen=True)
class ClassCard:
    """What is known of a class.

    Attributes:
        name: unique in the gallery.
        kind: one of `KINDS`.
        facts: of `FACTS`, those that are known.
    """

    name: str
    kind: str = "network"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_super_resolved(self) -> bool:
        """Whether its pictures are the work of a super-resolution network.

        Of pictures that were made elsewhere: whether an architecture or a scale is known.
        """
        told = bool(self.facts.get("architecture") or self.facts.get("scale"))
        return self.kind == "network" or (self.kind == "elsewhere" and told)


@dataclass(frozen=True)
class Identification:
    """What a gallery says of a picture.

    Attributes:
        ranking: K pairs of name and probability, the most probable first. The probabilities sum
            to 1: they are those if one of the classes made the picture.
        hyperparameters: architecture, scale, loss, training_set -> value and probability, summed
            over the super-resolving classes that state it, among which it is the most probable;
            one that no class states is left out. The number of a seed means nothing in another
            network, so seeds are not among them.
        is_known: whether the picture is as near to a class as those of the classes are, and one
            class is as probable as it is with those.
        margin: by how much the picture is nearer to a class than the threshold asks for; below 0
            it counts as unknown.
        is_super_resolved: whether a super-resolving class is more probable than all others
            together; None if the gallery has no others.
        super_resolved_probability: of all super-resolving classes.
        num_tiles: T that were looked at.
        grid: rows and columns from the picture's first pixel to where the grid of up-sampling
            begins; (0, 0) of a picture that nothing was cut off from, and where nobody knows.
    """

    ranking: tuple[tuple[str, float], ...]
    hyperparameters: Mapping[str, tuple[Any, float]]
    is_known: bool
    margin: float
    is_super_resolved: bool | None
    super_resolved_probability: float
    num_tiles: int
    grid: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Gallery:
    """Classes that pictures are compared with; get one from `open` or `make`.

    Attributes:
        attributor: whose features are compared.
        cards: K, in the order of the means.
        gaussians: where the classes lie among features.
        temperature: by which the log-scores of one tile are divided, at least 1.
        growth: with T tiles their sum is divided by temperature T^growth: 0 if tiles are
            independent, 1 if all say the same.
        threshold: of `Gaussians.relative_mahalanobis`, which a picture of a class has at least.
        spectra: [K, s, s] float16, `residual_spectra.decibels` of each class.
        facts: what else is to be known of the gallery, JSON-able.
        least_probability: of its likeliest class, which a picture of a class has at least.
    """

    attributor: Attributor
    cards: tuple[ClassCard, ...]
    gaussians: Gaussians
    temperature: float
    growth: float
    threshold: float
    spectra: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)
    least_probability: float = 0.0

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> "Gallery":
        """The gallery of a file, or of the run directory of launch/sr_gallery.py.

        Args:
            path: of either; None for the gallery that comes with jaxsr.

        Raises:
            InputError: if it is missing, damaged, or of another version of the format.
        """
        from jaxsr import gallery_files

        return gallery_files.read(gallery_files.find(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file that `open` reads; readers see all of it or none.

        Raises:
            OSError: naming the file; the one that was there stays.
        """
        from jaxsr import gallery_files

        places.write_atomically(places.place(os.fspath(path)), gallery_files.to_bytes(self))

    @property
    def crop_px(self) -> int:
        """c: a picture has at least as many rows and columns."""
        return self.attributor.crop_px

    @property
    def names(self) -> tuple[str, ...]:
        """Of the K classes."""
        return tuple(card.name for card in self.cards)

    def identify(self, image: np.ndarray) -> Identification:
        """Which class made a picture, and what that says.

        Args:
            image: [H, W, 3] uint8, colour, H and W at least `crop_px`, as it was made: not turned
                into other sizes, and better not compressed with loss. It may be cut out of a
                larger one: all places where the grid of up-sampling may begin are tried.

        Raises:
            InputError: if it is anything else, or there is nothing in it to go by.
        """
        cut = tiles(checked(image, self.crop_px), self.crop_px)
        by_grid = {(0, 0): _features(self.attributor, [cut])[0]}
        if isinstance(self.attributor, DiscriminantAttributor):
            by_grid = self.attributor.features_at_shifts(cut)
        grid = max(by_grid, key=lambda at: self._margin(by_grid[at]))
        features, margin = by_grid[grid], self._margin(by_grid[grid])
        chances = self._chances(features)
        made = np.asarray([card.is_super_resolved for card in self.cards])
        share = float(np.sum(chances, where=made))
        return Identification(
            ranking=tuple((self.names[i], float(chances[i])) for i in np.argsort(-chances)),
            hyperparameters=parse(self.cards, chances),
            is_known=margin >= 0 and float(chances.max()) >= self.least_probability,
            margin=margin,
            is_super_resolved=None if made.all() else share > 0.5,
            super_resolved_probability=share,
            num_tiles=len(cut),
            grid=grid,
        )

    def _chances(self, features: np.ndarray) -> np.ndarray:
        """[K] probabilities of a picture by the features [T, D] of its tiles."""
        scores = -0.5 * self.gaussians.squared_distances(features).sum(axis=0)
        chances = scipy.special.softmax(scores / (self.temperature * len(features) ** self.growth))
        return np.asarray(chances)

    def _margin(self, features: np.ndarray) -> float:
        """By how much the mean familiarity of tiles, [T, D], passes the threshold."""
        return float(self.gaussians.relative_mahalanobis(features).mean() - self.threshold)

    def add(
        self, name: str, images: Iterable[np.ndarray], *, kind: str = "network", **facts: Any
    ) -> "Gallery":
        """The gallery with one network more; nothing is trained, and this one stays as it is.

        It is told from the others by the same features that tell those apart, so that a gallery of
        few classes sees little of it.

        Args:
            name: of the network.
            images: at least 20 pictures that it made, each as `identify` takes it; of different
                photographs, or the gallery learns what they show.
            kind: one of `KINDS`.
            **facts: what is known of it, any of `FACTS`.

        Raises:
            InputError: for too few pictures or one that cannot be used (by number, from 1 on), a
                name that is there already, or a fact or kind that does not exist.
        """
        if not name.strip():
            raise InputError("The network needs a name.")
        if name in self.names:
            raise InputError(f"The gallery has a class '{name}' already; choose another name.")
        unknown = [fact for fact in facts if fact not in FACTS]
        if unknown:
            raise InputError(f"No fact is called {unknown[0]}; there are {', '.join(FACTS)}.")
        if kind not in KINDS:
            raise InputError(f"No kind is called '{kind}'; there are {', '.join(KINDS)}.")
        pictures = []
        for number, image in enumerate(images, 1):
            try:
                pictures.append(checked(image, self.crop_px))
            except InputError as error:
                raise InputError(f"Picture {number} of '{name}': {error}") from None
        if len(pictures) < LEAST_PICTURES:
            raise InputError(
                f"'{name}' has {len(pictures)} pictures; give at least {LEAST_PICTURES}, of "
                "different photographs."
            )
        features = np.concatenate(features_of(self.attributor, pictures))
        means = self.gaussians.means
        mean = np.mean(features / self.gaussians.scale, axis=0) @ self.gaussians.whitening
        spectrum = _mean_spectrum(pictures, self.spectra.shape[-1])
        return replace(
            self,
            cards=(*self.cards, ClassCard(name, kind, facts)),
            gaussians=_rounded(replace(self.gaussians, means=np.concatenate([means, mean[None]]))),
            spectra=np.concatenate([self.spectra, spectrum[None]]),
        )


def make(
    attributor: Attributor,
    cards: Sequence[ClassCard],
    known: tuple[Sequence[np.ndarray], np.ndarray],
    validation: tuple[Sequence[np.ndarray], np.ndarray],
    *,
    features: Sequence[np.ndarray] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Gallery:
    """A gallery of the classes of an attributor.

    Args:
        attributor: already fitted; only its features are used.
        cards: K, in the order of the labels.
        known: N pictures [H, W, 3] uint8 that show where the classes lie, and [N] int labels;
            those that the attributor was fitted on will do.
        validation: the same, of other photographs: what calibrates.
        features: what `features_of` gives of the known pictures, where it is at hand.
        facts: to be kept with it, JSON-able.

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
    features = features_of(attributor, pictures) if features is None else features
    tile_labels = np.repeat(labels, [len(one) for one in features])
    gaussians = _rounded(open_set.fit_gaussians(np.concatenate(features), tile_labels))
    apart = features_of(attributor, validation[0])
    temperature, growth, threshold = calibrate(gaussians, apart, validation[1])
    side = min(residual_spectra.SIDE_PX, attributor.crop_px)
    spectra = [
        _mean_spectrum((pictures[i] for i in np.flatnonzero(labels == k)[:DRAWN].tolist()), side)
        for k in range(len(cards))
    ]
    made = Gallery(
        attributor,
        tuple(cards),
        gaussians,
        temperature,
        growth,
        threshold,
        np.stack(spectra),
        facts or {},
    )
    sure = np.quantile([made._chances(one).max() for one in apart], 1 - KNOWN_RATE)
    return replace(made, least_probability=min(float(sure), SURE))


# ------------------------------------------------------------------------------- the arithmetic


def checked(image: np.ndarray, crop_px: int) -> np.ndarray:
    """The same picture, if a gallery can look at it.

    Raises:
        InputError: if it is not [H, W, 3] uint8, is smaller than a tile, or has no colour.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"expected 8-bit colour, [H, W, 3] uint8; got {image.dtype} of shape {image.shape}. "
            "Give the picture as the network wrote it."
        )
    height, width = image.shape[:2]
    if min(height, width) < crop_px:
        raise InputError(
            f"{width} x {height} pixels are less than a tile of {crop_px} x {crop_px}; give a "
            "larger picture, not enlarged for this."
        )
    if (image == image[..., :1]).all():
        raise InputError(
            "grey in all pixels: what networks leave between colours is gone; give the colour "
            "picture."
        )
    return image


def features_of(attributor: Attributor, pictures: Iterable[np.ndarray]) -> list[np.ndarray]:
    """What an attributor finds in tiles of pictures: N arrays [T, D] float32, T as of `tiles`.

    Raises:
        InputError: if features are not finite.
    """
    found: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    for picture in pictures:
        waiting.append(tiles(picture, attributor.crop_px))
        if sum(map(len, waiting)) >= attribution.BATCH:
            found += _features(attributor, waiting)
            waiting = []
    return found + (_features(attributor, waiting) if waiting else [])


def tiles(picture: np.ndarray, crop_px: int) -> np.ndarray:
    """At most 16 tiles of a picture, spread over it: [H, W, 3] uint8 to [T, c, c, 3]."""
    cut = attribution.tiles(picture, crop_px)
    if len(cut) <= MOST_TILES:
        return cut
    return cut[np.round(np.linspace(0, len(cut) - 1, MOST_TILES)).astype(int)]


def calibrate(
    gaussians: Gaussians, features: Sequence[np.ndarray], labels: np.ndarray
) -> tuple[float, float, float]:
    """Temperature, its growth with the number of tiles, and threshold: see `Gallery`.

    Both temperatures, that of single tiles and that of whole pictures, are the ones that make the
    labels likeliest; but never surer than the distances are. The threshold keeps 95 % of single
    tiles; of several tiles, whose mean distance varies less, it keeps more.

    Args:
        gaussians: of the classes.
        features: N arrays [T, D] float of pictures; T may differ.
        labels: [N] int.
    """
    from jaxsr import calibration  # brings in what only the making of a gallery needs

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


def parse(cards: Sequence[ClassCard], chances: np.ndarray) -> dict[str, tuple[Any, float]]:
    """The most probable value of each of `HYPERPARAMETERS`, as `Identification` has them.

    Args:
        cards: K.
        chances: [K] float, probabilities.
    """
    found: dict[str, tuple[Any, float]] = {}
    for name in HYPERPARAMETERS:
        sums: dict[Any, float] = {}
        for card, chance in zip(cards, chances, strict=True):
            value = card.facts.get(name)
            if card.is_super_resolved and value:
                sums[value] = sums.get(value, 0.0) + float(chance)
        total = sum(sums.values())
        if total > 0:
            best = max(sums, key=lambda value: sums[value])
            found[name] = (best, sums[best] / total)
    return found


def _features(attributor: Attributor, cut: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Arrays [T, c, c, 3] to arrays [T, D], all at once."""
    features = attributor.features(np.concatenate(cut))
    if not np.isfinite(features).all():
        raise InputError("there is nothing in it to go by; give a picture that shows something.")
    return np.split(features, np.cumsum([len(one) for one in cut])[:-1])


def _rounded(gaussians: Gaussians) -> Gaussians:
    """As files keep them: float32 values; the arithmetic stays float64."""
    arrays = {name: value.astype(np.float32) for name, value in vars(gaussians).items()}
    return Gaussians(**{name: value.astype(np.float64) for name, value in arrays.items()})


def _mean_spectrum(pictures: Iterable[np.ndarray], side: int) -> np.ndarray:
    """[s, s] float16, dB, of the mean power."""
    powers = [residual_spectra.power(picture, side) for picture in pictures]
    return residual_spectra.decibels(np.mean(powers, axis=0)).astype(np.float16)
