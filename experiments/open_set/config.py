"""Flags of open sets: which networks are kept away, and how the others are told apart."""

import dataclasses
from dataclasses import field

from jaxfleet.errors import InputError
from jaxsr.attribution import methods as attribution
from jaxsr.datasets.crops import CROP_PX

COLUMNS = ("seed", "architecture", "training_set", "loss", "scale")
EACH = "each"


@dataclasses.dataclass(frozen=True)
class OpenSetConfig:
    """Flags of `launch/sr_open_set.py`."""

    pictures: str = field(
        default="runs/sr_images",
        metadata={
            "group": "Pictures",
            "help": "Run directory of launch/sr_images.py; of its classes the networks are used.",
        },
    )
    crop_px: int = field(
        default=CROP_PX,
        metadata={
            "help": "Side of the squares that are told apart; all that lie side by side in a "
            "picture count.",
            "lower": 16,
        },
    )
    unseen: tuple[str, ...] = field(
        default=("seed=3", "architecture=each", "training_set=each"),
        metadata={
            "group": "Splits",
            "help": "COLUMN=VALUE: networks with it are unknown, all others are learnt; "
            f"COLUMN={EACH} stands for every value in turn. Columns are {', '.join(COLUMNS)}.",
        },
    )
    tpr: float = field(
        default=0.95,
        metadata={
            "help": "Share of the known that the threshold leaves answered.",
            "lower": 0.01,
            "upper": 1.0,
        },
    )
    method: tuple[str, ...] = field(
        default=("linear",),
        metadata={
            "group": "Classifiers",
            "help": "How networks are told apart.",
            "choices": attribution.METHODS,
        },
    )
    seed: tuple[int, ...] = field(
        default=(0,),
        metadata={
            "help": "Of a classifier; with several the tables have deviations.",
            "lower": 0,
            "upper": 2**31 - 1,
        },
    )
    dry_run: bool = field(
        default=False,
        metadata={"group": "Run", "help": "Says what would be fitted, and on how much."},
    )

    def __post_init__(self) -> None:
        """Refuses flags that leave nothing to do.

        Raises:
            InputError: naming the flag.
        """
        for name in ("unseen", "method", "seed"):
            if not getattr(self, name):
                raise InputError(f"--{name} needs a value.")
        for text in self.unseen:
            column, sign, value = text.partition("=")
            if column not in COLUMNS or not sign or not value:
                raise InputError(
                    f"--unseen={text}: write COLUMN=VALUE or COLUMN={EACH}; columns are "
                    f"{', '.join(COLUMNS)}."
                )
