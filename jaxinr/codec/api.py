"""A SIREN as a compressed picture: `encode` to the bytes of a whole file, and `decode`.

Encoding fits a few networks side by side, rounds them (`jaxinr.codec.refine`), writes each to a
file (`jaxinr.codec.bitstream`), decodes the files and keeps the best. PSNR is over the pixels and
channels of the decoded 8-bit picture, peak 255; bits per pixel are those of the whole file.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxfleet import rundir
from jaxfleet.imaging.pixels import as_array, psnr_8bit_db, to_uint8
from jaxfleet.progress import Progress
from jaxfleet.resumable import Resumable
from jaxinr import pixels as minibatches
from jaxinr.codec import bitstream, range_code, refine, stages
from jaxinr.codec.bitstream import CodecError as CodecError
from jaxinr.codec.bitstream import Header
from jaxinr.inputs import require_few_pixels
from jaxinr.render import render
from jaxinr.siren import Params
from jaxinr.trial import Trial, require_sirens

# The best at equal file size, of what was tried on Kodak photographs; see BUILD.md.
WEIGHT_BITS, NUM_LAYERS = 5.0, 5
W0_INITIALS = (10.0, 20.0)
LEARNING_RATE, NUM_ITERS, REFINE_ITERS = 1e-3, 4000, 100
REFINE_RATE = 0.2  # of the learning rate
LEAST_WIDTH = 8  # of networks of more than one layer


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A coded picture.

    Attributes:
        data: the whole file.
        psnr_db: of what `decode` makes of it.
        float_psnr_db: of the network as it was trained, before it was rounded.
    """

    data: bytes
    psnr_db: float
    float_psnr_db: float


@dataclasses.dataclass(frozen=True)
class Facts:
    """The properties of a file that are known without rendering it.

    Attributes:
        header: picture and network.
        file_bytes: all of it.
        payload_bytes: of them, those that hold the weights.
    """

    header: Header
    file_bytes: int
    payload_bytes: int

    @property
    def bits_per_pixel(self) -> float:
        """Bits of the whole file per pixel of the picture."""
        return 8.0 * self.file_bytes / (self.header.height * self.header.width)

    @property
    def bits_per_weight(self) -> float:
        """Bits of the payload per weight."""
        return 8.0 * self.payload_bytes / self.header.parameters


def encode(image: np.ndarray, **settings: Any) -> bytes:
    """Compress an image to the bytes of a file; takes the arguments of `compress`.

    `encode(image, bits_per_pixel=0.3)` or `encode(image, architecture=(5, 32))`.
    """
    return compress(image, **settings).data


def compress(
    image: np.ndarray,
    *,
    bits_per_pixel: float | None = None,
    architecture: tuple[int, int] | Trial | None = None,
    bits_per_weight: float = WEIGHT_BITS,
    num_iters: int | None = None,
    refine_iters: int = REFINE_ITERS,
    learning_rate: float | None = None,
    seed: int | None = None,
    coordinates: str = "centers",
    progress: bool = False,
    kept: Resumable | None = None,
) -> Encoded:
    """Compress an image. The same arguments on the same machine give the same bytes.

    Args:
        image: [H, W, 3], or grey as [H, W] or [H, W, 1]; uint8, below 2^23 pixels.
        bits_per_pixel: the file is at most as large, and hardly smaller. Or give:
        architecture: (num_layers, layer_size); or a SIREN's trial, which also says the frequencies
            and, unless they are given here, iterations, learning rate and seed.
        bits_per_weight: that a weight takes in the file, on average. Fewer leave more weights at
            equal size.
        num_iters: Adam updates of the fit, in the stages of STAGES; 4000.
        refine_iters: Adam updates after each layer that is rounded.
        learning_rate: of the fit's Adam, at first; 1e-3. Refinement takes a fifth of it.
        seed: of the initial weights; 0.
        coordinates: see `jaxinr.fit`. With "coin" a picture can be rendered at its own aspect
            ratio alone.
        progress: show a progress display on standard error.
        kept: `Resumable(folder)` saves the state of the encoding about every ten seconds, and goes
            on from it; the caller clears it once the file is in a safe place.

    Raises:
        TypeError: if the image is not uint8.
        ValueError: if it has another shape, such as one with transparency; if an argument is out
            of range; if `bits_per_pixel` is too small for the smallest network.
    """
    picture = _checked(image)
    for name, value, least in (
        ("bits_per_weight", bits_per_weight, 1),
        ("refine_iters", refine_iters, 0),
    ):
        if not least <= value < math.inf:
            raise ValueError(f"{name} must be at least {least}; got {value}.")
    asked = _trials(architecture, num_iters, learning_rate, seed)
    headers, payload_bits = _plan(
        picture, asked, bits_per_pixel, architecture is not None, bits_per_weight, coordinates
    )
    trials = [
        dataclasses.replace(header.trial, num_iters=t.num_iters, learning_rate=t.learning_rate)
        for header, t in zip(headers, asked, strict=True)
    ]
    colours = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    plan = stages.of(trials)
    tails = headers[0].num_layers if refine_iters else 0
    pixels = picture.shape[0] * picture.shape[1]
    steps = len(trials) * tails * float(refine_iters * min(refine.UPDATE_PIXELS, pixels))
    steps += sum(minibatches.pixel_steps_of(trial, pixels) for stage in plan for trial in stage)
    count = len(trials) * (len(plan) + tails)
    kept = kept or Resumable()
    with contextlib.ExitStack() as stack:
        display = None
        if progress:
            display = stack.enter_context(Progress(count, steps, unit="trainings"))
        kept.claim(_digest(picture, headers, plan, payload_bits, refine_iters), display)
        return _coded(
            picture,
            headers,
            stages.fit_in_turn(colours, plan, coordinates, kept),
            payload_bits,
            refine_iters=refine_iters,
            learning_rate=trials[0].learning_rate,
            kept=kept,
        )


