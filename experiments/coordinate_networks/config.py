"""Flags of the comparison, the shapes of its networks, and where the search for settings goes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments import flags
from jaxfleet.scripts.options import check_values, flag
from jaxinr.networks.registry import KINDS
from jaxinr.trial import Trial

_WIDEST = 1024


@dataclasses.dataclass(frozen=True)
class NetworksConfig:
    """Flags of `launch/coordinate_networks.py`."""

    photos: str = flags.photos("tfds:kodak", "The kinds are compared on these photographs.")
    max_images: int = flags.max_images()
    reduce: int = flags.reduce(4)
    tuning_photos: str = flag(
        "packaged",
        "Other photographs, on which the settings of each kind are tuned.",
    )
    tuning_images: int = flag(3, "Use only the first so many of them.", lower=1)
    tuning_size: int = flag(156, "Side of the squares that they are resized to, pixels.", lower=8)
    network: tuple[str, ...] = flag(
        tuple(KINDS),
        "Kinds of networks to compare.",
        group="Networks and training",
        choices=tuple(KINDS),
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
    learning_rate: float = flag(
        3e-3, "Adam's learning rate, from which the search for each kind's begins.", lower=1e-8
    )
    num_iters: int = flag(500, "Number of Adam updates, full batch.", lower=1)
    seed: int = flags.seed("the initial weights")
    checkpoint_minutes: float = flags.checkpoint_minutes(group="Run")
    dry_run: bool = flags.dry_run("both plans and forecasts of their time")

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to compare."""
        check_values(self, "network", "parameters", once=True)

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

    def start(self, network: str) -> Trial:
        """Return a kind with the settings of its paper, at the middle size."""
        return self.trial(network, self.middle, learning_rate=self.learning_rate)


def settings(trial: Trial) -> dict[str, Any]:
    """Return what is tuned: the learning rate and the kind's hyperparameters, but for counts."""
    kind = KINDS[trial.network]
    names = [name for name, one in kind.hyperparameters.items() if not one.integer]
    return {name: getattr(trial, name) for name in ("learning_rate", *names)}


def best_of(tried: Mapping[Trial, float]) -> Trial:
    """Return the trial of the highest PSNR."""
    return max(tried, key=lambda one: tried[one])


def neighbours(trial: Trial, factor: float) -> list[Trial]:
    """Return a trial with each of its settings in turn divided and multiplied by a factor.

    Those outside the limits of a hyperparameter are left out.
    """
    limits = KINDS[trial.network].hyperparameters
    return [
        dataclasses.replace(trial, **{name: changed})
        for name, value in settings(trial).items()
        for changed in (value / factor, value * factor)
        if name not in limits or limits[name].lower <= changed <= limits[name].upper
    ]
