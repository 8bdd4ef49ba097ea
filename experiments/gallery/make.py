"""Makes a gallery of the networks that made the pictures of a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.attribution.sharing import progress_callback
from experiments.gallery.config import GalleryConfig
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.progress import Progress
from jaxsr.attribution import calibration
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.classifier import Classifier
from jaxsr.attribution.methods import CropFeatures
from jaxsr.datasets import picture_sets
from jaxsr.datasets.picture_sets import Pictures, PictureSet
from jaxsr.gallery import files as gallery_files
from jaxsr.gallery import fit as gallery_fit
from jaxsr.gallery import parsing
from jaxsr.gallery.cards import FACTS, HYPERPARAMETERS, ClassCard
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.parsing import Parser

_LANDMARKS = 1000  # of the parser: half of what is best, for the sake of the file's size


def run(config: GalleryConfig, run_dir: Path) -> str:
    """Fit a classifier, make `gallery.safetensors` of it and test it on test pictures.

    Returns:
        Where it is, and how good.

    Raises:
        InputError: for pictures that cannot be used; then nothing is written.
        OSError: if the disk is full; a gallery that was there stays.
    """
    pictures = picture_sets.open(config.pictures)
    cards = make_cards(pictures.index)
    check(pictures.index, cards, config)
    with rundir.held(run_dir, "sr_gallery"):
        rundir.unfinish(run_dir)
        splits = {
            split: _labelled(pictures, cards, split)
            for split in picture_sets.ordered_splits(pictures.index["split"])
        }
        passes = 2 if config.has_parser else 1
        work = float(passes * len(splits["train"][0]))
        with Progress(1, work, unit="galleries", work="pictures") as shown:
            classifier, features = _fit(config, cards, splits, shown)
            parser = _fit_parser(config, cards, splits, shown) if config.has_parser else None
            shown.update(0.0, finished=1)
        facts = {
            "method": config.method,
            "crop_px": config.crop_px,
            "photographs": int(pictures.index["image_id"].nunique()),
            "pictures": len(pictures),
        }
        made = gallery_fit.make(
            classifier,
            cards,
            splits["train"],
            splits["validation"],
            features=features,
            facts=facts,
            parser=parser,
        )
        said = f"{len(cards)} classes"
        path = run_dir / gallery_files.NAME
        made.save(path)  # before it is tried, whatever comes of that
        if "test" in splits:
            said += f"; {summary(made, *splits['test'])}"
        rundir.finish(run_dir)
    return f"{path}: {said}; {path.stat().st_size / 1e6:.1f} MB."


def make_cards(index: pd.DataFrame) -> list[ClassCard]:
    """Make a card for each class of an index, sorted by name.

    Args:
        index: rows with `jaxsr.datasets.picture_sets.COLUMNS`.
    """
    cards = []
    for name, row in index.groupby("network").first().iterrows():
        known = {fact: row[fact] for fact in FACTS if picture_sets.is_known(fact, row[fact])}
        facts = {fact: v if isinstance(v, str) else int(v) for fact, v in known.items()}
        cards.append(ClassCard(str(name), row["kind"], facts))
    return cards


def check(index: pd.DataFrame, cards: Sequence[ClassCard], config: GalleryConfig) -> None:
    """Refuse pictures that no gallery can be made of.

    Raises:
        InputError: if there are fewer than two classes, a class has fewer than two pictures to
            learn from or none to calibrate with, or a picture is smaller than a tile.
    """
    if len(cards) < 2:
        raise InputError(f"--pictures={config.pictures}: one class alone; a gallery needs two.")
    for split, least in (("train", 2), ("validation", 1)):
        counts = index[index["split"] == split]["network"].value_counts()
        for card in cards:
            if counts.get(card.name, 0) < least:
                raise InputError(
                    f"--pictures={config.pictures}: '{card.name}' has {counts.get(card.name, 0)} "
                    f"pictures of split {split}, and needs {least}; make more with "
                    "launch/sr_images.py."
                )
    small = index[index[["height", "width"]].min(axis=1) < config.crop_px]
    if len(small):
        raise InputError(
            f"--crop_px={config.crop_px}: {small['file'].iloc[0]} is smaller; take smaller tiles."
        )


def summary(made: Gallery, pictures: Sequence[np.ndarray], labels: np.ndarray) -> str:
    """Return how good a gallery is on pictures of its classes.

    Pictures that `Gallery.identify` refuses, such as grey ones, are left out and counted.

    Args:
        made: the gallery, K classes.
        pictures: N of [H, W, 3] uint8, N at least 1, of photographs that it does not know.
        labels: [N] int.
    """
    found, kept, refused = [], [], 0
    for picture, label in zip(pictures, labels, strict=True):
        try:
            found.append(made.identify(picture))
            kept.append(label)
        except InputError:  # grey in all pixels, or one colour alone
            refused += 1
    left_out = f"{refused} test pictures left out, which no gallery can identify: grey, or blank"
    if not found:
        return left_out
    labels = np.asarray(kept)
    chances = np.zeros((len(found), len(made.cards)))
    for row, one in zip(chances, found, strict=True):
        row[[made.names.index(name) for name, _ in one.ranking]] = [p for _, p in one.ranking]
    right = np.mean(chances.argmax(axis=1) == labels)
    known = np.mean([one.is_known for one in found])
    error = calibration.expected_calibration_error(chances, labels)
    says = f"of {len(found)} test pictures {right:.1%} rightly attributed, {known:.1%} known"
    told = [one.is_super_resolved for one in found]
    truth = [made.cards[label].is_super_resolved for label in labels]
    if None not in told:
        agreed = np.mean([x == y for x, y in zip(told, truth, strict=True)])
        says += f", {agreed:.1%} rightly called super-resolved or not"
    says = f"{says}; expected calibration error {error:.3f}"
    return f"{says}; {left_out}" if refused else says


def _fit(
    config: GalleryConfig,
    cards: Sequence[ClassCard],
    splits: Mapping[str, tuple[Pictures, np.ndarray]],
    shown: Progress,
) -> tuple[Classifier, list[np.ndarray] | None]:
    """Fit the classifier; return its features of training images too, if they were shared."""
    learnt, labels = splits["train"]
    on_progress = progress_callback(shown, len(learnt))
    extracted = attribution.extract_features(
        config.method, learnt, crop_px=config.crop_px, progress=on_progress, **config.options
    )
    given: dict[str, Any] = (
        {"progress": on_progress} if extracted is None else {"extracted": extracted}
    )
    classifier = attribution.fit(
        config.method,
        learnt,
        labels,
        [card.name for card in cards],
        crop_px=config.crop_px,
        seed=config.seed,
        validation=splits["validation"],
        **config.options,
        **given,
    )
    if extracted is None:
        return classifier, None
    ends = np.flatnonzero(np.diff(extracted.owners)) + 1
    return classifier, np.split(classifier.embedding_of(extracted.features), ends)


def _fit_parser(
    config: GalleryConfig,
    cards: Sequence[ClassCard],
    splits: Mapping[str, tuple[Pictures, np.ndarray]],
    shown: Progress,
) -> Parser | None:
    """Fit a parser to the networks only; None if there is nothing to tell apart."""
    networks = [k for k, card in enumerate(cards) if card.kind == "network"]
    facts = [{name: cards[k].facts.get(name) for name in HYPERPARAMETERS} for k in networks]
    place = np.full(len(cards), -1)
    place[networks] = np.arange(len(networks))

    def of_networks(split: str, **options: Any) -> tuple[CropFeatures, np.ndarray]:
        pictures, labels = splits[split]
        extracted = attribution.extract_features(
            "kernel", pictures, crop_px=config.crop_px, **options
        )
        assert extracted is not None
        rows = np.flatnonzero(place[labels] >= 0)
        return extracted.of(rows), place[labels[rows]]

    known = of_networks("train", progress=progress_callback(shown, len(splits["train"][0])))
    apart = of_networks("validation")
    return parsing.fit(facts, known, apart, seed=config.seed, landmarks=_LANDMARKS)


def _labelled(
    pictures: PictureSet, cards: Sequence[ClassCard], split: str
) -> tuple[Pictures, np.ndarray]:
    """Return the pictures of a split, and the place of each one's class among the cards."""
    chosen = pictures.only(split=split)
    place = {card.name: k for k, card in enumerate(cards)}
    return Pictures(chosen), chosen.index["network"].map(place).to_numpy(np.int64)
