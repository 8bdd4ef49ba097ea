"""Tables of attribution: cases worked by hand, and the paper's numbers against each other."""

import numpy as np
import pandas as pd
import pytest

from experiments.attribution import tables
from experiments.attribution.paper import PAPER
from experiments.attribution.tables import Predictions

FACTS = {  # network -> kind, architecture, scale, loss, training set, seed
    "edsr-x2-s1": ("network", "edsr", 2, "l1", "div2k", 1),
    "edsr-x2-s2": ("network", "edsr", 2, "l1", "div2k", 2),
    "nlsn-x2-s1": ("network", "nlsn", 2, "l1", "div2k", 1),
    "nlsn-x2-s2": ("network", "nlsn", 2, "l1", "div2k", 2),
    "rdn-x4-s1": ("network", "rdn", 4, "vgg_adv", "mine", 1),
    "original": ("original", "", 1, "", "", 0),
}
NAMES = list(FACTS)
CLASSES = pd.DataFrame(
    [
        (name, kind, architecture, "{}", scale, loss, training_set, seed, 10, 99)
        for name, (kind, architecture, scale, loss, training_set, seed) in FACTS.items()
    ],
    columns=[
        *("network", "kind", "architecture", "overrides", "scale", "loss", "training_set", "seed"),
        *("num_iters", "parameters"),
    ],
)


def make(rows, log_scores=None):
    """Predictions of (method, seed, network, image_id, tile, predicted)."""
    columns = ["method", "seed", "network", "image_id", "tile", "predicted"]
    frame = pd.DataFrame(rows, columns=columns)
    if log_scores is None:
        sure = np.eye(len(NAMES))[[NAMES.index(name) for name in frame["predicted"]]]
        log_scores = np.log(0.5 * sure + 0.5 / len(NAMES))
    frame["is_correct"] = frame["network"] == frame["predicted"]
    frame["probability"] = np.exp(log_scores).max(axis=1)
    frame["temperature"] = 1.0
    frame["acutance"] = np.arange(len(frame), dtype=float)
    frame["psnr_y_db"] = np.inf
    return Predictions(frame, np.asarray(log_scores, np.float32), CLASSES)


