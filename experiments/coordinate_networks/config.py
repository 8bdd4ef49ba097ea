"""Flags of the comparison, the shapes of its networks, and the settings that are tried."""

import dataclasses
import itertools
from typing import Any

from experiments import flags
from jaxfleet.scripts.options import check_values, flag
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

    photos: str = flags.photos("tfds:kodak", "The kinds are compared on these photographs.")
    max_images: int = flags.max_images()
    reduce: int = flags.reduce(4)
    tuning_photos: str = flag(
        "packaged",
        "Other photographs, on which the learning rate and scale of each kind are tuned.",
    )
    tuning_images: int = flag(3, "Use only the first so many of them.", lower=1)
    tuning_size: int = flag(156, "Side of the squares that they are resized to, pixels.", lower=8)
    network: tuple[str, ...] = flag(
        tuple(SCALES),
        "Kinds of networks to compare.",
        group="Networks and training",
        choices=tuple(SCALES),
    )
    parameters: tuple[int, ...] = flag(
        (540, 1250, 3000),
        "Network sizes, in trained weights and biases; each kind takes the width that comes "
        "closest. Hyperparameters are tuned at the middle size.",
        lower=50,
    )
    num_layers: int = flag(
        4,
        "Number of hidden layers; relu_fourier has one less, after as many random frequencies "
        "as a layer has units.",
        lower=2,
    )
    learning_rate: tuple[float, ...] = flag(
        (1e-3, 3e-3, 1e-2), "Learning rates of Adam to try for each kind.", lower=1e-8
    )
    num_iters: int = flag(500, "Number of Adam updates, full batch.", lower=1)
    seed: int = flags.seed("the initial weights")
    checkpoint_minutes: float = flags.checkpoint_minutes(group="Run")
    dry_run: bool = flags.dry_run("both plans and forecasts of their time")

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to compare."""
        check_values(self, "network", "parameters", "learning_rate", once=True)

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
        """Return every learning rate with every scale, at the middle size."""
        size = self.trial(network, self.middle)
        return [
            dataclasses.replace(size, learning_rate=rate, **scale)
            for rate, scale in itertools.product(self.learning_rate, SCALES[network])
        ]
