"""The parsers of a run with their pictures: what each learns from and is tested on.

Letters: N pictures, K values.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.attribution import parts as attribution_parts
from experiments.parsing import plan
from experiments.parsing.config import MIDDLE, ParsingConfig
from experiments.parsing.plan import HeldOut, PlannedParser
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxsr.datasets import picture_sets
from jaxsr.datasets.picture_sets import PictureSet

_USED = ("network", "image_id", "split", "file", "height", "width", "file_checksum")


@dataclasses.dataclass(frozen=True)
class ParsingTask:
    """A parser with its pictures.

    Attributes:
        parser: what it predicts.
        model: name of the file of its classifier, which parsers may share.
        classes: what the classifier tells apart, values or networks.
        options: of the method.
        train: pictures to learn from.
        validation: pictures for its validation; None if there is no photograph for it.
        test: pictures to parse.
        learned_from: checksum of everything that the classifier follows from.
        tested: what of the test pictures is looked at, `MIDDLE` or `PICTURE`.
    """

    parser: PlannedParser
    model: str
    classes: tuple[str, ...]
    options: Mapping[str, Any]
    train: PictureSet
    validation: PictureSet | None
    test: PictureSet
    learned_from: str
    tested: str = MIDDLE

    @property
    def made_from(self) -> str:
        """Checksum of everything that the predictions follow from."""
        parser, pictures = self.parser, self.test.index[["network", "file_checksum"]]
        followed = [self.learned_from, dict(parser.trained), dict(parser.tested), self.tested]
        return rundir.digest(*followed, pictures.to_numpy().tolist())

    def labels(self, pictures: PictureSet) -> np.ndarray:
        """Return [N] int64, places in `classes`."""
        names = pictures.index["network"]
        told = names if self.by_network else names.map(self.parser.trained)
        return told.map({name: k for k, name in enumerate(self.classes)}).to_numpy(np.int64)

    @property
    def by_network(self) -> bool:
        """Whether the classes are networks."""
        return self.classes != self.parser.values

    @property
    def work(self) -> int:
        """Pictures to learn from and to parse."""
        return len(self.train) + len(self.test)


def make(config: ParsingConfig) -> list[ParsingTask]:
    """Make the parsers of the plan with their images, whose files are not read yet.

    Raises:
        InputError: if a flag cannot be used with these pictures, or one of these is too small.
    """
    if not config.pictures:
        raise InputError("--pictures names no folder; give a run directory of launch/sr_images.py.")
    pictures = picture_sets.open(config.pictures).only(kind="network")
    networks = plan.list_networks(pictures.index)
    held_out = [HeldOut.parse(text) for text in config.hold_out]
    elsewhere = _elsewhere(config.also_on, pictures) if config.also_on else None
    parsers = plan.make(
        networks,
        None if elsewhere is None else plan.list_networks(elsewhere.index),
        config.predict,
        held_out or plan.default_held_out(networks),
        config.seed,
        all_seeds_train=config.all_seeds_train,
    )
    pictures, tests = _slim(pictures), _slim(pictures.only(split="test"))
    others = tests if elsewhere is None else _slim(elsewhere)
    for one in (pictures, others):
        attribution_parts.refuse_small(one, config.crop_px)
    return [
        _task(config, parser, pictures, others if parser.held_out is None else tests)
        for parser in parsers
    ]


# ------------------------------------------------------------------------------------- the parts


def _elsewhere(run_dir: str, pictures: PictureSet) -> PictureSet:
    """Test pictures of another folder, without the networks that are learned from."""
    others = picture_sets.open(run_dir).only(kind=("network", "elsewhere"), split="test")
    learned = set(pictures.index["network_checksum"]) - {""}
    new = ~others.index["network_checksum"].isin(learned)
    if not new.any():
        raise InputError(f"--also_on={run_dir} has the networks of --pictures alone; give others.")
    return PictureSet(others.run_dir, others.index[new].reset_index(drop=True))


def _slim(pictures: PictureSet) -> PictureSet:
    """Return the same images with fewer columns, since many tasks hold a part of them."""
    return PictureSet(pictures.run_dir, pictures.index[list(_USED)])


def _task(
    config: ParsingConfig, parser: PlannedParser, pictures: PictureSet, tested: PictureSet
) -> ParsingTask:
    """Make a parser with its images."""
    own = pictures.only(network=tuple(parser.trained))
    train = own.only(split="train")
    validates = (own.index["split"] == "validation").any()
    validation = own.only(split="validation") if validates else None
    classes = parser.values if config.parser == "direct" else tuple(sorted(parser.trained))
    learned = own.index.loc[own.index["split"] != "test", ["network", "split", "file_checksum"]]
    by_value = config.parser == "direct"
    options = config.options(parser.predicted if by_value else "network")
    told = dict(parser.trained) if by_value else {}
    followed = [config.method, options, config.crop_px, parser.seed, classes, told]
    learned_from = rundir.digest(*followed, learned.to_numpy().tolist())
    model = parser.name
    if config.parser == "networks":  # those of one subset share it
        model = f"networks-{parser.subset}-s{parser.seed}-{learned_from[:6]}"
    test = tested.only(network=tuple(parser.tested))
    return ParsingTask(
        parser, model, classes, options, train, validation, test, learned_from, config.tested
    )
