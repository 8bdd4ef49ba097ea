"""The comparison of kinds: shapes of equal size, the choice of settings, its table, end to end."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import jaxfleet
from experiments.coordinate_networks import report, run
from experiments.coordinate_networks.config import NetworksConfig, neighbours, settings
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError, InUseError
from jaxfleet.imaging import photos
from jaxfleet.imaging.photos import Photo
from jaxinr.networks.registry import KINDS
from jaxinr.trial import Trial


def test_every_kind_has_a_network_of_about_the_size():
    config = NetworksConfig()
    for network in KINDS:
        found = [config.trial(network, count).parameters for count in config.parameters]
        assert found == pytest.approx(config.parameters, rel=0.08)
    assert config.trial("relu_fourier", 1250).num_frequencies == 17
    assert config.middle == 1250


@pytest.mark.parametrize("network", list(KINDS))
def test_neighbours_halve_and_double_one_setting_each(network):
    start = NetworksConfig().start(network)
    found = neighbours(start, 2.0)
    assert len(set(found)) == 2 * len(settings(start))
    for one in found:
        assert one.parameters == start.parameters
        ratios = np.divide(list(settings(one).values()), list(settings(start).values()))
        assert sorted(ratios)[:: len(ratios) - 1] in ([0.5, 1.0], [1.0, 2.0])
    assert start in neighbours(found[0], 2.0)  # exact in floating point: nothing is fitted twice
    least = dataclasses.replace(NetworksConfig().start("gauss"), sigma=1e-3)
    assert min(one.sigma for one in neighbours(least, 8.0)) == 1e-3


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


def test_the_search_walks_to_the_best_settings_and_ends_inside(monkeypatch, tmp_path):
    """The PSNR falls with the squared octaves from a learning rate of 3e-3 / 4 and a sigma of 1.6.

    What is learned faster than by 6e-3 diverges, and a valley lies on the way.
    """
    config = NetworksConfig(network=("gauss",), learning_rate=6e-3)
    runs = []

    def fit(config, run_dir, pictures, trials):
        runs.append(list(trials))

    def means(run_dir, count):
        rate = np.array([one.learning_rate for one in runs[-1]])
        sigma = np.array([one.sigma for one in runs[-1]])
        db = 30 - np.log2(rate / 7.5e-4) ** 2 - np.log2(sigma / 1.6) ** 2
        valley = np.isclose(sigma, 0.2) | np.isclose(sigma, 0.4)  # doubling 0.1 leads downhill
        return np.where(rate > 6e-3, -np.inf, db - 30 * valley)

    monkeypatch.setattr(run, "_fit", fit)
    monkeypatch.setattr(run, "_means", means)
    tried = run.tune(config, tmp_path, [])["gauss"]
    best = max(tried, key=lambda one: tried[one])
    assert (best.learning_rate, best.sigma) == (7.5e-4, 1.6)
    assert {*neighbours(best, 2.0), *neighbours(best, 8.0)} < set(tried)
    fitted = [one for each in runs for one in each]
    assert len(fitted) == len(set(fitted)) == len(tried)
    row = report.chosen({"gauss": tried}).iloc[0]
    assert (row["db"], row["start_db"], row["tried"]) == (30, 5, len(tried))
    assert row["settings"] == "learning_rate 0.00075, sigma 1.6"


def test_a_kind_that_always_diverges_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "_fit", lambda *args: None)
    monkeypatch.setattr(run, "_means", lambda run_dir, count: np.full(count, -np.inf))
    with pytest.raises(InputError, match="every gauss network diverged"):
        run.tune(NetworksConfig(network=("gauss",)), tmp_path, [])


def test_a_network_that_diverged_is_no_setting_to_choose(monkeypatch):
    rows = [row(i, "ab"[i // 2], "gauss", 100, 20.0 + i) for i in range(4)]  # two of each picture
    rows[3]["status"] = "diverged"

    class Stub:
        def to_pandas(self, columns):
            return pd.DataFrame(rows).sample(frac=1, random_state=0)[columns]

    monkeypatch.setattr(jaxfleet, "open", lambda run_dir: Stub())
    assert run._means("run", 2).tolist() == [21.0, -np.inf]


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


def test_photographs_of_both_parts_must_differ(tmp_path):
    with pytest.raises(InputError, match="share astronaut; give photographs apart"):
        run.run(NetworksConfig(photos="packaged", max_images=1), tmp_path)


@pytest.mark.slow
def test_end_to_end_and_again(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    pictures = [Photo(name, draw.integers(0, 256, (32, 48, 3), np.uint8)) for name in "abc"]

    def load(source, *, image_size=0, max_images=0):
        return pictures[:1] if source == "apart" else pictures[1:]

    monkeypatch.setattr(photos, "load", load)
    monkeypatch.setattr(run, "MARGIN_DB", 100.0)  # two rounds
    config = NetworksConfig(
        photos="some", tuning_photos="apart", network=("siren", "gauss"), parameters=(60, 120),
        learning_rate=1e-3, num_layers=2, num_iters=10,
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
    before = sorted(path.name for path in tmp_path.rglob("parts/*"))
    assert run.run(config, tmp_path) == answer  # nothing is fitted twice
    assert sorted(path.name for path in tmp_path.rglob("parts/*")) == before
    dry = dataclasses.replace(config, dry_run=True)
    assert "To choose settings" in run.run(dry, tmp_path)
    assert rundir.read(tmp_path)["kind"] == "coordinate_networks"
    (tmp_path / "DONE").unlink()
    with (
        storage.locked(tmp_path, ".lock", "--run_dir"),
        pytest.raises(InUseError, match="another process"),
    ):
        run.run(config, tmp_path)
    for one in (config, dry):
        with pytest.raises(InputError, match="holds a run of kind table, not coordinate_networks"):
            run.run(one, tmp_path / "compared")
