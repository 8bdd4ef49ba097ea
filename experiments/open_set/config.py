"""Flags of open sets: which networks are kept away, and how the others are told apart."""

import dataclasses

from experiments import flags
from jaxfleet.errors import InputError
from jaxfleet.scripts.options import check_values, flag
from jaxsr.attribution.table import METHODS
from jaxsr.datasets.crops import CROP_PX

COLUMNS = ("seed", "architecture", "training_set", "loss", "scale")
EACH = "each"


@dataclasses.dataclass(frozen=True)
class OpenSetConfig:
    """Flags of `launch/sr_open_set.py`."""

    pictures: str = flags.pictures("The networks among its classes are used.")
    crop_px: int = flag(
        CROP_PX,
        "Side of the square crops, pixels; every crop of a picture that fits beside the others "
        "is used.",
        lower=16,
    )
    unseen: tuple[str, ...] = flag(
        ("seed=3", "architecture=each", "training_set=each"),
        "COLUMN=VALUE: networks with it are unknown, all others are learnt; "
        f"COLUMN={EACH} stands for every value in turn. Columns are {', '.join(COLUMNS)}.",
        group="Splits",
    )
    tpr: float = flag(
        0.95, "Share of known crops that the threshold accepts.", lower=0.01, upper=1.0
    )
    method: tuple[str, ...] = flag(
        ("linear",), "Attribution methods.", group="Classifiers", choices=METHODS
    )
    seed: tuple[int, ...] = flags.seeds("a classifier")
    dry_run: bool = flags.dry_run("what would be fitted, and on how much", group="Run")

    def __post_init__(self) -> None:
        """Refuse flags that leave nothing to do.

        Raises:
            InputError: naming the flag.
        """
        check_values(self, "unseen", "method", "seed")
        for text in self.unseen:
            column, sign, value = text.partition("=")
            if column not in COLUMNS or not sign or not value:
                raise InputError(
                    f"--unseen={text}: write COLUMN=VALUE or COLUMN={EACH}; columns are "
                    f"{', '.join(COLUMNS)}."
                )
