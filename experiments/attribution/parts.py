"""Crops of pictures for attribution, parsing, robustness and open sets.

Pictures, perturbed or not, are read when they are asked for; their crops side by side come a batch
at a time; a digest says which pictures a part of a run was made from.

Letters: N crops, c side of a crop in pixels.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxsr.attribution import calibration
from jaxsr.attribution.classifier import Classifier
from jaxsr.datasets import perturbations
from jaxsr.datasets.crops import BATCH, tiles
from jaxsr.datasets.perturbations import Perturbation
from jaxsr.datasets.picture_sets import PictureSet

PARTS, MODELS, RESULTS = "parts", "models", "results.json"
CROPS = "crops.parquet"  # the rows of the parts that the last command asked for


@dataclasses.dataclass(frozen=True, eq=False)
class Perturbed(Sequence[np.ndarray]):
    """Pictures of a folder after perturbations; each is read and changed when it is asked for.

    One that is smaller than `least_px` afterwards is mirrored at the right and at the bottom.

    Attributes:
        pictures: of the folder.
        plan: row of `pictures` and what happens to it, for each; a row may come several times.
        least_px: of either side.
        seed: of what is drawn, together with the names of perturbation, network and photograph.
    """

    pictures: PictureSet
    plan: Sequence[tuple[int, Perturbation]]
    least_px: int = 1
    seed: int = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.plan)

    def __getitem__(self, place: Any) -> Any:
        """Return [H, W, 3] uint8 of one, or several as a sequence of them."""
        if isinstance(place, slice):
            return dataclasses.replace(self, plan=self.plan[place])
        row, perturbation = self.plan[place]
        names = self.pictures.index[["network", "image_id"]].iloc[row]
        rng = perturbations.generator(self.seed, perturbation.name, *names)
        changed = perturbation(self.pictures.picture(row), rng)
        return perturbations.filled(changed, self.least_px)


def unchanged(pictures: PictureSet) -> Perturbed:
    """Return the images unchanged."""
    nothing = perturbations.parse(perturbations.NONE)
    return Perturbed(pictures, [(row, nothing) for row in range(len(pictures))])


class Batch(NamedTuple):
    """Crops that lie side by side in pictures.

    Attributes:
        places: [N] int, which picture each is of.
        is_filled: [N] bool, whether that was smaller than a crop, and is mirrored.
        crops: [N, c, c, 3] uint8.
    """

    places: np.ndarray
    is_filled: np.ndarray
    crops: np.ndarray


def batches(pictures: Sequence[np.ndarray], crop_px: int) -> Iterator[Batch]:
    """Return all crops of pictures, `crops.BATCH` at a time.

    Args:
        pictures: [H, W, 3] uint8 each.
        crop_px: c.
    """
    found = (
        (place, min(picture.shape[:2]) < crop_px, crop)
        for place in range(len(pictures))
        for picture in [pictures[place]]
        for crop in tiles(perturbations.filled(picture, crop_px), crop_px)
    )
    while some := list(itertools.islice(found, BATCH)):
        places_of, is_filled, crops = zip(*some, strict=True)
        yield Batch(np.array(places_of), np.array(is_filled), np.stack(crops))


def refuse_small(pictures: PictureSet, crop_px: int) -> None:
    """Refuse pictures that no crop fits into.

    Raises:
        InputError: naming one.
    """
    sides = pictures.index[["height", "width"]].min(axis=1)
    if sides.min() < crop_px:
        raise InputError(
            f"{pictures.run_dir / pictures.index['file'][sides.idxmin()]} has a side of "
            f"{sides.min()} pixels, less than a crop of {crop_px}; take smaller crops."
        )


def refuse_without(pictures: PictureSet, split: str, networks: Iterable[str]) -> None:
    """Refuse pictures that lack a photograph of a split for one of the networks.

    Raises:
        InputError: naming the network.
    """
    index = pictures.index
    without = set(networks) - set(index.loc[index["split"] == split, "network"])
    if without:
        raise InputError(
            f"--pictures={pictures.run_dir} has no {split} photograph of {min(without)}; make "
            "pictures of more photographs, which their names divide."
        )


def fit_temperature(
    classifier: Classifier,
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    *,
    on_batch: Callable[[int], object] = lambda _: None,
) -> float:
    """Fit the temperature of a classifier to all crops of pictures that it did not learn from.

    Args:
        classifier: of K classes.
        pictures: [H, W, 3] uint8 each.
        labels: [N] int, the class of each picture.
        on_batch: called with the number of crops of each batch when it is done.
    """
    scores, places = [], []
    for batch in batches(pictures, classifier.crop_px):
        scores.append(classifier.log_scores(batch.crops))
        places.append(batch.places)
        on_batch(len(batch.crops))
    return calibration.fit_temperature(np.concatenate(scores), labels[np.concatenate(places)])


def made_from(pictures: PictureSet, *others: Any) -> str:
    """Return the checksum of the pictures and of anything else that JSON can hold."""
    used = pictures.index[["network", "split", "file_checksum"]].to_numpy().tolist()
    return rundir.digest(used, *others)


def write_results(run_dir: Path, rows: pd.DataFrame) -> None:
    """Write the rows of a table as a list of records; unknown values are null."""
    records = json.loads(rows.to_json(orient="records", double_precision=6))
    rundir.write_json(run_dir / RESULTS, records)
