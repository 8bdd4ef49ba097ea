"""The comparison of kinds: shapes of equal size, the choice of settings, its table, end to end."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import jaxfleet
from experiments.coordinate_networks import config as configs
from experiments.coordinate_networks import report, run
from experiments.coordinate_networks.config import SCALES, NetworksConfig
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.photos import Photo
from jaxinr.networks.registry import KINDS
from jaxinr.trial import Trial


def test_every_kind_has_scales_and_a_network_of_about_the_size():
    assert set(SCALES) <= set(KINDS)
    config = NetworksConfig()
    for network in SCALES:
        found = [config.trial(network, count).parameters for count in config.parameters]
        assert found == pytest.approx(config.parameters, rel=0.08)
    assert config.trial("relu_fourier", 1250).num_frequencies == 17
    assert config.middle == 1250


@pytest.mark.parametrize("network", list(SCALES))
def test_candidates_are_every_rate_with_every_scale(network):
    found = NetworksConfig().candidates(network)
    assert len(set(found)) == 3 * len(SCALES[network])
    assert {one.parameters for one in found} == {found[0].parameters}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"network": ()}, "--network has no value"),
        ({"parameters": (500, 500)}, "--parameters names one value twice"),
    ],
)
def test_flags_that_contradict_themselves(flags, message):
    with pytest.raises(InputError, match=message):
        NetworksConfig(**flags)


def row(trial_id, image_id, network, parameters, psnr_db, status="done"):
    trial = Trial(network=network, layer_size=4, num_layers=2, seed=trial_id)
    return {
        **trial.as_row(),
        "trial_id": trial_id,
        "image_id": image_id,
        "parameters": parameters,
        "best_psnr_db": psnr_db,
        "status": status,
        "seconds": 1.0,
    }


def test_settings_are_those_of_the_best_mean_that_diverged_nowhere(monkeypatch):
    # Three candidates on two photographs: the last is best but diverged on one of them.
    values = [(20.0, "done"), (22.0, "done"), (29.0, "done")]
    values += [(21.0, "done"), (23.0, "done"), (30.0, "diverged")]
    rows = [
        row(i, "ab"[i // 3], "gauss", 100, value, status)
        for i, (value, status) in enumerate(values)
    ]

    class Stub:
        def to_pandas(self):
            return pd.DataFrame(rows)

    monkeypatch.setattr(jaxfleet, "open", lambda run_dir: Stub())
    assert run.choose("run", ["gauss"])["gauss"].seed == 1
    for one in rows:
        one["status"] = "diverged"
    with pytest.raises(InputError, match="every gauss network diverged"):
        run.choose("run", ["gauss"])


def test_table_has_means_of_decibels_and_who_is_ahead():
    # Trials of a photograph stand together: both kinds at the first size, then at the second.
    db = {"a": [20.0, 21.0, 30.0, 29.0], "b": [22.0, 20.0, 31.0, 35.0]}
    rows = [
        row(4 * p + i, image_id, ("siren", "wire")[i % 2], (500, 510, 900, 880)[i], value)
        for p, (image_id, values) in enumerate(db.items())
        for i, value in enumerate(values)
    ]
    found = report.summary(pd.DataFrame(rows).sample(frac=1, random_state=0))
    assert found["network"].tolist() == ["siren", "wire"] * 2
    assert found["parameters"].tolist() == [500, 510, 900, 880]
    np.testing.assert_allclose(found["mean_db"], [21.0, 20.5, 30.5, 32.0])
    np.testing.assert_allclose(found["deviation_db"], np.sqrt([2, 0.5, 0.5, 18]))
    np.testing.assert_allclose(found["gain_db"], [np.nan, -0.5, np.nan, 1.5])
    assert found["wins"].tolist() == [1, 1, 1, 1]
    assert found["diverged"].tolist() == [0] * 4


def test_settings_at_the_end_of_a_grid_are_said():
    config = NetworksConfig()
    (at_end, inside) = (config.candidates("gauss")[i] for i in (0, 5))
    rows = report.settings(config, {"gauss": at_end})
    assert rows["edge"].tolist() == ["learning rate, scale"]
    assert report.settings(config, {"gauss": inside})["edge"].tolist() == ["–"]
    assert rows["scale"].tolist() == ["sigma 0.05"]


def test_photographs_of_both_parts_must_differ(tmp_path):
    with pytest.raises(InputError, match="share astronaut; give photographs apart"):
        run.run(NetworksConfig(photos="packaged", max_images=1), tmp_path)


def test_end_to_end_and_again(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    pictures = [Photo(name, draw.integers(0, 256, (32, 48, 3), np.uint8)) for name in "abc"]

    def load(source, *, image_size=0, max_images=0):
        return pictures[:1] if source == "apart" else pictures[1:]

    monkeypatch.setattr(photos, "load", load)
    monkeypatch.setattr(configs, "SCALES", {name: SCALES[name][1:3] for name in SCALES})
    config = NetworksConfig(
        photos="some", tuning_photos="apart", network=("siren", "gauss"), parameters=(60, 120),
        learning_rate=(1e-3,), num_layers=2, num_iters=10,
    )  # fmt: skip
    answer = run.run(config, tmp_path)
    assert "SIREN" in answer
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "figures" / "parameters.png").exists()
    assert (tmp_path / "DONE").exists()
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["network"].tolist() == ["siren", "gauss"] * 2
    compared = jaxfleet.open(tmp_path / "compared")
    assert len(compared) == 2 * 2 * 2
    means = compared.to_pandas().groupby(["network", "parameters"])["best_psnr_db"].mean()
    for _, one in table.iterrows():
        assert one["mean_db"] == pytest.approx(means[one["network"], one["parameters"]])
    before = sorted(path.name for path in tmp_path.glob("*/parts/*"))
    assert run.run(config, tmp_path) == answer  # nothing is fitted twice
    assert sorted(path.name for path in tmp_path.glob("*/parts/*")) == before
    assert "To choose settings" in run.run(dataclasses.replace(config, dry_run=True), tmp_path)
