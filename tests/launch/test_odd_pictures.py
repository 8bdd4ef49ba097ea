"""Picture files of all kinds, made here, and what becomes of each: the table of the docs."""

import dataclasses
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features

from experiments.gallery import identify as gallery_identify
from experiments.siren import codec as siren_codec
from jaxfleet import picture_files
from jaxfleet.errors import InputError
from jaxfleet.picture_files import headers

pillow_heif = pytest.importorskip("pillow_heif")

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
GREY = RGB[..., 0]
GREY_RGB = np.stack([GREY] * 3, axis=-1)
DEEP = RNG.integers(0, 65536, (16, 24, 3)).astype(np.uint16)
ALPHA = np.zeros((16, 24), np.uint8)
ALPHA[:, 8:] = 255
ON_WHITE = np.where(ALPHA[..., None] == 0, 255, RGB)


def rounded(values, peak):
    return np.floor(values.astype(float) * 255 / peak + 0.5)


# ---------------------------------------------------------------------------- files by hand


def encoded(pixels, kind="PNG", mode=None, **options):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png16(pixels, colours, size=None):
    """PNG of 16 bits per channel, which Pillow writes for grey only."""
    height, width = size or pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(pixels, **options):
    buffer = io.BytesIO()
    options = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack"} | options
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def tiff12(values):
    """Grey TIFF of 12 bits: two pixels in three bytes."""
    a, b = values[:, ::2].astype(int), values[:, 1::2].astype(int)
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1).astype(np.uint8).tobytes()
    height, width = values.shape
    shorts = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 277: 1, 278: height}
    longs = {273: 8, 279: len(packed)}
    entries = [(tag, struct.pack("<HHIHH", tag, 3, 1, value, 0)) for tag, value in shorts.items()]
    entries += [(tag, struct.pack("<HHII", tag, 4, 1, value)) for tag, value in longs.items()]
    directory = b"".join(entry for _, entry in sorted(entries))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(packed))
    return head + packed + struct.pack("<H", len(entries)) + directory + bytes(4)


def frames(kind, pixels=RGB, **options):
    more = [Image.fromarray(RGB[::-1])]
    return encoded(pixels, kind, save_all=True, append_images=more, **options)


def heic(pixels, **options):
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=-1, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


# ---------------------------------------------------------------------------- colour by hand

# Columns: the D50 colorants of red, green and blue, as the profiles of the two spaces give them.
P3_TO_XYZ = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB_TO_XYZ = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


def linear(values):
    x = values / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def from_linear(x):
    x = np.clip(x, 0, 1)
    return 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(name, columns=None, gamma=None):
    """ICC profile of version 4: three colorants with the curve of sRGB, or grey with a gamma."""
    text = name.encode("utf-16-be")
    described = struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(text), 28) + text
    xyz = b"XYZ " + bytes(4)
    curve = b"para" + bytes(4)
    white = (0.9642, 1.0, 0.8249)
    tags = {b"desc": described, b"cprt": described, b"wtpt": xyz + fixed(*white)}
    if columns is None:
        tags[b"kTRC"] = curve + struct.pack(">HH", 0, 0) + fixed(gamma)
    else:
        steps = curve + struct.pack(">HH", 3, 0)
        steps += fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        for letter, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
            tags |= {letter + b"TRC": steps, letter + b"XYZ": xyz + fixed(*column)}
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"GRAY" if columns is None else b"RGB "
    head = struct.pack(">I4sI", start + len(body), b"", 0x04300000) + b"mntr" + space + b"XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*white) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


P3 = profile("Display P3", P3_TO_XYZ)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_1_8 = profile("Grey of gamma 1.8", gamma=1.8)
P3_AS_SRGB = from_linear(linear(RGB) @ P3_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T)
P3_NOTE = "colours of the ICC profile Display P3 converted to sRGB"


# ---------------------------------------------------------------------------- the list


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
NO_GREY, NO_DEEP, NO_PALETTE = "grey;", "more than 8 bits", "colours of a palette"
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
        identify=NO_GREY,
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
    Case("grey", encoded(GREY), GREY_RGB, (GREY_NOTE,), identify=NO_GREY),
    Case("black and white", encoded(BLACK, mode="1"), BILEVEL, (GREY_NOTE,), identify=NO_GREY),
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


