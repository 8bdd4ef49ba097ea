"""Flags of attribution: which pictures, which methods, and what is looked at besides."""

import dataclasses
import operator
from typing import Any

import numpy as np

from experiments import flags
from jaxfleet.errors import InputError
from jaxfleet.scripts.options import check_values, flag
from jaxsr.attribution import convnext as attribution_convnext
from jaxsr.attribution.convnext import FROM_SCRATCH, PAPER
from jaxsr.attribution.table import METHODS, check_options
from jaxsr.datasets import picture_sets
from jaxsr.datasets.crops import CROP_PX
from jaxsr.fingerprints.phase_autocorrelation import PERIOD
from jaxsr.networks import convnext

CONVNEXT, LINEAR = "convnext", "linear"
CLASSICAL = tuple(name for name in METHODS if name != CONVNEXT)


def _default_of(name: str) -> str:
    """Return the default of a flag of the network, for its help."""
    ours, paper = map(operator.attrgetter(name), (FROM_SCRATCH, PAPER))
    return f"By default {ours:g}, and {paper:g} with --convnext_weights, as in the paper."


@dataclasses.dataclass(frozen=True)
class AttributionConfig:
    """Flags of `launch/sr_attribution.py`."""

    pictures: str = flags.pictures(
        "Classifiers learn from its training split, are calibrated on the validation split and "
        "tested on the test split."
    )
    classes: tuple[str, ...] = flag(
        ("network",), "Kinds of classes to tell apart.", choices=picture_sets.KINDS
    )
    where: tuple[str, ...] = flag(
        (),
        "COLUMN=VALUE of the index of the pictures, such as scale=2 or loss=l1: use only those. "
        "A column given twice accepts either value.",
    )
    crop_px: int = flag(
        CROP_PX,
        "Side of the square crops, pixels; every crop of a test picture that fits beside the "
        "others is tested.",
        lower=16,
    )
    method: tuple[str, ...] = flag(
        CLASSICAL, "Attribution methods.", group="Classifiers", choices=METHODS
    )
    seed: tuple[int, ...] = flags.seeds("a classifier")
    linear_period: int = flag(
        PERIOD,
        "Period in pixels of the upsampling grid, a multiple of the scales: 4 serves 2 and 4; "
        "12 serves 3 too, with nine times as many features. The crop size must be a multiple of "
        "it.",
        group="Method linear",
        lower=1,
    )
    convnext_size: str = flag(
        "zepto",
        "Size of the network; the paper uses base.",
        group="Method convnext",
        choices=tuple(convnext.SIZES),
    )
    convnext_inputs: str | None = flag(
        None,
        "Input of the network: rgb, the default with --convnext_weights, as in the paper; or "
        "residual, the default without, which is the detail finer than about a pixel.",
        choices=attribution_convnext.INPUTS,
    )
    convnext_weights: str = flag(
        "",
        "File of a ConvNeXt of this size, such as one trained on ImageNet, or of a classifier, "
        "to start from; empty for random weights.",
    )
    convnext_stem_stride: int = flag(
        convnext.STEM_PX,
        "Stride of the first layer, pixels: 4 as in the paper; 2 or 1 keep finer structure at 4 "
        "or 16 times the cost.",
        choices=convnext.STEM_STRIDES,
    )
    train_crop_px: int | None = flag(
        None,
        "Side of the training crops, pixels, at most --crop_px; by default "
        f"{FROM_SCRATCH.train_crop_px}, and --crop_px with --convnext_weights.",
        lower=8,
    )
    crops_per_picture: int | None = flag(
        None, f"Crops per picture in an epoch. {_default_of('crops_per_picture')}", lower=1
    )
    head_epochs: int | None = flag(
        None,
        "Epochs in which only the last layer trains, with --convnext_weights; by default "
        f"{PAPER.schedule.head_epochs}.",
        lower=0,
    )
    epochs: int | None = flag(
        None,
        f"Epochs in which all weights train, at most. {_default_of('schedule.epochs')}",
        lower=1,
    )
    batch_size: int | None = flag(
        None, f"Crops in a batch. {_default_of('schedule.batch_size')}", lower=1
    )
    learning_rate: float | None = flag(
        None,
        "Highest learning rate: of AdamW with warm-up and cosine decay, or of Adamax with "
        f"--convnext_weights. {_default_of('schedule.learning_rate')}",
        lower=0,
    )
    dtype: str = flag(
        "float32",
        "Precision of the computation in training; weights are float32.",
        choices=("float32", "bfloat16"),
    )
    features_per_class: int = flag(
        20,
        "Test pictures per class whose central crops are used for class distances and t-SNE; 0 "
        "for neither.",
        group="Analyses",
        lower=0,
    )
    tsne: bool = flag(True, "Compute a t-SNE for the first seed; needs scikit-learn.")
    dry_run: bool = flags.dry_run(
        "which classifiers would be trained, and on how much", group="Run"
    )

    def __post_init__(self) -> None:
        """Refuse flags that leave nothing to do or contradict one another.

        Raises:
            InputError: naming the flag.
        """
        check_values(self, "method", "seed", "classes")
        self.filters()
        if LINEAR in self.method:
            check_options(LINEAR, self.crop_px, period=self.linear_period)

    def filters(self) -> dict[str, list[Any]]:
        """Return `where`, as column -> values, whole numbers as such.

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
