"""The kinds of networks, by name."""

from jaxinr import siren
from jaxinr.kind import Hyperparameter, Kind, Params, Spec, without_biases
from jaxinr.networks import finer, gauss, relu_fourier, wire

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (siren.KIND, finer.KIND, gauss.KIND, wire.KIND, relu_fourier.KIND)
}


def init(trial: Spec, *, bias_init: str = "coin") -> Params:
    """Draw the initial weights of one network at its own width, as NumPy arrays.

    Args:
        trial: gives the kind, the shapes, the hyperparameters and the seed.
        bias_init: "coin", as the kind's paper has it, or "zero".
    """
    params = KINDS[trial.network].init(trial)
    return params if bias_init == "coin" else without_biases(params)


def owners(name: str) -> list[str]:
    """Return the kinds that have a hyperparameter."""
    return [kind.name for kind in KINDS.values() if name in kind.hyperparameters]


def hyperparameters() -> dict[str, list[Hyperparameter]]:
    """Return every hyperparameter of any kind, with what it may be in each that has it."""
    found: dict[str, list[Hyperparameter]] = {}
    for kind in KINDS.values():
        for name, one in kind.hyperparameters.items():
            found.setdefault(name, []).append(one)
    return found


def meanings() -> dict[str, str]:
    """Return what each hyperparameter is, with the kinds that have it in parentheses."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind in KINDS.values():
        for name, one in kind.hyperparameters.items():
            found.setdefault(name, {}).setdefault(one.meaning, []).append(kind.name)
    return {
        name: "; ".join(f"{meaning} ({', '.join(kinds)})" for meaning, kinds in each.items())
        for name, each in found.items()
    }
