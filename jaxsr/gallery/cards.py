"""What is known of the classes of a gallery, and what that says of a picture. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

KINDS = ("network", "bicubic", "original", "elsewhere")  # as `jaxsr.datasets.picture_sets` has them
GROUP_OF = {"network": "network", "bicubic": "interpolation", "original": "original"}
FACTS = ("architecture", "scale", "loss", "training_set", "seed", "num_iters")
HYPERPARAMETERS = ("architecture", "scale", "loss", "training_set")


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


def parse(cards: Sequence[ClassCard], chances: np.ndarray) -> dict[str, tuple[Any, float]]:
    """Return the most probable value of each of `HYPERPARAMETERS`; see `Identification`.

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
