"""Which networks a SIREN grid or sample has, and the pictures that they are fitted to.

Letters: B draws that are judged together, P points of a grid, S sizes of a picture in a draw.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.siren.config import GridConfig, is_of
from experiments.siren.jobs import FitJob
from jaxfleet import plan
from jaxfleet.errors import InputError
from jaxfleet.imaging import albums
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxinr.networks.registry import KINDS
from jaxinr.trial import Trial, count_parameters, flops_per_pixel

HALF_BITS = 16  # of a weight, for --max_bits_per_pixel
WHOLE = plan.Axis("image_size", values=(0,))  # pictures as they come

# (index of a photograph, side of the picture or 0, hyperparameters)
Network = tuple[int, int, dict[str, Any]]


def load(config: GridConfig) -> tuple[Sequence[Photo], list[FitJob]]:
    """Return the pictures of a plan, and its networks in order.

    Where all pictures have one size they are reduced here; where there are several, when they are
    asked for. The same config gives the same networks.

    Raises:
        InputError: for photographs that cannot be used, or if the filters leave no network.
    """
    side = config.one_size
    photos = sources.load(
        config.photos,
        image_size=side or 0,
        image_fit=config.image_fit,
        max_images=config.max_images,
    )
    if side is not None:
        return photos, make_jobs(config, photos)
    networks = _networks(config, photos, config.sizes(), config.repeat_sizes())
    entries = sorted({(photo, size) for photo, size, _ in networks})
    place = {entry: index for index, entry in enumerate(entries)}
    jobs = [
        FitJob(i, place[photo, size], Trial(**values))
        for i, (photo, size, values) in enumerate(networks)
    ]
    return albums.Album(photos, entries, config.image_fit), jobs


def make_jobs(config: GridConfig, pictures: Sequence[Photo]) -> list[FitJob]:
    """Return the plan's networks on pictures of their final sizes, photographs outermost.

    Raises:
        InputError: if nothing is left after the filters.
    """
    networks = _networks(config, pictures, WHOLE, WHOLE)
    return [FitJob(i, photo, Trial(**values)) for i, (photo, _, values) in enumerate(networks)]


def _networks(
    config: GridConfig, photos: Sequence[Photo], sizes: plan.Axis, repeat_sizes: plan.Axis
) -> list[Network]:
    shapes = np.array(albums.shapes_of(photos))
    if config.sampling == "random":
        photo = plan.Axis("photo", values=tuple(range(len(photos))))
        seed = [config.sampling_seed]
        found = _draw(config, shapes, [photo, *config.axes()], sizes, config.num_trials, seed)
        axes = [photo, *config.repeat_axes()]
        found += _draw(config, shapes, axes, repeat_sizes, config.num_repeats, [*seed, 1])
    else:
        found = _grid(config, shapes, sizes)
    if not found:
        limits = [f"--{name}" for name in ("max_bits_per_pixel", "max_gflop")]
        limits = [name for name in limits if getattr(config, name[2:])]
        raise InputError(
            f"{' or '.join(limits)} leaves no network; raise it."
            if limits
            else "every photograph is smaller than --image_size; lower it."
        )
    return found


def _grid(config: GridConfig, shapes: np.ndarray, sizes: plan.Axis) -> list[Network]:
    grids = []
    for kind in config.kinds():
        axes = [axis for axis in config.axes() if is_of(axis.name, kind)]
        points = [{"network": kind, **values} for values in plan.grid(axes)]
        columns = {name: np.array([point[name] for point in points]) for name in points[0]}
        grids.append((kind, points, columns))
    found: list[Network] = []
    for photo in range(len(shapes)):
        for point in plan.grid([sizes]):
            size = int(point["image_size"])
            for kind, points, columns in grids:
                allowed = _allowed(config, kind, shapes[photo], size, columns)
                kept = itertools.compress(points, np.broadcast_to(allowed, len(points)))
                found += [(photo, size, values) for values in kept]
    return found


def _draw(
    config: GridConfig,
    shapes: np.ndarray,
    axes: Sequence[plan.Axis],
    sizes: plan.Axis,
    count: int,
    seed: Sequence[int],
) -> list[Network]:
    """Draw `count` networks; those of one draw differ in the size of their picture alone."""
    together = config.sizes_per_draw
    sides = [dataclasses.replace(sizes, name=f"image_size {i}") for i in range(together)]
    kinds = config.kinds()
    # Last, and only where there are several, so that a sample of SIRENs stays what it was.
    several = [plan.Axis("kind", values=tuple(range(len(kinds))))] if len(kinds) > 1 else []

    def keep(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        drawn = np.sort([columns[side.name] for side in sides], axis=0)  # [S, B]
        shape = shapes[columns["photo"]]
        place = columns.get("kind", np.zeros(len(shape), int))
        allowed = [
            np.choose(place, [_allowed(config, kind, shape, size, columns) for kind in kinds])
            for size in drawn
        ]
        return np.all([*(np.diff(drawn, axis=0) > 0), *allowed], axis=0)

    found: list[Network] = []
    for values in plan.sample([*axes, *sides, *several], -(-count // together), seed, keep):
        chosen = [int(values.pop(side.name)) for side in sides]
        photo, kind = int(values.pop("photo")), kinds[int(values.pop("kind", 0))]
        own = {name: value for name, value in values.items() if is_of(name, kind)}
        found += [(photo, size, {"network": kind, **own}) for size in chosen]
    return found[:count]


def _allowed(
    config: GridConfig, kind: str, shape: np.ndarray, size: Any, columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return which networks, [B] bool, the photograph is large enough for and the limits allow.

    Args:
        config: for the limits.
        kind: of the networks.
        shape: [2] or [B, 2] height and width of the photographs.
        size: side of the picture or [B] sides; 0 for the whole photograph.
        columns: name -> [B] values of the hyperparameters.
    """
    side = np.asarray(size)
    pixels = np.where(side > 0, side**2, shape[..., 0] * shape[..., 1])
    kept = np.asarray(shape.min(axis=-1) >= side)
    known = KINDS[kind].hyperparameters
    static = [columns.get(name, int(known[name].default)) for name in KINDS[kind].static]
    architecture = (columns["layer_size"], columns["num_layers"], kind, static)
    if config.max_bits_per_pixel:
        bits_per_pixel = count_parameters(*architecture) * HALF_BITS / pixels
        kept = kept & (bits_per_pixel <= config.max_bits_per_pixel)
    if config.max_gflop:
        part = np.asarray(columns.get("pixels_per_update", 0))
        taken = np.where(part > 0, np.minimum(part, pixels), pixels)
        flops = flops_per_pixel(*architecture) * taken * columns["num_iters"].astype(float)
        kept = kept & (flops <= 1e9 * config.max_gflop)
    return kept
