"""Who enlarged a picture, in whatever state its file is: probabilities, and answers where earned.

Two things look at the evidence of a picture (`jaxsr.fingerprints.evidence`) and the state of its
file. Linear discriminants, others for each kind of state, map it to a space in which pictures of a
class lie around their centre; distances from the centres tell the class, and classes are summed
over families. A perceptron tells the group (`answer.GROUPS`) and the scale; of the group both are
asked. What calibrates the probabilities, and the thresholds beyond which an answer is given at all,
belong to a kind of state: they were chosen on photographs that nothing was learnt from, for
networks that are not known with families left out. What has no threshold for a kind of state is
not answered there. Grey pictures have kinds of their own, where what they lack counts as usual.

Letters: N pictures, D values of evidence and state, U units of the perceptron, K classes, B bins of
scale, S kinds of state, V discriminants.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.special

from jaxsr.datasets.crops import tiles as tiles_of
from jaxsr.fingerprints.evidence import TILE_PX, evidence, is_of_colour
from jaxsr.gallery import distances
from jaxsr.gallery.answer import AFTERWARDS, GROUPS, ErrorRate
from jaxsr.gallery.grouping import class_scores, group_inputs
from jaxsr.gallery.naming import expanded, family_chances, naming_inputs, sharpened
from jaxsr.gallery.scales import scale_of
from jaxsr.gallery.state import GREY, JPEG, STATE_KINDS, WEBP, State, kind_of

MOST_TILES = 24
SMALL_PX = 439  # up to here a picture is one tile; beyond there are two in a row
NUM_TOLD = 5  # numbers of a file's state behind the evidence
MOST_UNITS = 6.0  # standard deviations, of an input
NEVER = 2.0  # a threshold that no probability reaches
OUTPUTS = ("group", "scale_bins")  # of the perceptron
_PERCEPTRON = ("mean", "scale", "w1", "b1", "w2", "b2")
_SHOWN = ("profiles", "planes")
DISCRIMINANTS = ("project", "offset", "centres", "spread")
TRACES = ("resized", "sharpened")  # of what was done to a picture after it had been made
OF_TRACES = ("traces", "traces_offset")
_ARRAYS = (*_PERCEPTRON, *OUTPUTS, *_SHOWN, *DISCRIMINANTS, *OF_TRACES, "log_scales")


@dataclass(frozen=True)
class Calibration:
    """How a kind of state is answered.

    Attributes:
        temperatures: of "class" and "scale_bins".
        growth: power of a picture's distance from the nearest centre with which the temperature of
            "class" grows: what lies far from all of them is told less surely.
        traces: [2, 2], of each of `TRACES` slope and offset that turn its discriminant into
            log-odds.
        mixing: [13, 3] weights of what tells the group: see `grouping.group_inputs`.
        thresholds: answer -> the least probability with which it is given: "enlarged", "GROUP
            group" of each of `GROUPS`, "family", "network", "scale", each of `TRACES`, and "known"
            of the likeliest class.
        error_rates: answer -> what was measured, as `ErrorRate` takes it.
        naming: [1 + F + F (F + 1) / 2, 3] weights of `naming.expanded` inputs, to log-odds that the
            likeliest class is right if one of the classes made the picture; that it is right where
            others may have made it; and that the likeliest family is. Empty: by the probabilities
            of classes.
        naming_units: [2, F] mean and standard deviation of `naming.naming_inputs`.
    """

    temperatures: Mapping[str, float]
    growth: float
    mixing: Sequence[Sequence[float]]
    thresholds: Mapping[str, float]
    error_rates: Mapping[str, tuple[str, int, int]]
    naming: Sequence[Sequence[float]] = ()
    naming_units: Sequence[Sequence[float]] = ()
    traces: Sequence[Sequence[float]] = ((1.0, 0.0), (1.0, 0.0))

    def rate(self, answer: str) -> ErrorRate | None:
        """Return how often an answer was wrong; None if that was not measured."""
        found = self.error_rates.get(answer)
        return None if found is None else ErrorRate(*found)


_PERCEPTRON_ALONE = np.concatenate([np.eye(3), np.zeros((10, 3))]).tolist()
UNCALIBRATED = Calibration({"class": 1.0, "scale_bins": 1.0}, 0.0, _PERCEPTRON_ALONE, {}, {})


@dataclass(frozen=True)
class Opinion:
    """What a judge thinks of a picture.

    Attributes:
        groups: [3] probabilities of `GROUPS`.
        classes: [K] probabilities, if one of the classes made it.
        scale: the likeliest enlargement.
        scale_probability: that it is right within 10 %.
        traces: [2] probabilities that it was made smaller after a network had enlarged it, if one
            did, and that it was sharpened.
        calibration: of the kind of state; None if it has none.
        naming: [2] probabilities that the likeliest class and the likeliest family are right, where
            others than the classes may have made the picture.
    """

    groups: np.ndarray
    classes: np.ndarray
    scale: float
    scale_probability: float
    traces: np.ndarray
    calibration: Calibration | None
    naming: np.ndarray

    def threshold(self, answer: str) -> float:
        """Return the least probability of an answer; `NEVER` if the state has no calibration."""
        return NEVER if self.calibration is None else self.calibration.thresholds.get(answer, NEVER)


@dataclass(frozen=True, eq=False)
class Judge:
    """Get it from `experiments.judge.learn`, or with the gallery that ships.

    Attributes:
        names: K classes.
        families: of each class; of an interpolation or an original its own name.
        kinds: of each class, one of `GROUPS`.
        arrays: `mean` and `scale` [D] of the inputs; of the perceptron `w1`, `b1`, `w2`, `b2`, and
            from there `group` [U, 3] and `scale_bins` [U, B]; `profiles` [K, 33]
            and `planes` [K, 16, 16], means of `evidence.luma_profile` and `evidence.luma_plane` of
            each class as it was made; of the discriminants of `STATE_KINDS` `project` [S, D, V],
            `offset` [S, V], `centres` [S, K, V] and `spread` [S, K, R, V] (`distances`);
            of each of `TRACES` a discriminant that is positive where it was left, `traces`
            [S, D, 2] and `traces_offset` [S, 2]; and
            `log_scales` [K], logarithm of a network's enlargement, 0 for other classes.
        calibrations: kind of state (`state.kind_of`) -> how it is answered.
    """

    names: tuple[str, ...]
    families: tuple[str, ...]
    kinds: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]
    calibrations: Mapping[str, Calibration]

    def indices(self, names: Collection[str]) -> list[int]:
        """Return the places of the classes that have one of these names."""
        return [place for place, name in enumerate(self.names) if name in names]

    def __call__(self, picture: np.ndarray, state: State) -> Opinion:
        """Judge a picture.

        Args:
            picture: [H, W, 3] uint8, 96 pixels or more a side.
            state: of its file.
        """
        return self.of_evidence(evidence(tiles(picture)), state)

    def of_evidence(self, found: np.ndarray, state: State) -> Opinion:
        """Judge a picture by its evidence, [D - 5]."""
        kind = kind_of(state)
        return self.opinions(self.logits(inputs(found, state)[None], kind), kind)[0]

    def logits(self, given: np.ndarray, kind: str) -> dict[str, np.ndarray]:
        """Return what is thought of inputs before it is calibrated.

        Args:
            given: [N, D]; NaN counts as the mean.
            kind: of their state; empty for none, and then "class" is 0 throughout.

        Returns:
            `group` [N, 3], `scale_bins` [N, B], `traces` [N, 2], and `class` [N, K]: minus half
            the squared distance from each centre.
        """
        units = self.standardised(given)
        own = {name: self.arrays[name].astype(np.float32) for name in _PERCEPTRON[2:]}
        hidden = _gelu(_gelu(units @ own["w1"] + own["b1"]) @ own["w2"] + own["b2"])
        found = {name: hidden @ self.arrays[name].astype(np.float32) for name in OUTPUTS}
        return {**found, "traces": self._traces(units, kind), "class": self.nearness(units, kind)}

    def _traces(self, units: np.ndarray, kind: str) -> np.ndarray:
        kind = kind.removesuffix(GREY)
        if kind not in STATE_KINDS:
            return np.zeros((len(units), len(TRACES)), np.float32)
        weights, offset = (
            self.arrays[name][STATE_KINDS.index(kind)].astype(np.float32) for name in OF_TRACES
        )
        return np.asarray(units @ weights + offset)

    def standardised(self, given: np.ndarray) -> np.ndarray:
        """Return `inputs` [N, D] by their means and scales; what is unknown counts as the mean."""
        mean, scale = (self.arrays[name].astype(np.float32) for name in _PERCEPTRON[:2])
        return np.nan_to_num(np.clip((given - mean) / scale, -MOST_UNITS, MOST_UNITS))

    def nearness(self, units: np.ndarray, kind: str) -> np.ndarray:
        """Return "class" of `logits`, [N, K], by `standardised` inputs."""
        kind = kind.removesuffix(GREY)
        if kind not in STATE_KINDS:
            return np.zeros((len(units), len(self.names)), np.float32)
        project, offset, centres, spread = (
            self.arrays[name][STATE_KINDS.index(kind)].astype(np.float32) for name in DISCRIMINANTS
        )
        return -0.5 * distances.squared(units @ project + offset, centres, spread)

    def opinions(self, logits: Mapping[str, np.ndarray], kind: str) -> list[Opinion]:
        """Return the opinions of the `logits` of N pictures in a kind of state."""
        calibration = self.calibrations.get(kind)
        found = self.chances(logits, calibration or UNCALIBRATED)
        names = ("groups", "classes", "scale", "scale_chance", "traces", "naming")
        return [
            Opinion(groups, classes, float(scale), float(chance), traces, calibration, naming)
            for groups, classes, scale, chance, traces, naming in zip(
                *(found[k] for k in names), strict=True
            )
        ]

    def chances(
        self, logits: Mapping[str, np.ndarray], calibration: Calibration
    ) -> dict[str, np.ndarray]:
        """Return probabilities of N pictures by `logits`.

        Returns:
            `groups` [N, 3], `classes` [N, K], `scale` [N], `scale_chance` [N], `traces` [N, 2]
            and `naming` [N, 2], as in `Opinion`; `naming_inputs` [N, F].
        """
        temperatures = calibration.temperatures
        scores = class_scores(logits["class"], temperatures["class"], calibration.growth)
        bins = logits["scale_bins"] / temperatures["scale_bins"]
        told = group_inputs(logits["group"], logits["class"], scores, bins, self.kinds)
        scale, chance = scale_of(bins)
        slopes, offsets = np.asarray(calibration.traces).T
        classes = scipy.special.softmax(scores, axis=1)
        told_of_names = naming_inputs(
            logits["class"], classes, self.families, self.kinds, bins, self.arrays["log_scales"]
        )
        naming = np.stack([classes.max(axis=1), scipy.special.expit(told_of_names[:, 3])], axis=1)
        if len(calibration.naming):
            terms = expanded(told_of_names, calibration.naming_units)
            found = scipy.special.expit(terms @ np.asarray(calibration.naming))
            classes, naming = sharpened(scores, found[:, 0]), found[:, 1:]
        return {
            "naming": naming,
            "naming_inputs": told_of_names,
            "groups": scipy.special.softmax(told @ np.asarray(calibration.mixing), axis=1),
            "classes": classes,
            "scale": scale,
            "scale_chance": chance,
            "traces": scipy.special.expit(logits["traces"] * slopes + offsets),
        }

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays, and the rest as JSON-able facts."""
        facts = {
            "classes": [
                list(one) for one in zip(self.names, self.families, self.kinds, strict=True)
            ],
            "calibrations": {kind: asdict(one) for kind, one in self.calibrations.items()},
        }
        return dict(self.arrays), facts

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> "Judge":
        """Return the judge of `to_arrays`.

        Raises:
            KeyError: if an array or a fact is missing.
        """
        names, families, kinds = (tuple(each) for each in zip(*facts["classes"], strict=True))
        calibrations = {kind: Calibration(**one) for kind, one in facts["calibrations"].items()}
        own = {name: arrays[name] for name in _ARRAYS}
        return cls(names, families, kinds, own, calibrations)


