"""Every method of attribution can be parsed with, and be made robust."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.parsing import run as parsing_run
from experiments.parsing.config import ParsingConfig
from experiments.robustness import run as robustness_run
from jaxsr.attribution import convnext as attribution_convnext
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution.table import METHODS, options_of
from jaxsr.datasets import perturbations, picture_sets
from jaxsr.networks import convnext
from tests.experiments import picture_rows

SIDE, CROP = 36, 32
NETWORKS = {"n0": (2, 1), "n1": (4, 1), "n2": (2, 2)}  # scale and seed
MARKED = [pytest.param(m, marks=pytest.mark.slow) if m == "convnext" else m for m in METHODS]
SPLIT = {"dawn": "train", "dusk": "train", "haze": "validation", "moon": "test", "noon": "test"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise over a colour that tells the scale, of three networks."""
    folder = tmp_path_factory.mktemp("pictures") / "run"
    for name, (scale, seed) in NETWORKS.items():
        rows = []
        for image_id, split in SPLIT.items():
            draw = np.random.default_rng([*map(ord, name + image_id)])
            pixels = draw.normal(40 * scale, 20, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
            facts = {"scale": scale, "seed": seed}
            rows.append(picture_rows.add(folder, name, image_id, split, pixels, **facts))
        picture_sets.write_rows(folder, name, rows)
    return folder


@pytest.fixture(autouse=True)
def _small_network(monkeypatch):
    """A ConvNeXt of two blocks learns for an epoch."""
    monkeypatch.setitem(convnext.SIZES, "zepto", convnext.Size((1, 1), (4, 8)))
    schedule = dataclasses.replace(attribution_convnext.FROM_SCRATCH.schedule, epochs=1)
    recipe = attribution_convnext.FROM_SCRATCH._replace(schedule=schedule)
    monkeypatch.setattr(attribution_convnext, "FROM_SCRATCH", recipe)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("method", MARKED)
def test_every_method_can_be_parsed_with_and_made_robust(pictures, tmp_path, method):
    config = ParsingConfig(
        pictures=str(pictures),
        method=method,
        parser="networks",
        predict=("scale",),
        hold_out=("seed=2",),
        crop_px=CROP,
    )
    parsing_run.run(config, tmp_path / "run")
    frame = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert frame["network"].tolist() == ["n2", "n2"]
    np.testing.assert_allclose(np.stack(frame["probabilities"]).sum(axis=1), 1.0, rtol=1e-5)

    (path,) = (tmp_path / "run" / "models").iterdir()
    options = {name: 0.5 for name in options_of(method) if name == "shrinkage"}
    classifier = classifier_files.load(path)
    given = robustness_run.Tested(classifier, 0, robustness_run.CLEAN, 1.0, "", options)
    known = picture_sets.open(pictures).only(network=classifier.classes)
    blur = perturbations.parse("blur:1")
    robust = robustness_run.fit(given, known, [blur], 0, tmp_path / "robust")
    assert robust.classifier.method == method
    assert robust.classifier.classes == ("n0", "n1")
    assert robust.options == options
    rows = robustness_run.predict(robust, known.only(split="test"), blur, 0)
    assert rows["network"].tolist() == ["n0", "n0", "n1", "n1"]
    assert (rows["probability"] > 0.499).all()  # of the likelier of two
