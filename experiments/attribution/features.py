"""What classifiers see in pictures: distances between classes, t-SNE, and how sharp crops are.

Letters: N crops, c side of a crop in pixels, D features, K classes.
"""

import importlib.util
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.imaging import images
from jaxsr.attribution import class_distances

TSNE_ENDING = "-tsne"  # of the name of an array, behind that of the classifier
RATIOS = {
    "paper": class_distances.pairwise_ratios,
    "code": class_distances.centroid_ratios,
}
LEAST = 4  # pictures of a t-SNE
_NAME = re.compile(r"(\w+)-(\d+)")  # of a classifier
_PERPLEXITY, _COMPONENTS = 30.0, 50


def chosen_rows(index: pd.DataFrame, per_class: int) -> np.ndarray:
    """Return the rows of the first so many photographs of each class, by name."""
    place = index.sort_values("image_id").groupby("network").cumcount()
    return np.sort(place[place < per_class].index.to_numpy())


@jax.jit
def acutance(crops: Array) -> Array:
    """Return how sharp crops are: the variance of the Laplacian of luma.

    Args:
        crops: [N, c, c, 3] uint8, c at least 3.

    Returns:
        [N] float32, grey levels squared, of luma from 16 to 235; over pixels that have four
        neighbours, less whom each counts four times.
    """
    luma = 255.0 * images.luma(crops.astype(jnp.float32) / 255.0)[..., 0]
    beside = luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:] + luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1]
    return jnp.var(beside - 4.0 * luma[:, 1:-1, 1:-1], axis=(1, 2))


def has_tsne() -> bool:
    """Return whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


def tsne(features: np.ndarray) -> np.ndarray:
    """Embed features in a plane, where near features stay near.

    Args:
        features: [N, D] float, N at least `LEAST`; their 50 main components are what counts.

    Returns:
        [N, 2] float32.

    Raises:
        InputError: if scikit-learn is not installed.
    """
    if not has_tsne():
        raise InputError("t-SNE needs scikit-learn: pip install scikit-learn, or --tsne=false.")
    from sklearn.manifold import TSNE

    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    components = (left * values)[:, :_COMPONENTS]
    scale = components[:, 0].std() or 1.0
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    fitted = TSNE(perplexity=perplexity, init="pca", random_state=0)
    return np.asarray(fitted.fit_transform((components / scale).astype(np.float32)), np.float32)


def first_seeds(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Map each method to its classifier of the smallest seed among those with features."""
    names = [match.groups() for name in arrays if (match := _NAME.fullmatch(name))]
    first: dict[str, int] = {}
    for method, seed in names:
        first[method] = min(int(seed), first.get(method, int(seed)))
    return {method: f"{method}-{seed}" for method, seed in sorted(first.items())}


def mean_ratios(
    arrays: Mapping[str, np.ndarray], classes: pd.DataFrame, method: str
) -> dict[str, np.ndarray]:
    """Return the ratios of distances between classes, means over the seeds of a method.

    Args:
        arrays: classifier, METHOD-SEED -> [N, D] float; `network`, [N] names of classes.
        classes: K rows with `network`.
        method: whose.

    Returns:
        A key of `RATIOS` -> [K, K] float64.
    """
    labels = pd.Index(classes["network"]).get_indexer(arrays["network"])
    matches = ((_NAME.fullmatch(name), array) for name, array in sorted(arrays.items()))
    own = [array for match, array in matches if match and match[1] == method]
    return {
        kind: np.mean([ratio(features, labels, len(classes)) for features in own], axis=0)
        for kind, ratio in RATIOS.items()
    }


def ratio_tables(arrays: Mapping[str, np.ndarray], classes: pd.DataFrame) -> pd.DataFrame:
    """Rows of `ratio_table` for every method that has features, a column for each of `RATIOS`."""
    columns = ["method", "pairs", "count", *RATIOS]
    tables = []
    for method in first_seeds(arrays):
        both = {
            kind: ratio_table(ratios, classes).set_index(["pairs", "count"])["ratio"]
            for kind, ratios in mean_ratios(arrays, classes, method).items()
        }
        tables.append(pd.DataFrame(both).reset_index().assign(method=method))
    return (
        pd.concat(tables, ignore_index=True)[columns]
        if tables
        else pd.DataFrame([], columns=columns)
    )


def ratio_table(ratios: np.ndarray, classes: pd.DataFrame) -> pd.DataFrame:
    """Return the mean ratio of pairs of classes by what they have in common.

    Args:
        ratios: [K, K] float.
        classes: K rows with scale, loss, training_set, architecture and seed.

    Returns:
        `pairs`, what the two share; `count`; `ratio`, the mean over those that have one.
    """
    rows, columns = np.triu_indices(len(classes), 1)
    known = np.isfinite(ratios[rows, columns])
    rows, columns = rows[known], columns[known]

    def same(*names: str) -> np.ndarray:
        values = classes[list(names)].to_numpy()
        return np.all(values[rows] == values[columns], axis=1)

    by_pairs = {
        "all": np.ones(len(rows), bool),
        "same scale": same("scale"),
        "same loss": same("loss"),
        "same architecture": same("architecture"),
        "same training set": same("training_set"),
        "same scale and loss": same("scale", "loss"),
        "same but for the seed": same("scale", "loss", "architecture", "training_set", "overrides"),
    }
    values = ratios[rows, columns]
    return pd.DataFrame(
        [
            {"pairs": pairs, "count": int(chosen.sum()), "ratio": float(values[chosen].mean())}
            for pairs, chosen in by_pairs.items()
            if chosen.any()
        ],
        columns=["pairs", "count", "ratio"],
    )
