"""What happens to pictures on their way: compression, other sizes, blur, noise, crops, chains.

A perturbation is written `KIND:STRENGTH`, and what is done one after the other is joined by `+`,
as in `resize:0.5+jpeg:75`:

    none            nothing
    jpeg:Q          JPEG of quality Q, 1 to 100, colour at half resolution (4:2:0)
    jpeg444:Q       the same, colour at full resolution
    webp:Q          lossy WebP of quality Q, 1 to 100
    resize:F        F times the size, antialiased bicubic, and left so
    rescale:F       F times the size and back to the old one, both antialiased bicubic
    blur:S          Gaussian of standard deviation S pixels
    noise:S         Gaussian noise of standard deviation S steps of 8 bits, each value its own
    crop:F          F of the height and of the width, from a place drawn at random
    sharpen:A       A times what a Gaussian blur of 1 pixel takes away is added
    screenshot:F    shown at F times the size and sharpened by the viewer, as unsharp masks do: half
                    of what a Gaussian blur of 1 pixel takes away is added; lossless

Every step takes and gives 8-bit pixels, as files between programs do. Borders are mirrored.

Letters: H rows and W columns of what comes in, h and w of what comes out. Pure; no disk: the files
of codecs are made in memory.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jaxfleet.errors import InputError
from jaxfleet.imaging import codecs, photos
from jaxfleet.imaging.pixels import from_uint8, to_uint8

NONE = "none"
SHARPENING = 0.5  # of a screenshot
SHARPENING_PX = 1.0

_Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class PerturbationKind:
    """A kind of change.

    Attributes:
        change: picture [H, W, 3] uint8, strength and generator -> [h, w, 3] uint8.
        low: the least strength.
        high: the greatest.
        said: what it is, for the heading of a figure.
        unit: what the strength counts, for an axis.
        is_whole: whether the strength is a whole number.
    """

    change: _Change
    low: float
    high: float
    said: str
    unit: str
    is_whole: bool = False


@dataclass(frozen=True)
class Step:
    """One change of a chain: its kind and its strength."""

    kind: str
    strength: float

    @property
    def name(self) -> str:
        """The text of the step, as `parse` reads it."""
        return f"{self.kind}:{np.format_float_positional(self.strength, trim='-')}"


@dataclass(frozen=True)
class Perturbation:
    """Changes one after the other; get it from `parse`."""

    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The text, as `parse` reads it; the same for the same changes."""
        return "+".join(step.name for step in self.steps) or NONE

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply the perturbation to an image.

        Args:
            picture: [H, W, 3] uint8.
            rng: what noise and places are drawn from.

        Returns:
            [h, w, 3] uint8.

        Raises:
            ValueError: if the picture is not [H, W, 3] uint8.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"`picture` must be [H, W, 3] uint8; got {picture.shape} {picture.dtype}."
            )
        for step in self.steps:
            picture = KINDS[step.kind].change(picture, step.strength, rng)
        return picture


def parse(text: str) -> Perturbation:
    """Parse a perturbation, in the notation of the module's docstring.

    Raises:
        InputError: for an unknown kind, and a strength that is missing, no number or out of range.
    """
    if text.strip() == NONE:
        return Perturbation(())
    return Perturbation(tuple(_parse_step(part, text) for part in text.split("+")))


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on a seed and on names, such as those of a picture."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


def draw_state(rng: np.random.Generator) -> Perturbation:
    """Draw what may have happened to a picture between its maker and whoever asks about it.

    In half of the cases it was cut, resized to 0.5 to 1, sharpened or compressed before, as
    messengers and editors do. It ends as PNG, as JPEG of quality 50 to 98, half of them 4:2:0, or
    as WebP.
    """
    before = ("none", "none", "none", "none", "crop", "resize", "resize", "jpeg", "sharpen")
    strengths: Mapping[str, Callable[[], float]] = {
        "crop": lambda: round(float(rng.uniform(0.8, 0.97)), 3),
        "resize": lambda: round(float(rng.uniform(0.5, 1.0)), 3),
        "jpeg": lambda: int(rng.integers(60, 97)),
        "sharpen": lambda: round(float(rng.uniform(0.3, 1.2)), 2),
        "webp": lambda: int(rng.integers(60, 97)),
        "last": lambda: int(rng.integers(50, 99)),
    }
    steps = []
    first = before[rng.integers(len(before))]
    if first != NONE:
        steps.append(Step(first, strengths[first]()))
    share = rng.random()
    if share < 0.7:
        steps.append(Step("jpeg" if share < 0.4 else "jpeg444", strengths["last"]()))
    elif share < 0.8:
        steps.append(Step("webp", strengths["webp"]()))
    return Perturbation(tuple(steps))