def _digest(picture: np.ndarray, *settings: Any) -> str:
    """Return the digest of all that the file depends on."""
    rates = REFINE_RATE, refine.UPDATE_PIXELS
    return rundir.digest(rundir.checksum(picture.tobytes()), picture.shape, repr((settings, rates)))


def pack(
    image: np.ndarray,
    trial: Trial,
    params: Params,
    *,
    coordinates: str = "coin",
    bits_per_weight: float = WEIGHT_BITS,
    refine_iters: int = REFINE_ITERS,
) -> Encoded:
    """Write a fitted network to a file, rounding its weights; nothing else is trained anew.

    Args:
        image: that the network was fitted to; see `compress`.
        trial: its hyperparameters; frequencies are rounded to float16.
        params: its weights, as of `jaxinr.Fits.params`.
        coordinates: with which it was fitted.
        bits_per_weight: what a weight takes in the file on average.
        refine_iters: Adam updates after each layer that is rounded.

    Raises:
        TypeError, ValueError: as `compress`.
    """
    picture = _checked(image)
    require_sirens([trial], "the codec")
    headers, payload_bits = _plan(picture, [trial], None, True, bits_per_weight, coordinates)
    drawn = picture_of(headers[0], refine.of_file(headers[0], params), picture.shape[:2])
    return _coded(
        picture,
        headers,
        [(params, psnr_8bit_db(drawn, picture))],
        payload_bits,
        refine_iters=refine_iters,
        learning_rate=trial.learning_rate,
    )


def _coded(
    picture: np.ndarray,
    headers: list[Header],
    fits: Sequence[tuple[Params, float]],
    payload_bits: float,
    *,
    refine_iters: int,
    learning_rate: float,
    kept: Resumable | None = None,
) -> Encoded:
    """Round networks of one shape, each with its PSNR; return the file of the best."""
    coded = refine.quantise(
        picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1),
        headers,
        [refine.of_file(header, one) for header, (one, _) in zip(headers, fits, strict=True)],
        payload_bits,
        num_iters=refine_iters,
        learning_rate=REFINE_RATE * learning_rate,
        kept=kept,
    )
    results = []
    for header, (_, float_db), quantised in zip(headers, fits, coded, strict=True):
        if quantised is not None:
            data = bitstream.write(header, quantised)
            results.append(Encoded(data, psnr_8bit_db(decode(data), picture), float_db))
    if not results:
        raise ValueError("the weights do not fit into so few bits; allow more.")
    return max(results, key=lambda result: result.psnr_db)


def decode(data: bytes, *, height: int | None = None, width: int | None = None) -> np.ndarray:
    """Decode a file at its own size or another; the result is the same each time on one machine.

    Args:
        data: from `encode`.
        height: in pixels; if only one side is given, the other keeps the aspect ratio.
        width: in pixels.

    Returns:
        [height, width, 3] uint8, or [height, width] if the picture was grey.

    Raises:
        CodecError: if the file is damaged or was not written by this codec.
        ValueError: if the size is out of range: from 1 to 2^23 - 1 pixels.
    """
    header, quantised = bitstream.read(data)
    if height is None and width is not None:
        height = max(1, round(width * header.height / header.width))
    elif width is None and height is not None:
        width = max(1, round(height * header.width / header.height))
    shape = (
        header.height if height is None else height,
        header.width if width is None else width,
    )
    if header.coordinates == "coin" and abs(shape[0] - shape[1] * header.height / header.width) > 1:
        raise ValueError(
            f"a picture in coin coordinates keeps its aspect ratio, {header.height} x "
            f"{header.width}; give one of height and width."
        )
    return picture_of(header, quantised.params, shape)


