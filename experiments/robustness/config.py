"""Flags of robustness: which classifiers, and what happens to the pictures first."""

import dataclasses
from dataclasses import field

from jaxfleet.errors import InputError
from jaxsr.attribution.methods import METHODS
from jaxsr.datasets import perturbations

_STRENGTHS = {
    "jpeg": (95, 90, 80, 70, 50, 30, 10),
    "webp": (95, 80, 60, 30),
    "resize": (0.5, 0.75, 0.9, 1.1, 1.5),
    "rescale": (0.5, 0.75, 0.9, 1.1, 1.5, 2),
    "blur": (0.4, 0.7, 1, 1.5, 2),
    "noise": (1, 2, 4, 8),
    "crop": (0.9, 0.95),
    "screenshot": (0.75, 1, 1.5),
}
_SINGLE = tuple(f"{kind}:{value:g}" for kind, values in _STRENGTHS.items() for value in values)
_CHAINS = ("resize:0.9+jpeg:75", "jpeg:90+jpeg:75", "screenshot:1+jpeg:85")


@dataclasses.dataclass(frozen=True)
class RobustnessConfig:
    """Flags of `launch/sr_robustness.py`."""

    attribution: str = field(
        default="runs/sr_attribution",
        metadata={
            "group": "Classifiers",
            "help": "Run directory of launch/sr_attribution.py, whose classifiers are tested.",
        },
    )
    method: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "Only classifiers of these methods; none given: all.",
            "choices": METHODS,
        },
    )
    train_on: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "Each classifier is fitted anew besides, of its method and seed: on the "
            "training pictures as they are, and once more each after one of these perturbations, "
            "drawn by the names of network and photograph."
        },
    )
    pictures: str = field(
        default="",
        metadata={
            "group": "Pictures",
            "help": "Run directory of launch/sr_images.py; empty for the one that the classifiers "
            "learnt from. Test photographs are tested on.",
        },
    )
    perturb: tuple[str, ...] = field(
        default=(*_SINGLE, *_CHAINS),
        metadata={
            "help": "KIND:STRENGTH, or several joined by + as in resize:0.5+jpeg:75; kinds are "
            f"{', '.join(perturbations.KINDS)}. Pictures as they are come first in any case."
        },
    )
    max_images: int = field(
        default=0,
        metadata={
            "help": "The first so many test photographs of each network; 0 for all.",
            "lower": 0,
        },
    )
    seed: int = field(
        default=0, metadata={"help": "Of noise and places.", "lower": 0, "upper": 2**31 - 1}
    )
    dry_run: bool = field(
        default=False,
        metadata={"group": "Run", "help": "Says what would be tested, and on how much."},
    )

    def __post_init__(self) -> None:
        """Refuses what is no perturbation.

        Raises:
            InputError: naming the flag.
        """
        for name in ("perturb", "train_on"):
            for text in getattr(self, name):
                try:
                    perturbations.parse(text)
                except InputError as error:
                    raise InputError(f"--{name}: {error}") from None
