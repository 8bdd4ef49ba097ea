"""Convert the colours of a picture from its ICC profile to sRGB. Pure; no disk."""

import io

import numpy as np
from PIL import Image, ImageCms

# A profile that moves no colour of a grid by more is sRGB under another name: rounding of its
# curves, for which the pixels are better left alone.
_SAME_LEVELS = 2
_GRID = 9


def to_srgb(
    picture: Image.Image, profile: bytes, *, convert: bool = True
) -> tuple[Image.Image, str]:
    """Return the picture in sRGB, and what was done, in words.

    Colours go by relative colorimetry with black point compensation. A picture whose profile is
    sRGB, under whatever name, keeps its pixels and has no note.

    Args:
        picture: 8 bits per channel: grey, RGB or CMYK, or with an alpha channel, which is dropped
            where colours are converted.
        profile: the ICC profile as it lies in the file.
        convert: False keeps the pixels and says only what they mean.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        name = " ".join((source.profile.profile_description or "without a name").split())
        base = _base(picture, space)
        if base is None:
            return picture, f"ICC profile {name} ignored, which is for {space} pixels"
        transform = _transform(source, base.mode)
        if base.mode != "CMYK" and _is_identity(transform, base.mode):
            return picture, ""
        if not convert:
            return picture, f"colours of the ICC profile {name} left as they are"
        converted = ImageCms.applyTransform(base, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture, "damaged ICC profile ignored"
    assert converted is not None
    return converted, f"colours of the ICC profile {name} converted to sRGB"


def _base(picture: Image.Image, space: str) -> Image.Image | None:
    """Return the image in the colour model of the profile; None if it is of another."""
    is_grey = picture.mode in ("1", "L", "LA", "La")
    if space == "GRAY":
        is_grey = is_grey or _has_equal_channels(picture)
        return picture.convert("L") if is_grey else None
    if space == "RGB":
        return None if picture.mode == "CMYK" else picture.convert("RGB")
    return picture if space == picture.mode == "CMYK" else None


def _has_equal_channels(picture: Image.Image) -> bool:
    """Return whether an RGB picture is a grey one, which an alpha channel made RGBA."""
    if picture.mode != "RGBA":
        return False
    pixels = np.asarray(picture)
    return bool(np.all(pixels[..., :2] == pixels[..., 2:3]))


def _transform(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    if mode == "L":
        grid = np.arange(256, dtype=np.uint8)[None]
    else:
        steps = np.linspace(0, 255, _GRID).round().astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    before = Image.fromarray(grid)
    after = ImageCms.applyTransform(before, transform)
    assert after is not None
    moved = np.asarray(after).astype(int) - np.asarray(before.convert("RGB"))
    return bool(np.abs(moved).max() <= _SAME_LEVELS)
