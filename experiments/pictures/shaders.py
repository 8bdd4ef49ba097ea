"""User shaders of mpv that enlarge pictures, such as Anime4K, FSRCNNX and ArtCNN, by NumPy.

A file holds passes in GLSL. Each computes a texture of those before it by its function `hook`, and
the last one writes the enlarged picture. Passes are parsed into closures once. Textures are float32
throughout, where graphics cards keep 16 bits. Compute shaders, look-up tables and loops are not
understood.

Source: "User shaders" in mpv's manual.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.pictures import glsl
from experiments.pictures.glsl import ShaderError

PICTURES = {"MAIN": 3, "RGB": 3, "LUMA": 1}  # textures that a shader enlarges, and their channels
_COMMENT = re.compile(r"/\*.*?\*/|//(?!!)[^\n]*", re.DOTALL)
_DEFINE = re.compile(r"#define\s+(\w+)(?:\(([^)]*)\))?\s+(.*)")


@dataclasses.dataclass(frozen=True)
class Pass:
    """A pass of a shader.

    Attributes:
        hook: texture that it belongs to.
        saved: name of the texture that it computes.
        size: width and height of that, in reverse Polish notation.
        functions: by name.
    """

    hook: str
    saved: str
    size: tuple[str, str]
    functions: Mapping[str, glsl.Function]


def run(passes: Sequence[Pass], picture: np.ndarray) -> np.ndarray:
    """Compute a shader: [C, h, w] float32 from 0 to 1 to [C, r h, r w], C as `PICTURES` says.

    Raises:
        ShaderError: if a pass cannot be computed.
    """
    hook = passes[0].hook
    full = np.zeros((4, *picture.shape[1:]), np.float32)
    full[: len(picture)], full[3] = picture, 1.0
    textures = {hook: full}
    for one in passes:
        known = {**textures, "HOOKED": textures[one.hook]}
        try:
            width, height = (int(_evaluate(text, known)) for text in one.size)
            rows, columns = (np.arange(n, dtype=np.float32) + 0.5 for n in (height, width))
            positions = np.stack(np.broadcast_arrays(columns / width, rows[:, None] / height))
            frame = glsl.Frame(one.functions, known, (height, width), positions, {})
            made = frame.call("hook", ())
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ShaderError(f"the pass that saves {one.saved}: {error}") from None
        textures[one.saved] = np.broadcast_to(made, (len(made), height, width))
    return np.ascontiguousarray(textures[hook][: len(picture)])


def parse(text: str) -> list[Pass]:
    """Parse a shader.

    Raises:
        ShaderError: if it is none, or holds what is not understood.
    """
    parts = re.split(r"^((?://!.*\n)+)", _COMMENT.sub("", text.replace("\\\n", " ")), flags=re.M)
    passes: list[Pass] = []
    constants: dict[str, str] = {}
    for head, body in zip(parts[1::2], parts[2::2], strict=True):
        lines = [line[3:].split(None, 1) for line in head.splitlines() if line[3:].strip()]
        said = {line[0]: line[1].strip() if len(line) > 1 else "" for line in lines}
        for word in ("COMPUTE", "TEXTURE"):
            if word in said:
                raise ShaderError(f"it uses //!{word}, which is not understood")
        if "PARAM" in said:
            constants[said["PARAM"]] = body.strip()
            continue
        hook = said.get("HOOK", "")
        if hook not in PICTURES or passes and hook != passes[0].hook:
            raise ShaderError(f"a pass hooks '{hook}'; only one of {', '.join(PICTURES)} is known")
        size = said.get("WIDTH", "HOOKED.w"), said.get("HEIGHT", "HOOKED.h")
        functions = glsl.parse(_preprocessed(body, constants))
        if "hook" not in functions:
            raise ShaderError("a pass has no function hook")
        passes.append(Pass(hook, said.get("SAVE", hook), size, functions))
    if not passes or passes[-1].saved != passes[-1].hook:
        raise ShaderError("its passes compute no picture")
    return passes


# ------------------------------------------------------------------------------------- parsing


def _preprocessed(body: str, constants: Mapping[str, str]) -> str:
    """Resolve #if, and turn #define into functions without types."""
    defined, kept = dict(constants), []
    made = [f"float {name}() {{ return {value}; }}" for name, value in constants.items()]
    branches = [(True, True)]  # whether this branch is read, and whether one of its kind was
    for line in body.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word in ("#if", "#ifdef", "#ifndef"):
            holds = _holds(rest, defined) if word == "#if" else rest.strip() in defined
            holds = branches[-1][0] and holds != (word == "#ifndef")
            branches.append((holds, holds or not branches[-1][0]))
        elif word in ("#elif", "#else"):
            _, was = branches.pop()
            holds = not was and (word == "#else" or _holds(rest, defined))
            branches.append((holds, was or holds))
        elif word == "#endif":
            branches.pop()
        elif branches[-1][0] and (found := _DEFINE.match(line.strip())):
            name, parameters, value = found.groups()
            defined[name] = value
            made.append(f"float {name}({parameters or ''}) {{ return {value}; }}")
        elif branches[-1][0] and not word.startswith("#"):
            kept.append(line)
    return "\n".join((*made, *kept))


def _holds(condition: str, constants: Mapping[str, str]) -> bool:
    """Decide an #if, in which unknown names are 0."""
    words = re.findall(r"[A-Za-z_]\w*|[^A-Za-z_]+", condition)
    text = "".join(constants.get(word, "0") if word[0].isidentifier() else word for word in words)
    return glsl.holds(text)


def _evaluate(text: str, textures: Mapping[str, np.ndarray]) -> float:
    """Evaluate a size in reverse Polish notation."""
    stack: list[float] = []
    for word in text.split():
        if word in "+-*/":
            second, first = stack.pop(), stack.pop()
            stack.append(glsl.ARITHMETIC[word](first, second))
        elif word[-2:] in (".w", ".h"):
            shape = textures[word[:-2]].shape
            stack.append(shape[2] if word[-1] == "w" else shape[1])
        else:
            stack.append(float(word))
    return stack.pop()
