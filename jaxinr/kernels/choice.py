"""Which implementation trains which networks.

XLA's program of `siren` runs anywhere; `fused`, in Pallas, on GPUs; `cpu`, in Numba, on CPUs.
"""

import functools
import logging

from jaxinr.kernels import tiling
from jaxinr.trial import SIREN

KERNELS = ("auto", "xla", "numba", "pallas")
_OTHERS = "networks other than SIRENs"
PLATFORMS = ("cpu", "gpu")  # of the fused kernel; on a CPU in interpret mode, for tests

# What `auto` takes of XLA and Pallas, by platform and padded width: the faster where both were
# timed. On a GPU the fused kernel has not been timed yet.
FASTER = {("gpu", width): "xla" for width in tiling.WIDTHS}


@functools.cache
def choose(
    kernel: str,
    platform: str,
    num_layers: int,
    width: int,
    products: str = "float32",
    network: str = SIREN,
    is_stochastic: bool = False,
) -> str:
    """Return the implementation for networks of a shape: "xla", "numba" or "pallas".

    Where the one that is asked for cannot be, the answer is "xla", and a line of the log says why,
    once for each reason; likewise where Numba, which `auto` takes on a CPU, cannot be imported.

    Args:
        kernel: one of KERNELS, what was asked for.
        platform: "cpu", "gpu" or "tpu".
        num_layers: sine layers.
        width: units; the answer is the same for all that pad to one of `tiling.WIDTHS`.
        products: one of `siren.PRODUCTS`.
        network: kind; kernels other than XLA's program are for SIRENs.
        is_stochastic: whether updates take a part of the pixels.
    """
    if kernel == "xla":
        return kernel
    if kernel == "numba" or (kernel == "auto" and platform == "cpu"):
        reason = _obstacle_to_numba(platform, products, network)
        if reason:
            _say(f"kernel=numba is not for {reason}; those train by XLA.")
        return "xla" if reason else "numba"
    reason = _obstacle(platform, num_layers, width, network)
    if is_stochastic and not reason:
        reason = "updates of a part of the pixels"
    if kernel == "auto":
        return "xla" if reason else FASTER.get((platform, tiling.padded_width(width)), "xla")
    if reason:
        _say(f"kernel=pallas is not for {reason}; those train by XLA.")
    return "xla" if reason else kernel


def _obstacle_to_numba(platform: str, products: str, network: str) -> str:
    """Return what the CPU kernel cannot do, "" if nothing."""
    if network != SIREN:
        return _OTHERS
    if platform != "cpu":
        return f"a {platform}"
    if products == "bfloat16":
        return "products in bfloat16"
    try:
        import numba  # noqa: F401  # a broken one is found here
    except (ImportError, OSError) as error:
        return f"a Python in which Numba cannot be imported ({str(error).splitlines()[0]})"
    return ""


def _obstacle(platform: str, num_layers: int, width: int, network: str) -> str:
    """Return what the fused kernel cannot do, "" if nothing."""
    if network != SIREN:
        return _OTHERS
    if platform not in PLATFORMS:
        return f"a {platform}"
    if width > tiling.WIDTHS[-1]:
        return f"networks of more than {tiling.WIDTHS[-1]} units a layer"
    padded = tiling.padded_width(width)
    if tiling.tiling(num_layers, padded) is None:
        return f"networks so deep at {padded} units a layer"
    return ""


@functools.cache
def _say(line: str) -> None:
    logging.getLogger(__name__).warning(line)
