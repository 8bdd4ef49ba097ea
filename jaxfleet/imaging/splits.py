"""Split photographs into training, validation and test sets by their names alone."""

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(image_id: str) -> str:
    """Return train, validation or test (80, 10, 10 %), by the photograph's name alone."""
    fraction = hash_fraction(image_id)
    return "train" if fraction < 0.8 else "validation" if fraction < 0.9 else "test"


def hash_fraction(name: str) -> float:
    """Hash a name to [0, 1), uniformly and the same on any machine."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
