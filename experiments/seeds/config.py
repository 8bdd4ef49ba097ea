"""Flags of the study of initial weights."""

import dataclasses

from experiments import flags
from jaxfleet.imaging import photos as sources
from jaxfleet.scripts.options import check_values, flag
from jaxinr.trial import Trial


@dataclasses.dataclass(frozen=True)
class SeedsConfig:
    """Flags of `launch/siren_seeds.py`."""

    photos: str = flags.photos()
    max_images: int = flag(8, "Use only the first so many; 0 for all.", lower=0)
    image_size: int = flag(48, "Side of the square pictures, in pixels.", lower=2)
    image_fit: str = flag("resize", "How they become squares.", choices=sources.FITS)
    layer_size: tuple[int, ...] = flag(
        (4, 8, 16),
        "Units of a layer. Repeat for several.",
        group="Networks and training",
        lower=1,
    )
    num_layers: int = flag(4, "Number of hidden layers.", lower=2)
    w0_initial: float = flag(30.0, "Frequency factor of the first layer.", lower=1e-3)
    learning_rate: float = flag(1e-3, "Learning rate of Adam.", lower=1e-8)
    num_iters: int = flag(1000, "Number of Adam updates, full batch.", lower=1)
    first_draws: int = flag(24, "Draws of the first layer.", group="Draws", lower=3)
    other_draws: int = flag(4, "Draws of the other layers, with each of those.", lower=2)
    seed: int = flags.seed("the first draw; the others follow it")
    dry_run: bool = flags.dry_run("how many networks would be fitted", group="Run")

    def __post_init__(self) -> None:
        """Refuse a width given twice."""
        check_values(self, "layer_size", once=True)

    def trial(self, layer_size: int, seed: int = 0) -> Trial:
        """Return the network of a width."""
        return Trial(
            layer_size=layer_size,
            num_layers=self.num_layers,
            w0_initial=self.w0_initial,
            learning_rate=self.learning_rate,
            num_iters=self.num_iters,
            seed=seed,
        )
