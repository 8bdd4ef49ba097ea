"""A few words to write inner loops for a processor's vector registers in, as Numba intrinsics.

LLVM turns plain loops over arrays into vector instructions, but does not keep a block of sums in
registers while it walks down a sum of products, and so stays far below what the processor can do.
Here the loops are said outright. A function under `emitted` runs once, when Numba compiles what
calls it, and writes instructions: its Python loops are unrolled, loops under `Code.loop` are loops
of the program. Vectors hold LANES float32 numbers; offsets and counts are whole numbers of float32
numbers; nothing checks bounds.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Union

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
LANES = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx") else 4

_types: Any = types  # Numba names its types at run time
POINTER = _types.CPointer(_types.float32)
_FLOAT, _WORD, _WHOLE = ir.FloatType(), ir.IntType(32), ir.IntType(_types.intp.bitwidth)
_VECTOR, _WORDS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_WORD, LANES)
_FUSED = ("contract",)  # a product and a sum may become one instruction


class Whole:
    """A whole number of the program: an offset or a count."""

    def __init__(self, code: "Code", value: Any) -> None:
        """Wrap a value of LLVM's."""
        self.code, self.value = code, value

    def __add__(self, other: Union["Whole", int]) -> "Whole":
        """Add."""
        return Whole(self.code, self.code.builder.add(self.value, self.code.whole(other).value))

    def __sub__(self, other: Union["Whole", int]) -> "Whole":
        """Subtract."""
        return Whole(self.code, self.code.builder.sub(self.value, self.code.whole(other).value))

    def __mul__(self, other: Union["Whole", int]) -> "Whole":
        """Multiply."""
        return Whole(self.code, self.code.builder.mul(self.value, self.code.whole(other).value))

    def __mod__(self, other: int) -> "Whole":
        """Return the rest of a division."""
        return Whole(self.code, self.code.builder.urem(self.value, self.code.whole(other).value))

    __radd__, __rmul__ = __add__, __mul__


class Vector:
    """LANES float32 numbers."""

    def __init__(self, code: "Code", value: Any) -> None:
        """Wrap a value of LLVM's."""
        self.code, self.value = code, value

    def __add__(self, other: "Vector") -> "Vector":
        """Add."""
        return Vector(self.code, self.code.builder.fadd(self.value, other.value, flags=_FUSED))

    def __sub__(self, other: "Vector") -> "Vector":
        """Subtract."""
        return Vector(self.code, self.code.builder.fsub(self.value, other.value, flags=_FUSED))

    def __mul__(self, other: "Vector") -> "Vector":
        """Multiply."""
        return Vector(self.code, self.code.builder.fmul(self.value, other.value, flags=_FUSED))

    def nearest(self) -> "Vector":
        """Round to whole numbers, halves to even ones."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        name = f"llvm.rint.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.code.builder.module, kind, name)
        return Vector(self.code, self.code.builder.call(function, [self.value]))

    def last_bit_as_sign(self) -> Any:
        """Return the last bits of the numbers in the place of their sign bits; for `flip`."""
        builder = self.code.builder
        return builder.shl(builder.bitcast(self.value, _WORDS), ir.Constant(_WORDS, [31] * LANES))

    def flip(self, sign: Any) -> "Vector":
        """Turn the signs of some numbers."""
        builder = self.code.builder
        bits = builder.xor(builder.bitcast(self.value, _WORDS), sign)
        return Vector(self.code, builder.bitcast(bits, _VECTOR))

    def before(self, count: Whole) -> "Vector":
        """Keep the first `count` numbers; the others become zero."""
        builder = self.code.builder
        kind = ir.VectorType(_WHOLE, LANES)
        first = ir.Constant(_WORD, 0)
        limit = builder.insert_element(ir.Constant(kind, ir.Undefined), count.value, first)
        limit = builder.shuffle_vector(limit, limit, ir.Constant(_WORDS, [0] * LANES))
        inside = builder.icmp_signed("<", ir.Constant(kind, list(range(LANES))), limit)
        return Vector(self.code, builder.select(inside, self.value, self.code.constant(0.0).value))

    def sum(self) -> Any:
        """Add the numbers up, by halves; a float32 value of LLVM's."""
        builder, value, size = self.code.builder, self.value, LANES
        while size > 1:
            size //= 2
            kind = ir.VectorType(_WORD, size)
            halves = [
                builder.shuffle_vector(value, value, ir.Constant(kind, list(range(start, end))))
                for start, end in ((0, size), (size, 2 * size))
            ]
            value = builder.fadd(*halves)
        return builder.extract_element(value, ir.Constant(_WORD, 0))


