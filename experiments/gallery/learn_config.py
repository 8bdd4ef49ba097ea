"""Flags of the fitting of a gallery's judge."""

import dataclasses
from dataclasses import field
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Flags of `launch/sr_judge.py`."""

    RUN_DIR: ClassVar[str] = "written"

    evidence: str = field(default="", metadata={"help": "Run directory of launch/sr_evidence.py."})
    gallery: str = field(
        default="",
        metadata={"help": "Gallery that the judge is put into; empty for the installed one."},
    )
    epochs: int = field(default=14, metadata={"help": "Passes over the evidence.", "lower": 1})
    seed: int = field(default=0, metadata={"help": "Of weights and order.", "lower": 0})
