"""Turn picture files into 8-bit RGB."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from jaxfleet.errors import InputError
from jaxfleet.imaging.picture_files import profiles
from jaxfleet.imaging.picture_files.headers import (
    PictureHeader,
    bytes_of,
    checked_header,
    opened_file,
    tiff_tag,
    told,
)
from jaxfleet.imaging.pixels import reduced_to_uint8

GREY_NOTE = "grey as colour"

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC_TAG = 262


@dataclass(frozen=True)
class Picture:
    """A picture file as 8-bit RGB.

    pixels: [H, W, 3] uint8, red, green, blue; upright.
    header: what the file said of itself.
    is_transparent: whether an alpha channel hid something, which now lies on white.
    notes: what was converted, one phrase each; none where the pixels are as they were stored.
    """

    pixels: np.ndarray
    header: PictureHeader
    is_transparent: bool
    notes: tuple[str, ...]


def read(path: Path) -> Picture:
    """Read one picture file.

    Raises:
        InputError: as `decode`, and if there is no such file.
    """
    return decode(bytes_of(path), f"'{path}'")


def decode(data: bytes, name: str, *, convert_profile: bool = True) -> Picture:
    """Turn the bytes of a picture file into 8-bit RGB.

    The picture is set upright by its EXIF orientation. An ICC profile that is not sRGB is
    converted to sRGB. 16 bits per channel are rounded to 8. Grey, palettes and CMYK become RGB.
    Transparency is laid on white.

    Args:
        data: the whole file.
        name: what messages call it.
        convert_profile: False leaves the colour values as they are stored, whatever the ICC profile
            says they mean; the note says so.

    Returns:
        The picture, with a note for each conversion.

    Raises:
        InputError: one line that names the file: not a picture, of a format that needs a package,
            damaged, above `MAX_PIXELS`, with several frames, or with values whose white is unknown
            (float, signed or 32-bit integers).
    """
    with opened_file(data, name) as opened, told(name):
        header = checked_header(opened, data, name)
        picture, notes = _upright(opened)
        if header.bits > 8:
            picture = _to_8_bits(picture, data, header, name)
            notes.append(f"{header.bits} bits taken as 8")
        if header.is_grey:
            notes.append(GREY_NOTE)
        elif header.mode not in ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA"):
            notes.append(f"{header.mode} as red, green, blue")
        alpha = None
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            alpha = picture.getchannel("A")
        profile = opened.info.get("icc_profile")
        if profile:
            picture, note = profiles.to_srgb(picture, profile, convert=convert_profile)
            notes += [note] if note else []
        if picture.mode != "RGB":  # else Pillow would copy it
            picture = picture.convert("RGB")
        is_transparent = alpha is not None and np.asarray(alpha).min() < 255
        if alpha is not None and is_transparent:
            white = Image.new("RGB", picture.size, "white")
            picture = Image.composite(picture, white, alpha)
            notes.append("transparency laid on white")
        elif alpha is not None:
            notes.append("the alpha channel, opaque throughout, is left out")
        return Picture(np.asarray(picture), header, is_transparent, tuple(notes))


def text_of(path: Path, key: str) -> str:
    """Return a text that a picture file carries beside its pixels; empty if it has none."""
    try:
        with opened_file(bytes_of(path), f"'{path}'") as opened:
            return str(opened.info.get(key, ""))
    except InputError:
        return ""


def _upright(opened: Image.Image) -> tuple[Image.Image, list[str]]:
    """Return the decoded image, turned as its EXIF says, and a note if the EXIF is damaged."""
    opened.load()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of some damage
            orientation = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF raises anything, and hides no pixel
        return opened, ["damaged EXIF ignored"]
    turn = _TURNS.get(orientation)
    return (opened if turn is None else opened.transpose(turn)), []


def _to_8_bits(picture: Image.Image, data: bytes, header: PictureHeader, name: str) -> Image.Image:
    """Convert an image to 8 bits; where Pillow keeps only the upper bytes, read the lower too."""
    values = np.asarray(picture)
    peak = (1 << header.bits) - 1
    if header.format == "PPM" or header.format == "JPEG2000":  # stretched to 16 bits by Pillow
        peak = 65535
    if not header.is_grey:
        with opened_file(data, name) as again:
            assert isinstance(again, ImageFile.ImageFile)
            again.tile = [tile._replace(args=_lower_bytes(tile.args)) for tile in again.tile]
            lower = np.asarray(_upright(again)[0])
        values = (values.astype(np.uint16) << 8) | lower
    elif tiff_tag(picture, _PHOTOMETRIC_TAG, (1,))[0] == 0:  # 0 is white
        values = peak - values.astype(np.int32)
    small = reduced_to_uint8(values, peak)
    return Image.fromarray(small) if small.ndim == 2 else _same_mode(small, picture.mode)


def _same_mode(values: np.ndarray, mode: str) -> Image.Image:
    """Four channels may be RGBA, RGBX or CMYK, which an array does not say."""
    return Image.frombytes(mode, values.shape[1::-1], values.tobytes())


def _lower_bytes(args: Any) -> Any:
    """Return decoder arguments that take the other byte of each 16-bit sample."""
    if isinstance(args, tuple):
        return (_lower_bytes(args[0]), *args[1:])
    model, _, order = str(args).partition(";16")
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    return f"{model};16{'L' if order == 'B' else 'B'}"
