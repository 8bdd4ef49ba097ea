"""One picture of any size through a network: compiled once, in tiles where memory asks for it.

Letters: H rows, W columns, r scale.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxfleet.imaging.images import check_range
from jaxfleet.imaging.pixels import as_array, from_uint8, to_uint8

if TYPE_CHECKING:
    from flax import nnx

    Network: TypeAlias = nnx.Module | tuple[nnx.GraphDef, nnx.State]

MEMORY_BYTES = 4 << 30  # of activations, in what is computed at once
LARGEST_TILE = 512  # pixels; larger ones save little
SMALLEST_TILE = 64
# Pixels that a tile drops on each side that has a neighbour. In EDSR, RDN, SwinIR, RRDBNet and
# SRVGG, fresh and briefly trained, an edge changes what is 12 pixels away by 0.02/255 at most.
OVERLAP = 24

# Activations that are alive at once, in units of the largest: 2 for convolutions, 4 with attention.
_ALIVE = 4
_PROBE = 64  # side of the picture that is traced, not computed, to learn that


def upscale(
    model: nnx.Module,
    image: np.ndarray,
    *,
    tile: int | None = None,
    self_ensemble: bool = False,
    on_progress: Callable[[float], object] | None = None,
) -> np.ndarray:
    """Upscale one image with a network.

    Convolutions are local, so EDSR, RDN, SwinIR, RRDBNet and SRVGG give the same result in tiles as
    at once, to well below 1/255. RCAN and IMDN weight channels by means over the whole picture,
    RLFN's attention uses a coarse grid over it, and NLSN searches all of it for similar pixels:
    their result depends on the tiles. The published IMDN x4 in tiles of 128 pixels differs on a
    photograph of 768 x 512 by at most 21/255 and by 0.4/255 on average; give these networks large
    tiles.

    Args:
        model: from `jaxsr.build` or `jaxsr.load`.
        image: [H, W, 3] uint8, or float in [0, 1]; any size from 1 x 1 on.
        tile: side of the square pieces that are computed one after the other, at least 64
            pixels of `image`; a picture that is no larger is computed at once. None: at once
            if that takes at most about 4 GiB, otherwise in tiles that do. Tiles overlap by 48
            pixels, small ones by half their side, and each keeps the part nearest to its centre.
        self_ensemble: whether to take the mean over the picture's eight symmetries, at eight
            times the cost.
        on_progress: called after every piece with the share that is done, in (0, 1].

    Returns:
        [rH, rW, 3] uint8, rounded, or float32 in [0, 1], like `image`. The result is deterministic.

    Raises:
        ValueError: if the picture is not [H, W, 3], has NaN or values outside [0, 1], or the tile
            is too small.
        TypeError: if the picture is a path, or neither uint8 nor float.
    """
    from flax import nnx

    image = as_array(image, "`image`")
    _check(image)
    is_8bit = image.dtype == np.uint8
    low = from_uint8(image) if is_8bit else image.astype(np.float32)
    network, grid = nnx.split(model), _Grid.of(model)
    if tile is None:
        side = _side_by_memory(*network, low.shape[:2], grid.smallest_tile)
    elif tile < grid.smallest_tile:
        raise ValueError(f"`tile` must be at least {grid.smallest_tile} pixels; got {tile}.")
    else:
        side = tile
    indices = range(8) if self_ensemble else range(1)
    total = np.zeros((), np.float32)
    for index in indices:

        def tell(share: float, before: int = index) -> None:
            if on_progress is not None:
                on_progress((before + share) / len(indices))

        large = _enlarge(network, symmetric(low, index), side, grid, tell)
        total = total + symmetric(large, index, inverse=True)
    mean = np.clip(total / np.float32(len(indices)), 0.0, 1.0)
    return to_uint8(mean) if is_8bit else mean


def run(network: Network, images: jax.Array | np.ndarray) -> jax.Array:
    """Run images through a network, compiled once for each kind of network and shape.

    Networks are of one kind if their weights are all that differs (equal `nnx.graphdef`).

    Args:
        network: from `jaxsr.build`, or what `nnx.split` makes of it.
        images: [N, H, W, 3] float in [0, 1].

    Returns:
        [N, rH, rW, 3] float32, not clipped.
    """
    from flax import nnx

    graphdef, state = network if isinstance(network, tuple) else nnx.split(network)
    return _run(graphdef, state, jnp.asarray(images))


def symmetric(image: np.ndarray, index: int, *, inverse: bool = False) -> np.ndarray:
    """Return one of the eight symmetries of the square, as `training_sets.symmetry` has them.

    Args:
        image: [H, W, C], any dtype.
        index: 0 to 7; its bits mirror top and bottom, left and right, and across the diagonal.
        inverse: whether to undo it.

    Returns:
        [H, W, C], or [W, H, C] from index 4 on.
    """
    if inverse and index & 4:
        image = image.swapaxes(0, 1)
    image = image[:: -1 if index & 1 else 1, :: -1 if index & 2 else 1]
    return image.swapaxes(0, 1) if index & 4 and not inverse else image


@functools.partial(jax.jit, static_argnums=0)
def _run(graphdef: Any, state: Any, images: jax.Array) -> jax.Array:
    from flax import nnx

    return nnx.merge(graphdef, state)(images)


def _remedy(image: np.ndarray) -> str:
    """Return what to do with an image of another shape."""
    if image.ndim == 4:
        return "Give one picture at a time."
    if 0 in image.shape:
        return "It has no pixels."
    if image.ndim == 3 and image.shape[-1] == 4:
        return "Drop the alpha channel with image[..., :3]."
    if image.ndim == 3 and image.shape[0] == 3:
        return "Move the channels with numpy.moveaxis(image, 0, -1)."
    return "Stack a grey one three times."


def _check(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"`image` must be [H, W, 3]; got shape {image.shape}. {_remedy(image)}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"`image` must be uint8, or float in [0, 1]; got {image.dtype}.")
    if image.dtype != np.uint8:
        check_range(image, "image", 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The tiles that a network lays over a picture.

    step: pixels by which the picture can be moved with it.
    coarseness: pixels that the network reduces to one, so that it sees as many times further.
    """

    step: int
    coarseness: int

    @classmethod
    def of(cls, model: nnx.Module) -> _Grid:
        coarseness = getattr(model, "unshuffle", 1)
        return cls(math.lcm(getattr(model, "window_size", 1), coarseness), coarseness)

    @property
    def smallest_tile(self) -> int:
        return max(SMALLEST_TILE * self.coarseness, 4 * self.step)

    def overlap(self, side: int) -> int:
        wanted = min(OVERLAP * self.coarseness, side // 4)
        return wanted - wanted % self.step


def _side_by_memory(graphdef: Any, state: Any, size: tuple[int, ...], smallest: int) -> int:
    """Return the side of tiles that fit into MEMORY_BYTES, at most the picture's longer one."""
    pixels = MEMORY_BYTES // _bytes_per_pixel(graphdef, state)
    if math.prod(size) <= pixels:
        return max(size)
    return max(min(math.isqrt(pixels), LARGEST_TILE), smallest)


def _bytes_per_pixel(graphdef: Any, state: Any) -> int:
    """Return the bytes of activations for each pixel that comes in, about; nothing is computed."""
    probe = jax.ShapeDtypeStruct((1, _PROBE, _PROBE, 3), jnp.float32)
    equations = _run.trace(graphdef, state, probe).jaxpr.eqns
    arrays = [variable.aval for equation in equations for variable in equation.outvars]
    largest = max(array.size * array.dtype.itemsize for array in arrays)
    return max(_ALIVE * largest // _PROBE**2, 1)


def _enlarge(
    network: tuple[Any, Any],
    low: np.ndarray,
    side: int,
    grid: _Grid,
    tell: Callable[[float], object],
) -> np.ndarray:
    """Map [H, W, 3] float32 to [rH, rW, 3], not clipped, tile by tile if a side exceeds `side`.

    All tiles have one shape, and start and end on the network's grid.
    """
    height, width = low.shape[:2]
    if max(height, width) <= side:
        large = np.asarray(run(network, low[None])[0])
        tell(1.0)
        return large
    side -= side % grid.step
    # What the networks themselves add to a picture that ends between two lines of the grid.
    beyond = ((0, -height % grid.step), (0, -width % grid.step), (0, 0))
    padded = np.pad(low, beyond, mode="reflect")
    rows, columns = (_tiles(size, side, grid.overlap(side)) for size in padded.shape[:2])
    large = np.empty((0, 0, 3), np.float32)
    for done, (y, x) in enumerate(itertools.product(rows, columns), start=1):
        part = padded[y.start : y.start + side, x.start : x.start + side]
        enlarged = np.asarray(run(network, part[None])[0])
        scale = len(enlarged) // len(part)
        if not large.size:
            large = np.empty((scale * len(padded), scale * padded.shape[1], 3), np.float32)
        place = [slice(scale * t.first, scale * t.last) for t in (y, x)]
        piece = [slice(scale * (t.first - t.start), scale * (t.last - t.start)) for t in (y, x)]
        large[*place] = enlarged[*piece]
        tell(done / (len(rows) * len(columns)))
    return large[: scale * height, : scale * width]


@dataclasses.dataclass(frozen=True)
class _Tile:
    """One axis of a tile: where it starts, and the pixels `first` to `last - 1` that it keeps."""

    start: int
    first: int
    last: int


def _tiles(size: int, side: int, overlap: int) -> list[_Tile]:
    """Return tiles of an axis: neighbours share 2 `overlap` pixels or more, cut in the middle."""
    last = max(size - side, 0)
    starts = [*range(0, last, side - 2 * overlap), last]
    cuts = [(one + side + other) // 2 for one, other in itertools.pairwise(starts)]
    return [_Tile(*tile) for tile in zip(starts, [0, *cuts], [*cuts, size], strict=True)]