def tiles(picture: np.ndarray) -> np.ndarray:
    """Return the parts of a picture that are looked at: [H, W, 3] to [T, c, c, 3]."""
    side = min(picture.shape[:2])
    if side <= SMALL_PX:
        top, left = ((size - side) // 2 // 24 * 24 for size in picture.shape[:2])
        return picture[None, top : top + side, left : left + side]
    return tiles_of(picture, TILE_PX, MOST_TILES)


def inputs(found: np.ndarray, state: State) -> np.ndarray:
    """Return evidence [D - 5] and state as [D] float32; of a grey picture colours are NaN."""
    quality = 100 if state.quality is None else state.quality
    told = [
        float(state.compression == JPEG),
        float(state.compression == WEBP),
        (100 - quality) / 50 if state.compression == JPEG else 0.0,
        float(state.subsampling == "4:2:0"),
        float(quality >= 93),
    ]
    given = np.concatenate([found.astype(np.float32), np.asarray(told, np.float32)])
    return without_colour(given) if state.is_grey else given


def without_colour(given: np.ndarray) -> np.ndarray:
    """Return `inputs` [..., D] of colour pictures as those of the same pictures made grey."""
    given = given.copy()
    given[..., :-NUM_TOLD][..., is_of_colour()] = np.nan
    given[..., -2] = np.nan  # how colours are sampled
    return given


def by_family(judge: Judge, classes: np.ndarray) -> list[tuple[str, float]]:
    """Return families of networks and their probabilities, the most probable first."""
    names, sums = family_chances(classes[None], judge.families, judge.kinds)
    total = float(sums.sum()) or 1.0
    found = [(str(name), float(x) / total) for name, x in zip(names, sums[0], strict=True)]
    return sorted(found, key=lambda pair: -pair[1])


def answers(judge: Judge, opinion: Opinion, *, is_cut: bool = False) -> dict[str, Any]:
    """Return the fields of `Identification` that a judge fills.

    Args:
        judge: whose opinion it is.
        opinion: of a picture.
        is_cut: whether seams between blocks of a JPEG say that it was cut.
    """
    calibration, least = opinion.calibration, opinion.threshold
    ranking = tuple(
        (judge.names[i], float(opinion.classes[i])) for i in np.argsort(-opinion.classes)
    )
    found: dict[str, Any] = {"ranking": ranking, "is_super_resolved": None, "is_known": None}
    if calibration is None:
        return found
    groups = dict(zip(GROUPS, (float(x) for x in opinion.groups), strict=True))
    resized, sharpened = (
        chance if chance >= least(name) else None
        for name, chance in zip(TRACES, opinion.traces.tolist(), strict=True)
    )
    families = by_family(judge, opinion.classes)
    group = max(groups, key=lambda name: groups[name])
    best = int(np.argmax(opinion.classes))
    # Nearest to an interpolation or a photograph it is not called a network's, however sure.
    agreed = group != GROUPS[2] or judge.kinds[best] == GROUPS[2]
    answered = group if agreed and groups[group] >= least(f"{group} group") else None
    found |= {"groups": groups, "families": tuple(families), "group": answered}
    found |= {"sharpened": sharpened, "cropped": True if is_cut else None}
    enlarged = 1.0 - groups[GROUPS[0]]
    if answered is not None:
        found["is_enlarged"] = answered != GROUPS[0]
        found["is_super_resolved"] = answered == GROUPS[2]
    elif enlarged >= least("enlarged"):
        found["is_enlarged"] = True
    if found.get("is_enlarged") and opinion.scale_probability >= least("scale"):
        found["scale"] = (round(opinion.scale, 2), opinion.scale_probability)
    if answered == GROUPS[2]:
        found["resized"] = resized
        chance, of_family = (float(x) for x in opinion.naming)
        found["is_known"] = True if chance >= least("known") else None
        if of_family >= least("family"):
            found["family"] = families[0][0]
        if found.get("family") == judge.families[best] and chance >= least("network"):
            found["network"] = judge.names[best]
    said = {
        "is_enlarged": "enlarged" if found.get("is_enlarged") else f"{GROUPS[0]} group",
        "group": f"{answered} group",
        "scale": "scale",
        **{name: name for name in (*AFTERWARDS, "family", "network")},
    }
    rates = {
        question: calibration.rate(key)
        for question, key in said.items()
        if found.get(question) is not None
    }
    found["error_rates"] = {
        f"is_{name}" if name in AFTERWARDS else name: rate
        for name, rate in rates.items()
        if rate is not None
    }
    return found


def _gelu(x: np.ndarray) -> np.ndarray:
    """Return JAX's approximate GELU."""
    inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)), np.float32)
