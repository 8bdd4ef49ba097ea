"""Flags of open sets: which networks are kept away, and how the others are told apart."""

import dataclasses

from jaxfleet.errors import InputError
from jaxfleet.options import flag
from jaxsr.attribution import methods as attribution
from jaxsr.datasets.crops import CROP_PX

COLUMNS = ("seed", "architecture", "training_set", "loss", "scale")
EACH = "each"


@dataclasses.dataclass(frozen=True)
class OpenSetConfig:
    """Flags of `launch/sr_open_set.py`."""

    pictures: str = flag(
        "runs/sr_images",
        "Run directory of launch/sr_images.py; of its classes the networks are used.",
        group="Pictures",
    )
    crop_px: int = flag(
        CROP_PX,
        "Side of the squares that are told apart; all that lie side by side in a picture count.",
        lower=16,
    )
    unseen: tuple[str, ...] = flag(
        ("seed=3", "architecture=each", "training_set=each"),
        "COLUMN=VALUE: networks with it are unknown, all others are learnt; "
        f"COLUMN={EACH} stands for every value in turn. Columns are {', '.join(COLUMNS)}.",
        group="Splits",
    )
    tpr: float = flag(
        0.95, "Share of the known that the threshold leaves answered.", lower=0.01, upper=1.0
    )
    method: tuple[str, ...] = flag(
        ("linear",),
        "How networks are told apart.",
        group="Classifiers",
        choices=attribution.METHODS,
    )
    seed: tuple[int, ...] = flag(
        (0,), "Of a classifier; with several the tables have deviations.", lower=0, upper=2**31 - 1
    )
    dry_run: bool = flag(False, "Says what would be fitted, and on how much.", group="Run")

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
