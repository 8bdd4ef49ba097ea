"""What shaders use of GLSL, parsed into closures that NumPy computes for all pixels at a time.

Functions, declarations, assignments and expressions of numbers, vectors and matrices are
understood, and textures T, read by T_tex and T_texOff, of which T_pos, T_size and T_pt tell.

Source: the GLSL 4.60 specification.

Letters: k components of a vector, c columns of a matrix, h rows and w columns of a texture. A value
is [k, h, w] float32, or [c, k, h, w] for a matrix; h and w are 1 where all pixels have the same.
"""

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

_TOKEN = re.compile(
    r"(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)[fu]?|([A-Za-z_]\w*)"
    r"|([-+*/]=|[<>=!]=|&&|\|\||[-+*/<>()\[\]{},.;=?:!])|(\S)"
)
_TYPE = re.compile(r"(float|int|uint|bool|[iu]?vec[234]|mat[234](x[234])?)$")
_PLACES = {letter: i for letters in ("xyzw", "rgba", "stpq") for i, letter in enumerate(letters)}
_UNUSED = ("const", "highp", "mediump", "lowp", "in")  # words that change nothing here

# A closure that computes a value for all pixels of a pass.
_Node = Callable[["Frame"], np.ndarray]


class ShaderError(ValueError):
    """Say what in a shader is not understood."""


@dataclasses.dataclass(frozen=True)
class Function:
    """A function: names of what it is given, and statements, of which a return gives a value."""

    parameters: tuple[str, ...]
    body: tuple[Callable[["Frame"], np.ndarray | None], ...]


@dataclasses.dataclass
class Frame:
    """What a function computes with: variables, and what all functions of a pass share."""

    functions: Mapping[str, Function]
    textures: Mapping[str, np.ndarray]
    size: tuple[int, int]
    positions: np.ndarray  # [2, h, w], centres of pixels, from 0 to 1
    names: dict[str, np.ndarray]

    def call(self, name: str, given: Sequence[np.ndarray]) -> np.ndarray:
        """Return the value of a function.

        Raises:
            ShaderError: if it returns none.
        """
        function = self.functions[name]
        inner = dataclasses.replace(self, names=dict(zip(function.parameters, given, strict=True)))
        for statement in function.body:
            value = statement(inner)
            if value is not None:
                return value
        raise ShaderError(f"{name} returns nothing")


def parse(text: str) -> dict[str, Function]:
    """Parse functions; those without parameters are also named constants.

    Raises:
        ShaderError: at what is not understood.
    """
    return _ShaderParser(text).program()


def holds(condition: str) -> bool:
    """Decide a condition of numbers."""
    return bool(_ShaderParser(condition).expression().any())


