"""Pictures enlarged by a super-resolution network, file by file."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import jaxsr
from jaxfleet.errors import InputError
from jaxfleet.imaging import decibels, photos, picture_files
from jaxfleet.imaging.pixels import from_uint8, png
from jaxfleet.scripts.options import flag
from jaxfleet.storage import check_file, make_folder, write_atomically
from jaxsr import evaluation
from jaxsr.datasets import degrade
from jaxsr.files import networks as network_files
from jaxsr.files import torch as torch_files
from jaxsr.upscale import SMALLEST_TILE

BICUBIC = "bicubic"
SSIM_PX = 11  # side of the window that SSIM looks through

# [H, W, 3] uint8 and what to call with the share done, to [rH, rW, 3] uint8.
Enlarge = Callable[[np.ndarray, Callable[[float], object]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class UpscaleConfig:
    """Flags of launch/sr_upscale.py."""

    RUN_DIR: ClassVar[str] = "none"

    model: str = flag(
        "",
        "A network: RUN_DIR/networks/NAME.safetensors of launch/sr_zoo.py, the name of one that "
        "comes with jaxsr (edsr-A-x4-l1-s1; jaxsr.trained()), a published file (.pth, "
        ".safetensors, .npz) with --architecture and --scale, or bicubic.",
    )
    architecture: str = flag("", "Architecture of a published file, one of jaxsr.names().")
    scale: int | None = flag(
        None, "Upscaling factor of a published file or of bicubic.", lower=1, upper=16
    )
    input: str = flag("", "An image, or a folder of images.")
    output: str = flag(
        "",
        "A .png, or a folder for NAME_xSCALE.png, created if necessary; by default the current "
        "folder.",
    )
    overwrite: bool = flag(False, "Replace files that exist.")
    reference: str = flag("", "The expected image, to measure PSNR and SSIM against.")
    tile: int | None = flag(
        None,
        "Side of the tiles that are computed one after the other, in pixels of the input; by "
        "default chosen to fit into memory.",
        group="Computation",
        lower=SMALLEST_TILE,
    )
    self_ensemble: bool = flag(
        False,
        "Average over the eight symmetries of the square: eight times the work, 0.10 dB more "
        "with IMDN x4 on Set5.",
    )

    def __post_init__(self) -> None:
        """Refuse flags that do not go together.

        Raises:
            ValueError: naming the flags.
        """
        if not self.model:
            raise ValueError(
                "--model=FILE is missing: RUN_DIR/networks/NAME.safetensors, a published file, or "
                "bicubic."
            )
        if not self.input:
            raise ValueError("--input=PATH names a picture or a folder of pictures.")
        if self.model == BICUBIC and (self.architecture or self.scale is None):
            raise ValueError("--model=bicubic takes --scale, and no --architecture.")
        if self.architecture and self.scale is None:
            raise ValueError("--architecture and --scale belong together.")


def run(config: UpscaleConfig) -> Iterator[str]:
    """Upscale what --input names; yield a line for each image as it is done.

    Raises:
        InputError: for a network, a picture or an output that cannot be used; then nothing or
            only the pictures before it are written.
    """
    pictures = find_pictures(config.input)
    for path in pictures:
        picture_files.check(path)
    enlarge, scale = load_network(config)
    outputs = name_outputs(config, pictures, scale)
    truth = None
    if config.reference:
        if len(pictures) > 1:
            raise InputError(
                "--reference goes with one picture; --input names a folder of several."
            )
        truth = read_truth(Path(config.reference), pictures[0], scale)
    with progress_bar() as bar:
        task = bar.add_task("", total=len(pictures))
        for index, (path, output) in enumerate(zip(pictures, outputs, strict=True)):

            def advance(share: float, done: int = index) -> None:
                bar.update(task, completed=done + share)

            bar.update(task, description=path.name)
            picture = picture_files.read(path)
            low = picture.pixels
            note = f" ({', '.join(picture.notes)})" if picture.notes else ""
            start = time.monotonic()
            large = enlarge(low, advance)
            seconds = time.monotonic() - start
            write_png(output, large)
            sizes = " to ".join(f"{x.shape[1]} x {x.shape[0]}" for x in (low, large))
            yield f"{path}{note}: {sizes} pixels, {seconds:.1f} s, wrote {output}"
            if truth is not None:
                yield compare(large, bicubic(low, scale), truth, scale)


def progress_bar() -> Progress:
    """Show a bar on a terminal, nothing elsewhere; printed lines pass above it."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or console.is_dumb_terminal,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )


