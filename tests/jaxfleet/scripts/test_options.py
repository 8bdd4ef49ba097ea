import types

import pytest

from jaxfleet.errors import InputError
from jaxfleet.scripts.options import check_values


def test_flags_without_a_value_and_values_twice_are_named():
    config = types.SimpleNamespace(width=(8, 16), depth=(), seed=(1, 1))
    check_values(config, "width", "seed")
    with pytest.raises(InputError, match="--depth has no value; give at least one"):
        check_values(config, "width", "depth")
    with pytest.raises(InputError, match="--seed names one value twice; give each once"):
        check_values(config, "width", "seed", once=True)
