"""The page of an attribution run: `report.html`, and its tables as `results.json`."""

import functools
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.attribution import features, figures, files
from experiments.attribution import tables as attribution_tables
from experiments.attribution.features import TSNE_ENDING
from experiments.attribution.figures import Line
from experiments.attribution.tables import Predictions
from experiments.report import page
from experiments.report.page import Drawing
from jaxfleet import rundir
from jaxfleet.errors import InputError

Tables = Mapping[str, pd.DataFrame]

_QUALITY_LABELS = {
    "acutance": "acutance of the crop: variance of the Laplacian of luma (grey levels²)",
    "psnr_y_db": "PSNR-Y of the picture (dB)",
}


def write(run_dir: Path) -> Path:
    """Write `report.html`, `figures/*.png` and `results.json`; return the path of the page.

    Args:
        run_dir: of launch/sr_attribution.py, complete or not.

    Raises:
        InputError: if the directory is none of a run, nothing is finished, or a file is damaged.
    """
    manifest = rundir.read_of(run_dir, files.KIND)
    predictions = _predictions(run_dir)
    arrays = files.read_features(run_dir)
    tables = make_tables(predictions, arrays)
    drawings = [*_curves(tables), *_matrices(predictions, arrays), *_tsne(predictions, arrays)]
    sections = {
        "Few photographs": page.few(predictions.frame["image_id"].nunique()),
        "How often the network is found": _OVERALL_SAID + _overall(tables["overall"]),
        "By scale, loss, training set and architecture": _wide(
            tables["by_factor"], {"table": "of", "group": "networks"}
        ),
        "With and without an adversary": _wide(tables["quadrants"], {"group": "networks"}),
        "Seeds told apart": page.captioned(
            _SEEDS_SAID, _wide(tables["seed_triplets"], {"table": "networks", "group": "of"})
        ),
        "Several crops together": page.captioned(
            _VOTES_SAID, _wide(tables["votes"], {"rule": "rule", "crops_in_vote": "crops"})
        ),
        "What wrong answers share with the truth": page.captioned(
            _ERRORS_SAID, page.table(tables["shared_by_errors"], _ERRORS, leading=2)
        ),
        "How sure classifiers are": _CALIBRATION_SAID
        + page.table(tables["calibration"], _CALIBRATION),
        "Distances between classes": page.captioned(
            _RATIOS_SAID, page.table(tables["class_distances"], _RATIOS, leading=2)
        ),
        "Measurements": page.plots(run_dir, drawings) + _without_tsne(arrays),
        "Every network": _wide(tables["by_network"], {"network": "network"}),
        "Settings": page.definitions(_settings(run_dir, manifest)),
        "What the numbers mean": READING,
    }
    records = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
    results = {
        "format": files.FORMAT,
        "crop_px": manifest["plan"]["crop_px"],
        "classes": len(predictions.classes),
        **records,
    }
    rundir.write_json(run_dir / files.RESULTS, results)
    return page.write(run_dir, "Which network made a picture?", tiles(predictions), sections)


def make_tables(predictions: Predictions, arrays: Mapping[str, np.ndarray]) -> Tables:
    """Return every table of the page, by its name in `results.json`.

    Args:
        predictions: of a run.
        arrays: its features, or none.
    """
    frame = predictions.with_facts()
    return {
        "overall": attribution_tables.overall(predictions),
        "by_factor": attribution_tables.by_factor(predictions),
        "quadrants": attribution_tables.quadrants(predictions),
        "seed_triplets": attribution_tables.seed_triplets(predictions),
        "votes": attribution_tables.votes(predictions),
        "shared_by_errors": attribution_tables.shared_by_errors(predictions),
        "calibration": attribution_tables.calibration_errors(predictions),
        "class_distances": features.ratio_tables(arrays, predictions.classes),
        "by_network": attribution_tables.measure(frame, ["network"]),
        **{
            f"by_{quality}": attribution_tables.by_quality(predictions, quality)
            for quality in attribution_tables.QUALITIES
        },
    }


def summary(run_dir: Path) -> str:
    """Summarise each method in a line: how often it is right.

    Raises:
        InputError: if the directory is none of a run, or nothing is finished.
    """
    measured = attribution_tables.overall(_predictions(run_dir))
    return "\n".join(
        f"{one['method']}: {attribution_tables.percent(one['accuracy'], one['deviation'])} % of "
        f"{one['crops']:,} crops, by chance {100 * one['chance']:.2g} %"
        for one in measured.to_dict("records")
    )


def tiles(predictions: Predictions) -> dict[str, str]:
    """Return the figures at the top of the page."""
    frame, classes = predictions.frame, predictions.classes
    measured = attribution_tables.overall(predictions).set_index("method")
    return {
        "classes": f"{len(classes):,}",
        "test crops": f"{len(frame.drop_duplicates(['network', 'image_id', 'tile'])):,}",
        "of photographs": f"{frame['image_id'].nunique():,}",
        "classifiers": f"{len(frame.drop_duplicates(['method', 'seed'])):,}",
        "best method": page.leaders(measured["accuracy"]),
        "its right answers": f"{100 * measured['accuracy'].max():.1f} %",
        "by chance": f"{100 / len(classes):.2g} %",
    }


