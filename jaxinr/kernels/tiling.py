"""How the kernels lay a network out: plain numbers, without Pallas and Numba.

Of the fused kernel, on a multiprocessor:

Letters: T pixels of a tile, W units (padded), L sine layers.

Where a program's sums live. Those of the first and the last layer are small and stay in registers.
Those of the hidden layers, (L - 1) W^2 numbers, do too where a thread's share is at most
SUM_REGISTERS. Of deeper or wider networks they lie in the program's own part of the output, which
is read, added to and written once a tile. That is 8 W^2 bytes a layer for 6 W^2 T floating-point
operations, 1.33 / T bytes each; on an H200 with T = 32, 67 float32 TFLOP/s ask for 2.8 TB/s of a
second-level cache that gives about 5.5, and whose 50 MB hold the parts of all programs that run at
a time (10 x 32: 132 of 37 KB). Loads and stores of a part need not have the same layout, and so a
thread may read what another wrote: a barrier at the start of each tile makes the writes seen. Loops
are not pipelined (num_stages=1), so that no load moves ahead of a store of the tile before.

How large a tile is follows what ptxas keeps in 255 registers, compiled for an H200 without one
(float32, T = 32): 3 x 32 takes 219 of a thread and 5 x 32 takes 248; 10 x 32 spills 304 bytes. With
T = 64, or half the warps, 3 x 32 spills about 300. Triton unrolls the whole sum of a float32
product, and so layers of more than SIDE units are multiplied in parts of SIDE: 5 x 64 spills 1.1 KB
so (2.7 KB by whole products), 2 x 128 still 6 KB.
"""

import dataclasses

WIDTHS = (16, 32, 64, 128)  # the least product of a tensor core is 16 on each side
# Pixels of a tile, and how many pre-activations a thread may then hold. The larger the better, as
# weights and sums are read once a tile.
TILES = {64: 16, 32: 40, 16: 96}
SIDE = 32  # of the parts that larger matrices are multiplied in
SUM_REGISTERS = 16  # of a thread, for sums of hidden layers
PROGRAMS = 1024  # in a launch, aimed at: four for each of 132 multiprocessors, twice
_WARP = 32  # threads
# Pixels that the CPU kernel takes at a time: 15 cache lines, since an odd stride spreads rows over
# all sets of a cache.
CPU_CHUNK = 240


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The layout of a network on a multiprocessor.

    Attributes:
        pixels: T, of a tile.
        warps: of a program.
        sums_on_chip: whether the gradients of hidden layers are summed in registers.
    """

    pixels: int
    warps: int
    sums_on_chip: bool


def padded_width(width: int) -> int:
    """Return the least of WIDTHS that holds `width` units, at most the last of them."""
    return next(padded for padded in WIDTHS if width <= padded)


def tiling(num_layers: int, width: int) -> Tiling | None:
    """Return the tiling of networks of `width` units, one of WIDTHS; None if too deep."""
    warps = 4 if width == WIDTHS[0] else 8
    threads = warps * _WARP
    for pixels, registers in TILES.items():
        if num_layers * width * pixels <= registers * threads:
            sums = (num_layers - 1) * width**2
            return Tiling(pixels, warps, sums <= SUM_REGISTERS * threads)
    return None
