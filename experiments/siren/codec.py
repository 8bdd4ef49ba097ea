"""A picture compressed to a SIREN in a file, and pictures drawn from such files."""

import dataclasses
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from PIL import Image

from experiments import flags
from jaxfleet.errors import InputError
from jaxfleet.imaging import codecs, decibels, picture_files
from jaxfleet.imaging.pixels import psnr_8bit_db
from jaxfleet.results.showing import counted
from jaxfleet.resumable import Resumable
from jaxfleet.scripts.options import flag
from jaxfleet.storage import check_file, write_atomically
from jaxinr import siren
from jaxinr.codec import api as codec
from jaxinr.codec.bitstream import MAX_LAYER_SIZE, MAX_LAYERS

Result = TypeVar("Result")

CHECKPOINT = ".checkpoint"  # behind the name of the file


@dataclasses.dataclass(frozen=True)
class CodecConfig:
    """Flags of launch/siren_codec.py."""

    RUN_DIR: ClassVar[str] = "none"
    RESUMES: ClassVar[bool] = True

    mode: str = flag(
        "encode",
        "encode an image, decode a file, or print info about a file.",
        choices=("encode", "decode", "info"),
    )
    input: str = flag("", "The image to encode, or the file to decode.")
    output: str = flag("", "The file to write: any name to encode, a .png to decode.")
    overwrite: bool = flag(False, "Replace --output if it exists.")
    bits_per_pixel: float | None = flag(
        None, "Largest size of the file; or give --num_layers and --layer_size.", group="Encoding"
    )
    num_layers: int | None = flag(None, "Number of sine layers.", lower=1, upper=MAX_LAYERS)
    layer_size: int | None = flag(None, "Units per sine layer.", lower=1, upper=MAX_LAYER_SIZE)
    bits_per_weight: float = flag(
        codec.WEIGHT_BITS,
        "Mean bits per weight in the file. With --bits_per_pixel, fewer bits allow more weights.",
        lower=1,
        upper=16,
    )
    num_iters: int = flag(codec.NUM_ITERS, "Adam updates of the fit.", lower=1)
    refine_iters: int = flag(
        codec.REFINE_ITERS, "Adam updates after each layer is rounded.", lower=0
    )
    learning_rate: float = flag(
        codec.LEARNING_RATE, "Learning rate of Adam in the fit.", lower=1e-12
    )
    seed: int = flags.seed("the initial weights")
    coordinates: str = flag("centers", "Coordinates of the pixels.", choices=siren.COORDINATES)
    height: int | None = flag(
        None,
        "Height of the decoded image; if only one of the two is given, the other follows. By "
        "default those of the encoded image.",
        lower=1,
        group="Decoding",
    )
    width: int | None = flag(None, "Width of the decoded image.", lower=1)
    reference: str = flag("", "Image of the same size to measure the PSNR against.")

    def __post_init__(self) -> None:
        """Refuse flags that do not go together.

        Raises:
            ValueError: naming the flags.
        """
        if not self.input:
            raise ValueError("--input=FILE is missing.")
        if not self.output and self.mode != "info":
            raise ValueError("--output=FILE is missing.")
        if self.mode == "decode" and not self.output.lower().endswith(".png"):
            raise ValueError(f"--output={self.output}: pictures are written as .png.")
        if self.mode != "encode":
            return
        if (self.num_layers is None) != (self.layer_size is None):
            raise ValueError("--num_layers and --layer_size belong together.")
        if (self.bits_per_pixel is None) == (self.num_layers is None):
            raise ValueError("give --bits_per_pixel, or --num_layers and --layer_size.")


def run(config: CodecConfig) -> str:
    """Do what --mode says; return what to print.

    Raises:
        InputError: if a file is missing, damaged or there already, or a flag does not suit it.
    """
    if config.mode == "info":
        data = picture_files.bytes_of(Path(config.input))
        return summary(_tell(lambda: codec.inspect(data), config.input))
    output = Path(config.output).expanduser()
    check_file(output, "--output")
    if output.exists() and not config.overwrite:
        raise InputError(f"--output={output} is there already; --overwrite replaces it.")
    return (_encode if config.mode == "encode" else _decode)(config, output)