class Floats:
    """An array of float32 numbers of the program."""

    def __init__(self, code: "Code", pointer: Any) -> None:
        """Wrap a pointer of LLVM's."""
        self.code, self.pointer = code, pointer

    def load(self, place: Whole) -> Vector:
        """Return the vector that begins at a place."""
        return Vector(self.code, self.code.builder.load(self._vector(place), align=4))

    def store(self, vector: Vector, place: Whole) -> None:
        """Put a vector at a place."""
        self.code.builder.store(vector.value, self._vector(place), align=4)

    def spread(self, place: Whole) -> Vector:
        """Return a vector of nothing but the number at a place."""
        builder = self.code.builder
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        number = builder.load(self._at(place))
        first = builder.insert_element(undefined, number, ir.Constant(_WORD, 0))
        zeros = ir.Constant(_WORDS, [0] * LANES)
        return Vector(self.code, builder.shuffle_vector(first, undefined, zeros))

    def add(self, number: Any, place: Whole) -> None:
        """Add a float32 value of LLVM's to the number at a place."""
        at = self._at(place)
        self.code.builder.store(self.code.builder.fadd(self.code.builder.load(at), number), at)

    def _at(self, place: Whole) -> Any:
        return self.code.builder.gep(self.pointer, [place.value])

    def _vector(self, place: Whole) -> Any:
        return self.code.builder.bitcast(self._at(place), _VECTOR.as_pointer())


class Accumulators:
    """Vectors that a loop adds to; LLVM keeps them in registers."""

    def __init__(self, code: "Code", start: Sequence[Vector]) -> None:
        """Begin with some vectors."""
        self.code = code
        self._slots = [cgutils.alloca_once(code.builder, _VECTOR) for _ in start]
        for slot, vector in zip(self._slots, start, strict=True):
            code.builder.store(vector.value, slot)

    def add(self, number: int, vector: Vector) -> None:
        """Add to one of the sums."""
        slot = self._slots[number]
        total = Vector(self.code, self.code.builder.load(slot)) + vector
        self.code.builder.store(total.value, slot)

    def values(self) -> list[Vector]:
        """Return the sums."""
        return [Vector(self.code, self.code.builder.load(slot)) for slot in self._slots]


class Code:
    """The code that is being emitted."""

    def __init__(self, builder: Any) -> None:
        """Emit where a builder of LLVM's stands."""
        self.builder = builder

    def whole(self, value: Whole | int) -> Whole:
        """Return a whole number of the program."""
        return value if isinstance(value, Whole) else Whole(self, ir.Constant(_WHOLE, value))

    def constant(self, number: float) -> Vector:
        """Return a vector of nothing but a number."""
        return Vector(self, ir.Constant(_VECTOR, [number] * LANES))

    def polynomial(self, coefficients: Sequence[float], x: Vector) -> Vector:
        """Return coefficients[0] + coefficients[1] x + ..., by Horner's rule."""
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = value * x + self.constant(coefficient)
        return value

    @contextlib.contextmanager
    def loop(self, start: Whole | int, stop: Whole | int, step: Whole | int) -> Iterator[Whole]:
        """Emit a loop around what is emitted in the block: start, start + step, ... below stop."""
        ends = (self.whole(end).value for end in (start, stop, step))
        with cgutils.for_range_slice(self.builder, *ends, inc=True) as (index, _):
            yield Whole(self, index)

    def blocks(self, count: Whole, sizes: Sequence[int]) -> Iterator[tuple[int, Whole]]:
        """Emit what the caller's loop does for each block of `count`: largest `sizes` first.

        Yields a size, and where a block of that size begins.
        """
        done = self.whole(0)
        for i, size in enumerate(sizes):
            end = count - (count - done) % size if i < len(sizes) - 1 else count
            with self.loop(done, end, size) as place:
                yield size, place
            done = end


def emitted(function: Callable[..., None]) -> Any:
    """Make a Numba intrinsic of function(code, ...); its other arguments are whole numbers.

    Arguments that are annotated `Floats` are pointers, from `pointer`.
    """
    names = list(inspect.signature(function).parameters)[1:]
    floats = [function.__annotations__.get(name) is Floats for name in names]
    kinds = [POINTER if is_float else types.intp for is_float in floats]

    def typing(context: Any, *arguments: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = Code(builder)
            wrapped = [
                Floats(code, value) if is_float else Whole(code, value)
                for value, is_float in zip(values, floats, strict=True)
            ]
            function(code, *wrapped)
            return context.get_dummy_value()

        return types.void(*kinds), codegen

    functools.update_wrapper(typing, function)
    # Numba reads the names of an intrinsic's arguments off its signature.
    typing.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ["context", *names]]
    )
    return intrinsic(typing)


@intrinsic
def pointer(context: Any, array: Any) -> Any:
    """Return where a one-dimensional float32 array begins; something else must keep it alive."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(array)(context, builder, arguments[0]).data

    return POINTER(array), codegen
