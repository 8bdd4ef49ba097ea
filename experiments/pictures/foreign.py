"""Networks of other programs: of ncnn (NAME.param, NAME.bin), ONNX, JSON, and shaders of mpv.

Scale and margin are measured: a network that gives r (h - 2 m) rows for h has the scale r and takes
m pixels off each side, which are laid around the picture before. Such a network takes red, green
and blue from 0 to 1 and gives the same; one of ONNX with fixed sides is refused. A shader that
enlarges luma alone gets the luma of BT.601, and colour is enlarged by bicubic interpolation.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.pictures import convolutions, glsl, shaders
from experiments.pictures.installed.networks import Apply, Installed, enlarge, open_ncnn
from jaxfleet.errors import InputError
from jaxfleet.imaging import images
from jaxsr.fingerprints.evidence import TO_YCC

ENDINGS = (".param", ".onnx", ".json", ".glsl", ".hook")
_PROBES_PX = (40, 48)  # sides of the pictures by which scale and margin are measured


class Enlarger:
    """A network that is computed by its own program: [h, w, 3] uint8 to [r h, r w, 3] uint8.

    Attributes:
        how: how it is used; its `file` is the path.
        apply: the network.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load the network and measure its scale and margin.

        Raises:
            InputError: if it cannot be read, needs a package that is not installed, or enlarges
                pictures by no whole number.
        """
        self.apply: Apply
        if path.suffix == ".onnx":
            self.apply = _open_onnx(path, threads)
        elif path.suffix == ".json":
            self.apply = convolutions.load(path)
        elif path.suffix in (".glsl", ".hook"):
            self.apply = _open_shader(path)
        else:
            self.apply = open_ncnn(
                path, path.with_suffix(".bin"), threads, _blobs(path), "copy both files again"
            )
        low, high = (self._side(path, side) for side in _PROBES_PX)
        scale, rest = divmod(high - low, _PROBES_PX[1] - _PROBES_PX[0])
        margin, odd = divmod(scale * _PROBES_PX[0] - low, 2 * scale) if scale else (0, 1)
        if scale < 1 or rest or odd or margin < 0:
            raise InputError(
                f"{path}: makes {low} rows of {_PROBES_PX[0]} and {high} of {_PROBES_PX[1]}, which "
                "is no whole scale; only networks that enlarge pictures can be used."
            )
        fill: Any = "edge" if margin else "reflect"
        self.how = Installed("", str(path), scale, "", 0, margin=margin, fill=fill)

    def __call__(self, low: np.ndarray) -> np.ndarray:
        """Enlarge an image; see the class."""
        return enlarge(self.how, self.apply, low)

    def _side(self, path: Path, side: int) -> int:
        made = self.apply(np.full((3, side, side), 0.5, np.float32))
        if made.ndim != 3 or made.shape[0] != 3 or made.shape[1] != made.shape[2]:
            raise InputError(f"{path}: gives {made.shape} where 3 square channels are expected.")
        return made.shape[1]


def _blobs(param: Path) -> tuple[str, str]:
    """Return the names of what goes into a network of ncnn and of what comes out last."""
    try:
        rows = [line.split() for line in param.read_text("utf-8").splitlines()[2:] if line.strip()]
        first = next(row for row in rows if row[0] == "Input")
        return first[4], rows[-1][4 + int(rows[-1][2])]
    except (OSError, UnicodeDecodeError, StopIteration, IndexError, ValueError):
        raise InputError(f"{param}: no .param file of ncnn; name one that is.") from None


def _open_onnx(path: Path, threads: int) -> Apply:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime is not installed: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has a class of its own for each kind of damage
        raise InputError(f"{path}: no ONNX model ({type(error).__name__}).") from None
    given = session.get_inputs()
    if len(given) != 1 or any(isinstance(side, int) for side in given[0].shape[2:]):
        raise InputError(f"{path}: takes {[one.shape for one in given]}; one of [N, 3, h, w] is.")

    def apply(picture: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {given[0].name: picture[None]})[0][0])

    return apply


def _open_shader(path: Path) -> Apply:
    try:
        passes = shaders.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or 'no text'}.") from None
    except glsl.ShaderError as error:
        raise InputError(f"{path}: no shader that can be computed here: {error}.") from None

    def enlarged(picture: np.ndarray) -> np.ndarray:
        try:
            return shaders.run(passes, picture)
        except glsl.ShaderError as error:
            raise InputError(f"{path}: {error}.") from None

    if shaders.PICTURES[passes[0].hook] == 3:
        return enlarged

    def apply(picture: np.ndarray) -> np.ndarray:
        parts = np.einsum("ij,jhw->ihw", TO_YCC, picture)
        luma = enlarged(parts[:1])
        wide = images.bicubic_resize(jnp.asarray(parts[1:].transpose(1, 2, 0)), *luma.shape[1:])
        whole = np.concatenate([luma, np.asarray(wide).transpose(2, 0, 1)])
        return np.einsum("ij,jhw->ihw", np.linalg.inv(TO_YCC), whole)

    return apply
