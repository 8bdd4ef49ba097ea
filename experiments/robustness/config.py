"""Flags of robustness: which classifiers, and what happens to the pictures first."""

import dataclasses

from experiments import flags
from jaxfleet.errors import InputError
from jaxfleet.scripts.options import flag
from jaxsr.attribution.table import METHODS
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

    attribution: str = flag(
        "runs/sr_attribution",
        "Run directory of launch/sr_attribution.py whose classifiers are tested.",
        group="Classifiers",
    )
    method: tuple[str, ...] = flag(
        (), "Test only classifiers of these methods; by default all.", choices=METHODS
    )
    train_on: tuple[str, ...] = flag(
        (),
        "Perturbations to train with: each classifier is also fitted anew, with its method and "
        "seed, on the unchanged training pictures and once more each with one of these, drawn "
        "by the names of network and photograph.",
    )
    pictures: str = flags.pictures(
        "Its test photographs are used; empty for the run that the classifiers learnt from.", ""
    )
    perturb: tuple[str, ...] = flag(
        (*_SINGLE, *_CHAINS),
        "KIND:STRENGTH, or several joined by + as in resize:0.5+jpeg:75; kinds are "
        f"{', '.join(perturbations.KINDS)}. Pictures as they are come first in any case.",
    )
    max_images: int = flag(
        0, "Use only the first so many test photographs of each network; 0 for all.", lower=0
    )
    seed: int = flags.seed("noise and crop positions")
    dry_run: bool = flags.dry_run("what would be tested, and on how much", group="Run")

    def __post_init__(self) -> None:
        """Refuse what is no perturbation.

        Raises:
            InputError: naming the flag.
        """
        for name in ("perturb", "train_on"):
            for text in getattr(self, name):
                try:
                    perturbations.parse(text)
                except InputError as error:
                    raise InputError(f"--{name}: {error}") from None