def find_pictures(text: str) -> list[Path]:
    """List the image that is named, or those directly in a folder, sorted by name.

    Raises:
        InputError: if there are none.
    """
    path = Path(text).expanduser()
    return list(picture_files.find(path, f"--input={path}")) if path.is_dir() else [path]


def load_network(config: UpscaleConfig) -> tuple[Enlarge, int]:
    """Load what enlarges, and its scale.

    Raises:
        InputError: if the network is missing, damaged, not known, or of another scale.
    """
    if config.model == BICUBIC:
        assert config.scale is not None
        scale = config.scale
        return lambda low, tell: bicubic(low, scale), scale
    path = network_files.find(config.model)
    if config.architecture:
        assert config.scale is not None
        scale = config.scale
        model = torch_files.load_published(path, config.architecture, scale)
    else:
        saved = network_files.read(path)
        model, scale = saved.build(), saved.scale
        if config.scale not in (None, scale):
            raise InputError(f"--scale={config.scale}: {path} is a network of scale {scale}.")

    def enlarge(low: np.ndarray, tell: Callable[[float], object]) -> np.ndarray:
        return jaxsr.upscale(
            model,
            low,
            tile=config.tile,
            self_ensemble=config.self_ensemble,
            on_progress=tell,
        )

    return enlarge, scale


def name_outputs(config: UpscaleConfig, pictures: list[Path], scale: int) -> list[Path]:
    """Name a file for each image; create the folder that --output names.

    Raises:
        InputError: if the place cannot be written to, if two would be one file, or if one is
            there already.
    """
    output = Path(config.output).expanduser()
    if output.suffix and not output.is_dir():
        if output.suffix.lower() != ".png":
            raise InputError(f"--output={output}: pictures are written as .png.")
        if Path(config.input).expanduser().is_dir():
            raise InputError(f"--output={output}: name a folder, as --input is one.")
        check_file(output, "--output")
        outputs = [output]
    else:
        make_folder(output, "--output")
        outputs = [output / f"{path.stem}_x{scale}.png" for path in pictures]
    inputs = {path.resolve() for path in [*pictures, Path(config.reference or config.input)]}
    for index, path in enumerate(outputs):
        if path in outputs[:index]:
            raise InputError(f"Two pictures would become {path}; rename one of them.")
        if path.resolve() in inputs:
            raise InputError(f"--output: {path} is read, and will not be written; name another.")
        if path.is_dir():
            raise InputError(f"--output: {path} is a folder; move it, or name another folder.")
        if path.exists() and not config.overwrite:
            raise InputError(f"--output: {path} is there already; --overwrite replaces it.")
    return outputs


def read_truth(path: Path, picture: Path, scale: int) -> np.ndarray:
    """Read [rH, rW, 3] uint8, cropped to a multiple of the scale.

    Raises:
        InputError: if it cannot be read, or is not the size of the enlarged picture.
    """
    truth = degrade.crop_to_multiple(picture_files.read(path).pixels, scale)
    wanted = tuple(scale * size for size in picture_files.read(picture).pixels.shape[:2])
    if truth.shape[:2] != wanted:
        raise InputError(
            f"--reference={path} is {truth.shape[1]} x {truth.shape[0]} pixels; {picture} becomes "
            f"{wanted[1]} x {wanted[0]} at scale {scale}."
        )
    if min(wanted) < 2 * scale + SSIM_PX:
        raise InputError(f"--reference={path} is too small to compare: {wanted[1]} x {wanted[0]}.")
    return truth


def bicubic(low: np.ndarray, scale: int) -> np.ndarray:
    """Map [H, W, 3] uint8 to [rH, rW, 3] uint8, by interpolation."""
    return photos.resized(low, scale * low.shape[0], scale * low.shape[1])


def compare(large: np.ndarray, interpolated: np.ndarray, truth: np.ndarray, scale: int) -> str:
    """Return PSNR and SSIM of the luma without a border of `scale` pixels, as papers do."""
    parts = []
    for name, pixels in (("", large), ("bicubic ", interpolated)):
        found = evaluation.compare(from_uint8(pixels), from_uint8(truth), crop_px=scale)
        psnr_db = decibels.text(float(found["psnr_y_db"]))
        parts.append(f"{name}PSNR-Y {psnr_db}, SSIM {found['ssim_y']:.4f}")
    return "  " + "; ".join(parts)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write [H, W, 3] uint8 to a file atomically."""
    write_atomically(path, png(pixels))
