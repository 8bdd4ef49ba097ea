"""Picture files of all kinds, and what becomes of each."""

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image

from jaxfleet.imaging import picture_files
from tests.launch.odd_files import (
    ALPHA,
    DEEP,
    GREY,
    GREY_1_8,
    GREY_RGB,
    ON_WHITE,
    P3,
    P3_AS_SRGB,
    P3_NOTE,
    P3_TO_XYZ,
    RGB,
    RNG,
    SRGB,
    SRGB_TO_XYZ,
    encoded,
    exif,
    frames,
    from_linear,
    heic,
    linear,
    paged,
    png16,
    rounded,
    tiff,
    tiff12,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A file, and what becomes of it.

    what: in words, for the table.
    make: bytes of the file, or a function that makes them.
    pixels: expected, [H, W, 3]; None where it is refused.
    notes: what was converted.
    refused: the end of the message, behind the name of the file.
    codec, identify: what siren_codec and sr_identify say where they differ: words of a refusal.
    within: levels.
    """

    what: str
    make: bytes | Callable[[], bytes]
    pixels: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    refused: str = ""
    codec: str = ""
    identify: str = ""
    within: float = 0

    @property
    def data(self):
        return self.make if isinstance(self.make, bytes) else self.make()

    @property
    def outcome(self):
        if self.refused:
            return f"refused: {self.refused}"
        return f"converted: {'; '.join(self.notes)}" if self.notes else "read"


def refused(what, make, why):
    return Case(what, make, refused=why)


GREY_NOTE, WHITE = picture_files.GREY_NOTE, "transparency laid on white"
OPAQUE, DEEP_NOTE = "the alpha channel, opaque throughout, is left out", "16 bits taken as 8"
NO_BILEVEL, NO_DEEP, NO_PALETTE = (
    "black and white without grey;",
    "more than 8 bits",
    "colours of a palette",
)
NO_WHITE = "and the file does not say which value is white. Save it as PNG of 8 or 16 bits."
DEEP_CODEC = "has more than 8 bits per channel"
OPEN_CODEC = "is transparent, which is not kept"
OPEN_IDENTIFY = "transparent in places"
UNKNOWN = (
    "is not a picture that Pillow knows (PNG, JPEG, WEBP, BMP, GIF, TIFF, PPM, JPEG2000, AVIF, "
    "HEIF). Remove it, or save it as PNG."
)
TIFF_UNKNOWN = (
    "is a TIFF with samples that Pillow does not read, such as floats of several channels. Save it "
    "as PNG of 8 or 16 bits."
)
BLACK = Image.fromarray(np.where(GREY > 127, np.uint8(255), np.uint8(0)))
BILEVEL = np.stack([np.asarray(BLACK)] * 3, axis=-1)
PALETTE = Image.fromarray(RGB).quantize(16)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
CMYK = Image.fromarray(RNG.integers(0, 256, (16, 24, 4), dtype=np.uint8), "CMYK")
CMYK_RGB = np.asarray(CMYK.convert("RGB"))
SMOOTH = np.broadcast_to(np.linspace(40, 200, 24).round().astype(np.uint8)[:, None], (16, 24, 3))
RGBA, OPEN = (np.dstack([RGB, alpha]) for alpha in (np.full_like(ALPHA, 255), ALPHA))
DEEP_RGB, DEEP_GREY = rounded(DEEP, 65535), np.stack([rounded(DEEP[..., 0], 65535)] * 3, axis=-1)
INVERTED = tiff(DEEP[..., 0], photometric="miniswhite")
TWELVE = DEEP[..., 0] >> 4

CASES = (
    Case("PNG, BMP, PPM of 8-bit RGB", encoded(RGB), RGB),
    Case("PNG under the name of another format", encoded(RGB), RGB),
    Case("JPEG", encoded(SMOOTH, "JPEG", quality=95), SMOOTH, within=4),
    Case(
        "JPEG of several pictures (MPO): the first",
        frames("MPO", SMOOTH, quality=95),
        SMOOTH,
        within=4,
    ),
    Case("WebP", encoded(RGB, "WEBP", lossless=True), RGB),
    Case("JPEG 2000 of 8 bits", encoded(RGB, "JPEG2000"), RGB),
    Case("AVIF", lambda: encoded(SMOOTH, "AVIF", quality=95), SMOOTH, within=4),
    Case("HEIC, with the extra `heic`", lambda: heic(SMOOTH), SMOOTH, within=4),
    Case("TIFF, plain or compressed", encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    Case("TIFF with a thumbnail as second page", lambda: paged(1), RGB),
    Case("turned by EXIF", encoded(RGB, exif=exif(6)), np.rot90(RGB, -1)),
    Case("turned by a tag of TIFF", encoded(RGB, "TIFF", exif=exif(6)), np.rot90(RGB, -1)),
    Case(
        "damaged EXIF",
        encoded(RGB, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        RGB,
        ("damaged EXIF ignored",),
    ),
    Case("ICC profile that is sRGB", encoded(RGB, icc_profile=SRGB), RGB),
    Case(
        "ICC profile Display P3",
        encoded(RGB, icc_profile=P3),
        P3_AS_SRGB,
        (P3_NOTE,),
        within=2,
    ),
    Case(
        "HEIC with the profile Display P3",
        lambda: heic(SMOOTH, icc_profile=P3),
        from_linear(linear(SMOOTH) @ P3_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T),
        (P3_NOTE,),
        within=6,
    ),
    Case(
        "grey with an ICC profile",
        encoded(GREY, icc_profile=GREY_1_8),
        np.repeat(from_linear((GREY[..., None] / 255) ** 1.8), 3, axis=-1),
        (GREY_NOTE, "colours of the ICC profile Grey of gamma 1.8 converted to sRGB"),
        within=2,
    ),
    Case(
        "ICC profile of another colour model",
        encoded(RGB, icc_profile=GREY_1_8),
        RGB,
        ("ICC profile Grey of gamma 1.8 ignored, which is for GRAY pixels",),
    ),
    Case(
        "damaged ICC profile",
        encoded(RGB, icc_profile=P3[:200]),
        RGB,
        ("damaged ICC profile ignored",),
    ),
    Case("grey", encoded(GREY), GREY_RGB, (GREY_NOTE,)),
    Case("black and white", encoded(BLACK, mode="1"), BILEVEL, (GREY_NOTE,), identify=NO_BILEVEL),
    Case("palette", encoded(PALETTE), PALETTE_RGB, identify=NO_PALETTE),
    Case("GIF of one frame", encoded(PALETTE, "GIF"), PALETTE_RGB, identify=NO_PALETTE),
    Case(
        "palette with a transparent colour",
        encoded(PALETTE, transparency=3),
        np.where(np.asarray(PALETTE)[..., None] == 3, 255, PALETTE_RGB),
        (WHITE,),
        codec=OPEN_CODEC,
        identify=NO_PALETTE,
    ),
    Case("alpha that hides nothing", encoded(RGBA), RGB, (OPAQUE,)),
    Case(
        "alpha that hides something",
        encoded(OPEN),
        ON_WHITE,
        (WHITE,),
        codec=OPEN_CODEC,
        identify=OPEN_IDENTIFY,
    ),
    Case(
        "CMYK without a profile",
        encoded(CMYK, "TIFF"),
        CMYK_RGB,
        ("CMYK as red, green, blue",),
        identify="CMYK and not red, green, blue",
    ),
    *(
        Case(
            f"16-bit RGB, {what}", data, DEEP_RGB, (DEEP_NOTE,), codec=DEEP_CODEC, identify=NO_DEEP
        )
        for what, data in (
            ("PNG", png16(DEEP, 2)),
            ("TIFF of either byte order", tiff(DEEP, byteorder=">")),
            ("TIFF compressed", tiff(DEEP, compression="zlib")),
        )
    ),
    Case(
        "16-bit RGB with alpha",
        png16(np.dstack([DEEP, ALPHA.astype(np.uint16) * 257]), 6),
        np.where(ALPHA[..., None] == 0, 255, DEEP_RGB),
        (DEEP_NOTE, WHITE),
        codec=DEEP_CODEC,
        identify=NO_DEEP,
    ),
    *(
        Case(
            f"16-bit grey, {what}",
            data,
            pixels,
            (DEEP_NOTE, GREY_NOTE),
            codec=DEEP_CODEC,
            identify=NO_DEEP,
        )
        for what, data, pixels in (
            ("PNG", encoded(DEEP[..., 0]), DEEP_GREY),
            ("TIFF", tiff(DEEP[..., 0]), DEEP_GREY),
            (
                "TIFF where 0 is white",
                tiff(DEEP[..., 0], photometric="miniswhite"),
                255 - DEEP_GREY,
            ),
            ("PGM", b"P5 24 16 65535\n" + DEEP[..., 0].astype(">u2").tobytes(), DEEP_GREY),
        )
    ),
    Case(
        "12-bit grey, TIFF",
        tiff12(TWELVE),
        np.stack([rounded(TWELVE, 4095)] * 3, axis=-1),
        ("12 bits taken as 8", GREY_NOTE),
        codec=DEEP_CODEC,
        identify=NO_DEEP,
    ),
    refused(
        "16-bit grey with alpha",
        png16(DEEP[..., :2], 4),
        "holds 16 bits with transparency of a kind that Pillow cuts to 8. Flatten it first.",
    ),
    refused(
        "16-bit TIFF, colours in planes",
        lambda: tiff(np.moveaxis(DEEP, -1, 0), planarconfig="separate"),
        "holds 16 bits in planes that lie apart. Save it as PNG of 16 bits.",
    ),
    refused("float TIFF", tiff(GREY / np.float32(255)), f"holds floats, {NO_WHITE}"),
    refused("float RGB TIFF, half precision", tiff(RGB / np.float32(255)), TIFF_UNKNOWN),
    refused("int32 TIFF", tiff(GREY.astype(np.int32)), f"holds signed integers, {NO_WHITE}"),
    refused("uint32 TIFF", tiff(GREY.astype(np.uint32)), f"holds 32-bit integers, {NO_WHITE}"),
    refused("int16 TIFF", tiff(GREY.astype(np.int16)), f"holds signed integers, {NO_WHITE}"),
    *(
        refused(f"animated {name}", data, "holds 2 frames. Save the one that is meant as PNG.")
        for name, data in (
            ("PNG", frames("PNG")),
            ("WebP", frames("WEBP")),
            ("GIF", frames("GIF")),
        )
    ),
    refused(
        "TIFF of several pages",
        lambda: paged(0),
        "holds 2 pages. Save the one that is meant as PNG.",
    ),
    refused(
        "above 200 megapixels",
        png16(DEEP, 2, size=(10_000, 20_001)),
        "holds 20001 x 10000 pixels, above the limit of 200 million. Cut or shrink it first.",
    ),
    refused("empty file", b"", "is empty. Replace it by a whole file."),
    refused("text, PDF, PSD, SVG, raw of cameras, ...", b"%PDF-1.7\n", UNKNOWN),
    refused("PostScript, which would be a program to run", b"%!PS-Adobe-3.0 EPSF-3.0\n", UNKNOWN),
    refused(
        "file cut short",
        encoded(RGB)[:-400],
        "cannot be read (OSError: image file is truncated). Replace it by a whole file.",
    ),
)
