"""Flags of the engine's benchmarks, and the networks that they train."""

import dataclasses
import math
from typing import ClassVar

from experiments.benchmarks import calibrate, peers, start, stochastic
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.scripts.options import flag
from jaxinr.trial import flops_per_pixel

PARTS = ("shapes", "scaling", "mixed")
OWN_PARTS = (*PARTS, "peers", "pixels", "calibrate")
OTHER_PARTS = ("start", "accelerator", "accelerator_tiles", "agreement")  # of `accelerator`


@dataclasses.dataclass(frozen=True)
class Shape:
    """N networks of one size on N pictures."""

    networks: int
    height: int
    width: int
    num_layers: int
    layer_size: int

    @property
    def pixels(self) -> int:
        """The number of pixels of one picture."""
        return self.height * self.width

    @property
    def flops(self) -> int:
        """The floating-point operations of one pixel-step."""
        return flops_per_pixel(self.layer_size, self.num_layers)

    @property
    def update_gflop(self) -> float:
        """The work of an update of all networks."""
        return 1e-9 * self.networks * self.pixels * self.flops

    def __str__(self) -> str:
        """Return the text in the table: networks x pixels, layers x width."""
        return f"{self.networks} x {self.pixels}, {self.num_layers} x {self.layer_size}"


SHAPES = (
    Shape(32, 64, 64, 3, 8),
    Shape(32, 64, 64, 4, 16),
    Shape(32, 64, 64, 4, 32),
    Shape(32, 64, 64, 5, 64),
    Shape(8, 64, 64, 5, 128),
    Shape(2, 512, 768, 10, 28),
)
SCALING_NETWORKS = (64, 512, 4096)
MIXED_WIDTHS = (8, 12, 16, 20, 24, 28, 32)
MIXED_ITERS = 1000


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Flags of `launch/benchmark.py`."""

    RUN_DIR: ClassVar[str] = "written"

    part: tuple[str, ...] = flag(
        PARTS,
        "shapes: the six shapes against the baselines; scaling: cost per fit and memory of 64 to "
        "4096 networks; mixed: networks of many widths together and apart. Only where asked for: "
        "start: imports, a forecast, the quickstart and its first network, in fresh processes; "
        "peers: fits of 32 x 32 pixels an hour by the recipes of Implicit-Zoo and COIN, beside "
        "their published times; pixels: how much sooner updates on 16,384 pixels come to within "
        "0.2 dB of updates on all pixels of a photograph; calibrate: the time of single fits, kept "
        "for siren_forecast and recommendations; accelerator: every engine on this device against "
        "its own limits, and the hours of the collection; accelerator_tiles: the best block and "
        "group; agreement: the PSNR of one run's networks against another's.",
        choices=(*OWN_PARTS, *OTHER_PARTS),
    )
    seconds: float = flag(
        6.0,
        "Target duration of a measurement; at most one on an accelerator, and "
        f"{calibrate.SECONDS} of --part=calibrate.",
        lower=0.1,
    )
    rounds: int = flag(
        3,
        "Measurements per engine, of --part=calibrate and of an import or a forecast of "
        "--part=start; the best counts.",
        lower=1,
    )
    max_update_gflop: float = flag(
        0.0,
        "Of --part=shapes: leave out shapes of which an update of all networks takes more GFLOP; "
        "0 for no limit.",
        lower=0,
    )
    networks: tuple[int, ...] = flag(
        SCALING_NETWORKS, "Of --part=scaling: so many at once, one after the other.", lower=1
    )
    layer_size: tuple[int, ...] = flag(
        MIXED_WIDTHS, "Of --part=mixed: widths, together and apart.", lower=1
    )
    num_iters: int | None = flag(
        None,
        f"Iterations of --part=mixed (by default {MIXED_ITERS:,}), and of all pixels in "
        f"--part=pixels (by default {stochastic.NUM_ITERS}).",
        lower=1,
    )
    peer_fits: int | None = flag(
        None,
        "Of --part=peers: fits of each recipe, by default "
        f"{' and '.join(f'{peer.fits:,}' for peer in peers.PEERS)}.",
        lower=1,
    )
    wait: tuple[str, ...] = flag(
        start.WAITS, "Of --part=start: what is waited for.", choices=start.WAITS
    )
    minutes: float = flag(
        9.0, "Of --part=accelerator and accelerator_tiles: nothing is begun later.", lower=0.0
    )
    photos: str = flag("packaged", f"Of --part=pixels: the first of these. {photos.HELP}")
    first_run: str = flag("", "Of --part=agreement: run directory of a grid of SIRENs.")
    second_run: str = flag(
        "", "Of --part=agreement: another run of the same plan, or a share of it."
    )

    def __post_init__(self) -> None:
        """Refuse runs that are not named, and a limit that leaves nothing to measure."""
        if "agreement" in self.part and not (self.first_run and self.second_run):
            raise InputError("--part=agreement needs --first_run and --second_run.")
        if "shapes" in self.part and not self.shapes:
            least = min(shape.update_gflop for shape in SHAPES)
            raise InputError(
                f"--max_update_gflop={self.max_update_gflop:g} leaves no shape; {least:.3g} leaves "
                "one."
            )

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Return the shapes that --part=shapes measures."""
        most = self.max_update_gflop or math.inf
        return tuple(shape for shape in SHAPES if shape.update_gflop <= most)
