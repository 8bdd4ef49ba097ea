"""A gallery of networks: which of them made a picture, how that one was built, or none of them.

    gallery = jaxsr.Gallery.open()
    found = gallery.identify(picture)
    found.ranking[0], found.is_known, found.is_super_resolved, found.hyperparameters["scale"]
    gallery.add("mine-x4", pictures, scale=4).save("larger.safetensors")

A picture is cut into tiles. The features that a classifier finds in each have a distance from
every class (Mahalanobis', with one covariance for all), whose squares add up. Probabilities are
calibrated, and the distance beyond which a picture is of no class is chosen, on photographs that
the classifier did not learn from.

Letters: N pictures, T tiles, K classes, c side of a tile in pixels, s side of a spectrum.
"""

import hashlib
import importlib.metadata
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.special

from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import Classifier
from jaxsr.attribution.open_set import Gaussians
from jaxsr.datasets import perturbations
from jaxsr.fingerprints import welch
from jaxsr.fingerprints.evidence import LEAST_PX
from jaxsr.gallery import files
from jaxsr.gallery import judge as judging
from jaxsr.gallery import state as states
from jaxsr.gallery.answer import Identification
from jaxsr.gallery.cards import FACTS, GROUP_OF, KINDS, parse
from jaxsr.gallery.cards import HYPERPARAMETERS as HYPERPARAMETERS
from jaxsr.gallery.cards import ClassCard as ClassCard
from jaxsr.gallery.files import CARDS
from jaxsr.gallery.judge import Judge
from jaxsr.gallery.parsing import Parser
from jaxsr.gallery.state import LOSSLESS, State
from jaxsr.gallery.tiles import checked, finite, tiles

LEAST_PICTURES = 20  # to enrol a network
ROUNDS = 3  # of looking for the grid in its pictures
_CLASSIFIER, _PARSER, _JUDGE = "attributor/", "parser/", "judge/"  # in names of arrays
_NUMBERS = ("temperature", "growth", "threshold", "least_probability")


