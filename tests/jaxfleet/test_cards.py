"""Files with a card: what is written comes back, what changed is found, messages name the file."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import numpy as safetensors

from jaxfleet.cards import CardKind
from jaxfleet.errors import InputError

THINGS = CardKind("test.thing", "thing", "make it again", version=2)
CARD = {"name": "a thing", "sizes": [1, 2], "share": 0.5}
ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1, 2], np.int64)}
DATA = THINGS.pack(CARD, ARRAYS)


@pytest.mark.parametrize("version", [2, None])
def test_what_is_written_comes_back(tmp_path, version):
    kind = dataclasses.replace(THINGS, version=version)
    path = tmp_path / "one.safetensors"
    kind.write(path, CARD, {**ARRAYS, "b": np.asfortranarray(ARRAYS["b"])})
    card, arrays = kind.read(path)
    assert card == CARD
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype


def test_the_same_thing_is_the_same_bytes():
    turned = dict(reversed(CARD.items())), dict(reversed(ARRAYS.items()))
    assert THINGS.pack(*turned) == DATA


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_one_changed_byte_is_found(position, change):
    damaged = bytearray(DATA)
    damaged[position] ^= change
    try:
        card, arrays = THINGS.unpack(bytes(damaged), "it")
    except InputError as error:
        assert str(error).startswith("it ")  # noqa: PT017 - some bytes are blanks of the header
    else:
        assert card == CARD
        np.testing.assert_equal(arrays, ARRAYS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is damaged, or no thing; make it again."),
        (DATA[:-1], "it is damaged, or no thing; make it again."),
        (safetensors.save(ARRAYS), "it holds no thing; make it again."),
        (safetensors.save(ARRAYS, {"another": "{}"}), "it holds no thing; make it again."),
        (
            safetensors.save(ARRAYS, {"test.thing": "[]"}),
            "it is damaged: what it holds has changed; make it again.",
        ),
        (
            safetensors.save(ARRAYS, {"test.thing": json.dumps({**CARD, "crc32": 0, "format": 2})}),
            "it is damaged: what it holds has changed; make it again.",
        ),
        (
            dataclasses.replace(THINGS, version=3).pack(CARD, ARRAYS),
            "it holds a version 3 thing, not 2; make it again.",
        ),
    ],
)
def test_what_is_no_thing_is_refused_in_one_line(data, message):
    with pytest.raises(InputError) as caught:
        THINGS.unpack(data, "it")
    assert str(caught.value) == message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none: No such file or directory. Give the file of a th"):
        THINGS.read(tmp_path / "none")


def test_what_does_not_make_a_thing_names_the_file():
    with pytest.raises(InputError, match="^it: too small$"), THINGS.reading("it"):
        raise InputError("too small")
    with pytest.raises(InputError, match="^it is damaged: what it "), THINGS.reading("it"):
        raise KeyError("name")
