"""Picture files with odd contents, written by hand."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

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
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(buffer, quality=-1, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def paged(subfile):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=subfile)
    return buffer.getvalue()


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