@dataclass(frozen=True, eq=False, repr=False)
class Gallery:
    """Classes that pictures are compared with; get one from `open` or `jaxsr.gallery.fit`.

    Attributes:
        classifier: whose features are compared.
        cards: K, in the order of the means.
        gaussians: where the classes lie among features.
        temperature: by which the log-scores of one tile are divided, at least 1.
        growth: with T tiles their sum is divided by temperature T^growth: 0 if tiles are
            independent, 1 if all say the same.
        threshold: of `Gaussians.relative_mahalanobis`, which a picture of a class has at least.
        spectra: [K, s, s] float16, `welch.decibels` of each class.
        facts: what else is to be known of the gallery, JSON-able.
        least_probability: of its likeliest class, which a picture of a class has at least.
        parser: of hyperparameters of networks that are not in the gallery; None if it has none.
        judge: of pictures in any state; None: only pictures as networks wrote them are answered.
        sha256: of the file that it was read from; empty if from none.
    """

    classifier: Classifier
    cards: tuple[ClassCard, ...]
    gaussians: Gaussians
    temperature: float
    growth: float
    threshold: float
    spectra: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)
    least_probability: float = 0.0
    parser: Parser | None = None
    sha256: str = ""
    judge: Judge | None = None

    def __repr__(self) -> str:
        """Return one line."""
        return f"Gallery({len(self.cards)} classes, crops of {self.classifier.crop_px} pixels)"

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> "Gallery":
        """Open the gallery of a file, or of the run directory of launch/sr_gallery.py.

        Args:
            path: of either; None for the gallery that comes with jaxsr.

        Raises:
            InputError: if it is missing, damaged, or of another version of the format.
        """
        place = files.find(path)
        card, arrays = CARDS.read(place)
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        with CARDS.reading(str(place)):
            return replace(cls.from_arrays(arrays, card), sha256=digest)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `open` reads; readers see all of it or none.

        Raises:
            OSError: naming the file; an existing file stays unchanged.
        """
        arrays, card = self.to_arrays()
        CARDS.write(storage.location(os.fspath(path)), card, arrays)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays of the gallery, and the rest of it as JSON-able facts.

        Arrays of the classifier are called `attributor/NAME`, those of the parser `parser/NAME`.
        """
        of_classifier, classifier_facts = attribution.to_arrays(self.classifier)
        arrays = {_CLASSIFIER + name: array for name, array in of_classifier.items()}
        parser_facts = None
        if self.parser is not None:
            of_parser, parser_facts = self.parser.to_arrays()
            arrays |= {_PARSER + name: array for name, array in of_parser.items()}
        judge_facts = None
        if self.judge is not None:
            of_judge, judge_facts = self.judge.to_arrays()
            arrays |= {_JUDGE + name: array for name, array in of_judge.items()}
        facts = {
            "attributor": classifier_facts,
            "classes": [
                {"name": one.name, "kind": one.kind, "facts": dict(one.facts)} for one in self.cards
            ],
            **{name: getattr(self, name) for name in _NUMBERS},
            "facts": dict(self.facts),
            "parser": parser_facts,
            "judge": judge_facts,
        }
        return {**arrays, **self.gaussians.to_arrays(), "spectra": self.spectra}, facts

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> "Gallery":
        """Return the gallery of `to_arrays`.

        Raises:
            KeyError: if an array or a fact is missing.
        """
        own, judge = facts["parser"], facts.get("judge")
        return cls(
            attribution.from_arrays(_within(_CLASSIFIER, arrays), facts["attributor"]),
            tuple(ClassCard(**one) for one in facts["classes"]),
            Gaussians.from_arrays(arrays),
            **{name: facts[name] for name in _NUMBERS},
            spectra=arrays["spectra"],
            facts=facts["facts"],
            parser=own and Parser.from_arrays(_within(_PARSER, arrays), own),
            judge=judge and Judge.from_arrays(_within(_JUDGE, arrays), judge),
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """What answers depend on: version of jaxsr, SHA-256 of the gallery's file, classes."""
        try:
            version = importlib.metadata.version("jaxfleet")
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        return {"jaxsr": version, "gallery_sha256": self.sha256, "classes": len(self.cards)}

    @property
    def crop_px(self) -> int:
        """c: a picture has at least as many rows and columns."""
        return self.classifier.crop_px

    @property
    def names(self) -> tuple[str, ...]:
        """Of the K classes."""
        return tuple(card.name for card in self.cards)

    def identify(self, image: np.ndarray, state: State | None = None) -> Identification:
        """Identify the class that made a picture, and what follows from it.

        Args:
            image: [H, W, 3] uint8, H and W at least 96 (without a judge: colour, at least
                `crop_px`), as it was decoded. It may be cut out of a larger one: all places where
                the grid of up-sampling may begin are tried. Of a grey one luma alone is judged.
            state: of its file, by `jaxsr.gallery.state.of_file`; None for what the pixels say.

        Returns:
            What can be said. A gallery without a judge was calibrated on pictures as networks
            wrote them: it has a ranking, and no answers, for those that were compressed with loss.

        Raises:
            InputError: if it is anything else, or there is nothing in it to go by.
        """
        least_px = self.crop_px if self.judge is None else LEAST_PX
        image = checked(image, least_px, may_be_grey=self.judge is not None)
        state = states.of_pixels(image) if state is None else states.seen(state, image)
        if self.judge is None:
            return self.compared(image, state)
        opinion = self.judge(image, state)
        told = judging.answers(self.judge, opinion, is_cut=state.grid != (0, 0))
        told["num_tiles"] = len(judging.tiles(image))
        if self._is_for_classifier(image, state, told):
            own = self.compared(image, state, is_parsed=False)
            if own.is_super_resolved and self._agrees(own.network, told):
                same = ("network", "group", "is_enlarged", "is_super_resolved", "is_known")
                told |= {name: getattr(own, name) for name in (*same, "ranking", "grid", "margin")}
                told["cropped"] = own.cropped
        named = [card for card in self.cards if card.name == told.get("network")]
        return Identification(
            **{
                "margin": float(opinion.naming[0]) - opinion.threshold("known"),
                "super_resolved_probability": float(opinion.groups[2]),
                "hyperparameters": {
                    name: told_of
                    for name, told_of in parse(named, np.ones(len(named))).items()
                    if name != "training_set"  # names that mean something in its own zoo alone
                },
                "state": state,
                "settings": self.settings,
                **told,
            }
        )

    def _is_for_classifier(self, image: np.ndarray, state: State, told: Mapping[str, Any]) -> bool:
        """Return whether to ask the classifier, which learnt pictures as they were written."""
        is_whole = state.compression == LOSSLESS and min(image.shape[:2]) >= self.crop_px
        is_open = told.get("network") is None or self._zoo(told)[1]
        is_open &= told.get("group") in (None, "network")
        return is_open and is_whole and not state.is_grey and not state.is_drawn

    def _agrees(self, network: str | None, told: Mapping[str, Any]) -> bool:
        """Return whether what the judge told allows for a network that the classifier named.

        Where the zoo is the likeliest family, of which the judge knows a few, the classifier's name
        counts; elsewhere none of its names does. One that was added counts if the judge has none.
        """
        own, is_likeliest = self._zoo(told)
        return is_likeliest if network in own else told.get("network") is None

    def _zoo(self, told: Mapping[str, Any]) -> tuple[list[str], bool]:
        """Return the zoo's networks, if the judge knows some, and if it is the likeliest family."""
        own = [card.name for card in self.cards if "training_set" in card.facts]
        families = {self.judge.families[k] for k in self.judge.indices(own)} if self.judge else ()
        return own if families else [], any(x in families for x, _ in told.get("families", ())[:1])

    def compared(
        self, image: np.ndarray, state: State, *, is_parsed: bool = True
    ) -> Identification:
        """Answer by the distances from the classes alone.

        Args:
            image: as of `identify`, in colour.
            state: as of `identify`.
            is_parsed: whether hyperparameters of unknown networks are told, if there is a parser.
        """
        cut = tiles(image, self.crop_px)
        grid, features = self.features_on_grid(cut)
        margin = float(self.gaussians.relative_mahalanobis(features).mean() - self.threshold)
        chances = self.chances(features)
        made = np.asarray([card.is_super_resolved for card in self.cards])
        share = float(np.sum(chances, where=made))
        is_near = margin >= 0 and float(chances.max()) >= self.least_probability
        is_calibrated = state.compression == LOSSLESS
        best = self.cards[int(np.argmax(chances))]
        answers: dict[str, Any] = {"is_super_resolved": None}
        if is_near and is_calibrated:
            answers = {
                "group": GROUP_OF.get(best.kind),
                "network": best.name if best.is_super_resolved else None,
                "is_enlarged": best.kind != "original" if best.kind in GROUP_OF else None,
                "is_super_resolved": None if made.all() else share > 0.5,
                "cropped": True if grid != (0, 0) else None,
            }
        return Identification(
            ranking=tuple((self.names[i], float(chances[i])) for i in np.argsort(-chances)),
            hyperparameters=self._parsed(
                image, grid, self.parser if is_parsed and not is_near else None, chances
            ),
            is_known=is_near if is_calibrated else None,
            margin=margin,
            super_resolved_probability=share,
            num_tiles=len(cut),
            grid=grid,
            state=state,
            settings=self.settings,
            **answers,
        )

    def chances(self, features: np.ndarray) -> np.ndarray:
        """[K] probabilities of a picture by the features [T, D] of its tiles."""
        scores = -0.5 * self.gaussians.squared_distances(features).sum(axis=0)
        chances = scipy.special.softmax(scores / (self.temperature * len(features) ** self.growth))
        return np.asarray(chances)

    def features_on_grid(
        self, cut: np.ndarray, gaussians: Gaussians | None = None
    ) -> tuple[tuple[int, int], np.ndarray]:
        """Find where the grid of up-sampling begins in tiles, and their features there.

        Args:
            cut: [T, c, c, 3] uint8, of one picture, as `tiles` cuts them.
            gaussians: of the classes that the picture is taken to be of; None for the gallery's.

        Returns:
            Rows and columns from the first pixel to the grid, and [T, D] float32.

        Raises:
            InputError: if there is nothing in the picture to go by.
        """
        grid, extracted = self.classifier.find_grid(cut, gaussians or self.gaussians)
        return grid, finite(self.classifier.embedding_of(extracted))

    def _parsed(
        self, image: np.ndarray, grid: tuple[int, int], parser: Parser | None, chances: np.ndarray
    ) -> dict[str, tuple[Any, float]]:
        """Hyperparameters by a parser, which sees the picture from its grid on, or by classes."""
        if parser is None:
            return parse(self.cards, chances)
        # Where what is left is less than a tile, mirrored pixels fill it up at its end.
        moved = perturbations.filled(image[grid[0] :, grid[1] :], self.crop_px)
        return parser.parse(tiles(moved, self.crop_px))

    def add(
        self, name: str, images: Iterable[np.ndarray], *, kind: str = "network", **facts: Any
    ) -> "Gallery":
        """Return the gallery with one more network; nothing is trained, and this one is unchanged.

        It is told from the others by the same features that tell those apart, so that a gallery of
        few classes sees little of it.

        Args:
            name: of the network.
            images: at least 20 pictures that it made, each as `identify` takes it, cut out of
                larger ones or not; of different photographs, or the gallery learns what they show.
            kind: one of `KINDS`.
            **facts: what is known of it, any of `FACTS`.

        Raises:
            InputError: for too few pictures or one that cannot be used (by number, from 1 on), a
                name that is there already, or a fact or kind that does not exist.
        """
        card = ClassCard(name, kind, facts)
        self._check_card(card)
        pictures = self.checked_pictures(name, images)
        return self.with_class(card, pictures)

    def checked_pictures(self, name: str, images: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Return the pictures of `add`, or raise as it does."""
        pictures = []
        for number, image in enumerate(images, 1):
            try:
                pictures.append(checked(image, self.crop_px))
            except InputError as error:
                raise InputError(f"Picture {number} of '{name}': {error}") from None
        if len(pictures) < LEAST_PICTURES:
            count = f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'}"
            raise InputError(
                f"'{name}' has {count}; give at least {LEAST_PICTURES}, of different photographs."
            )
        return pictures

    def with_class(self, card: ClassCard, pictures: Sequence[np.ndarray]) -> "Gallery":
        """Return the gallery with one more class; see `add`."""
        cut = [tiles(picture, self.crop_px) for picture in pictures]
        gaussians = self.gaussians
        # The network is unknown, so its pictures look as much like others at a place where its
        # grid does not begin. Together they tell: of most of them the first guess is right.
        for _ in range(ROUNDS):
            features = np.concatenate([self.features_on_grid(one, gaussians)[1] for one in cut])
            gaussians = self.gaussians.with_class(features)
        spectrum = welch.mean(pictures, self.spectra.shape[-1])
        return replace(
            self,
            cards=(*self.cards, card),
            gaussians=gaussians.rounded(),
            spectra=np.concatenate([self.spectra, spectrum[None]]),
        )

    def _check_card(self, card: ClassCard) -> None:
        """Refuses a card that the gallery cannot have besides its own; see `add`."""
        if not card.name.strip():
            raise InputError("The network needs a name.")
        if card.name in self.names:
            raise InputError(f"The gallery has a class '{card.name}' already; choose another name.")
        unknown = [fact for fact in card.facts if fact not in FACTS]
        if unknown:
            raise InputError(f"No fact is called {unknown[0]}; there are {', '.join(FACTS)}.")
        if card.kind not in KINDS:
            raise InputError(f"No kind is called '{card.kind}'; there are {', '.join(KINDS)}.")


def _within(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
