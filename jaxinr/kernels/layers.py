"""What a layer of a SIREN does with pixels, in vector registers, there and back.

Letters: O units of the layer, I of the layer below it. Rows of numbers, one for each unit, lie
CHUNK apart, pixels contiguous. Pixels are taken in panels of COLUMNS vectors and units in blocks
of up to four: 12 sums, 3 inputs and one weight fill the 16 vector registers of AVX2.
"""

import math

from jaxinr.kernels.emit import LANES, Accumulators, Code, Floats, Vector, Whole, emitted
from jaxinr.kernels.tiling import CPU_CHUNK as CHUNK
from jaxinr.siren import COSINE, PARITY_SHIFT, SINE

COLUMNS = 3
PANEL = COLUMNS * LANES
COLOURS = 3
_ROWS, _INPUTS = (4, 2, 1), (3, 2, 1)


@emitted
def sine_layer(
    code: Code,
    units: Whole,
    fan_in: Whole,
    count: Whole,
    weights: Floats,
    weight: Whole,
    inputs: Floats,
    start: Whole,
    stride: Whole,
    work: Floats,
    sines: Whole,
    slopes: Whole,
) -> None:
    """Put sin(pi z) into rows `sines` and its derivative by z into rows `slopes`, z = W x + b.

    `weights` from `weight` on are W [O, I] and b [O]; x are rows of `inputs`, `stride` apart.
    """
    for rows, row in code.blocks(units, _ROWS):
        with code.loop(0, count, PANEL) as panel:
            sums = _product(
                code, rows, weights, weight + row * fan_in, fan_in, 1,
                weight + units * fan_in + row, fan_in, inputs, start + panel, stride,
            )  # fmt: skip
            # Through memory, row by row: all at a time would not fit the registers.
            for k, z in enumerate(sums):
                r, column = divmod(k, COLUMNS)
                work.store(z, slopes + (row + r) * CHUNK + panel + column * LANES)
            for r in range(rows):
                at = (row + r) * CHUNK + panel
                places = [at + column * LANES for column in range(COLUMNS)]
                waves = [sine_and_slope(work.load(slopes + place)) for place in places]
                for place, (sine, slope) in zip(places, waves, strict=True):
                    work.store(sine, sines + place)
                    work.store(slope, slopes + place)


@emitted
def error_layer(
    code: Code,
    fan_in: Whole,
    count: Whole,
    weights: Floats,
    weight: Whole,
    pixels: Floats,
    wanted: Whole,
    stride: Whole,
    work: Floats,
    sines: Whole,
    errors: Whole,
    total: Whole,
) -> None:
    """Put colours minus `wanted` rows of `pixels` into rows `errors`, zero from `count` on.

    Added to vectors of `work` from `total` on: the errors by colour, and the squares of all.
    """
    with code.loop(0, count, PANEL) as panel:
        sums = _product(
            code, COLOURS, weights, weight, fan_in, 1, weight + COLOURS * fan_in,
            fan_in, work, sines + panel, CHUNK,
        )  # fmt: skip
        squares = work.load(total + COLOURS * LANES)
        for colour in range(COLOURS):
            by_colour = work.load(total + colour * LANES)
            for k in range(COLUMNS):
                place = panel + k * LANES
                target = pixels.load(wanted + stride * colour + place)
                error = (sums[colour * COLUMNS + k] - target).before(count - place)
                work.store(error, errors + colour * CHUNK + place)
                by_colour, squares = by_colour + error, error * error + squares
            work.store(by_colour, total + colour * LANES)
        work.store(squares, total + COLOURS * LANES)


@emitted
def back_layer(
    code: Code,
    units: Whole,
    fan_in: Whole,
    count: Whole,
    weights: Floats,
    weight: Whole,
    work: Floats,
    errors: Whole,
    slopes: Whole,
    total: Whole,
) -> None:
    """Take cotangents through W [O, I] and the sines below: rows `slopes` [I] become cotangents.

    Added to vectors of `work` from `total` on: those, by unit.
    """
    for rows, row in code.blocks(fan_in, _ROWS):
        with code.loop(0, count, PANEL) as panel:
            sums = _product(
                code, rows, weights, weight + row, 1, fan_in, None,
                units, work, errors + panel, CHUNK,
            )  # fmt: skip
            for r in range(rows):
                at = total + (row + r) * LANES
                by_unit = work.load(at)
                for k in range(COLUMNS):
                    place = slopes + (row + r) * CHUNK + panel + k * LANES
                    cotangent = sums[r * COLUMNS + k] * work.load(place)
                    work.store(cotangent, place)
                    by_unit = by_unit + cotangent
                work.store(by_unit, at)


@emitted
def add_outer(
    code: Code,
    units: Whole,
    fan_in: Whole,
    count: Whole,
    work: Floats,
    errors: Whole,
    inputs: Floats,
    start: Whole,
    stride: Whole,
    gradient: Floats,
    weight: Whole,
) -> None:
    """Add to `gradient` [O, I], from `weight` on, cotangents times inputs summed over pixels."""
    for rows, row in code.blocks(units, _ROWS):
        for columns, column in code.blocks(fan_in, _INPUTS):
            sums = Accumulators(code, [code.constant(0.0)] * (rows * columns))
            with code.loop(0, count, LANES) as place:
                left = [work.load(errors + (row + r) * CHUNK + place) for r in range(rows)]
                right = [inputs.load(start + (column + c) * stride + place) for c in range(columns)]
                for r in range(rows):
                    for c in range(columns):
                        sums.add(r * columns + c, left[r] * right[c])
            for k, value in enumerate(sums.values()):
                r, c = divmod(k, columns)
                gradient.add(value.sum(), weight + (row + r) * fan_in + column + c)


def _product(
    code: Code,
    rows: int,
    weights: Floats,
    weight: Whole,
    down: Whole | int,
    along: Whole | int,
    bias: Whole | None,
    terms: Whole,
    inputs: Floats,
    start: Whole,
    stride: Whole | int,
) -> list[Vector]:
    """Emit a product of `rows` rows of weights with a panel of inputs; `terms` numbers long.

    Weights lie `down` apart from row to row and `along` from term to term.
    """
    if bias is None:
        first = [code.constant(0.0)] * rows
    else:
        first = [weights.spread(bias + r) for r in range(rows)]
    sums = Accumulators(code, [vector for vector in first for _ in range(COLUMNS)])
    with code.loop(0, terms, 1) as term:
        panel = [inputs.load(start + term * stride + k * LANES) for k in range(COLUMNS)]
        for r in range(rows):
            scale = weights.spread(weight + code.whole(down) * r + term * along)
            for k in range(COLUMNS):
                sums.add(r * COLUMNS + k, scale * panel[k])
    return sums.values()


def sine_and_slope(z: Vector) -> tuple[Vector, Vector]:
    """Emit sin(pi z) and its derivative by z; the arithmetic of `siren.sinpi`."""
    whole = z.nearest()
    r, sign = z - whole, (whole + z.code.constant(PARITY_SHIFT)).last_bit_as_sign()
    square = r * r
    sine = r * z.code.polynomial(SINE, square)
    slope = z.code.polynomial([math.pi * c for c in COSINE], square)
    return sine.flip(sign), slope.flip(sign)
