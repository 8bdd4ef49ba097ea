"""Flags of the comparison, the shapes of its networks, and the settings that are tried."""

import dataclasses
import itertools
from typing import Any

from jaxfleet import photos as sources
from jaxfleet.errors import InputError
from jaxfleet.options import flag
from jaxinr.trial import SIREN, Trial

# What reaches from coarse to fine in each kind, around the values of its paper. A grid of 4.
SCALES: dict[str, tuple[dict[str, Any], ...]] = {
    SIREN: tuple({"w0_initial": w0} for w0 in (10.0, 20.0, 30.0, 60.0)),
    "finer": tuple({"first_bias_scale": scale} for scale in (0.3, 1.0, 3.0, 10.0)),
    "gauss": tuple({"sigma": sigma} for sigma in (0.05, 0.1, 0.2, 0.4)),
    "wire": (
        {"omega0": 5.0, "s0": 5.0},
        {"omega0": 5.0, "s0": 10.0},
        {"omega0": 10.0, "s0": 10.0},
        {"omega0": 20.0, "s0": 10.0},
    ),
    "relu_fourier": tuple({"sigma": sigma} for sigma in (1.0, 2.0, 4.0, 8.0)),
}
_WIDEST = 1024


@dataclasses.dataclass(frozen=True)
class NetworksConfig:
    """Flags of `launch/coordinate_networks.py`."""

    photos: str = flag("tfds:kodak", f"Compared on these. {sources.HELP}", group="Photographs")
    max_images: int = flag(0, "Use the first so many photographs; 0 for all.", lower=0)
    reduce: int = flag(
        4,
        "Shrinks both sides of the photographs by this factor; 4 makes 192 x 128 pixels of "
        "Kodak's.",
        lower=1,
    )
    tuning_photos: str = flag(
        "packaged",
        "Learning rate and scale of each kind are chosen on these, which must be others.",
    )
    tuning_images: int = flag(3, "The first so many of them.", lower=1)
    tuning_size: int = flag(156, "Side of the squares that they are shrunk to.", lower=8)
    network: tuple[str, ...] = flag(
        tuple(SCALES), "Kinds.", group="Networks and training", choices=tuple(SCALES)
    )
    parameters: tuple[int, ...] = flag(
        (540, 1250, 3000),
        "Sizes, in weights and biases that are trained; each kind takes the width that comes "
        "closest. Settings are chosen at the middle one.",
        lower=50,
    )
    num_layers: int = flag(
        4,
        "Hidden layers; of relu_fourier one less, after as many random frequencies as a layer has "
        "units.",
        lower=2,
    )
    learning_rate: tuple[float, ...] = flag(
        (1e-3, 3e-3, 1e-2), "Of Adam; tried in each kind.", lower=1e-8
    )
    num_iters: int = flag(500, "Adam updates, full batch.", lower=1)
    seed: int = flag(0, "Of the initial weights.", lower=0)
    checkpoint_minutes: float = flag(
        10.0, "Minutes of work that a kill may cost at most.", group="Run", lower=0
    )
    dry_run: bool = flag(False, "Prints both plans and time forecasts; no fits.")

    def __post_init__(self) -> None:
        """Refuses what leaves nothing to compare."""
        for name in ("network", "parameters", "learning_rate"):
            values = getattr(self, name)
            if not values:
                raise InputError(f"--{name} has no value; give at least one.")
            if len(set(values)) < len(values):
                raise InputError(f"--{name} names one value twice; give each once.")

    @property
    def middle(self) -> int:
        """The size at which settings are chosen."""
        return sorted(self.parameters)[len(self.parameters) // 2]

    def trial(self, network: str, parameters: int, **settings: Any) -> Trial:
        """Return the network of a kind that comes closest to a number of parameters."""
        fourier = network == "relu_fourier"

        def of(units: int) -> Trial:
            return Trial(
                network=network,
                layer_size=units,
                num_layers=self.num_layers - fourier,
                num_iters=self.num_iters,
                seed=self.seed,
                **({"num_frequencies": units} if fourier else {}),
                **settings,
            )

        return min(map(of, range(1, _WIDEST)), key=lambda one: abs(one.parameters - parameters))

    def candidates(self, network: str) -> list[Trial]:
        """Every learning rate with every scale, at the middle size."""
        size = self.trial(network, self.middle)
        return [
            dataclasses.replace(size, learning_rate=rate, **scale)
            for rate, scale in itertools.product(self.learning_rate, SCALES[network])
        ]