# ------------------------------------------------------------------------------------- the tables


_OVERALL = {
    "method": ("method", "{}"),
    "right (%)": ("right", "{}"),
    "standard error (%)": ("error", "{:.1%}"),
    "seeds": ("seeds", "{}"),
    "test crops": ("crops", "{:,}"),
    "by chance": ("chance", "{:.2%}"),
}
_ERRORS = {
    "method": ("method", "{}"),
    "same": ("fact", "{}"),
    "wrong answers": ("share", "{:.1%}"),
    "by chance": ("chance", "{:.1%}"),
}
_CALIBRATION = {
    "method": ("method", "{}"),
    "temperature": ("temperature", "{:.3g}"),
    "error before": ("ece_before", "{:.1%}"),
    "error after": ("ece_after", "{:.1%}"),
    "mean probability": ("probability", "{:.1%}"),
    "right": ("accuracy", "{:.1%}"),
}
_RATIOS = {
    "method": ("method", "{}"),
    "pairs of classes": ("pairs", "{}"),
    "pairs": ("count", "{:,}"),
    "R of the paper": ("paper", "{:.3f}"),
    "R of its code": ("code", "{:.3f}"),
}


def _overall(measured: pd.DataFrame) -> str:
    right = [
        attribution_tables.percent(*values)
        for values in zip(measured["accuracy"], measured["deviation"], strict=True)
    ]
    return page.table(measured.assign(right=right), _OVERALL)


def _wide(long: pd.DataFrame, keys: Mapping[str, str]) -> str:
    if not len(long):
        return ""
    return page.table(*attribution_tables.wide(long, keys), leading=len(keys))


def _settings(run_dir: Path, manifest: Mapping[str, Any]) -> dict[str, object]:
    """Return the settings of the run, and where it took place."""
    plan = manifest["plan"]
    settings: dict[str, object] = {
        "pictures": plan["source"],
        "crop_px": plan["crop_px"],
        "features_per_class": plan["features_per_class"],
        **{f"{split} pictures": count for split, count in plan["counts"].items()},
    }
    for method, options in files.read_options(run_dir).items():
        settings |= {f"{method} {name}": value for name, value in options.items()}
    return settings | rundir.provenance(manifest)


# ------------------------------------------------------------------------------------ the figures


def _curves(tables: Tables) -> list[Drawing]:
    """Draw accuracy along the crops of a vote, acutance and PSNR."""
    drawings = []
    majority = tables["votes"]
    majority = majority[majority["rule"] == attribution_tables.MAJORITY]
    if len(majority) and majority["crops_in_vote"].max() > 1:
        draw = functools.partial(
            figures.lines,
            _lines(majority, "crops_in_vote"),
            x_label="crops of one network that vote",
        )
        caption = "The class that most crops vote for. Bars, where there are any: standard errors."
        drawings.append(Drawing("votes", "Several crops together", caption, draw))
    for quality, label in _QUALITY_LABELS.items():
        measured = tables[f"by_{quality}"]
        if len(measured):
            draw = functools.partial(
                figures.lines,
                _lines(measured, "middle"),
                x_label=label,
                log_x=quality == "acutance" and bool((measured["middle"] > 0).all()),
            )
            caption = (
                "Crops in bins of equal count, each at its median. Bars: standard errors over "
                "photographs. Networks of all scales together."
            )
            heading = "Right answers and " + ("sharpness" if quality == "acutance" else "PSNR-Y")
            drawings.append(Drawing(quality, heading, caption, draw))
    return drawings


def _lines(measured: pd.DataFrame, x: str) -> dict[str, Line]:
    """Map each method to its curve."""
    curves = {}
    for method, own in measured.sort_values(x).groupby("method"):
        percent = 100.0 * own[["accuracy", "error"]].to_numpy(float)
        curves[str(method)] = Line(own[x].to_numpy(float), *percent.T)
    return curves


def _matrices(predictions: Predictions, arrays: Mapping[str, np.ndarray]) -> list[Drawing]:
    """Draw the confusion of every method and the class distances of the best one."""
    order = attribution_tables.ordered(predictions.classes)
    groups = _shown(predictions.classes.iloc[order])
    drawings = []
    for method in sorted(set(predictions.frame["method"])):
        own = predictions.of((predictions.frame["method"] == method).to_numpy())
        draw = functools.partial(
            figures.matrix,
            attribution_tables.confusion(own)[np.ix_(order, order)],
            groups,
            label="share of the crops of a network",
            x_label="answer",
            y_label="truth",
        )
        caption = (
            "Networks by architecture, and there by scale, loss, training set and seed. Rows sum "
            "to 1."
        )
        drawings.append(
            Drawing(f"confusion_{method}", f"What {method} takes for what", caption, draw)
        )
    best = attribution_tables.best_method(predictions)
    if best in features.first_seeds(arrays):
        ratios = features.mean_ratios(arrays, predictions.classes, best)["paper"]
        draw = functools.partial(
            figures.matrix,
            np.minimum(ratios, 1.0)[np.ix_(order, order)],
            groups,
            label="R(A, B)",
            x_label="B",
            y_label="A",
        )
        caption = (
            f"Distances within classes against those between them, of features of {best}, mean "
            "over its seeds: 1 (bright) where two networks cannot be told apart."
        )
        drawings.append(Drawing("class_distances", "How alike networks are", caption, draw))
    return drawings


