"""Flags of the fitting of a gallery's judge."""

import dataclasses
from typing import ClassVar

from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Flags of `launch/sr_judge.py`."""

    RUN_DIR: ClassVar[str] = "written"

    evidence: tuple[str, ...] = flag((), "Run directories of launch/sr_evidence.py.")
    gallery: str = flag("", "Gallery that receives the judge; empty for the installed one.")
    epochs: int = flag(20, "Number of passes over the evidence.", lower=1)
    seed: int = flag(0, "Seed of the initial weights and the order.", lower=0)
