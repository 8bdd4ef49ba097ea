"""What a gallery says of a picture; each answer may be "cannot tell". Light to import."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxfleet.results.showing import Tabular
from jaxsr.gallery.state import State

GROUPS = ("original", "interpolation", "network")
AFTERWARDS = ("cropped", "sharpened", "resized")  # what may have been done to a picture
_SAID = {
    "original": "not enlarged",
    "interpolation": "enlarged by interpolation",
    "network": "enlarged by a network",
}


@dataclass(frozen=True)
class ErrorRate:
    """How often an answer was wrong on pictures of known origin in the same state.

    Attributes:
        said: which pictures were called what, such as "photographs called enlarged by a network".
        wrong: how many.
        of: of how many.
    """

    said: str
    wrong: int
    of: int

    def __str__(self) -> str:
        """Say it in words: "3 of 500 photographs called enlarged by a network"."""
        return f"{self.wrong} of {self.of} {self.said}"


@dataclass(frozen=True, repr=False)
class Identification(Tabular):
    """What a gallery says of a picture. `None` is "cannot tell" throughout.

    Attributes:
        ranking: K pairs of name and probability, the most probable first. The probabilities sum
            to 1: they are those if one of the classes made the picture.
        hyperparameters: architecture, scale, loss, training_set -> value and probability, summed
            over the super-resolving classes that state it, among which it is the most probable.
            Of a picture of no known network they are what the gallery's parser says, if it has one.
        is_known: whether a class of the gallery made the picture.
        margin: by how much the picture is nearer to a class than the threshold asks for.
        is_super_resolved: whether a network enlarged the picture.
        super_resolved_probability: of all super-resolving classes.
        num_tiles: how many parts of the picture were looked at.
        grid: rows and columns from the picture's first pixel to where the grid of up-sampling
            begins; (0, 0) of a picture that nothing was cut off from, and where nobody knows.
        state: what has happened to the file.
        is_enlarged: whether the picture was enlarged, by whatever.
        group: which of `GROUPS` the picture belongs to.
        family: of the network.
        network: the class that made the picture.
        scale: by how much it was enlarged, as it is now, and the probability that this is right
            within 10 %.
        cropped: True if the picture was cut out of a larger one: seams of a JPEG that it was once,
            or the grid of the network that made it, begin elsewhere than at its first pixel. "No"
            is never the answer, here and in the next two.
        sharpened: the probability that it was sharpened after it had been made, where that is
            answered.
        resized: the probability that it was made smaller after a network had enlarged it, where
            that is answered.
        groups: probability of each of `GROUPS`; empty if not calibrated for this state.
        families: pairs of name and probability, of networks; the most probable first.
        error_rates: answer (a key of `answers`) -> how often it was wrong in this state.
        settings: version of jaxsr, SHA-256 of the gallery, and what else the answer depends on.
    """

    ranking: tuple[tuple[str, float], ...]
    hyperparameters: Mapping[str, tuple[Any, float]]
    is_known: bool | None
    margin: float
    is_super_resolved: bool | None
    super_resolved_probability: float
    num_tiles: int
    grid: tuple[int, int] = (0, 0)
    state: State = field(default_factory=State)
    is_enlarged: bool | None = None
    group: str | None = None
    family: str | None = None
    network: str | None = None
    scale: tuple[float, float] | None = None
    cropped: bool | None = None
    sharpened: float | None = None
    resized: float | None = None
    groups: Mapping[str, float] = field(default_factory=dict)
    families: tuple[tuple[str, float], ...] = ()
    error_rates: Mapping[str, ErrorRate] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        """Return one line."""
        name, probability = self.ranking[0]
        known = {True: "known:", False: "unknown, nearest to", None: "cannot tell, nearest to"}
        said = f"{known[self.is_known]} {name} at {probability:.1%}"
        return f"Identification({said}, of {len(self.ranking)} classes)"

    @property
    def verdict(self) -> str:
        """One phrase: the most that can be said."""
        if self.network is not None and self.group == "network":
            return f"enlarged by {self.network}"
        if self.family is not None:
            return f"enlarged by a network of the family {self.family}"
        if self.group is not None:
            return _SAID[self.group]
        if self.is_enlarged:
            return "enlarged, by a network or by interpolation"
        return "cannot tell"

    @property
    def answers(self) -> dict[str, Any]:
        """Return the questions in their order, and their answers; None is "cannot tell"."""
        scale = None if self.scale is None else self.scale[0]
        done = {f"is_{name}": True if getattr(self, name) else None for name in AFTERWARDS}
        return {
            "state": str(self.state),
            **done,
            "is_enlarged": self.is_enlarged,
            "group": self.group,
            "scale": scale,
            "family": self.family,
            "network": self.network,
        }

    def to_pandas(self) -> Any:
        """Return the ranking as a pandas.DataFrame of `name` and `probability`."""
        import pandas as pd

        return pd.DataFrame(self.ranking, columns=["name", "probability"])

    def to_json(self, most: int = 10) -> dict[str, Any]:
        """Return all of it, JSON-able, with the first `most` classes of the ranking."""
        found = {
            "verdict": self.verdict,
            "answers": self.answers,
            "is_super_resolved": self.is_super_resolved,
            "is_known": self.is_known,
            "state": self.state.to_json(),
            "groups": dict(self.groups),
            "scale": self.scale,
            **{name: getattr(self, name) for name in AFTERWARDS},
            "families": self.families[:most],
            "ranking": self.ranking[:most],
            "hyperparameters": dict(self.hyperparameters) if self.is_known else {},
            "error_rates": {
                name: {"said": str(rate), "wrong": rate.wrong, "of": rate.of}
                for name, rate in self.error_rates.items()
            },
            "margin": self.margin,
            "grid": self.grid,
            "num_tiles": self.num_tiles,
            "settings": dict(self.settings),
        }
        return dict(json.loads(json.dumps(found)))
