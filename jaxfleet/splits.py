"""Which photographs are learnt from and which are kept for tests, by their names alone."""

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(image_id: str) -> str:
    """train, validation or test (80, 10, 10 %), by the photograph's name alone."""
    place = lot(image_id)
    return "train" if place < 0.8 else "validation" if place < 0.9 else "test"


def lot(name: str) -> float:
    """In [0, 1), the same for a name on any machine, and as good as drawn."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
