"""The plan of model parsing: which parsers there are, what each learns from and is tested on.

A parser tells one hyperparameter of a network from its pictures. All networks with one value of
another hyperparameter are held out: they are neither learned from nor validated on, and the parser
is tested on them. A parser that nothing is held out of is tested on networks from elsewhere.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 5.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from jaxfleet.errors import InputError
from jaxsr.datasets import picture_sets

HYPERPARAMETERS = ("scale", "loss", "architecture", "training_set")  # that there are parsers for
PROPERTIES = (*HYPERPARAMETERS, "seed")  # that a value can be held out of


@dataclass(frozen=True)
class HeldOut:
    """A value whose networks are kept for the test."""

    name: str  # one of PROPERTIES
    value: str

    @classmethod
    def parse(cls, text: str) -> "HeldOut":
        """Parse what a flag holds out.

        Args:
            text: NAME=VALUE, such as seed=3.

        Raises:
            InputError: if it is written in another way.
        """
        name, sign, value = text.partition("=")
        if name not in PROPERTIES or not sign or not value:
            raise InputError(
                f"--hold_out={text}: write NAME=VALUE, such as seed=3; names are "
                f"{', '.join(PROPERTIES)}."
            )
        return cls(name, value)

    def __str__(self) -> str:
        """Return the text that `parse` takes."""
        return f"{self.name}={self.value}"


# Columns of the paper's table, and the values that may stand for each, the paper's own first.
PAPER_HELD_OUT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("seed", ("3",)),
    ("training_set", ("flickr2k", "B")),
    ("architecture", ("swinir",)),
    ("architecture", ("rcan",)),
    ("loss", ("vgg_adv",)),
    ("loss", ("l1",)),
)


@dataclass(frozen=True)
class PlannedParser:
    """One parser.

    Attributes:
        predicted: one of `HYPERPARAMETERS`.
        held_out: what is kept for the test; None of a parser of all networks.
        seed: of its training.
        trained: network -> its value, of those that it learns from.
        tested: network -> its value, empty if nobody knows it, of those that it is tested on.
    """

    predicted: str
    held_out: HeldOut | None
    seed: int
    trained: Mapping[str, str]
    tested: Mapping[str, str]

    @property
    def values(self) -> tuple[str, ...]:
        """The K values that it can answer, sorted."""
        return tuple(sorted(set(self.trained.values())))

    @property
    def subset(self) -> str:
        """The part of file names that says which networks it learns from."""
        if self.held_out is None:
            return "of-all"
        return (
            f"without-{self.held_out.name}-{re.sub(r'[^A-Za-z0-9_.+-]', '_', self.held_out.value)}"
        )

    @property
    def name(self) -> str:
        """The name in file names; unique in the plan."""
        return f"{self.predicted}-{self.subset}-s{self.seed}"


def list_networks(index: pd.DataFrame) -> pd.DataFrame:
    """List the facts on each network.

    Args:
        index: of pictures, as of `jaxsr.datasets.picture_sets.PictureSet`.

    Returns:
        A row for each network, which is the index; columns `PROPERTIES` as text, empty where
        nobody knows.
    """
    rows = index.drop_duplicates("network").set_index("network")
    said = {
        name: rows[name].astype(str).replace(str(picture_sets.UNKNOWN[name]), "")
        for name in PROPERTIES
    }
    return pd.DataFrame(said, index=rows.index)


def default_held_out(networks: pd.DataFrame) -> list[HeldOut]:
    """Return the values held out in the paper, if networks with these and with others exist."""
    found = []
    for name, stand_ins in PAPER_HELD_OUT:
        there = set(networks[name])
        value = next((value for value in stand_ins if value in there), None)
        if value is not None and len(there) > 1:
            found.append(HeldOut(name, value))
    return found


def make(
    networks: pd.DataFrame,
    elsewhere: pd.DataFrame | None,
    predicted: Sequence[str],
    held_out: Sequence[HeldOut],
    seeds: Sequence[int],
    *,
    all_seeds_train: bool = False,
) -> list[PlannedParser]:
    """Plan the parsers, without those that cannot be trained or tested.

    What cannot be: to predict the hyperparameter whose value is held out, or the training set where
    that leaves no network to test. Of training sets only networks count whose seed every training
    set has: seed 1 in the paper, where the others have networks of one set alone.

    Args:
        networks: of `list_networks`, to learn from and to hold out.
        elsewhere: the same of networks that no parser learns from; None for no parsers of all.
        predicted: some of `HYPERPARAMETERS`.
        held_out: what is held out, one after the other.
        seeds: of the trainings.
        all_seeds_train: whether parsers of training sets learn from networks of all seeds, as the
            paper's released code does; they are tested on those of the shared seeds all the same.

    Raises:
        InputError: if no network, or every one, has a value that is held out, or if no parser is
            left.
    """
    for one in held_out:
        there = sorted(set(networks[one.name]) - {""})
        if one.value not in there or len(there) < 2:
            raise InputError(
                f"--hold_out={one}: the networks have {one.name} {', '.join(there) or 'unknown'}; "
                "hold out one of several values."
            )
    subsets: list[HeldOut | None] = [*dict.fromkeys(held_out)]
    if elsewhere is not None:
        subsets.append(None)
    parsers = [
        PlannedParser(name, subset, seed, trained, tested)
        for subset in subsets
        for name in dict.fromkeys(predicted)
        for trained, tested in [_cut(networks, elsewhere, name, subset, all_seeds_train)]
        if len(set(trained.values())) > 1 and tested
        for seed in dict.fromkeys(seeds)
    ]
    if not parsers:
        raise InputError(
            "There is nothing to predict: the networks need two values or more of a hyperparameter "
            "other than the one held out; give other --predict, --hold_out or --pictures."
        )
    return parsers


def shared_seeds(networks: pd.DataFrame) -> set[str]:
    """Return the seeds that networks of every training set have.

    Args:
        networks: of `list_networks`, each with a known training set.
    """
    seeds = [set(own) for _, own in networks.groupby("training_set")["seed"]]
    return set.intersection(*seeds) if seeds else set()


def _cut(
    networks: pd.DataFrame,
    elsewhere: pd.DataFrame | None,
    predicted: str,
    held_out: HeldOut | None,
    all_seeds_train: bool,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the networks to learn from and to test, each with its value."""
    known = networks[networks[predicted] != ""]
    counted = known
    if predicted == "training_set":
        counted = known[known["seed"].isin(shared_seeds(known))]
    trained = known if all_seeds_train else counted
    if held_out is None:
        tested = elsewhere[predicted] if elsewhere is not None else pd.Series(dtype=str)
        return trained[predicted].to_dict(), tested.to_dict()
    if held_out.name == predicted:
        return {}, {}
    trained = trained[trained[held_out.name] != held_out.value]
    tested = counted.loc[counted[held_out.name] == held_out.value, predicted]
    return trained[predicted].to_dict(), tested[tested.isin(set(trained[predicted]))].to_dict()


def column_of(held_out: str) -> int:
    """Return the column of the paper's table with something held out, from 0; -1 for none.

    Args:
        held_out: NAME=VALUE.
    """
    for column, (name, stand_ins) in enumerate(PAPER_HELD_OUT):
        if held_out in (f"{name}={value}" for value in stand_ins):
            return column
    return -1


def in_order(held_out: Iterable[str]) -> list[str]:
    """List what is held out, each once, in the order of the paper's table, others after it."""
    return sorted(
        set(held_out), key=lambda text: (column_of(text) % (len(PAPER_HELD_OUT) + 1), text)
    )
