"""Flags of what a gallery learns from."""

import dataclasses
from dataclasses import field
from typing import ClassVar

from jaxfleet import photos


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """Flags of `launch/sr_evidence.py`."""

    RUN_DIR: ClassVar[str] = "written"

    photos: str = field(
        default="packaged",
        metadata={
            "group": "Photographs",
            "help": f"Learnt from, and for validation and test by their names: {photos.HELP}",
        },
    )
    test_photos: str = field(
        default="", metadata={"help": "More photographs, for tests alone; empty for none."}
    )
    zoo: tuple[str, ...] = field(
        default=(),
        metadata={
            "group": "Classes",
            "help": "Run directory of launch/sr_zoo.py, or packaged: all networks that it has.",
        },
    )
    zoo_names: str = field(
        default="*",
        metadata={"help": "Only networks of the zoo whose names match, as in *-A-*-s1."},
    )
    zoo_share: float = field(
        default=1.0, metadata={"help": "Share of the photographs that the zoo enlarges."}
    )
    installed: bool = field(
        default=False,
        metadata={"help": "All networks of packages that launch/sr_installed.py has."},
    )
    network: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "[NAME=]FILE [family=F]: a network of ncnn (.param, its .bin beside it), of "
            "ONNX (.onnx), or as launch/sr_images.py takes it."
        },
    )
    processes: int = field(
        default=2, metadata={"group": "Run", "help": "Processes at a time.", "lower": 1}
    )
