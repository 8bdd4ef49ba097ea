"""Flags of attribution: which pictures, which methods, and what is looked at besides."""

import dataclasses
import operator
from typing import Any

import numpy as np

from jaxfleet.errors import InputError
from jaxfleet.options import flag
from jaxsr.attribution import convnext as attribution_convnext
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.convnext import FROM_SCRATCH, PAPER
from jaxsr.datasets import picture_sets
from jaxsr.datasets.crops import CROP_PX
from jaxsr.fingerprints.phase_autocorrelation import PERIOD
from jaxsr.networks import convnext

CONVNEXT, LINEAR = "convnext", "linear"
CLASSICAL = tuple(name for name in attribution.METHODS if name != CONVNEXT)


def _default_of(name: str) -> str:
    """Return the default of a flag of the network, for its help."""
    ours, paper = map(operator.attrgetter(name), (FROM_SCRATCH, PAPER))
    return f"Without this flag {ours:g}, and with --convnext_weights {paper:g}, as in the paper."


@dataclasses.dataclass(frozen=True)
class AttributionConfig:
    """Flags of `launch/sr_attribution.py`."""

    pictures: str = flag(
        "runs/sr_images",
        "Run directory of launch/sr_images.py. Its split train is learnt from, validation says "
        "how sure to be, test is for the tables.",
        group="Pictures",
    )
    classes: tuple[str, ...] = flag(
        ("network",), "What kind of makers are told apart.", choices=picture_sets.KINDS
    )
    where: tuple[str, ...] = flag(
        (),
        "COLUMN=VALUE of the index of the pictures, such as scale=2 or loss=l1: only those. Of "
        "one column given twice, either value serves.",
    )
    crop_px: int = flag(
        CROP_PX,
        "Side of the squares that are told apart; every square of a test picture that fits beside "
        "the others is a test.",
        lower=16,
    )
    method: tuple[str, ...] = flag(
        CLASSICAL, "How networks are told apart.", group="Classifiers", choices=attribution.METHODS
    )
    seed: tuple[int, ...] = flag(
        (0,), "Of a classifier; with several the tables have deviations.", lower=0, upper=2**31 - 1
    )
    linear_period: int = flag(
        PERIOD,
        "Pixels after which the grid of up-sampling repeats itself, a multiple of the scales: 4 "
        "serves 2 and 4; 12 serves 3 too, with nine times as many features. Crops must be a "
        "multiple of it.",
        group="Method linear",
        lower=1,
    )
    convnext_size: str = flag(
        "zepto",
        "Of the network; the paper's is base.",
        group="Method convnext",
        choices=tuple(convnext.SIZES),
    )
    convnext_inputs: str | None = flag(
        None,
        "rgb, the default with --convnext_weights, as in the paper; or residual, the default "
        "without: what is finer than a pixel or so.",
        choices=attribution_convnext.INPUTS,
    )
    convnext_weights: str = flag(
        "",
        "File of a ConvNeXt of this size to go on from, such as ImageNet's, or of a classifier; "
        "empty to draw weights.",
    )
    convnext_stem_stride: int = flag(
        convnext.STEM_PX,
        "Pixels between windows of the first layer: 4 as in the paper; 2 or 1 keep finer "
        "structure, at 4 or 16 times the cost.",
        choices=convnext.STEM_STRIDES,
    )
    train_crop_px: int | None = flag(
        None,
        "Side of the crops that it learns from, at most --crop_px; without this flag "
        f"{FROM_SCRATCH.train_crop_px}, and with --convnext_weights --crop_px.",
        lower=8,
    )
    crops_per_picture: int | None = flag(
        None, f"In an epoch. {_default_of('crops_per_picture')}", lower=1
    )
    head_epochs: int | None = flag(
        None,
        "In which only the last layer trains, where there are --convnext_weights; "
        f"without this flag {PAPER.schedule.head_epochs}.",
        lower=0,
    )
    epochs: int | None = flag(
        None, f"In which all weights train, at most. {_default_of('schedule.epochs')}", lower=1
    )
    batch_size: int | None = flag(
        None, f"Crops in an update. {_default_of('schedule.batch_size')}", lower=1
    )
    learning_rate: float | None = flag(
        None,
        "The highest: of AdamW, which rises to it and falls as a cosine; with "
        f"--convnext_weights of Adamax. {_default_of('schedule.learning_rate')}",
        lower=0,
    )
    dtype: str = flag(
        "float32",
        "What is computed in while it trains; weights are float32.",
        choices=("float32", "bfloat16"),
    )
    features_per_class: int = flag(
        20,
        "Middles of test pictures of a class that distances between classes and t-SNE are of; 0 "
        "for neither.",
        group="Analyses",
        lower=0,
    )
    tsne: bool = flag(True, "Whether there is a t-SNE, of the first seed; needs scikit-learn.")
    dry_run: bool = flag(
        False, "Says which classifiers would be trained, and on how much.", group="Run"
    )

    def __post_init__(self) -> None:
        """Refuses flags that leave nothing to do, or say it in another way.

        Raises:
            InputError: naming the flag.
        """
        for name in ("method", "seed", "classes"):
            if not getattr(self, name):
                raise InputError(f"--{name} needs a value.")
        self.filters()
        if LINEAR in self.method:
            attribution.check(LINEAR, self.crop_px, period=self.linear_period)

    def filters(self) -> dict[str, list[Any]]:
        """`where`, as column -> values, whole numbers as such.

        Raises:
            InputError: for what is not COLUMN=VALUE.
        """
        wanted: dict[str, list[Any]] = {}
        for text in self.where:
            column, sign, value = text.partition("=")
            if not sign or column not in picture_sets.COLUMNS:
                raise InputError(
                    f"--where={text}: write COLUMN=VALUE, such as scale=2; columns are "
                    f"{', '.join(picture_sets.COLUMNS)}."
                )
            wanted.setdefault(column, []).append(_value(text, column, value))
        return wanted

    def options(self, method: str) -> dict[str, Any]:
        """Return the JSON-able options of a method for `jaxsr.attribution.methods.fit`."""
        if method == LINEAR and self.linear_period != PERIOD:
            return {"period": self.linear_period}
        if method != CONVNEXT:
            return {}
        return {
            "size": self.convnext_size,
            "inputs": self.convnext_inputs,
            "weights": self.convnext_weights or None,
            "stem_stride": self.convnext_stem_stride,
            **{name: getattr(self, name) for name in _TRAINING},
        }


def _value(text: str, column: str, value: str) -> Any:
    """Convert a text to the type of a column of the index."""
    kind = str(picture_sets.schema().field(column).type)
    try:
        if kind == "int64":
            return int(np.array(int(value), np.int64))
        return float(value) if kind == "double" else value
    except (OverflowError, ValueError):
        noun = "whole number" if kind == "int64" else "number"
        raise InputError(f"--where={text}: {value} is no {noun}.") from None


_TRAINING = (
    *("train_crop_px", "crops_per_picture", "head_epochs", "epochs", "batch_size"),
    *("learning_rate", "dtype"),
)
