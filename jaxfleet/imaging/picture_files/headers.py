"""Open a picture file and read its header; refuse it where the header is reason enough."""

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError, features

from jaxfleet.errors import InputError

MAX_PIXELS = 200_000_000
HEIF_ADVICE = "HEIC, which needs pillow-heif (pip install 'jaxfleet[heic]')"

# What Pillow may open; its other formats run programs, or hold something else than a picture.
_FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000"),
    *("AVIF", "HEIF"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_GREY = ("1", "L", "LA", "La", "I", "I;16", "F")
_BITS_TAG, _SUBFILE_TAG = 258, 254

# What Pillow raises for damaged files, depending on format and place of the damage.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error)

# Pillow's own limit is a global variable, which is lifted while a header is read.
_header_lock = threading.Lock()


@dataclass(frozen=True)
class PictureHeader:
    """The properties of a picture file that are known before any pixel is decoded.

    format: as Pillow calls it: "PNG", "JPEG", ...
    mode: Pillow's, of the pixels as they are stored: "RGB", "L", "P", "CMYK", ...
    bits: per channel in the file.
    frames: pictures in the file; 1 unless it is animated or has several pages.
    width, height: pixels, as stored.
    """

    format: str
    mode: str
    bits: int
    frames: int
    width: int
    height: int

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel beside an alpha channel."""
        return self.mode in _GREY


def check(path: Path) -> PictureHeader:
    """Return what a file says of its picture, without decoding the pixels.

    Raises:
        InputError: as `read`, as far as the header tells.
    """
    data = bytes_of(path)
    with opened_file(data, f"'{path}'") as opened:
        return checked_header(opened, data, f"'{path}'")


def bytes_of(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: naming the file, if there is none or it cannot be read.
    """
    try:
        return path.expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # missing, unknown ~user, null byte
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"'{path}' cannot be read ({reason}). Name another file.") from None


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turn what Pillow raises into one line about the file."""
    try:
        yield
    except InputError:
        raise
    except _DECODE_ERRORS as error:
        text = " ".join(str(error).split())[:300]
        raise InputError(
            f"{name} cannot be read ({type(error).__name__}: {text}). Replace it by a whole file."
        ) from error


@contextmanager
def opened_file(data: bytes, name: str) -> Iterator[Image.Image]:
    """Give the file with its header read, and none of its pixels.

    Raises:
        InputError: if it is no picture, or of a format that needs a package.
    """
    if not data:
        raise InputError(f"{name} is empty. Replace it by a whole file.")
    _check_container(data, name)
    with told(name):
        try:
            opened = _open(data)
        except UnidentifiedImageError as error:
            raise InputError(f"{name} {_not_a_picture(data)}") from error
    with opened:
        yield opened


def _open(data: bytes) -> Image.Image:
    with _header_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _formats() -> tuple[str, ...]:
    """Return the formats that this installation reads."""
    has_heif()  # registers it
    Image.init()
    return tuple(format for format in _FORMATS if format in Image.OPEN)


def has_heif() -> bool:
    """Return whether HEIC files can be read, which takes pillow-heif."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _check_container(data: bytes, name: str) -> None:
    """Refuse a format that another package would read, naming that."""
    if data[4:8] != b"ftyp":
        return
    size = int.from_bytes(data[:4], "big")
    brands = {data[8:12], *(data[k : k + 4] for k in range(16, min(size, 64), 4))}
    if brands & set(_AVIF_BRANDS):
        if not features.check("avif"):
            raise InputError(f"{name} is AVIF, which needs a newer Pillow: pip install -U pillow")
    elif brands & set(_HEIF_BRANDS) and not has_heif():
        raise InputError(f"{name} is {HEIF_ADVICE}.")


def _not_a_picture(data: bytes) -> str:
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return (
            "is a TIFF with samples that Pillow does not read, such as floats of several channels. "
            "Save it as PNG of 8 or 16 bits."
        )
    kinds = ", ".join(kind for kind in _formats() if kind not in ("MPO", "DIB"))
    return f"is not a picture that Pillow knows ({kinds}). Remove it, or save it as PNG."