def filled(picture: np.ndarray, side_px: int) -> np.ndarray:
    """Mirror an image at the right and the bottom where it is smaller than a square.

    Args:
        picture: [H, W, C].
        side_px: of the square, pixels.

    Returns:
        [max(H, side_px), max(W, side_px), C].
    """
    rows, columns = (max(0, side_px - size) for size in picture.shape[:2])
    if not rows and not columns:
        return picture
    return np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="symmetric")


def _parse_step(part: str, whole: str) -> Step:
    kind, sign, number = part.strip().partition(":")
    if kind not in KINDS or not sign:
        raise InputError(
            f"{whole!r} is no perturbation: write KIND:STRENGTH, joined by +; kinds are "
            f"{', '.join(KINDS)}."
        )
    known = KINDS[kind]
    try:
        strength = float(number)
    except ValueError:
        strength = np.nan
    if not known.low <= strength <= known.high or (known.is_whole and strength % 1):
        wanted = "a whole number" if known.is_whole else "a number"
        raise InputError(
            f"{whole!r}: the strength of {kind} is {wanted} from {known.low:g} to {known.high:g}, "
            f"not {number!r}."
        )
    return Step(kind, strength)


# ------------------------------------------------------------------------------------ the changes


def _jpeg(
    picture: np.ndarray, strength: float, rng: np.random.Generator, subsampling: str = "4:2:0"
) -> np.ndarray:
    setting = {"quality": int(strength), "subsampling": subsampling}
    return codecs.decode(codecs.encode(picture, codecs.JPEG, setting))


def _webp(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return codecs.decode(codecs.encode(picture, codecs.WEBP, {"quality": int(strength)}))


def _resize(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return photos.resized(picture, *_scaled(picture, strength))


def _rescale(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return photos.resized(_resize(picture, strength, rng), *picture.shape[:2])


def _blur(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return to_uint8(_blurred(from_uint8(picture), strength))


def _noise(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(strength / 255)
    return to_uint8(from_uint8(picture) + noise)


def _crop(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    height, width = _scaled(picture, strength)
    top, left = (
        int(rng.integers(old - new + 1))
        for old, new in zip(picture.shape[:2], (height, width), strict=True)
    )
    return picture[top : top + height, left : left + width]


def _screenshot(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return _sharpen(_resize(picture, strength, rng), SHARPENING, rng)


def _sharpen(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    shown = from_uint8(picture)
    return to_uint8(shown + np.float32(strength) * (shown - _blurred(shown, SHARPENING_PX)))


def _scaled(picture: np.ndarray, factor: float) -> tuple[int, int]:
    height, width = (max(1, round(size * factor)) for size in picture.shape[:2])
    return height, width


def _blurred(pixels: np.ndarray, sigma_px: float) -> np.ndarray:
    return ndimage.gaussian_filter(pixels, (sigma_px, sigma_px, 0.0), mode="reflect")


_FACTOR = "times the size"
KINDS = {
    "jpeg": PerturbationKind(_jpeg, 1, 100, "JPEG", "quality", is_whole=True),
    "jpeg444": PerturbationKind(
        functools.partial(_jpeg, subsampling="4:4:4"),
        1,
        100,
        "JPEG 4:4:4",
        "quality",
        is_whole=True,
    ),
    "webp": PerturbationKind(_webp, 1, 100, "WebP", "quality", is_whole=True),
    "resize": PerturbationKind(_resize, 0.05, 8, "Another size", _FACTOR),
    "rescale": PerturbationKind(_rescale, 0.05, 8, "Another size and back", _FACTOR),
    "blur": PerturbationKind(_blur, 0, 50, "Blur", "standard deviation (pixels)"),
    "noise": PerturbationKind(_noise, 0, 255, "Noise", "standard deviation (8-bit steps)"),
    "sharpen": PerturbationKind(_sharpen, 0, 10, "Sharpening", "times the detail"),
    "crop": PerturbationKind(_crop, 0.05, 1, "A crop from anywhere", "of height and width"),
    "screenshot": PerturbationKind(_screenshot, 0.05, 8, "A screenshot", _FACTOR),
}