def picture_of(header: Header, network: Params, shape: tuple[int, int]) -> np.ndarray:
    """Render a network at (height, width): uint8, [H, W, 3] or grey [H, W].

    Args:
        header: what the network is.
        network: layers as `header.layer_shapes` says.
        shape: in pixels.

    Raises:
        ValueError: as `decode`.
    """
    colours = render(
        refine.coloured(header, network), header.trial, shape, coordinates=header.coordinates
    )
    picture = to_uint8(colours)
    return picture[..., 0] if header.grey else picture


def inspect(data: bytes) -> Facts:
    """Read the facts of a file; nothing is rendered.

    Raises:
        CodecError: as `decode`.
    """
    header, _ = bitstream.read(data)
    return Facts(header, len(data), len(data) - header.overhead)


def _checked(image: Any) -> np.ndarray:
    """Return [H, W, 3] or [H, W]."""
    array = as_array(image, "image", ("RGB", "L"))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[2] in (2, 4):
        raise ValueError(
            f"image has {array.shape[2]} channels, one of them transparency, which the codec does "
            "not keep; lay it on a background, or leave the channel out."
        )
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or 0 in array.shape:
        raise ValueError(f"image must be [H, W, 3] or [H, W]; got shape {array.shape}.")
    if array.dtype != np.uint8:
        raise TypeError(f"image must be uint8; got {array.dtype}.")
    require_few_pixels(array, "image")
    return array


def _trials(
    architecture: tuple[int, int] | Trial | None,
    num_iters: int | None,
    learning_rate: float | None,
    seed: int | None,
) -> list[Trial]:
    """Return the trials that are fitted side by side, for one architecture or a placeholder."""
    asked = {"num_iters": num_iters, "learning_rate": learning_rate, "seed": seed}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if isinstance(architecture, Trial):
        require_sirens([architecture], "the codec")
        return [dataclasses.replace(architecture, **given)]
    num_layers, layer_size = architecture or (1, 1)
    settings = {"num_iters": NUM_ITERS, "learning_rate": LEARNING_RATE, "seed": 0} | given
    return [
        Trial(num_layers=num_layers, layer_size=layer_size, w0_initial=w0_initial, **settings)
        for w0_initial in W0_INITIALS
    ]


def _plan(
    picture: np.ndarray,
    trials: list[Trial],
    bits_per_pixel: float | None,
    has_architecture: bool,
    bits_per_weight: float,
    coordinates: str,
) -> tuple[list[Header], float]:
    """Return the trials of one shape, and the bits that their weights may take."""
    if (bits_per_pixel is not None) == has_architecture:
        raise ValueError("give bits_per_pixel or architecture, one of the two.")
    height, width = picture.shape[:2]

    def header(trial: Trial, num_layers: int, layer_size: int) -> Header:
        return Header(
            height=height,
            width=width,
            grey=picture.ndim == 2,
            coordinates=coordinates,
            num_layers=num_layers,
            layer_size=layer_size,
            w0_initial=bitstream.nearest_w0(trial.w0_initial),
            w0=bitstream.nearest_w0(trial.w0),
            seed=trial.seed,
        )

    if bits_per_pixel is None:
        headers = [header(trial, trial.num_layers, trial.layer_size) for trial in trials]
        return headers, bits_per_weight * headers[0].parameters
    if not 0 < bits_per_pixel < math.inf:
        raise ValueError(f"bits_per_pixel must be positive; got {bits_per_pixel}.")
    most_bytes = int(bits_per_pixel * height * width / 8)
    shape = _largest_shape(functools.partial(header, trials[0]), most_bytes, bits_per_weight)
    headers = [header(trial, *shape) for trial in trials]
    return headers, 8.0 * (most_bytes - headers[0].overhead - range_code.FLUSH_BYTES)


def _largest_shape(
    header: Callable[[int, int], Header], most_bytes: int, bits_per_weight: float
) -> tuple[int, int]:
    """Return (num_layers, layer_size) of the most weights in so many bytes.

    `NUM_LAYERS` where they can be at least `LEAST_WIDTH` wide, else fewer.

    Raises:
        ValueError: if even a single unit takes more.
    """

    def file_bytes(num_layers: int, layer_size: int) -> int:
        one = header(num_layers, layer_size)
        return math.ceil(
            one.overhead + range_code.FLUSH_BYTES + bits_per_weight * one.parameters / 8
        )

    for num_layers in range(NUM_LAYERS, 0, -1):
        widest = 0
        while (
            widest < bitstream.MAX_LAYER_SIZE and file_bytes(num_layers, widest + 1) <= most_bytes
        ):
            widest += 1
        if widest >= LEAST_WIDTH or (num_layers == 1 and widest):
            return num_layers, widest
    least, pixels = file_bytes(1, 1), header(1, 1).height * header(1, 1).width
    raise ValueError(
        f"bits_per_pixel allows {most_bytes} bytes; the smallest network takes {least}. Give "
        f"{math.ceil(8e3 * least / pixels) / 1e3:g} or more."
    )
