"""Which states pictures are looked at in: drawn ones to learn from, those of the tables otherwise.

A state is a perturbation of `jaxsr.datasets.perturbations`.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxsr.datasets import perturbations
from jaxsr.gallery.state import JPEG, WEBP, State

SMALL_PX = 256  # side of an enlarged picture, about
COLUMNS = ("jpeg:95", "jpeg:90", "jpeg:75", "resize:0.75+jpeg:90")
SHARPENED = tuple(
    f"sharpen:0.6{saved}" for saved in ("", "+jpeg:95", "+jpeg:90", "+jpeg:75", "+webp:80")
)
CUT = "jpeg:90+crop:0.9"  # and kept without loss
TESTED = ("none", *COLUMNS, "crop:0.9+jpeg:85", "resize:0.75", "webp:80", *SHARPENED, CUT)
TESTED_LARGE = ("none", *COLUMNS, "webp:80", *SHARPENED, CUT)


def states(
    split: str, side_px: int, names: Sequence[str], drawn: int, only: Sequence[str] = ()
) -> Iterator[tuple[int, str]]:
    """Yield the sides of a picture, in pixels, and its states.

    Args:
        split: that the picture is for.
        side_px: of the picture; a large one that is not learnt from counts as a small one, too.
        names: of the picture, that drawn states depend on.
        drawn: states to learn from.
        only: states of pictures that are not learnt from; empty for those of the tables.
    """
    if split != "train":
        yield from ((SMALL_PX, state) for state in only or TESTED)
        yield from ((side_px, state) for state in only or TESTED_LARGE if side_px > SMALL_PX)
        return
    rng = perturbations.generator(1, *names)
    yield side_px, perturbations.NONE
    for _ in range(drawn):
        yield side_px, perturbations.draw_state(rng).name


def file_state(text: str, seen_quality: float | None) -> State:
    """Return the state of the file that a perturbation leaves.

    Args:
        text: the perturbation.
        seen_quality: of a JPEG that its pixels were once; None or NaN for none. Only of a file
            without loss the pixels are asked.
    """
    kind, _, strength = text.rsplit("+", 1)[-1].partition(":")
    if kind == "webp":
        return State(WEBP)
    if kind in ("jpeg", "jpeg444"):
        return State(JPEG, int(strength), "4:2:0" if kind == "jpeg" else "4:4:4")
    if seen_quality is None or np.isnan(seen_quality):
        return State()
    return State(JPEG, int(seen_quality), source="pixels")
