"""How networks are grouped, by flags and devices."""

from typing import NamedTuple

import pytest

from jaxfleet.errors import InputError
from jaxsr.training import strategy as training_strategy
from jaxsr.training.strategy import Strategy


class Device(NamedTuple):
    platform: str


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("auto", 0, "cpu"), Strategy(1)),
        (("auto", 3, "cpu"), Strategy(3)),
        (("auto", 0, "gpu"), Strategy(4, updates=10)),
        (("auto", 2, "gpu"), Strategy(2, updates=10)),
        (("single", 0, "gpu"), Strategy(1, updates=10)),
        (("single", 1, "cpu"), Strategy(1)),
        (("unrolled", 0, "cpu"), Strategy(4)),
        (("vmap", 8, "gpu"), Strategy(8, stacked=True, updates=10)),
    ],
)
def test_flags_choose_a_strategy(flags, expected):
    strategy, group, platform = flags
    devices = [Device(platform)] * 4
    assert training_strategy.choose(strategy, group, devices, networks=4, batch_size=8) == expected


@pytest.mark.parametrize(
    ("networks", "batch_size", "expected"), [(1, 4, True), (2, 4, False), (1, 3, False)]
)
def test_a_plan_with_fewer_networks_than_devices_spreads_batches(networks, batch_size, expected):
    devices = [Device("cpu")] * 2
    chosen = training_strategy.choose("auto", 0, devices, networks=networks, batch_size=batch_size)
    assert chosen == Strategy(spread=expected)


def test_a_group_of_several_is_not_single():
    with pytest.raises(InputError, match="A group of 3 networks is not single; use unrolled"):
        training_strategy.choose("single", 3, [Device("cpu")], networks=4, batch_size=8)
