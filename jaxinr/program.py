"""Fitting as a program of the fleet: networks of one kind, depth, padded width and pixel count.

Letters: G networks in a group, B pixels in a block, K blocks, W padded units, L sine layers.
A picture is [K, 3, B]: its pixels row by row, cut into blocks, the last one filled up.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxinr import pixels as minibatches
from jaxinr import siren
from jaxinr.networks.registry import KINDS
from jaxinr.siren import Params

# Group and block by padded width that keep the activations of a step in a 2 MB second-level cache:
# the best of about five each, timed on the shapes of experiments/benchmarks/siren.py on two cores.
_TILES = {8: (8, 1024), 16: (8, 256), 24: (4, 512), 32: (4, 256), 64: (2, 256), 128: (2, 256)}
_ACCELERATOR_BLOCK = 1 << 12  # by reasoning: a picture of 64 x 64 pixels fills one
# For the fused kernel: one launch trains a group, and keeps nothing of a block outside the chip.
_FUSED_TILE = (512, 1024)


@functools.cache
def tile(width: int, platform: str, kernel: str = "xla") -> tuple[int, int]:
    """Return (networks in a group, pixels in a block) for networks padded to `width` units."""
    if kernel == "pallas":
        return _FUSED_TILE
    if platform != "cpu":
        return 64, _ACCELERATOR_BLOCK
    return _TILES[max((w for w in _TILES if w <= width), default=8)]


@functools.cache
def padded_pixels(pixels: int, block: int) -> int:
    """Return `pixels` rounded up to whole blocks, and blocks to numbers with three leading bits.

    Pictures of similar size then share a program; at most a quarter is wasted, an eighth on
    average.
    """
    blocks = -(-pixels // block)
    step = 1 << max(blocks.bit_length() - 3, 0)
    return -(-blocks // step) * step * block


def pack(images: Sequence[np.ndarray], blocks: int, block: int) -> np.ndarray:
    """Pack pictures [H, W, 3] of sizes that fit into an array [M, K, 3, B] of their dtype."""
    packed = np.zeros((len(images), blocks * block, 3), images[0].dtype)
    for row, image in zip(packed, images, strict=True):
        row[: image.shape[0] * image.shape[1]] = image.reshape(-1, 3)
    return np.ascontiguousarray(packed.reshape(len(images), blocks, block, 3).swapaxes(2, 3))


def pack_shuffled(
    images: Sequence[np.ndarray], blocks: int, block: int, wrap: int
) -> dict[str, np.ndarray]:
    """Pack pictures for a stochastic program: those of `pack` and their shuffled pixels.

    Returns:
        "pictures" from `pack`; "order" [M, S] int32 and "shuffled" [M, 3, S], S being the pixels
        of a packed picture and `wrap` more. The order goes round after a picture's last pixel.
    """
    length = blocks * block + wrap
    order = np.zeros((len(images), length), np.int32)
    shuffled = np.zeros((len(images), 3, length), images[0].dtype)
    for row, colours, image in zip(order, shuffled, images, strict=True):
        count = image.shape[0] * image.shape[1]
        row[:] = minibatches.order(count)[np.arange(length) % count]
        colours[:] = image.reshape(-1, 3)[row].T
    return {"pictures": pack(images, blocks, block), "order": order, "shuffled": shuffled}


@dataclasses.dataclass(frozen=True)
class SirenProgram:
    """The constants of one compiled program; a `jaxfleet.fleet.Program`.

    The fleet's `hyper` holds, beside its own entries: what the kind's `traced` names (w0_initial
    and w0 of SIRENs), image (an index into the pictures), height, width; the `data` are pictures
    from `pack`, uint8 or float32.

    `network` is the kind, `static` its hyperparameters that shapes depend on. `kernel` is "xla" or
    "pallas" (see `kernels.fused`, which has sizes of its own); `products` is one of
    `siren.PRODUCTS`. Results are float32 always.

    With `pixels_per_update` above 0, each update takes so many pixels: the `data` are then from
    `pack_shuffled`, with `drawn` pixels to wrap, and `hyper` has the `offset` of `pixels.first_of`.
    """

    num_layers: int
    width: int
    blocks: int
    block: int
    group: int
    coordinates: str = "coin"
    log_every: int = 10
    max_logs: int = 64
    kernel: str = "xla"
    products: str = "float32"
    network: str = siren.KIND.name
    static: tuple[int, ...] = ()
    pixels_per_update: int = 0

    @property
    def is_stochastic(self) -> bool:
        """Whether updates take a part of the pixels."""
        return self.pixels_per_update > 0

    @property
    def drawn(self) -> tuple[int, int]:
        """(blocks, pixels in a block) of an update of a stochastic program."""
        blocks = -(-self.pixels_per_update // self.block)
        return blocks, -(-self.pixels_per_update // blocks)

    @property
    def layer_shapes(self) -> list[tuple[int, int]]:
        """(out, in) of every layer of a network at the padded width."""
        return KINDS[self.network].shapes(self.width, self.num_layers, *self.static)

    def prepare(self, hyper: dict[str, Array], data: Any) -> dict[str, Array]:
        """Blocks first: points [K, G, 2, B], inside [K, G, B] bool, target [K, G, 3, B].

        And the scale [G] of squared errors; of a stochastic program also the order [G, S] and the
        shuffled pixels [G, 3, S] of each network's picture. The fused kernel makes its points
        itself: for it, target [G, K, 3, B] alone.
        """
        more = {}
        if self.is_stochastic:
            more = {name: data[name][hyper["image"]] for name in ("order", "shuffled")}
            data = data["pictures"]
        if self.kernel == "pallas":
            return {"target": data[hyper["image"]]}
        index = jnp.arange(self.blocks * self.block, dtype=jnp.int32)

        def one(height: Array, width: Array) -> tuple[Array, Array]:
            points = siren.points_of(index, height, width, self.coordinates)
            return points, index < height * width

        points, inside = jax.vmap(one)(hyper["height"], hyper["width"])
        shape = (self.group, -1, self.blocks, self.block)
        return {
            "points": points.reshape(shape).transpose(2, 0, 1, 3),
            "inside": inside.reshape(shape).transpose(2, 0, 1, 3)[:, :, 0],
            "target": data[hyper["image"]].swapaxes(0, 1),
            "scale": 1.0 / (3.0 * (hyper["height"] * hyper["width"]).astype(jnp.float32)),
            **more,
        }

    def draw(
        self, hyper: dict[str, Array], batch: dict[str, Array], iteration: Array
    ) -> dict[str, Array]:
        """Draw the next pixels of each network, in the form of `prepare`."""
        count, (blocks, block) = self.pixels_per_update, self.drawn
        size = blocks * block

        def one(order, shuffled, first, height, width, at):  # type: ignore[no-untyped-def]
            start = minibatches.start_of(at, first, height * width, count)
            index = lax.dynamic_slice_in_dim(order, start, size)
            colours = lax.dynamic_slice_in_dim(shuffled, start, size, axis=1)
            return siren.points_of(index, height, width, self.coordinates), colours

        points, colours = jax.vmap(one)(
            batch["order"], batch["shuffled"], hyper["offset"], hyper["height"], hyper["width"],
            iteration,
        )  # fmt: skip
        shape = (self.group, -1, blocks, block)
        inside = (jnp.arange(size) < count).reshape(blocks, 1, block)
        return {
            "points": points.reshape(shape).transpose(2, 0, 1, 3),
            "inside": jnp.broadcast_to(inside, (blocks, self.group, block)),
            "target": colours.reshape(shape).transpose(2, 0, 1, 3),
            "scale": jnp.full(self.group, 1.0 / (3.0 * count), jnp.float32),
        }

    def loss(self, params: Params, hyper: dict[str, Array], batch: dict[str, Array]) -> Array:
        """Return the mean squared error over pixels and channels [G], block by block."""
        losses_of = self._losses_of_block(hyper, batch["scale"])

        def add(total: Array, block: dict[str, Array]) -> tuple[Array, None]:
            return total + losses_of(params, block), None

        return lax.scan(add, jnp.zeros_like(batch["scale"]), _blocks(batch))[0]

    def loss_and_gradient(
        self, params: Params, hyper: dict[str, Array], batch: dict[str, Array]
    ) -> tuple[Array, Params]:
        """Return the mean squared error over pixels and channels [G] and its gradient."""
        if self.kernel == "pallas":
            return self._fused(params, hyper, batch["target"])
        losses_of = self._losses_of_block(hyper, batch["scale"])

        def block_loss(params: Params, block: dict[str, Array]) -> tuple[Array, Array]:
            losses = losses_of(params, block)
            return losses.sum(), losses

        def add(total: tuple, block: dict[str, Array]) -> tuple[tuple, None]:
            (_, losses), gradient = jax.value_and_grad(block_loss, has_aux=True)(params, block)
            return jax.tree.map(jnp.add, total, (losses, gradient)), None

        nothing = (jnp.zeros_like(batch["scale"]), jax.tree.map(jnp.zeros_like, params))
        return lax.scan(add, nothing, _blocks(batch))[0]

    def _losses_of_block(
        self, hyper: dict[str, Array], scale: Array
    ) -> Callable[[Params, dict[str, Array]], Array]:
        """Return (parameters, a block of a batch) -> [G] what the block adds to the losses."""
        kind = KINDS[self.network]
        values = {name: hyper[name] for name in kind.traced}

        def one(params, values, block, scale):  # type: ignore[no-untyped-def]
            colours = kind.apply(params, values, block["points"], self.products)
            error = jnp.where(block["inside"][None], colours - siren.unit(block["target"]), 0.0)
            return jnp.sum(error * error) * scale

        return lambda params, block: jax.vmap(one)(params, values, block, scale)

    def _fused(
        self, params: Params, hyper: dict[str, Array], target: Array
    ) -> tuple[Array, Params]:
        """Compute the same with the fused kernel, which a CPU interprets."""
        from jaxinr.kernels import fused  # brings in Pallas, which few need

        run = functools.partial(
            fused.loss_and_gradient, coordinates=self.coordinates, products=self.products
        )
        names = ("w0_initial", "w0", "height", "width")
        return lax.platform_dependent(
            params,
            *[hyper[name] for name in names],
            target,
            cpu=functools.partial(run, interpret=True),
            default=run,
        )

    def result(self, params: Params, hyper: dict[str, Array], batch: dict[str, Array]) -> Array:
        """Return the images as a viewer shows them: [G, K * B, 3] uint8."""
        kind = KINDS[self.network]
        values = {name: hyper[name] for name in kind.traced}

        def points_of(index: Array) -> Array:
            return jax.vmap(siren.points_of, in_axes=(None, 0, 0, None))(
                index, hyper["height"], hyper["width"], self.coordinates
            )

        def picture(points: Array) -> Array:
            colours = jax.vmap(functools.partial(kind.apply, products="float32"))(
                params, values, points
            )
            return jnp.round(jnp.clip(colours, 0.0, 1.0) * 255.0).astype(jnp.uint8)

        if self.kernel == "pallas":
            index = jnp.arange(self.blocks * self.block, dtype=jnp.int32)
            blocks = lax.map(
                lambda block: picture(points_of(block)), index.reshape(self.blocks, self.block)
            )
        else:
            blocks = lax.map(picture, batch["points"])
        return blocks.transpose(1, 0, 3, 2).reshape(self.group, -1, 3)


def _blocks(batch: dict[str, Array]) -> dict[str, Array]:
    """Return the entries of a batch that are split into blocks."""
    return {name: batch[name] for name in ("points", "inside", "target")}
