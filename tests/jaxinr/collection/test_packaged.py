"""The table of the collection that comes with the package: whole, and nothing in it twice."""

import importlib.resources
import re

import numpy as np
import pandas as pd
import pytest

from jaxfleet.imaging.splits import split_of
from jaxinr.trial import count_parameters

PLANNED = 300_000
FOLDER = importlib.resources.files("jaxinr") / "data" / "collection_300k"


@pytest.fixture(scope="module")
def rows():
    parts = sorted((FOLDER / "parquet").iterdir(), key=str)
    frames = [pd.read_parquet(path).assign(split=path.name.split("-")[0]) for path in parts]
    frame = pd.concat(frames, ignore_index=True)
    return pd.concat([frame, pd.DataFrame(list(frame.pop("config")))], axis=1)


def test_every_network_is_there_once_and_belongs_to_the_plan(rows):
    ids = rows["trial_id"]
    assert ids.is_unique
    assert ids.between(0, PLANNED - 1).all()
    settings = ["image_id", "image_size", "layer_size", "num_layers", "w0_initial", "seed"]
    assert not rows.duplicated([*settings, "learning_rate", "num_iters"]).any()


def test_card_says_how_many_there_are(rows):
    card = (FOLDER / "README.md").read_text()
    for split, count in rows["split"].value_counts().items():
        assert re.search(rf"`best_model`:.*\b{split} {count}\b", card)


def test_rows_agree_with_themselves(rows):
    assert (rows["split"] == rows["image_id"].map(split_of)).all()
    done = rows[rows["status"] == "done"]
    assert len(done) > 0.99 * len(rows)
    assert [int(x[-1]) for x in done["iteration_history"]] == done["num_iters"].tolist()
    weights = count_parameters(rows["layer_size"], rows["num_layers"])
    np.testing.assert_allclose(rows["hp_bpp"], 16 * weights / rows["image_size"] ** 2, rtol=1e-12)
    for history, best in zip(done["psnr_history"], done["best_psnr_history"], strict=True):
        assert np.array_equal(np.fmax.accumulate(history), best)
    assert done["fp_psnr"].between(0, 70).all()
