"""Classifiers in files: .safetensors, with arrays of the classifier.

    classifier_files.save(classifier, "spectrum.safetensors")
    classifier = classifier_files.load("spectrum.safetensors")

The format is that of `jaxfleet.cards`; the card has facts of the classifier, and others.
"""

import os
from collections.abc import Mapping
from typing import Any

from jaxfleet import storage
from jaxfleet.cards import CardKind
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import Classifier

CARDS = CardKind("jaxsr.attributor", "classifier", "remove it and fit it again", version=1)


def save(
    classifier: Classifier, path: str | os.PathLike[str], facts: Mapping[str, Any] | None = None
) -> None:
    """Write a .safetensors file that `load` reads.

    Args:
        classifier: what `attribution.fit` gave.
        path: of the file; readers see the one that was there or all of this.
        facts: anything else to keep with it that JSON can hold; `facts_of` reads it.

    Raises:
        TypeError: if the facts are not JSON-able.
        OSError: naming the file; an existing file stays unchanged.
    """
    arrays, own = attribution.to_arrays(classifier)
    CARDS.write(
        storage.location(os.fspath(path)), {"attributor": own, "facts": dict(facts or {})}, arrays
    )


def load(path: str | os.PathLike[str]) -> Classifier:
    """Return the classifier of a file that `save` wrote.

    Raises:
        InputError: one line that names the file, if it is missing, damaged, foreign or of another
            version.
    """
    card, arrays = CARDS.read(storage.location(os.fspath(path)))
    with CARDS.reading(str(path)):
        return attribution.from_arrays(arrays, card["attributor"])


def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the facts that `save` was given; raises as `load`."""
    card, _ = CARDS.read(storage.location(os.fspath(path)))
    with CARDS.reading(str(path)):
        return dict(card["facts"])
