r"""The file of a coded picture: bytes <-> its header and the codes of its network.

Nothing is trained or rendered here. The layout, integers little-endian:

    magic       4 bytes   89 53 52 4E, "\x89SRN"
    version     1 byte    1
    kind        1 byte    bit 0: grey; bits 1 and 2: coordinates, an index into siren.COORDINATES
    num_layers, layer_size, height, width, seed
                varints   7 bits a byte, lowest first; the highest bit says that more follow
    w0_initial, w0
                float16
    steps       1 byte for each array: 2^(b / 8 - 24)
    spreads     1 byte for each array: 0.38 * 2^(b / 8) steps, see `_model`
    payload     codes, range-coded by constriction: words of 32 bits, highest byte first, as few
                bytes as will do
    checksum    4 bytes   CRC-32 of all before

Arrays are each layer's weights, row by row, and biases in turn. A weight is its code times the
array's step. What is coded is by how much a code differs from the one nearest to the weight that
training began with, for `siren.init` gives that again from the seed: weights do not go far, and the
first layer's hardly move. A grey picture's network has the one output row, and begins with
the mean of three.

The differences are taken as normal about zero, with a spread for each array. The table of
probabilities is made of products and square roots alone, which IEEE 754 defines to the last bit:
exponentials, which differ between mathematics libraries, would make a file unreadable elsewhere.
"""

import dataclasses
import math
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxfleet.errors import InputError
from jaxinr import siren
from jaxinr.codec import range_code
from jaxinr.inputs import MAX_PIXELS
from jaxinr.quantise import KINDS, Quantised
from jaxinr.siren import Params
from jaxinr.trial import Trial

MAGIC, VERSION, CHECKSUM_BYTES = b"\x89SRN", 1, 4

# So that no file asks for much time or memory, however few its bytes: a layer's activations, a
# program's layers, and the multiply-adds of rendering the picture at its own size.
MAX_LAYER_SIZE, MAX_LAYERS, MAX_WORK = 256, 64, 1 << 38
MAX_CODE = 1 << 24  # exclusive; below it a float32 is exact

_MAX_SEED = 1 << 31


