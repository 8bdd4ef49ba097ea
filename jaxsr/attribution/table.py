"""The table of attribution methods: what each learns from, and what fits its classifier.

A new method is one entry of `TABLE` and its functions. Modules are imported when they are needed.

Letters: N crops, D features.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxfleet.errors import InputError
from jaxsr.fingerprints.crop_features import Features


class Method(NamedTuple):
    """A method of attribution.

    Attributes:
        classifier: MODULE:FUNCTION that fits it, in a module that also has `from_arrays(arrays,
            facts)`, the inverse of `Classifier.to_arrays`. Arguments from features: [N, D], labels
            [N] and the fields of `FeatureClassifier` by name; from pixels: as `methods.fit`,
            without the method.
        features: MODULE:NAME of its `Features`; empty if it learns from pixels.
    """

    classifier: str
    features: str = ""

    @property
    def function(self) -> Callable[..., Any]:
        """The function that fits the classifier."""
        found: Callable[..., Any] = _imported(self.classifier)
        return found

    def from_arrays(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Any:
        """Restore a classifier from arrays and facts."""
        return _imported(f"{self.classifier.partition(':')[0]}:from_arrays")(arrays, facts)


_LDA = "jaxsr.attribution.discriminant:fit"
TABLE: dict[str, Method] = {
    "prnu": Method("jaxsr.attribution.residual:fit_prnu"),
    "ncc": Method("jaxsr.attribution.residual:fit_ncc"),
    "spectrum": Method(_LDA, "jaxsr.attribution.features:SPECTRUM"),
    "dct": Method(_LDA, "jaxsr.attribution.features:DCT"),
    "linear": Method(_LDA, "jaxsr.fingerprints.phase_autocorrelation:FEATURES"),
    "kernel": Method(
        "jaxsr.attribution.regression:fit", "jaxsr.attribution.crop_regression:FEATURES"
    ),
    "convnext": Method("jaxsr.attribution.convnext:fit"),
}
METHODS = tuple(TABLE)


_COMMON = ("crop_px", "seed", "validation", "progress")


def method_of(name: str) -> Method:
    """Return an entry of `TABLE`.

    Raises:
        InputError: if there is no such method.
    """
    if name not in TABLE:
        raise InputError(f"No method '{name}' of attribution; use one of {', '.join(TABLE)}.")
    return TABLE[name]


def features_of(method: str) -> Features | None:
    """Return the feature function of a method; None of one that learns from pixels.

    Raises:
        InputError: if there is no such method.
    """
    names = method_of(method).features
    return _imported(names) if names else None


def options_of(method: str) -> tuple[str, ...]:
    """Return the names of the options that `fit` takes for a method.

    Raises:
        InputError: if there is no such method.
    """
    features = features_of(method)
    parameters = inspect.signature(method_of(method).function).parameters
    own = [name for name, one in parameters.items() if one.default is not inspect.Parameter.empty]
    return (*(features.options if features else ()), *(n for n in own if n not in _COMMON))


def check_options(method: str, crop_px: int, **options: Any) -> None:
    """Check that the options of the features can be used with crops of this size.

    Raises:
        InputError: naming what is wrong.
    """
    features = features_of(method)
    if features is not None:
        own = {name: options[name] for name in features.options if name in options}
        features.check(crop_px, **{**features.options, **own})


def sees_validation(method: str) -> bool:
    """Return whether the classifier of a method uses features of validation pictures."""
    return "validation" in inspect.signature(method_of(method).function).parameters


def _imported(path: str) -> Any:
    """Import the object of MODULE:NAME."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
