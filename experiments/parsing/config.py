"""Flags of model parsing: on which pictures, how, and which networks are held out."""

import dataclasses
from typing import Any

from experiments import flags
from experiments.parsing.plan import HYPERPARAMETERS, HeldOut
from jaxfleet.scripts.options import check_values, flag
from jaxsr.attribution.table import METHODS, options_of

WAYS = ("direct", "networks")
MIDDLE, PICTURE = "middle", "picture"

# Chosen with networks of seed 2 as those never seen, on validation photographs: BUILD.md.
_SHRINKAGE = 0.2
_SHRINKAGES = {"loss": -1.0}


@dataclasses.dataclass(frozen=True)
class ParsingConfig:
    """Flags of `launch/sr_parsing.py`."""

    pictures: str = flags.pictures(
        "Parsers learn from its pictures and are tested on those of held-out networks."
    )
    also_on: str = flag(
        "",
        "Another run directory of launch/sr_images.py, such as one of published networks; "
        "parsers trained on all networks of --pictures are tested on its test photographs.",
    )
    crop_px: int = flag(224, "Side of the square crops, pixels.", lower=8)
    tested: str = flag(
        MIDDLE,
        "What a test uses: the central crop of each picture, as in the paper, or all crops of "
        "it, whose log-probabilities are added.",
        choices=(MIDDLE, PICTURE),
    )
    predict: tuple[str, ...] = flag(
        HYPERPARAMETERS,
        "Hyperparameters to predict.",
        group="Parsers",
        choices=HYPERPARAMETERS,
    )
    hold_out: tuple[str, ...] = flag(
        (),
        "NAME=VALUE, such as seed=3, training_set=B, architecture=swinir or loss=l1: networks "
        "with this value are held out for the test. By default those of the paper, which make "
        "18 parsers (training_set=B where there is no flickr2k).",
    )
    method: str = flag("kernel", "Attribution method whose features are used.", choices=METHODS)
    parser: str = flag(
        "direct",
        "direct: predict the values; networks: predict the network, and give a value the "
        "probability of all networks that have it.",
        choices=WAYS,
    )
    shrinkage: float | None = flag(
        None,
        "Shrinkage of the covariance in methods linear, spectrum and dct, from 0 to 1; -1 is "
        "the optimum of Ledoit and Wolf for independent crops. By default -1 for losses and 0.2 "
        "otherwise: more than for crops alone, since a parser must generalise to new networks, "
        "and few are there to learn from.",
        lower=-1.0,
        upper=1.0,
    )
    all_seeds_train: bool = flag(
        False,
        "Train parsers of training sets on networks of all seeds, as the released code of the "
        "paper does; its text says seed 1 alone. Both are tested on seed 1.",
    )
    seed: tuple[int, ...] = flags.seeds("the trainings")
    dry_run: bool = flags.dry_run("the parsers and what they are tested on", group="Run")

    def options(self, predicted: str) -> dict[str, Any]:
        """Return the options of the method to predict `predicted`, or "network"."""
        if "shrinkage" not in options_of(self.method):
            return {}
        shrinkage = self.shrinkage
        if shrinkage is None:
            shrinkage = _SHRINKAGES.get(predicted, _SHRINKAGE)
        return {"shrinkage": None if shrinkage < 0 else shrinkage}

    def __post_init__(self) -> None:
        """Refuse flags that cannot be used.

        Raises:
            InputError: naming the flag.
        """
        check_values(self, "predict", "seed")
        for text in self.hold_out:
            HeldOut.parse(text)