def checked_header(opened: Image.Image, data: bytes, name: str) -> PictureHeader:
    """Return what an opened file says of its picture.

    Raises:
        InputError: if that is a reason not to decode it.
    """
    with told(name):
        header = _header(opened, data)
    pixels = header.width * header.height
    pages = "pages" if header.format == "TIFF" else "frames"
    raw = "".join(_raw_modes(opened))
    tiff_bits = tiff_tag(opened, _BITS_TAG, (8,))
    signed = "16S" in raw or "32S" in raw
    refusals = (
        (
            pixels > MAX_PIXELS,
            f"{header.width} x {header.height} pixels, above the limit of "
            f"{MAX_PIXELS // 1_000_000} million. Cut or shrink it first",
        ),
        (header.frames > 1, f"{header.frames} {pages}. Save the one that is meant as PNG"),
        (
            header.mode == "F",
            "floats, and the file does not say which value is white. Save it as PNG of 8 or "
            "16 bits",
        ),
        (
            signed or header.bits > 16,
            f"{'signed' if signed else f'{header.bits}-bit'} integers, and the file does not say "
            "which value is white. Save it as PNG of 8 or 16 bits",
        ),
        (
            max(tiff_bits) > 8 and header.bits == 8,
            f"{max(tiff_bits)} bits in planes that lie apart. Save it as PNG of 16 bits",
        ),
        (
            header.bits == 16
            and ("LA;" in raw or header.mode == "RGBa" or "transparency" in opened.info),
            "16 bits with transparency of a kind that Pillow cuts to 8. Flatten it first",
        ),
        (
            header.format == "JPEG2000" and header.bits > 8 and not header.mode.startswith("I"),
            f"{header.bits} bits, which Pillow cuts to 8. Save it as PNG of 16 bits",
        ),
    )
    for refused, why in refusals:
        if refused:
            raise InputError(f"{name} holds {why}.")
    return header


def _header(opened: Image.Image, data: bytes) -> PictureHeader:
    kind = str(opened.format)
    width, height = opened.size
    frames = getattr(opened, "n_frames", 1)
    if kind in ("MPO", "HEIF"):  # the others are views or depths of the first, or more photographs
        frames = 1
    elif kind == "TIFF" and frames > 1:
        frames = _full_pages(opened, frames)
    return PictureHeader(kind, opened.mode, _bits(opened, data), frames, width, height)


def _bits(opened: Image.Image, data: bytes) -> int:
    """Return the bits per channel in the file."""
    raw = "".join(_raw_modes(opened))
    if opened.format == "JPEG2000":
        start = data.find(b"\xff\x4f\xff\x51")  # Ssiz lies 42 bytes behind
        return (data[start + 42] & 0x7F) + 1 if 0 <= start < len(data) - 42 else 8
    if opened.mode == "F":
        return 32
    if opened.format == "PPM":
        return 16 if opened.mode == "I" else 8
    if opened.mode.startswith("I;16"):
        return int(tiff_tag(opened, _BITS_TAG, (16,))[0])
    if opened.mode == "I":
        return 16 if ";16" in raw else 32
    return 16 if ";16" in raw else 8


def _raw_modes(opened: Image.Image) -> list[str]:
    """Return how Pillow's decoder is told the samples lie in the file."""
    found = []
    for tile in getattr(opened, "tile", ()):
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        found += [args[0]] if args and isinstance(args[0], str) else []
    return found


def tiff_tag(opened: Image.Image, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    """Return a tag of a TIFF; the default where there is none, or the file is no TIFF."""
    tags = getattr(opened, "tag_v2", None) or {}
    value = tags.get(tag, default)
    return value if isinstance(value, tuple) else (value,)


def _full_pages(opened: Image.Image, frames: int) -> int:
    """Return the pages of a TIFF, without reduced versions of another page."""
    full = 0
    for index in range(frames):
        opened.seek(index)
        full += not tiff_tag(opened, _SUBFILE_TAG, (0,))[0] & 1
    opened.seek(0)
    return full