class _ShaderParser:
    """A recursive descent through the tokens of a pass; constants are computed on the way."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        rest = self.tokens[self.at + ahead : self.at + ahead + 1]
        return next(filter(None, rest[0]), "") if rest else ""

    def take(self, wanted: str = "") -> str:
        found = self.peek()
        if wanted and found != wanted or not found:
            self.fail(wanted or "more")
        self.at += 1
        return found

    def fail(self, wanted: str) -> NoReturn:
        words = (self.peek(i) for i in range(-3, 4) if self.at + i >= 0)
        near = " ".join(filter(None, words))
        raise ShaderError(f"'{wanted}' is expected near '{near}'")

    def program(self) -> dict[str, Function]:
        found = {}
        while self.peek():
            if not _TYPE.match(self.take()):
                self.at -= 1
                self.fail("a function")
            name = self.take()
            parameters = self.parameters()
            found[name] = Function(parameters, tuple(self.block()))
        return found

    def parameters(self) -> tuple[str, ...]:
        found, last = [], ""
        self.take("(")
        while (token := self.take()) != ")":
            if token == ",":
                found.append(last)
            last = token
        return (*found, last) if last else ()

    def block(self) -> list[Callable[[Frame], np.ndarray | None]]:
        statements: list[Callable[[Frame], np.ndarray | None]] = []
        self.take("{")
        while self.peek() != "}":
            while self.peek() in _UNUSED:
                self.take()
            if self.peek() == "return":
                self.take()
                statements.append(_bound(self.expression()))
            elif _TYPE.match(self.peek()):
                self.take()
                statements += self.declarations()
            else:
                statements.append(self.assignment())
            self.take(";")
        self.take("}")
        return statements

    def declarations(self) -> list[Callable[[Frame], None]]:
        found = []
        while True:
            name = self.take()
            if self.peek() == "=":
                self.take()
                found.append(_assign(name, "", "=", self.expression()))
            if self.peek() != ",":
                return found
            self.take()

    def assignment(self) -> Callable[[Frame], None]:
        name, places = self.take(), ""
        if self.peek() == ".":
            self.take()
            places = self.take()
        sign = self.take()
        if sign not in _ASSIGNMENTS:
            self.at -= 1
            self.fail("=")
        return _assign(name, places, sign, self.expression())

    def expression(self) -> Any:
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take()
        first = self.expression()
        self.take(":")
        return _apply(_chosen, [condition, first, self.expression()])

    def binary(self, level: int) -> Any:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _LEVELS[level]:
            sign = self.take()
            left = _apply(_SIGNS[sign], [left, self.binary(level + 1)])
        return left

    def unary(self) -> Any:
        if self.peek() in ("-", "+"):
            sign = self.take()
            value = self.unary()
            return _apply(operator.neg, [value]) if sign == "-" else value
        value = self.primary()
        while self.peek() in (".", "["):
            if self.take() == ".":
                letters = self.take()
                if not set(letters) <= set(_PLACES):
                    self.fail("components")
                places = [_PLACES[letter] for letter in letters]
                value = _apply(lambda x, places=places: x[places], [value])
            else:
                value = _apply(_element, [value, self.expression()])
                self.take("]")
        return value

    def primary(self) -> Any:
        number, name, _, _ = self.tokens[self.at] if self.peek() else ("", "", "", "")
        self.take()
        if number:
            return np.full((1, 1, 1), number, np.float32)
        if not name:
            self.at -= 1
            if self.peek() != "(":
                self.fail("a value")
            self.take()
            value = self.expression()
            self.take(")")
            return value
        if self.peek() != "(":
            return _name(name)
        given = []
        self.take("(")
        while self.peek() != ")":
            given.append(self.expression())
            if self.peek() != ")":
                self.take(",")
        self.take(")")
        return _call(name, given)


# ------------------------------------------------------------------------------------ computing


def _bound(node: Any) -> _Node:
    return (lambda frame: node) if isinstance(node, np.ndarray) else node


def _apply(function: Callable[..., np.ndarray], given: Sequence[Any]) -> Any:
    """Return the value of constants, or what computes it."""
    if all(isinstance(one, np.ndarray) for one in given):
        return function(*given)
    nodes = [_bound(one) for one in given]
    return lambda frame: function(*(node(frame) for node in nodes))


def _assign(name: str, places: str, sign: str, node: Any) -> Callable[[Frame], None]:
    value = _bound(node)

    def assign(frame: Frame) -> None:
        new, names = value(frame), frame.names
        chosen = [_PLACES[letter] for letter in places]
        if sign != "=":
            old = names[name][chosen] if places else names[name]
            new = _SIGNS[sign[0]](old, new)
        if places:
            size = np.broadcast_shapes(names[name].shape[1:], new.shape[1:])
            whole = np.broadcast_to(names[name], (len(names[name]), *size)).copy()
            whole[chosen] = new
            new = whole
        names[name] = new

    return assign


def _name(name: str) -> _Node:
    texture, _, what = name.rpartition("_")

    def value(frame: Frame) -> np.ndarray:
        if name in frame.names:
            return frame.names[name]
        if name in frame.functions:
            return frame.call(name, ())
        if what == "pos":
            return frame.positions
        height, width = frame.textures[texture].shape[1:]
        size = np.array([width, height], np.float32)[:, None, None]
        values: dict[str, np.ndarray] = {"size": size, "pt": 1 / size}
        return values[what]

    return value


def _call(name: str, given: list[Any]) -> Any:
    texture, _, what = name.rpartition("_")
    if what in ("tex", "texOff") and texture:
        (place,) = (_bound(one) for one in given)
        read = _sampled if what == "tex" else _shifted
        return lambda frame: read(frame, frame.textures[texture], place(frame))
    if _TYPE.match(name):
        return _apply(lambda *parts: _constructed(name, parts), given)
    if name in _BUILT_IN:
        return _apply(_BUILT_IN[name], given)
    nodes = [_bound(one) for one in given]
    return lambda frame: frame.call(name, [node(frame) for node in nodes])


def _sampled(frame: Frame, texture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Read a texture at positions [2, h, w] from 0 to 1, linearly between its pixels."""
    height, width = texture.shape[1:]
    if place is frame.positions and frame.size == (height, width):
        return texture
    x, y = place[0] * width - 0.5, place[1] * height - 0.5
    left, top = np.floor(x), np.floor(y)
    columns = [np.clip(left + i, 0, width - 1).astype(int) for i in (0, 1)]
    rows = [np.clip(top + i, 0, height - 1).astype(int) for i in (0, 1)]
    across, down = x - left, y - top
    upper, lower = (
        texture[:, row, columns[0]] * (1 - across) + texture[:, row, columns[1]] * across
        for row in rows
    )
    return upper * (1 - down) + lower * down


