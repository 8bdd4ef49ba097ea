"""Which implementation trains which networks: XLA's program of `siren`, or the fused kernel."""

import functools
import logging

from jaxinr.kernels import tiling

KERNELS = ("auto", "xla", "pallas")
PLATFORMS = ("cpu", "gpu")  # of the fused kernel; on a CPU in interpret mode, for tests

# What `auto` takes, by platform and padded width: the faster of the two where both were timed. On a
# GPU the fused kernel has not been timed yet.
FASTER = {("gpu", width): "xla" for width in tiling.WIDTHS}


@functools.cache
def choose(kernel: str, platform: str, num_layers: int, width: int) -> str:
    """The implementation for networks of a shape: "xla" or "pallas".

    Where "pallas" is asked for and cannot be, the answer is "xla", and a line of the log says why,
    once for each reason.

    Args:
        kernel: one of KERNELS, what was asked for.
        platform: "cpu", "gpu" or "tpu".
        num_layers: sine layers.
        width: units; the answer is the same for all that pad to one of `tiling.WIDTHS`.
    """
    if kernel == "xla":
        return kernel
    reason = _obstacle(platform, num_layers, width)
    if kernel == "auto":
        return "xla" if reason else FASTER.get((platform, tiling.padded_width(width)), "xla")
    if reason:
        _say(f"kernel=pallas is not for {reason}; those train by XLA.")
    return "xla" if reason else kernel


def _obstacle(platform: str, num_layers: int, width: int) -> str:
    """What the fused kernel cannot do, "" if nothing."""
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