def paged(subfile):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=subfile)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path):
    """Writes bytes to `it.png`, whatever they are."""

    def write(data):
        (tmp_path / "it.png").write_bytes(data)
        return tmp_path / "it.png"

    return write


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_each_kind(case, file):
    path = file(case.data)
    if case.refused:
        for read in (picture_files.read, siren_codec.read_picture, gallery_identify.read_picture):
            with pytest.raises(InputError) as caught:
                read(path)
            assert str(caught.value) == f"'{path}' {case.refused}"
        return
    picture = picture_files.read(path)
    assert picture.notes == case.notes
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == case.pixels.shape
    assert np.abs(picture.pixels - np.asarray(case.pixels, float)).max() <= case.within + 1e-9
    for read, why in (
        (siren_codec.read_picture, case.codec),
        (gallery_identify.read_picture, case.identify),
    ):
        if why:
            with pytest.raises(InputError, match="it.png") as caught:
                read(path)
            assert why in str(caught.value)
        else:
            assert read(path)[0].shape[:2] == case.pixels.shape[:2]


def test_the_table_of_the_docs(documented):
    rows = [
        (
            case.what,
            case.outcome,
            *(f"refused: {why.rstrip(';')}" if why else "" for why in (case.codec, case.identify)),
        )
        for case in CASES
    ]
    documented("Picture files", ("Picture", "Outcome", "`siren_codec`", "`sr_identify`"), rows)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(orientation):
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: RGB[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(RGB),
    }[orientation]
    for data in (
        encoded(RGB, exif=exif(orientation)),
        encoded(RGB, "TIFF", exif=exif(orientation)),
    ):
        np.testing.assert_array_equal(picture_files.decode(data, "it").pixels, turned)


def test_identify_keeps_the_colours_that_the_network_wrote(file):
    pixels, note = gallery_identify.read_picture(file(encoded(RGB, icc_profile=P3)))
    np.testing.assert_array_equal(pixels, RGB)
    assert note == "colours of the ICC profile Display P3 left as they are"


@pytest.mark.parametrize(
    ("data", "is_lossy"),
    [
        (encoded(RGB), False),
        (encoded(RGB, "JPEG"), True),
        (encoded(RGB, "WEBP", lossless=True), False),
        (encoded(RGB, "WEBP", lossless=True, icc_profile=P3), False),
        (encoded(RGB, "WEBP", icc_profile=P3), True),
    ],
)
def test_what_was_compressed_with_loss(data, is_lossy):
    assert picture_files.decode(data, "it").header.is_lossy is is_lossy


def test_grey_stays_grey_in_the_codec(file):
    pixels, notes = siren_codec.read_picture(file(encoded(GREY, icc_profile=GREY_1_8)))
    assert pixels.ndim == 2
    assert len(notes) == 1
    assert "Grey of gamma 1.8 converted to sRGB" in notes[0]


def test_the_limit_is_ours_and_not_that_of_pillow(file, monkeypatch):
    large = png16(DEEP, 2, size=(10_000, 20_000))  # twice what Pillow lets pass
    header = picture_files.check(file(large))
    assert header.width * header.height == picture_files.MAX_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(picture_files.decode(encoded(RGB), "it").pixels, RGB)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_formats_that_need_a_package_are_named(file, monkeypatch):
    heic_data, avif_data = heic(RGB), encoded(RGB, "AVIF")
    monkeypatch.setattr(headers, "has_heif", lambda: False)
    with pytest.raises(InputError, match=r"is HEIC, which needs pillow-heif .pip install 'jaxf"):
        picture_files.read(file(heic_data))
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(InputError, match="is AVIF, which needs a newer Pillow: pip install -U"):
        picture_files.read(file(avif_data))


def test_a_file_that_is_not_there(tmp_path):
    for path, why in ((tmp_path / "no.png", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=f"'{path}' cannot be read .{why}"):
            picture_files.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        picture_files.read(Path("~nobody_here/x.png"))


def test_text_beside_the_pixels(file, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("origin", "a network")
    path = file(encoded(RGB, pnginfo=info))
    assert picture_files.text_of(path, "origin") == "a network"
    assert picture_files.text_of(path, "other") == ""
    assert picture_files.text_of(tmp_path / "none.png", "origin") == ""
