"""Flags of the SIREN grid: photographs, axes of the grid or sample, and how to run."""

import dataclasses
from collections.abc import Sequence

from experiments import flags
from jaxfleet import histories, plan
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos as sources
from jaxfleet.scripts.options import check_values, flag
from jaxinr import quantise, siren
from jaxinr.kernels import choice
from jaxinr.networks.registry import KINDS, hyperparameters, owners

# Hyperparameters that only some kinds of networks have: whether whole numbers, the least and the
# greatest value.
_OF_KINDS = {
    name: (found[0].integer, min(one.lower for one in found), max(one.upper for one in found))
    for name, found in hyperparameters().items()
}
# Axes of the grid likewise; those at the end are axes where they are given.
AXES: dict[str, tuple[bool, float, float]] = {
    "layer_size": (True, 1, 8192),
    "num_layers": (True, 1, 256),
    "w0_initial": _OF_KINDS["w0_initial"],
    "w0": _OF_KINDS["w0"],
    "learning_rate": (False, 1e-8, 1e2),
    "num_iters": (True, 1, 10**9),
    "seed": (True, 0, 2**31 - 1),
    "learning_rate_decay": (False, 0.0, 1.0),
    "pixels_per_update": (True, 0, 2**31 - 1),
    **_OF_KINDS,
}
_DEFAULTS = {
    name: ", ".join(
        f"{kind.hyperparameters[name].default:g} ({kind.name})"
        for kind in KINDS.values()
        if name in kind.hyperparameters
    )
    for name in _OF_KINDS
}
_AXIS_HELP = "Repeat for a grid; with --sampling=random also uniform:LOW:HIGH, log:LOW:HIGH."
_SIZES = (True, 0, 1 << 16)  # of pictures, as in AXES


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """Flags of `launch/siren_grid.py`."""

    photos: str = flags.photos()
    max_images: int = flags.max_images()
    image_size: tuple[str, ...] = flag(
        ("120",),
        "Side of the square image that is fitted, in pixels; 0 keeps the full "
        f"photograph, square or not. {_AXIS_HELP} Sizes larger than a "
        "photograph are skipped for it.",
    )
    image_fit: str = flag(
        "resize",
        "How a photograph becomes a square: resize, the largest central square is resized; "
        "crop, a central window is cut.",
        choices=sources.FITS,
    )
    layer_size: tuple[str, ...] = flag(
        ("28",),
        f"Units per layer, complex ones in a WIRE. {_AXIS_HELP}",
        group="Networks and training",
    )
    num_layers: tuple[str, ...] = flag(
        ("10",), f"Hidden layers; the linear output layer comes on top. {_AXIS_HELP}"
    )
    w0_initial: tuple[str, ...] = flag(
        ("30",), f"Frequency factor of the first layer of a SIREN or a FINER. {_AXIS_HELP}"
    )
    w0: tuple[str, ...] = flag(("30",), f"Frequency factor of their other layers. {_AXIS_HELP}")
    learning_rate: tuple[str, ...] = flag(("2e-4",), f"Learning rate of Adam. {_AXIS_HELP}")
    num_iters: tuple[str, ...] = flag(("2000",), f"Number of Adam updates. {_AXIS_HELP}")
    seed: tuple[str, ...] = flag(("0",), f"Random seed of the initial weights. {_AXIS_HELP}")
    network: tuple[str, ...] = flag(
        ("siren",),
        "Activation. siren: sines; finer: sines whose frequency grows with their argument; gauss: "
        "Gaussians; wire: complex Gabor wavelets; relu_fourier: ReLU on random Fourier features. "
        "Repeat for several kinds; each uses only the hyperparameters that it has.",
        group="Kinds of networks",
        choices=tuple(KINDS),
    )
    first_bias_scale: tuple[str, ...] = flag(
        (),
        "First biases of a FINER lie within plus or minus this; "
        f"{_DEFAULTS['first_bias_scale']} unless given. {_AXIS_HELP}",
    )
    sigma: tuple[str, ...] = flag(
        (),
        "Of gauss, width of the bell; of relu_fourier, standard deviation of the "
        "frequencies in cycles per unit of the coordinates, which span 2; "
        f"{_DEFAULTS['sigma']} unless given. {_AXIS_HELP}",
    )
    omega0: tuple[str, ...] = flag(
        (), f"Frequency factor of a WIRE; {_DEFAULTS['omega0']} unless given. {_AXIS_HELP}"
    )
    s0: tuple[str, ...] = flag(
        (), f"Scale of a WIRE's envelope; {_DEFAULTS['s0']} unless given. {_AXIS_HELP}"
    )
    num_frequencies: tuple[str, ...] = flag(
        (),
        "Random frequencies of relu_fourier, each with a sine and a cosine; "
        f"{_DEFAULTS['num_frequencies']} unless given. Networks of each number have a program "
        f"of their own. {_AXIS_HELP}",
    )
    learning_rate_decay: tuple[str, ...] = flag(
        (),
        "Share of the learning rate that half a cosine takes away until the last update; 0, "
        f"a constant rate, if not given. {_AXIS_HELP}",
    )
    pixels_per_update: tuple[str, ...] = flag(
        (),
        "Pixels of the picture that each update takes, in random order; all of them if "
        "not given, or 0. PSNR, histories and the best weights are of the whole picture, "
        f"measured so seldom that it takes a tenth of the time. {_AXIS_HELP}",
    )
    target_psnr_db: float = flag(
        0.0, "Stop a network when it reaches this PSNR; 0 for never.", lower=0
    )
    coordinates: str = flag(
        "coin",
        "coin: both axes divided by height - 1, then mapped to [-1, 1]; symmetric: each axis "
        "mapped to [-1, 1]; centers: pixel centres of equal cells of [-1, 1].",
        choices=siren.COORDINATES,
    )
    bias_init: str = flag(
        "coin",
        "Initial biases: uniform like the weights (coin), or zero.",
        choices=siren.BIAS_INITS,
    )
    sampling: str = flag(
        "grid",
        "grid: every combination on every photograph; random: --num_trials random draws.",
        group="Plan",
        choices=("grid", "random"),
    )
    num_trials: int = flag(0, "Number of draws with --sampling=random.", lower=0)
    sampling_seed: int = flag(0, "Random seed of the draws.", lower=0)
    max_bits_per_pixel: float = flag(
        0.0,
        "Leave out networks of more bits per pixel at 16 bits a weight; 0 for no limit. 4.8 "
        "keeps 10 values of the image for each weight.",
        lower=0,
    )
    max_gflop: float = flag(
        0.0,
        "Leave out networks whose training takes more GFLOP than this in matrix products, about "
        "6 for each weight, pixel and iteration; 0 for no limit. A random sample draws others "
        "in their place. --dry_run prints the sum.",
        lower=0,
    )
    sizes_per_draw: int = flag(
        1,
        "With --sampling=random: networks per draw, which differ only in the size of their image.",
        lower=1,
    )
    log_every: int = flag(
        10, "Iterations between history entries.", group="What the table says", lower=1
    )
    log_spacing: str = flag(
        "linear",
        "linear: an entry every --log_every iterations; log: four entries to each doubling, from "
        "multiples of --log_every, so that 50,000 iterations have 46 entries.",
        choices=histories.SPACINGS,
    )
    keep_weights: bool = flag(
        True,
        "Keep the weights of the networks in the table; they are most of it. Without them the "
        "table can train a forecaster, but its networks cannot be rendered or exported.",
    )
    weight_bits: int = flag(
        8,
        "k: the table reports how large and how good a network is with every weight rounded to "
        "k bits, as quantised_bpp (k bits per weight), entropy_bpp (with an ideal entropy "
        "coder) and psnr_quantised_db. Only these columns change: networks are trained, kept "
        "and measured in float32.",
        lower=quantise.MIN_BITS,
        upper=quantise.MAX_BITS,
    )
    num_repeats: int = flag(
        0,
        "With --sampling=random: this many additional networks of one architecture, which "
        "differ only in photograph, seed and the other axes.",
        lower=0,
    )
    repeat_layer_size: int = flag(28, "Units per layer of --num_repeats.", lower=1)
    repeat_num_layers: int = flag(10, "Sine layers of --num_repeats.", lower=1)
    repeat_w0_initial: tuple[str, ...] = flag(
        ("30",),
        "Frequency factor of the first layer of --num_repeats: values or a range, as for "
        "--w0_initial.",
    )
    repeat_learning_rate: tuple[str, ...] = flag(
        (), "Learning rate of --num_repeats, if different from --learning_rate."
    )
    repeat_num_iters: tuple[str, ...] = flag(
        (), "Iterations of --num_repeats, if different from --num_iters."
    )
    repeat_image_size: tuple[str, ...] = flag(
        (), "Image size of --num_repeats, if different from --image_size."
    )
    checkpoint_minutes: float = flags.checkpoint_minutes(group="Run")
    kernel: str = flag(
        "auto",
        "xla: the portable program, on any device; pallas: a fused kernel, which keeps "
        "activations on the chip of a GPU (up to 128 units a layer; slow on a CPU, which "
        "interprets it); auto: the faster of the two where both were timed. What pallas cannot "
        "train, xla does, and one line on standard error says why. Results agree up to rounding.",
        choices=choice.KERNELS,
    )
    products: str = flag(
        "float32",
        "Precision of the matrix products of hidden layers in training: float32; tf32 or "
        "bfloat16, which round the factors to 11 or 8 bits for the tensor cores of a GPU, "
        "faster at a cost in PSNR. Sums, sines, the first and the last layer and the decoded "
        "image stay float32. On a CPU tf32 is float32, and bfloat16 is slow.",
        choices=siren.PRODUCTS,
    )
    shard: int | None = flag(
        None,
        "Index of the share of the trials that this process fits, from 0; all processes write "
        "to the same --run_dir. By default read from the batch system: a SLURM job array, a "
        "Kubernetes indexed job, a Cloud TPU pod.",
        group="Several machines",
        lower=0,
        saved=False,
    )
    num_shards: int | None = flag(
        None, "Number of shares; also read from the batch system.", lower=1, saved=False
    )
    executor: str = flag(
        "here",
        "here: this process; ray: tasks of a Ray cluster, one per share (--num_shards, or four "
        "per device).",
        choices=("here", "ray"),
        saved=False,
    )
    ray_address: str = flag(
        "",
        "Address of the Ray cluster, such as auto or ray://HOST:10001; empty starts one on this "
        "machine.",
        saved=False,
    )
    ray_gpus: float = flag(0.0, "GPUs of a Ray task.", lower=0, saved=False)
    ray_cpus: float = flag(1.0, "CPU cores of a Ray task.", lower=0, saved=False)
    dry_run: bool = flags.dry_run()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        for sizes in (self.sizes(), self.repeat_sizes()):
            if sizes.law != "values" and sizes.low < 1:
                raise InputError(f"--image_size={sizes}: a range of sizes starts at 1 or above.")
            if sizes.law == "values" and len(sizes.values) < self.sizes_per_draw:
                raise InputError("--sizes_per_draw needs as many values of --image_size.")
        if self.sizes_per_draw > 1 and self.sampling != "random":
            raise InputError("--sizes_per_draw needs --sampling=random.")
        self.axes(), self.repeat_axes()
        check_values(self, "network")
        for name in _OF_KINDS:
            given = name in _LATER and getattr(self, name)
            if given and not any(name in KINDS[kind].hyperparameters for kind in self.network):
                raise InputError(
                    f"--{name} is of {' and '.join(owners(name))} networks, and --network names "
                    "none."
                )
        if (self.sampling == "random") != (self.num_trials > 0):
            raise InputError("--sampling=random and --num_trials=N belong together.")
        if self.num_repeats and self.sampling != "random":
            raise InputError("--num_repeats needs --sampling=random.")

    def repeat_axes(self) -> list[plan.Axis]:
        """Return the axes of the networks of one architecture."""
        shape = ("layer_size", "num_layers")
        return [
            plan.Axis(axis.name, values=(getattr(self, f"repeat_{axis.name}"),))
            if axis.name in shape
            else self._repeated(axis, AXES[axis.name])
            for axis in self.axes()
        ]

    def axes(self) -> list[plan.Axis]:
        """Return the axes of all kinds of networks together, without the image size."""
        return [
            _axis(name, getattr(self, name), bounds)
            for name, bounds in AXES.items()
            if name not in _LATER or getattr(self, name)
        ]

    def kinds(self) -> list[str]:
        """Return the kinds of networks, each once."""
        return list(dict.fromkeys(self.network))

    def sizes(self) -> plan.Axis:
        """Return the sizes of images."""
        return _axis("image_size", self.image_size, _SIZES)

    def repeat_sizes(self) -> plan.Axis:
        """Return the image sizes of the networks of one architecture."""
        return self._repeated(self.sizes(), _SIZES)

    @property
    def one_size(self) -> int | None:
        """The size of all pictures; None where there are several."""
        sizes = self.sizes()
        one = sizes.law == "values" and len(sizes.values) == 1 and self.repeat_sizes() == sizes
        return int(sizes.values[0]) if one else None

    def _repeated(self, axis: plan.Axis, bounds: tuple[bool, float, float]) -> plan.Axis:
        """Return the axis of --repeat_NAME, or else the same axis."""
        name = f"repeat_{axis.name}"
        if not getattr(self, name, ()):
            return axis
        return dataclasses.replace(_axis(name, getattr(self, name), bounds), name=axis.name)


def _axis(name: str, texts: Sequence[str], bounds: tuple[bool, float, float]) -> plan.Axis:
    integer, lower, upper = bounds
    return plan.parse_axis(name, texts, integer=integer, lower=lower, upper=upper)


def is_of(name: str, network: str) -> bool:
    """Return whether networks of a kind have the hyperparameter of an axis."""
    return name not in _OF_KINDS or name in KINDS[network].hyperparameters


# Axes that a run of before they were there does not have: none until they are given.
_LATER = {f.name for f in dataclasses.fields(GridConfig) if f.name in AXES and not f.default}
