"""Flags of the SIREN grid: photographs, axes of the grid or sample, and how to run."""

import dataclasses
from dataclasses import field

from jaxfleet import histories, plan
from jaxfleet import photos as sources
from jaxfleet.errors import InputError
from jaxinr import quantise, siren
from jaxinr.kernels import choice

# Axes of the grid: whether whole numbers, the least and the greatest value.
AXES: dict[str, tuple[bool, float, float]] = {
    "layer_size": (True, 1, 8192),
    "num_layers": (True, 1, 256),
    "w0_initial": (False, 1e-3, 1e4),
    "w0": (False, 1e-3, 1e4),
    "learning_rate": (False, 1e-8, 1e2),
    "num_iters": (True, 1, 10**9),
    "seed": (True, 0, 2**31 - 1),
}
_AXIS_HELP = "Repeat for a grid; with --sampling=random also uniform:LOW:HIGH, log:LOW:HIGH."


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """Flags of `launch/siren_grid.py`."""

    photos: str = field(
        default="packaged",
        metadata={
            "group": "Photographs",
            "help": sources.HELP,
        },
    )
    max_images: int = field(
        default=0, metadata={"help": "Use the first so many photographs; 0 for all.", "lower": 0}
    )
    image_size: int = field(
        default=120,
        metadata={
            "help": "Side of the square picture that is fitted, in pixels; 0 keeps the full "
            "photograph, square or not.",
            "lower": 0,
        },
    )
    image_fit: str = field(
        default="resize",
        metadata={
            "help": "resize: the largest central square, shrunk; crop: a central window.",
            "choices": sources.FITS,
        },
    )
    layer_size: tuple[str, ...] = field(
        default=("28",),
        metadata={"group": "Networks and training", "help": f"Units of a layer. {_AXIS_HELP}"},
    )
    num_layers: tuple[str, ...] = field(
        default=("10",),
        metadata={"help": f"Sine layers; the linear output layer comes on top. {_AXIS_HELP}"},
    )
    w0_initial: tuple[str, ...] = field(
        default=("30",), metadata={"help": f"Frequency factor of the first layer. {_AXIS_HELP}"}
    )
    w0: tuple[str, ...] = field(
        default=("30",), metadata={"help": f"Frequency factor of the others. {_AXIS_HELP}"}
    )
    learning_rate: tuple[str, ...] = field(
        default=("2e-4",), metadata={"help": f"Of Adam, constant. {_AXIS_HELP}"}
    )
    num_iters: tuple[str, ...] = field(
        default=("2000",), metadata={"help": f"Adam updates, full batch. {_AXIS_HELP}"}
    )
    seed: tuple[str, ...] = field(
        default=("0",), metadata={"help": f"Of the initial weights. {_AXIS_HELP}"}
    )
    target_psnr_db: float = field(
        default=0.0,
        metadata={"help": "A network that reaches this PSNR stops; 0 for never.", "lower": 0},
    )
    coordinates: str = field(
        default="coin",
        metadata={
            "help": "coin: both axes divided by height - 1, then mapped to [-1, 1]; symmetric: "
            "each axis mapped to [-1, 1]; centers: pixel centres of equal cells of [-1, 1].",
            "choices": siren.COORDINATES,
        },
    )
    bias_init: str = field(
        default="coin",
        metadata={"help": "Biases uniform like the weights, or zero.", "choices": siren.BIAS_INITS},
    )
    sampling: str = field(
        default="grid",
        metadata={
            "group": "Plan",
            "help": "grid: every combination on every photograph; random: --num_trials draws.",
            "choices": ("grid", "random"),
        },
    )
    num_trials: int = field(default=0, metadata={"help": "Draws of --sampling=random.", "lower": 0})
    sampling_seed: int = field(default=0, metadata={"help": "Of the random draws.", "lower": 0})
    max_bits_per_pixel: float = field(
        default=0.0,
        metadata={
            "help": "Leaves out networks of more bits per pixel at 16 bits a weight; 0 for no "
            "limit.",
            "lower": 0,
        },
    )
    log_every: int = field(
        default=10,
        metadata={
            "group": "What the table says",
            "help": "Iterations between history entries.",
            "lower": 1,
        },
    )
    log_spacing: str = field(
        default="linear",
        metadata={
            "help": "linear: an entry every --log_every iterations; log: four entries to each "
            "doubling, from multiples of --log_every, so that 50,000 iterations have 46 entries.",
            "choices": histories.SPACINGS,
        },
    )
    weight_bits: int = field(
        default=8,
        metadata={
            "help": "k: how large a network would be with every weight rounded to k bits, as "
            "quantised_bpp (k bits for each weight) and entropy_bpp (what an ideal entropy coder "
            "could make of them). Changes those columns alone: networks train, and are kept and "
            "measured, in float32.",
            "lower": quantise.MIN_BITS,
            "upper": quantise.MAX_BITS,
        },
    )
    num_repeats: int = field(
        default=0,
        metadata={
            "help": "With --sampling=random: so many networks more, of one architecture, which "
            "differ from each other in photograph, seed and the other axes alone.",
            "lower": 0,
        },
    )
    repeat_layer_size: int = field(
        default=28, metadata={"help": "Units of a layer of --num_repeats.", "lower": 1}
    )
    repeat_num_layers: int = field(
        default=10, metadata={"help": "Sine layers of --num_repeats.", "lower": 1}
    )
    repeat_w0_initial: float = field(
        default=30.0,
        metadata={"help": "Frequency factor of the first layer of --num_repeats.", "lower": 1e-3},
    )
    checkpoint_minutes: float = field(
        default=10.0,
        metadata={
            "group": "Run",
            "help": "Minutes of work that a kill may cost at most.",
            "lower": 0,
        },
    )
    kernel: str = field(
        default="auto",
        metadata={
            "help": "xla: the portable program, on any device; pallas: a fused kernel, which keeps "
            "activations on the chip of a GPU (up to 128 units a layer; slow on a CPU, which "
            "interprets it); auto: the faster of the two where both were timed. What pallas cannot "
            "train, xla does, and one line on standard error says why. Results agree up to "
            "rounding.",
            "choices": choice.KERNELS,
        },
    )
    products: str = field(
        default="float32",
        metadata={
            "help": "Of the matrices of hidden layers, in training: float32; tf32 or bfloat16, "
            "which round the factors to 11 or 8 bits for the tensor cores of a GPU, faster at a "
            "cost in PSNR. Sums, sines, the first and the last layer stay float32, and so does the "
            "decoded picture. On a CPU tf32 is float32, and bfloat16 slow.",
            "choices": siren.PRODUCTS,
        },
    )
    shard: int | None = field(
        default=None,
        metadata={
            "group": "Several machines",
            "help": "Which share of the trials this process fits, counted from 0; all write to the "
            "same --run_dir. Read from the batch system if not given: a SLURM job array, a "
            "Kubernetes indexed job, a Cloud TPU pod.",
            "lower": 0,
            "saved": False,
        },
    )
    num_shards: int | None = field(
        default=None,
        metadata={
            "help": "How many shares there are; also from the batch system.",
            "lower": 1,
            "saved": False,
        },
    )
    executor: str = field(
        default="here",
        metadata={
            "help": "here: this process; ray: tasks of a Ray cluster, a share each "
            "(--num_shards, or four for each device).",
            "choices": ("here", "ray"),
            "saved": False,
        },
    )
    ray_address: str = field(
        default="",
        metadata={
            "help": "Of the Ray cluster, such as auto or ray://HOST:10001; empty starts one on "
            "this machine.",
            "saved": False,
        },
    )
    ray_gpus: float = field(
        default=0.0,
        metadata={"help": "GPUs that a Ray task needs.", "lower": 0, "saved": False},
    )
    ray_cpus: float = field(
        default=1.0,
        metadata={"help": "CPU cores that a Ray task needs.", "lower": 0, "saved": False},
    )
    dry_run: bool = field(
        default=False,
        metadata={"help": "Prints the plan and a time forecast from a short calibration; no fits."},
    )

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        self.axes()
        if (self.sampling == "random") != (self.num_trials > 0):
            raise InputError("--sampling=random and --num_trials=N belong together.")
        if self.num_repeats and self.sampling != "random":
            raise InputError("--num_repeats needs --sampling=random.")

    def repeat_axes(self) -> list[plan.Axis]:
        """The axes of the networks of one architecture."""
        fixed = ("layer_size", "num_layers", "w0_initial")
        return [
            plan.Axis(axis.name, values=(getattr(self, f"repeat_{axis.name}"),))
            if axis.name in fixed
            else axis
            for axis in self.axes()
        ]

    def axes(self) -> list[plan.Axis]:
        """The axes of the grid or sample."""
        return [
            plan.parse_axis(name, getattr(self, name), integer=integer, lower=lower, upper=upper)
            for name, (integer, lower, upper) in AXES.items()
        ]