def _encode(config: CodecConfig, output: Path) -> str:
    picture, note = read_picture(config.input)
    architecture = None
    if config.num_layers is not None and config.layer_size is not None:
        architecture = config.num_layers, config.layer_size
    kept = Resumable(checkpoint_of(output), note=lambda line: sys.stderr.write(f"{line}\n"))
    encoded = _tell(
        lambda: codec.compress(
            picture,
            bits_per_pixel=config.bits_per_pixel,
            architecture=architecture,
            bits_per_weight=config.bits_per_weight,
            num_iters=config.num_iters,
            refine_iters=config.refine_iters,
            learning_rate=config.learning_rate,
            seed=config.seed,
            coordinates=config.coordinates,
            progress=True,
            kept=kept,
        )
    )
    write_atomically(output, encoded.data)
    kept.clear()
    facts = codec.inspect(encoded.data)
    return "\n".join(
        [
            *note,
            summary(facts),
            f"PSNR {decibels.text(encoded.psnr_db, 4)}; {decibels.text(encoded.float_psnr_db)} "
            "before rounding",
            *_jpeg(picture, facts.bits_per_pixel),
            f"wrote {output}",
        ]
    )


def checkpoint_of(output: Path) -> Path:
    """Return where an encoding keeps what is in flight: no longer than a name may be."""
    name = os.fsdecode(os.fsencode(output.name)[: 255 - len(CHECKPOINT)])
    return output.with_name(name + CHECKPOINT)


def _decode(config: CodecConfig, output: Path) -> str:
    data = picture_files.bytes_of(Path(config.input))
    reference = read_picture(config.reference)[0] if config.reference else None
    picture = _tell(
        lambda: codec.decode(data, height=config.height, width=config.width), config.input
    )
    lines = [f"{picture.shape[1]} x {picture.shape[0]} pixels"]
    if reference is not None:
        if reference.shape != picture.shape:
            own, its = (f"{one.shape[1]} x {one.shape[0]}" for one in (reference, picture))
            raise InputError(
                f"--reference={config.reference} has {own} pixels, and the picture {its}."
            )
        psnr_db = psnr_8bit_db(picture, reference)
        lines.append(f"PSNR {decibels.text(psnr_db, 4)} against {config.reference}")
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    write_atomically(output, buffer.getvalue())
    return "\n".join([*lines, f"wrote {output}"])


def summary(facts: codec.Facts) -> str:
    """Return the lines that say what a file holds."""
    header = facts.header
    colours = "grey" if header.grey else "colour"
    return (
        f"{header.width} x {header.height} pixels, {colours}, {header.coordinates} coordinates\n"
        f"{counted(header.num_layers, 'layer')} of {header.layer_size} units, w0_initial "
        f"{header.w0_initial:g}, w0 {header.w0:g}, seed {header.seed}: {header.parameters} weights "
        f"at {facts.bits_per_weight:.3f} bits\n"
        f"{facts.file_bytes} bytes, {facts.bits_per_pixel:.4f} bits per pixel: weights "
        f"{facts.payload_bytes}, all else {facts.file_bytes - facts.payload_bytes}"
    )


def read_picture(path: str) -> tuple[np.ndarray, list[str]]:
    """Read an image file as [H, W, 3] or grey [H, W] uint8, and notes on it.

    EXIF orientation is applied and an ICC profile converted to sRGB. Transparency that hides
    nothing is left out.

    Raises:
        InputError: if it cannot be read, is transparent, or has more than 8 bits.
    """
    picture = picture_files.read(Path(path))
    if picture.header.bits > 8:
        raise InputError(f"{path} has more than 8 bits per channel; convert it to 8 first.")
    if picture.is_transparent:
        raise InputError(f"{path} is transparent, which is not kept; flatten it first.")
    if not picture.header.is_grey:
        return picture.pixels, [f"{path}: {note}" for note in picture.notes]
    notes = [note for note in picture.notes if note != picture_files.GREY_NOTE]
    return picture.pixels[..., 0], [f"{path}: {note}" for note in notes]


def _jpeg(picture: np.ndarray, bits_per_pixel: float) -> list[str]:
    """Return the line on JPEG at the same size, for a colour image."""
    return [] if picture.ndim == 2 else [codecs.at_size(picture, codecs.JPEG, bits_per_pixel)]


def _tell(work: Callable[[], Result], file: str = "") -> Result:
    """Return the result of `work`; turn its ValueError into a line for the user.

    Args:
        work: what may fail.
        file: that it reads.
    """
    try:
        return work()
    except codec.CodecError as error:
        raise InputError(f"{file}: {error} Give a file that --mode=encode wrote.") from error
    except ValueError as error:
        raise InputError(str(error)) from error
