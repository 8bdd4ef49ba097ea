import hashlib
from collections import Counter

import pytest

from jaxfleet.imaging.splits import SPLITS, hash_fraction, split_of


def test_a_lot_is_the_first_32_bits_of_the_sha256_of_the_name():
    digest = hashlib.sha256(b"kodim01").digest()
    assert hash_fraction("kodim01") == int.from_bytes(digest[:4], "big") / 2**32


def test_shares_are_80_10_and_10_percent():
    counts = Counter(split_of(f"photo {number}") for number in range(20_000))
    assert set(counts) == set(SPLITS)
    shares = [counts[split] / 20_000 for split in SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
