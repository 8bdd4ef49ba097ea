"""Attribution by state on evidence that was drawn: networks that differ in a few of its values."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.judge import learn, states, states_report
from experiments.judge.config import StatesConfig
from jaxfleet.errors import InputError
from jaxsr.fingerprints import evidence
from jaxsr.gallery import judge as judging
from jaxsr.gallery.state import STATE_KINDS

NETWORKS = {  # name -> family; what marks it, and the signs of its scale and loss, are in `drawn`
    **{"a-l1-x2": "A", "a_adv-x2": "A", "a-l1-x4": "A", "a_adv-x4": "A"},
    **{"b-l1-x2": "B", "b_adv-x2": "B", "b-l1-x4": "B", "b_adv-x4": "B"},
    **{"c-x2": "C", "c-x4": "C"},
}
CONFIG = StatesConfig(adversarial=("*_adv*",), not_adversarial=("*-l1-*",))
PARTS = {name: slice(40 * k, 40 * (k + 1)) for k, name in enumerate(states_report.PARTS)}
SIZE = 40 * len(PARTS) + judging.NUM_TOLD


@pytest.fixture(scope="module", autouse=True)
def small_evidence():
    """Evidence of few values, so that discriminants are found at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "parts", lambda: PARTS)
        yield


@pytest.fixture(scope="module")
def drawn():
    """Evidence in which compression drowns all but the runs."""
    draw = np.random.default_rng(0)
    runs, lattice = PARTS["runs"], PARTS["lattice"]
    rows, given = [], []
    for number, (name, family) in enumerate([*NETWORKS.items(), ("original", "original")]):
        for split, count in (("train", 12), ("test", 6)):
            for photograph in range(count):
                for state, kind in (("none", "lossless"), ("jpeg:75", STATE_KINDS[3])):
                    one = 1e-4 * draw.normal(size=SIZE)
                    where = lattice if state == "none" else runs
                    one[where.start : where.start + 40] = 0.1 * draw.normal(size=40)
                    one[where.start + number] += 3.0
                    one[where.start + 20] += 4.0 if name.endswith("x4") else -4.0
                    one[where.start + 30] += 4.0 if "_adv" in name else -4.0
                    given.append(one)
                    rows.append(
                        {
                            "name": name,
                            "kind": "network" if name in NETWORKS else "original",
                            "family": family,
                            "split": split,
                            "image_id": f"{split}{photograph}",
                            "side_px": 256,
                            "state": state,
                            "enlargement": 4.0 if name.endswith("x4") else 2.0,
                            "kind_of_state": kind,
                        }
                    )
    frame = pd.DataFrame(rows)
    frame = frame.assign(**states.properties(frame, CONFIG))
    return learn.Data(frame, np.stack(given).astype(np.float16))


@pytest.fixture(scope="module")
def rows(drawn):
    return states.attributed(drawn)


@pytest.fixture(scope="module")
def table(rows):
    return states.measure(rows).set_index("state")


def test_every_test_picture_has_a_row(drawn, rows):
    assert len(rows) == (drawn.rows["split"] == "test").sum()
    assert (rows["seen_nearest"] != "").eq(rows["kind"] == "network").all()
    assert (rows["unseen_nearest"] != rows["name"]).all()


def test_networks_are_named_by_the_part_that_outlives_the_state(table):
    assert (table["all classes"] == 1.0).all()
    assert table.loc["none", "lattice"] == 1.0
    assert table.loc["jpeg:75", "runs"] == 1.0
    for state, part in (("jpeg:75", "lattice"), ("none", "runs"), ("none", "spectrum")):
        assert table.loc[state, part] < 0.5


def test_properties_of_families_left_out_are_told(table):
    for name in states.PROPERTIES:
        assert (table[f"{name}, own"] > 0.9).all()
        assert (table[f"{name}, usual"] <= 0.5).all()


def test_a_family_left_out_looks_less_like_one_class(table):
    assert (table["AUROC"] > 0.9).all()
    assert (table["OSCR"] <= table["AUROC"]).all()


def test_a_loss_that_is_not_known_is_not_asked(rows):
    of_c = rows[rows["family"] == "C"]
    assert set(of_c["adversarial"]) == {""}
    assert set(of_c["scale"]) == {"x2", "x4"}


def test_a_network_cannot_be_both(drawn):
    config = dataclasses.replace(CONFIG, not_adversarial=("*",))
    with pytest.raises(InputError, match="--adversarial and --not_adversarial both match 'a_adv"):
        states.properties(drawn.rows, config)


def test_one_family_alone_leaves_no_strangers(drawn):
    some = drawn.only(drawn.rows["family"].isin(["A", "original"]).to_numpy())
    found = states.measure(states.attributed(some))
    assert (found["all classes"] == 1.0).all()
    assert found[["AUROC", "scale, own"]].isna().all(axis=None)


def test_run_leaves_a_page(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "load", lambda folders: drawn)
    said = states.run(CONFIG, tmp_path / "states")
    assert said.startswith("10 networks, 132 test pictures. Look at ")
    page = (tmp_path / "states/report.html").read_text()
    for name in states_report.ROWS:
        assert states_report.said(name) in page.replace("&#x27;", "'")
    assert {path.name for path in (tmp_path / "states/figures").iterdir()} == {
        f"{name}.png" for name in ("named", "parts", "unknown", "scale", "adversarial")
    }
    assert (tmp_path / "states/results.json").is_file()