def one(frame, **values):
    """The only row with these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    (row,) = frame.to_dict("records")
    return row


def test_accuracy_is_the_mean_over_seeds_with_its_population_deviation():
    right, wrong = "edsr-x2-s1", "nlsn-x2-s1"
    answers = {0: (right, right, right, wrong), 1: (right, wrong, wrong, wrong)}
    rows = [
        ("dct", seed, right, f"photo{i % 2}", i // 2, answer)
        for seed, given in answers.items()
        for i, answer in enumerate(given)
    ]
    measured = one(tables.overall(make(rows)), method="dct")
    assert measured["accuracy"] == pytest.approx(0.5)
    assert measured["deviation"] == pytest.approx(0.25)  # of 0.75 and 0.25
    assert (measured["seeds"], measured["crops"]) == (2, 4)
    assert measured["chance"] == pytest.approx(1 / 6)
    # photo0 has 3 of 4 right, photo1 1 of 4: std 0.3536 / sqrt(2).
    assert measured["error"] == pytest.approx(0.25)


def test_the_standard_error_is_that_of_means_of_photographs_where_all_are_of_one_size():
    right = np.random.default_rng(0).random((7, 5)) < np.linspace(0.2, 0.9, 7)[:, None]
    frame = pd.DataFrame({"image_id": np.repeat(list("abcdefg"), 5), "is_correct": right.ravel()})
    expected = right.mean(axis=1).std(ddof=1) / np.sqrt(7)
    assert tables.standard_error(frame) == pytest.approx(expected)
    assert np.isnan(tables.standard_error(frame[:5]))


def test_factors_are_of_networks_whose_value_is_known():
    rows = [("dct", 0, name, "photo", 0, "edsr-x2-s1") for name in NAMES]
    found = tables.by_factor(make(rows))
    assert set(found[found["table"] == "loss"]["group"]) == {"l1", "vgg_adv"}
    assert one(found, table="scale", group="2")["accuracy"] == 0.25
    assert one(found, table="architecture", group="edsr")["accuracy"] == 0.5
    assert one(found, table="architecture", group="rdn")["accuracy"] == 0.0
    assert one(found, table="training_set", group="div2k")["crops"] == 4


def test_quadrants_join_what_has_an_adversary():
    rows = [("dct", 0, name, "photo", 0, name) for name in NAMES]
    assert tables.quadrants(make(rows))["group"].tolist() == ["adversarial ×4", "l1 ×2"]


def test_seeds_are_told_apart_by_their_own_scores_alone():
    # The best of all is the wrong network; of the two seeds the true one is better in the first
    # two rows. rdn has one seed, and is not asked.
    scores = np.log([[0.3, 0.1, 0.5, 0.05, 0.04, 0.01], [0.1, 0.05, 0.3, 0.5, 0.04, 0.01]] * 2)
    truths = ["edsr-x2-s1", "nlsn-x2-s2", "edsr-x2-s2", "rdn-x4-s1"]
    rows = [("dct", 0, name, "photo", 0, "rdn-x4-s1") for name in truths]
    found = tables.seed_triplets(make(rows, scores))
    assert one(found, table="without nlsn", group="total")["accuracy"] == 0.5
    assert one(found, table="with nlsn", group="total")["accuracy"] == pytest.approx(2 / 3)
    assert one(found, table="with nlsn", group="l1 ×2")["crops"] == 3
    assert set(found["chance"]) == {0.5}


def test_without_nlsn_among_them_seeds_have_one_table_and_without_seeds_none():
    rows = [("dct", 0, "edsr-x2-s1", "photo", 0, "edsr-x2-s1")]
    assert set(tables.seed_triplets(make(rows))["table"]) == {"without nlsn"}
    lonely = [("dct", 0, "rdn-x4-s1", "photo", 0, "rdn-x4-s1")]
    assert tables.seed_triplets(make(lonely)).empty


def test_votes_are_of_distinct_crops_and_photographs_first():
    answers = ["edsr-x2-s1"] * 4 + ["nlsn-x2-s1"] * 2
    # Both wrong crops are of one photograph, so no vote of three has them together.
    rows = [
        ("dct", 0, "edsr-x2-s1", photo, tile, answer)
        for (photo, tile), answer in zip(
            [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0), ("c", 1)], answers, strict=True
        )
    ]
    found = tables.votes(make(rows), sizes=(1, 3, 10))
    majority = found[found["rule"] == "majority"]
    assert majority["crops_in_vote"].tolist() == [1, 3]
    assert majority["accuracy"].tolist() == [pytest.approx(4 / 6), 1.0]
    assert majority["crops"].tolist() == [6, 2]


def test_of_equal_votes_the_more_probable_answer_wins():
    scores = np.log([[0.9, 0.02, 0.02, 0.02, 0.02, 0.02], [0.2, 0.3, 0.2, 0.1, 0.1, 0.1]])
    rows = [("dct", 0, "edsr-x2-s1", photo, 0, "edsr-x2-s1") for photo in "ab"]
    found = tables.votes(make(rows, scores), sizes=(2,))
    assert found["accuracy"].tolist() == [1.0, 1.0]


def test_a_classifier_that_is_as_often_right_as_it_says_has_no_calibration_error():
    scores = np.log([[0.75, 0.25 / 5, 0.25 / 5, 0.25 / 5, 0.25 / 5, 0.25 / 5]] * 4)
    truths = [*["edsr-x2-s1"] * 3, "nlsn-x2-s1"]
    rows = [("dct", 0, name, "photo", i, "edsr-x2-s1") for i, name in enumerate(truths)]
    predictions = make(rows, scores)
    calibrated = one(tables.calibration_errors(predictions), method="dct")
    assert calibrated["ece_before"] == pytest.approx(0.0, abs=1e-6)
    predictions.frame["temperature"] = 0.01  # now they say 1
    sure = one(tables.calibration_errors(predictions), method="dct")
    assert sure["ece_before"] == pytest.approx(0.0, abs=1e-6)
    assert sure["ece_after"] == pytest.approx(0.25, abs=1e-6)


def test_errors_share_what_the_answer_and_the_truth_have_in_common():
    rows = [
        ("dct", 0, "edsr-x2-s1", "photo", 0, "edsr-x2-s2"),
        ("dct", 0, "edsr-x2-s1", "photo", 1, "rdn-x4-s1"),
        ("dct", 0, "edsr-x2-s1", "photo", 2, "edsr-x2-s1"),
    ]
    found = tables.shared_by_errors(make(rows))
    architecture = one(found, method="dct", fact="architecture")
    assert architecture["share"] == 0.5
    assert architecture["chance"] == pytest.approx(1 / 5)  # one other EDSR of five other classes
    assert one(found, method="dct", fact="scale")["chance"] == pytest.approx(3 / 5)
    assert tables.shared_by_errors(make(rows[2:])).empty


def test_bins_of_quality_hold_as_many_crops_each():
    right = np.arange(80) >= 40
    rows = [
        ("dct", 0, "edsr-x2-s1", f"photo{i % 5}", i, "edsr-x2-s1" if is_right else "original")
        for i, is_right in enumerate(right)
    ]
    found = tables.by_quality(make(rows), "acutance")
    assert found["crops"].tolist() == [20] * 4
    assert found["middle"].tolist() == [9.5, 29.5, 49.5, 69.5]
    assert found["accuracy"].tolist() == [0, 0, 1, 1]
    assert tables.by_quality(make(rows), "psnr_y_db").empty  # of originals it is inf


def test_rows_of_the_confusion_are_shares_of_answers():
    rows = [
        ("dct", 0, "edsr-x2-s1", "photo", i, answer)
        for i, answer in enumerate(["edsr-x2-s1", "edsr-x2-s1", "edsr-x2-s1", "original"])
    ]
    found = tables.confusion(make(rows))
    assert found.shape == (6, 6)
    np.testing.assert_array_equal(found[0], [0.75, 0, 0, 0, 0, 0.25])
    assert not found[1:].any()


def test_classes_are_ordered_by_architecture_before_scale_loss_and_seed():
    shuffled = CLASSES.iloc[[4, 3, 5, 1, 2, 0]]
    order = tables.ordered(shuffled)
    assert shuffled["network"].iloc[order].tolist() == [
        *("edsr-x2-s1", "edsr-x2-s2", "nlsn-x2-s1", "nlsn-x2-s2", "rdn-x4-s1", "original"),
    ]


def test_a_wide_table_has_the_papers_numbers_beside_ours():
    rows = [
        (method, seed, "edsr-x2-s1", "photo", 0, "edsr-x2-s1" if seed else "original")
        for method in ("dct", "prnu")
        for seed in (0, 1)
    ]
    long = tables.by_factor(make(rows))
    frame, columns = tables.wide(long, {"table": "of", "group": "networks"})
    assert list(columns) == [
        *("of", "networks", "dct (%)", "prnu (%)", "paper’s ConvNeXt (%)", "paper’s PRNU (%)")
    ]
    row = one(frame, table="loss", group="l1")
    assert (row["dct"], row["paper"], row["paper_prnu"]) == ("50.0 ± 50.0", "89.2 ± 1.5", "35.6")


@pytest.mark.parametrize("factor", ["scale", "loss", "training_set", "architecture"])
def test_the_papers_means_over_the_values_of_a_factor_agree(factor):
    # As many networks have each value, save that half of all are of div2k: all means are 96.0.
    values = {value: one.convnext for (table, value), one in PAPER.items() if table == factor}
    weights = [3 if value == "div2k" else 1 for value in values]
    assert np.average(list(values.values()), weights=weights) == pytest.approx(96.0, abs=0.06)