def _tsne(predictions: Predictions, arrays: Mapping[str, np.ndarray]) -> list[Drawing]:
    """Draw the plane of t-SNE, once for each fact about networks."""
    seeds = features.first_seeds(arrays)
    best = attribution_tables.best_method(predictions)
    points = arrays.get(f"{seeds.get(best, '')}{TSNE_ENDING}")
    if points is None:
        return []
    facts = predictions.classes.set_index("network").loc[arrays["network"]].reset_index()
    groups = {
        "architecture": _shown(facts),
        "loss": facts["loss"].replace("", "unknown").tolist(),
        "scale": [f"×{scale}" for scale in facts["scale"]],
    }
    return [
        Drawing(
            f"tsne_{fact}",
            f"Features of {best} by {fact}",
            "t-SNE of features of the middles of test pictures; a point is a picture.",
            functools.partial(figures.scatter, points, names),
        )
        for fact, names in groups.items()
    ]


def _shown(classes: pd.DataFrame) -> list[str]:
    """Return the architectures, or what stands in for them."""
    return classes["architecture"].where(classes["architecture"] != "", classes["kind"]).tolist()


def _without_tsne(arrays: Mapping[str, np.ndarray]) -> str:
    if any(name.endswith(TSNE_ENDING) for name in arrays) or not arrays:
        return ""
    reason = (
        "it was not asked for, or there are too few pictures"
        if features.has_tsne()
        else "scikit-learn is not installed"
    )
    return f"<p>There is no picture of t-SNE: {html.escape(reason)}.</p>"


def _predictions(run_dir: Path) -> Predictions:
    predictions = files.read_predictions(run_dir)
    if predictions is None or not len(predictions.frame):
        raise InputError(f"{run_dir}: no classifier is tested yet; wait, or repeat its command.")
    return predictions


_OVERALL_SAID = (
    "<p>Mean over seeds of the classifier ± population standard deviation, where there are "
    "several. The standard error is over photographs, of which all crops are taken together. In "
    "the paper ConvNeXt finds 96.0 % of 180 networks of its own and PRNU 14.0 %; of 205, with 25 "
    "published ones, ConvNeXt 94.3 %, Xception 93.2 %, EfficientNet-B2 92.9 %, ResNet50 81.8 %. Of "
    "the 25 alone, ConvNeXt finds 87.5 ± 0.6 % (×2 77.4 ± 2.2, ×4 l1 87.9 ± 1.0, ×4 adversarial "
    "98.7 ± 0.4) and PRNU 10.4 % (0.9, 20.3, 7.3).</p>"
)
_SEEDS_SAID = (
    "<p>The answer is the likeliest of the networks that differ from the true one in their seed "
    "alone: one in three by chance where there are three.</p>"
)
_VOTES_SAID = (
    "<p>Crops of one network, of different photographs as far as there are enough, are judged "
    "together: by majority, or by the sum of their log-probabilities. No crop is in two votes.</p>"
)
_ERRORS_SAID = (
    "<p>How often a wrong answer has the same scale, loss, training set or architecture as the "
    "truth, and how often it would if all wrong answers were as likely.</p>"
)
_CALIBRATION_SAID = (
    "<p>Expected calibration error in 15 bins, as classifiers come and with the temperature that "
    "fits the validation photographs best; without any it is 1.</p>"
)
_RATIOS_SAID = (
    "<p>R is 1 where the pictures of two networks cannot be told apart by their features, near 0 "
    "where they lie far from each other: the mean distance within classes against that between "
    "them; the paper’s code takes squared distances to the middles of classes. Means over pairs "
    "and seeds.</p>"
)
READING = """<p>Classifiers learn from the training photographs and are tested on squares that lie
side by side in the test photographs, which no classifier saw. Accuracies are shares of squares that
are given to the network that made them. The paper’s numbers are of 180 networks, 100 test
photographs and squares of 224 pixels in their middles; its deviations are over three seeds of the
classifier.</p>
<pre>import pandas

predictions = pandas.read_parquet("predictions.parquet")</pre>
<p>run in the folder of this page, reads a row for each square and classifier; log_scores are in the
order of plan.classes in manifest.json. The tables are in results.json.</p>"""
