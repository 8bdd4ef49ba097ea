"""The plan of a zoo: which networks there are, how shards part them, and architectures as flags."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxsr
from experiments.zoo import plan as zoo_plan
from experiments.zoo import run as zoo_run
from experiments.zoo.config import Architecture, ZooConfig
from jaxfleet.errors import InputError
from jaxfleet.shards import Shard
from jaxsr.training import cost as training_cost
from jaxsr.training import losses
from launch import flagdefs

FLAGFILES = Path(flagdefs.__file__).parent / "flagfiles" / "sr_zoo"


def shipped(name):
    return flagdefs.parse(ZooConfig, [f"--flagfile={FLAGFILES / name}.flags"])[0]


def test_paper_flags_are_the_networks_of_the_paper():
    networks = zoo_run.make_networks(shipped("paper"))
    assert len(networks) == 180
    assert len({network.name for network in networks}) == 180
    assert Counter(n.scale for n in networks) == {2: 90, 4: 90}
    assert Counter(n.loss for n in networks) == {"l1": 60, "vgg_adv": 60, "resnet_adv": 60}
    assert Counter(n.architecture.base for n in networks) == dict.fromkeys(
        ("edsr", "rdn", "rcan", "nlsn", "swinir"), 36
    )
    assert not any(network.architecture.overrides for network in networks)
    # Seed 1, or DIV2K: 30 kinds with three seeds on it, and one on each of the others.
    held_out = Counter((n.training_set.name, n.seed) for n in networks)
    assert held_out == {
        **{("div2k", seed): 30 for seed in (1, 2, 3)},
        **{(name, 1): 30 for name in ("flickr2k", "quarter_div2k", "quarter_flickr2k")},
    }
    quarters = {n.training_set.fraction for n in networks if "quarter" in n.training_set.name}
    assert quarters == {0.25}
    assert {shipped("paper").recipe(loss).num_iters for loss in losses.LOSSES} == {50_000}


def test_mini_flags_are_120_small_networks():
    config = shipped("mini")
    networks = zoo_run.make_networks(config)
    assert len(networks) == len({network.name for network in networks}) == 120
    assert Counter((n.training_set.name, n.seed) for n in networks) == dict.fromkeys(
        (("A", 1), ("A", 2), ("A", 3), ("B", 1)), 30
    )
    kinds = {(n.architecture.name, n.scale): n.architecture for n in networks}
    assert len(kinds) == 10
    for (name, scale), one in kinds.items():
        weights = jaxsr.count_parameters(one.base, scale=scale, **one.overrides)
        assert 30_000 <= weights <= 70_000, name
        assert config.crop_px % scale == 0


@given(st.integers(1, 9))
def test_shards_part_the_plan_and_keep_families_together(count):
    config = shipped("mini")
    networks = zoo_run.make_networks(config)
    fleets_of = [_fleets_without_programs(config, networks, Shard(i, count)) for i in range(count)]
    names = [n.name for shard in fleets_of for fleet in shard for n in fleet.networks]
    assert sorted(names) == sorted(network.name for network in networks)
    families = [{n.name_with("") for f in shard for n in f.networks} for shard in fleets_of]
    assert sum(map(len, families)) == 40
    for shard in fleets_of:
        order = [fleet.networks[0].loss for fleet in shard]
        kinds = [(f.networks[0].architecture.name, f.networks[0].scale) for f in shard]
        for kind in set(kinds):
            own = [loss for loss, k in zip(order, kinds, strict=True) if k == kind]
            assert own[0] == "l1"


def _fleets_without_programs(config, networks, shard):
    """As `make_fleets`, but that no network is built; adversaries cost ten times as much."""

    class Costly:
        def __init__(self, base, scale, overrides, recipe, features):
            self.recipe = recipe

    def flops(program):
        return 10.0 if program.recipe.is_adversarial else 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo_plan, "TrainingProgram", Costly)
        patch.setattr(training_cost, "flops_per_update", flops)
        patch.setattr(losses, "LOSSES", dict.fromkeys(("vgg_adv", "resnet_adv"), 1) | {"l1": None})
        return zoo_run.make_fleets(config, networks, dict.fromkeys(config.loss), shard)


# ---------------------------------------------------------------------------- architectures


def test_architectures_as_flags_have_them():
    assert Architecture.parse("edsr") == Architecture("edsr", "edsr", {})
    text = 'light=swinir  embed_dim=24 depths=[2,2] upsampler="pixelshuffledirect" mlp_ratio=0.5'
    overrides = {
        "embed_dim": 24,
        "depths": [2, 2],
        "upsampler": "pixelshuffledirect",
        "mlp_ratio": 0.5,
    }
    assert Architecture.parse(text) == Architecture("light", "swinir", overrides)
    assert Architecture.parse(" srvgg num_convs=1\n").overrides == {"num_convs": 1}


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+]{0,8}", fullmatch=True).filter(
        lambda n: n != "bicubic"
    ),
    st.dictionaries(
        st.sampled_from(["embed_dim", "depths", "num_heads", "window_size", "upsampler"]),
        st.integers()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.lists(st.integers(0, 9), max_size=3)
        | st.from_regex(r"[a-z]{0,5}", fullmatch=True),
        max_size=3,
    ),
)
def test_written_architectures_are_read_back(name, overrides):
    options = [
        f"{key}={json.dumps(value, separators=(',', ':'))}" for key, value in overrides.items()
    ]
    parsed = Architecture.parse(" ".join([f"{name}=swinir", *options]))
    assert parsed == Architecture(name, "swinir", overrides)


@given(st.text(max_size=30) | st.builds("edsr {}".format, st.text(max_size=20)))
def test_junk_is_an_architecture_or_refused(text):
    try:
        parsed = Architecture.parse(text)
    except InputError:
        return
    assert parsed.base in jaxsr.names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No network is called ''; there are edsr, "),
        ("edsrr", "No network is called 'edsrr'; there are edsr, "),
        ("edsr=", "No network is called ''"),
        ("a-b=edsr", "'a-b' is no name: use letters, digits"),
        ("=edsr", "'' is no name"),
        ("bicubic=edsr", "'bicubic' is no name"),
        ("edsr num_features", "'num_features' of 'edsr num_features': write KEY=VALUE"),
        ("swinir depths=[2, 2]", r"'depths=\[2,' of .*without spaces inside"),
        ("edsr upsampler=nearest", "'upsampler=nearest' of"),
        ("big=edsr depths=[2]", "--architecture=big: edsr has no depths; it takes num_features, "),
        *(
            (f"edsr {name}=1", f"edsr has no {name}; it takes ")
            for name in ("rngs", "scale", "dtype")
        ),
    ],
)
def test_architectures_written_otherwise_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Architecture.parse(text)