class CodecError(InputError):
    """Raised if a file is damaged or was not written by this codec; the message is one line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """The picture and network that a file describes.

    Attributes:
        height: of the picture, pixels.
        width: of the picture, pixels; height * width is below 2^23.
        grey: whether the picture is [H, W] rather than [H, W, 3].
        coordinates: see `siren.points_of`.
        num_layers: sine layers, 1 to 64.
        layer_size: units of each, 1 to 256.
        w0_initial: frequency factor of the first layer, a positive float16.
        w0: frequency factor of the others, a positive float16.
        seed: of the weights that training began with.
    """

    height: int
    width: int
    grey: bool
    coordinates: str
    num_layers: int
    layer_size: int
    w0_initial: float
    w0: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse what a file cannot hold.

        Raises:
            ValueError: if a value is out of range or the network too large.
        """
        if self.coordinates not in siren.COORDINATES:
            raise ValueError(f"coordinates must be one of {', '.join(siren.COORDINATES)}.")
        if not (self.height >= 1 and self.width >= 1 and self.height * self.width < MAX_PIXELS):
            raise ValueError(
                f"a picture has from 1 to 2^23 - 1 pixels; got {self.height} x {self.width}."
            )
        for name, most in (("num_layers", MAX_LAYERS), ("layer_size", MAX_LAYER_SIZE)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from 1 to {most}; got {getattr(self, name)}.")
        for name in ("w0_initial", "w0"):
            value = getattr(self, name)
            if not (0 < value < math.inf and value == nearest_w0(value)):
                raise ValueError(f"{name} must be a positive float16; got {value}.")
        if not 0 <= self.seed < _MAX_SEED:
            raise ValueError(f"seed must be in [0, 2^31); got {self.seed}.")
        if self.parameters * self.height * self.width > MAX_WORK:
            raise ValueError(
                f"{self.parameters} weights for {self.height} x {self.width} pixels take more than "
                "2^38 multiply-adds to render; take fewer of either."
            )

    @property
    def trial(self) -> Trial:
        """The network as a trial; what only training needs is at its defaults."""
        names = ("num_layers", "layer_size", "w0_initial", "w0", "seed")
        return Trial(**{name: getattr(self, name) for name in names})

    @property
    def layer_shapes(self) -> list[tuple[int, int]]:
        """(out, in) of every layer, first to last."""
        *hidden, (out, fan_in) = self.trial.layer_shapes
        return [*hidden, (1 if self.grey else out, fan_in)]

    @property
    def parameters(self) -> int:
        """Number of weights and biases in the file."""
        return sum(out * (fan_in + 1) for out, fan_in in self.layer_shapes)

    @property
    def overhead(self) -> int:
        """Bytes of the file beside the payload."""
        return len(_head(self)) + 2 * len(self.layer_shapes) * 2 + CHECKSUM_BYTES

    def initial(self) -> Params:
        """Return the initial weights at `layer_shapes`; any machine gives the same."""
        *hidden, last = siren.init(self.trial)
        return (*hidden, one_row(last) if self.grey else last)


def one_row(layer: Any) -> dict[str, np.ndarray]:
    """Return the mean row of an output layer: its three colours in one."""
    return {
        kind: (layer[kind][:1] + layer[kind][1:2] + layer[kind][2:3]) * np.float32(1 / 3)
        for kind in KINDS
    }


def nearest_w0(value: float) -> float:
    """Return the float16 nearest to a frequency factor; inf where it is too large."""
    with np.errstate(over="ignore"):
        return float(np.float16(value))


# ------------------------------------------------------------------------------------ steps

STEPS = np.ldexp(range_code.octaves(256), -24).astype(np.float32)


def nearest_steps(wanted: np.ndarray) -> np.ndarray:
    """Return the steps that a file can hold nearest to the wanted ones, which are positive."""
    index = np.rint(8.0 * (np.log2(np.asarray(wanted, np.float64)) + 24.0))
    return STEPS[np.clip(index, 0, len(STEPS) - 1).astype(int)]


def predict(initial: np.ndarray, step: np.floating) -> np.ndarray:
    """Return the codes nearest to an array's initial weights, int32."""
    codes = np.rint(initial.astype(np.float64) / np.float64(step))
    if not np.abs(codes).max(initial=0.0) < MAX_CODE:
        raise ValueError("the steps are too fine for the initial weights.")
    return codes.astype(np.int32)


# ------------------------------------------------------------------------------------- files


def write(header: Header, quantised: Quantised) -> bytes:
    """Write a network as the bytes of a file.

    Args:
        header: what it is.
        quantised: layers as `header.layer_shapes` says, steps from `nearest_steps`.

    Raises:
        ValueError: if they do not fit together, or a code is out of range.
    """
    codes = list(_arrays(quantised.codes))
    expected = [shape for out, fan_in in header.layer_shapes for shape in ((out, fan_in), (out,))]
    if [array.shape for array in codes] != expected:
        raise ValueError(f"codes must have the shapes {expected}.")
    step_bytes = np.searchsorted(STEPS, quantised.steps)
    if len(codes) != len(step_bytes) or not np.isin(quantised.steps, STEPS).all():
        raise ValueError("a file holds steps of `nearest_steps` alone, one for each array.")
    if any(np.abs(array).max(initial=0) >= MAX_CODE for array in codes):
        raise ValueError(f"codes must be below {MAX_CODE}.")
    differences = [
        array - predict(initial, step)
        for array, initial, step in zip(
            codes, _arrays(header.initial()), quantised.steps, strict=True
        )
    ]
    spreads, payload = range_code.encode(differences)
    body = _head(header) + bytes(step_bytes.tolist()) + bytes(spreads) + payload
    return body + struct.pack("<I", zlib.crc32(body))


def read(data: bytes) -> tuple[Header, Quantised]:
    """Read what `write` wrote.

    Takes no time or memory to speak of before it knows that the file can be one.

    Raises:
        CodecError: for anything that `write` cannot have made.
    """
    reader = _Reader(bytes(data))
    if reader.take(len(MAGIC)) != MAGIC:
        raise CodecError("this is no SIREN picture: the first bytes are others.")
    version, kind = reader.take(2)
    if version != VERSION:
        raise CodecError(f"the file is of version {version}; this program reads {VERSION}.")
    reader.check_sum()
    if kind >> 1 >= len(siren.COORDINATES):
        raise CodecError(f"the file is damaged: it is of kind {kind}.")
    num_layers, layer_size, height, width, seed = (reader.varint() for _ in range(5))
    w0_initial, w0 = struct.unpack("<ee", reader.take(4))
    try:
        header = Header(
            height=height,
            width=width,
            grey=bool(kind & 1),
            coordinates=siren.COORDINATES[kind >> 1],
            num_layers=num_layers,
            layer_size=layer_size,
            w0_initial=w0_initial,
            w0=w0,
            seed=seed,
        )
    except ValueError as error:
        raise CodecError(f"the file is damaged: {error}") from None
    arrays = 2 * (num_layers + 1)
    steps = STEPS[list(reader.take(arrays))]
    spreads = list(reader.take(arrays))
    payload = reader.rest()
    if max(spreads) >= range_code.SPREADS:
        raise CodecError(f"the file is damaged: a spread of {max(spreads)}.")
    if len(payload) < range_code.least_bytes(header.parameters):
        raise CodecError(
            f"the file is damaged: {len(payload)} bytes cannot hold {header.parameters} weights."
        )
    sizes = [size for out, fan_in in header.layer_shapes for size in (out * fan_in, out)]
    differences = range_code.decode(payload, sizes, spreads)
    if differences is None:
        raise CodecError("the file is damaged: its weights cannot be read.")
    try:
        codes = [
            predict(initial, step) + array.reshape(initial.shape)
            for initial, step, array in zip(
                _arrays(header.initial()), steps, differences, strict=True
            )
        ]
    except ValueError as error:
        raise CodecError(f"the file is damaged: {error}") from None
    layers = tuple(
        dict(zip(KINDS, pair, strict=True)) for pair in zip(codes[::2], codes[1::2], strict=True)
    )
    return header, Quantised(layers, steps)


class _Reader:
    """The part of a file that is still to be read, without its checksum."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._end = data, 0, max(len(data) - CHECKSUM_BYTES, 0)

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if self._end - self._at < count:
            raise CodecError("the file is too short to be a SIREN picture.")
        self._at += count
        return self._data[self._at - count : self._at]

    def varint(self) -> int:
        """Return the next number, of at most five bytes."""
        value = 0
        for place in range(5):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if place and not byte:
                    break
                return value
        raise CodecError("the file is damaged: a number is badly written.")

    def rest(self) -> bytes:
        """Return all up to the checksum."""
        return self.take(self._end - self._at)

    def check_sum(self) -> None:
        """Compare the checksum."""
        (expected,) = struct.unpack("<I", self._data[self._end :])
        if zlib.crc32(self._data[: self._end]) != expected:
            raise CodecError("the file is damaged or cut short: its checksum is wrong.")


def _head(header: Header) -> bytes:
    kind = int(header.grey) | siren.COORDINATES.index(header.coordinates) << 1
    numbers = (header.num_layers, header.layer_size, header.height, header.width, header.seed)
    w0s = struct.pack("<ee", header.w0_initial, header.w0)
    return MAGIC + bytes([VERSION, kind]) + b"".join(map(_varint, numbers)) + w0s


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _arrays(layers: Any) -> Iterable[np.ndarray]:
    return (np.asarray(layer[kind]) for layer in layers for kind in KINDS)