def _shifted(frame: Frame, texture: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Read a texture so many of its pixels beside each pixel; its edges go on."""
    height, width = texture.shape[1:]
    if frame.size == (height, width) and offset.size <= 2 and not (offset % 1).any():
        x, y = (int(one) for one in np.broadcast_to(offset[:, 0, 0], 2))
        if not x and not y:
            return texture
        rows = np.clip(np.arange(height) + y, 0, height - 1)
        columns = np.clip(np.arange(width) + x, 0, width - 1)
        return texture[:, rows[:, None], columns]
    size = np.array([width, height], np.float32)[:, None, None]
    return _sampled(frame, texture, frame.positions + offset / size)


def _constructed(name: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return a number, a vector or a matrix of its components, one by one."""
    size = np.broadcast_shapes(*(part.shape[-2:] for part in parts))
    flat = [np.broadcast_to(part, (*part.shape[:-2], *size)).reshape(-1, *size) for part in parts]
    value = np.concatenate(flat)
    counts = [int(digit) for digit in re.findall(r"\d", name)] or [1]
    if name.startswith("mat"):
        columns, count = counts[0], counts[-1]
        return value[: columns * count].reshape(columns, count, *size)
    if len(value) == 1:
        value = value.repeat(counts[0], axis=0)
    if len(value) < counts[0]:
        raise ShaderError(f"{name} of {len(value)} components")
    value = value[: counts[0]]
    return value if "vec" in name and name[0] == "v" or name == "float" else np.trunc(value)


def _element(value: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return a component of a vector or a column of a matrix, another one for each pixel."""
    place = index.astype(int)
    if place.size == 1:
        return value[place.item()] if value.ndim == 4 else value[place.item()][None]
    place = place.reshape((1,) * (value.ndim - 2) + place.shape[-2:])
    whole = np.broadcast_to(value, (*value.shape[:-2], *place.shape[-2:]))
    if value.ndim == 4:
        return np.take_along_axis(whole, np.broadcast_to(place, (1, *whole.shape[1:])), 0)[0]
    return np.take_along_axis(whole, place, axis=0)


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if first.ndim == 3:
        return first * second
    if first.shape[2:] != (1, 1) or second.ndim != 3:
        raise ShaderError("a product of matrices is not understood")
    return (first[:, :, 0, 0].T @ second.reshape(len(second), -1)).reshape(-1, *second.shape[1:])


def _chosen(condition: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(condition > 0, first, second))


def _truth(compare: Callable[..., Any]) -> Callable[..., np.ndarray]:
    return lambda a, b: np.asarray(compare(a, b), np.float32)


ARITHMETIC = {"+": operator.add, "-": operator.sub, "/": operator.truediv, "*": operator.mul}
_SIGNS: dict[str, Callable[..., Any]] = {
    **{**ARITHMETIC, "*": _product},
    **{"<": _truth(operator.lt), ">": _truth(operator.gt)},
    **{"<=": _truth(operator.le), ">=": _truth(operator.ge)},
    **{"==": _truth(operator.eq), "!=": _truth(operator.ne)},
    **{"&&": _truth(np.logical_and), "||": _truth(np.logical_or)},
}
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/"))
_ASSIGNMENTS = ("=", "+=", "-=", "*=", "/=")
_BUILT_IN: dict[str, Callable[..., np.ndarray]] = {
    **{name: getattr(np, name) for name in ("abs", "floor", "ceil", "sqrt", "exp", "log", "sin")},
    **{"cos": np.cos, "tanh": np.tanh, "sign": np.sign, "pow": np.power, "mod": np.mod},
    **{"min": np.minimum, "max": np.maximum},
    "fract": lambda x: x - np.floor(x),
    "clamp": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "mix": lambda a, b, share: a * (1 - share) + b * share,
    "step": lambda edge, x: np.asarray(x >= edge, np.float32),
    "dot": lambda a, b: (a * b).sum(axis=0, keepdims=True),
    "inversesqrt": lambda x: 1 / np.sqrt(x),
}
