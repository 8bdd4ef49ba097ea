"""Flags of collecting evidence, and of fitting a gallery's judge to it."""

import dataclasses
from typing import ClassVar

from jaxfleet.imaging import photos
from jaxfleet.imaging.splits import SPLITS
from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """Flags of `launch/sr_evidence.py`."""

    photos: str = flag(
        "packaged",
        f"Photographs, for training, validation or test by their names: {photos.HELP}",
        group="Photographs",
    )
    test_photos: str = flag("", "More photographs, used for tests only; empty for none.")
    zoo: tuple[str, ...] = flag(
        (),
        "Run directory of launch/sr_zoo.py, all networks of which are used; packaged: the zoo "
        "that jaxsr installs.",
        group="Classes",
    )
    zoo_names: str = flag("*", "Use only networks of the zoo whose names match, as in *-A-*-s1.")
    classes: tuple[str, ...] = flag(
        (),
        "Name of a class to collect, such as bicubic; none for all that the other flags name.",
    )
    network_share: float = flag(
        1.0, "Share of the usual number of photographs that networks of others enlarge."
    )
    zoo_share: float = flag(1.0, "The same of networks of the zoo.")
    plain_share: float = flag(
        1.0, "Share of the usual number of photographs that stay as they are or are interpolated."
    )
    batch: int = flag(
        0, "Which photographs: 0 for the first of each class, 1 for as many after them.", lower=0
    )
    splits: tuple[str, ...] = flag(
        SPLITS, "What pictures are for; by default for all three.", choices=SPLITS
    )
    states: int = flag(
        4, "Drawn states of a picture to learn from, beside that as it was made.", lower=0
    )
    tested: tuple[str, ...] = flag(
        (),
        "State in which pictures for validation and test are looked at, such as "
        "sharpen:0.6+jpeg:90; none for those of the tables.",
    )
    large_px: int = flag(
        448,
        "Side of large pictures, about, where photographs are large enough; 256 for small ones "
        "alone, where networks are slow.",
        lower=256,
    )
    installed: bool = flag(
        False, "Use all networks that packages of launch/sr_installed.py install."
    )
    network: tuple[str, ...] = flag(
        (),
        "[NAME=]FILE [family=F]: a network of any file that launch/sr_images.py takes, such as "
        "ncnn's (.param with its .bin beside it), .onnx or a shader of mpv (.glsl).",
    )
    processes: int = flag(2, "Number of processes.", lower=1, group="Run", saved=False)


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Flags of `launch/sr_judge.py`."""

    RUN_DIR: ClassVar[str] = "written"

    evidence: tuple[str, ...] = flag((), "Run directories of launch/sr_evidence.py.")
    gallery: str = flag("", "Gallery that receives the judge; empty for the installed one.")
    measure_only: bool = flag(
        False,
        "Fit nothing: measure the judge of --gallery on the pictures for tests, such as those of "
        "another size.",
    )
    epochs: int = flag(20, "Number of passes over the evidence.", lower=1)
    seed: int = flag(0, "Seed of the initial weights and the order.", lower=0)


@dataclasses.dataclass(frozen=True)
class StatesConfig:
    """Flags of `launch/sr_states.py`."""

    RUN_DIR: ClassVar[str] = "written"

    evidence: tuple[str, ...] = flag((), "Run directories of launch/sr_evidence.py.")
    adversarial: tuple[str, ...] = flag(
        ("*_adv-*",),
        "Networks that were trained with an adversarial loss: names, or patterns such as *_adv-*.",
        group="What is known of the networks",
    )
    not_adversarial: tuple[str, ...] = flag(
        ("*-l1-*",),
        "Networks that were trained without one. Of networks that match neither the loss is not "
        "asked.",
    )
