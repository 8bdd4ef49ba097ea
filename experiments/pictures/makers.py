"""Who makes pictures: networks of zoos and of single files, and what stands beside them."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx

import jaxfleet
import jaxsr
from experiments.pictures import foreign
from experiments.zoo import evaluate as zoo_evaluate
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.scripts import named
from jaxsr import zoo
from jaxsr.datasets.picture_sets import UNKNOWN
from jaxsr.files import networks as network_files
from jaxsr.files import torch as torch_files

PACKAGED = "packaged"  # the zoo that comes with jaxsr
_TEXTS, _WHOLES = ("architecture", "loss", "training_set"), ("scale", "seed", "num_iters")


@dataclass(frozen=True)
class PictureClass:
    """A maker of pictures.

    Attributes:
        name: in file names and in the index.
        kind: one of `jaxsr.datasets.picture_sets.KINDS`.
        facts: columns `jaxsr.datasets.picture_sets.FACTS`.
        source: run directory, file or folder that it was found in; empty if in none.
        checksum: of the network's file; empty if there is none.
        load: reads the network; None of those that are none.
    """

    name: str
    kind: str
    facts: Mapping[str, Any]
    source: str = ""
    checksum: str = ""
    load: Callable[[], nnx.Module | foreign.Enlarger] | None = None

    @property
    def scale(self) -> int:
        """The factor by which rows and columns are enlarged; 0 if it is unknown."""
        return int(self.facts["scale"])

    @property
    def said(self) -> dict[str, Any]:
        """Columns of the index that are the same in every row."""
        return {"kind": self.kind, **self.facts, "source": self.source}


def list_classes(
    zoos: Sequence[str],
    networks: Sequence[str],
    labelled: Sequence[str],
    *,
    bicubic: bool,
    originals: bool,
) -> list[PictureClass]:
    """List the classes that flags name; networks of one kind, which share programs, together.

    Args:
        zoos: run directories of launch/sr_zoo.py, complete or not, or `PACKAGED`.
        networks: as `parse_network` takes them.
        labelled: as `parse_labelled` takes them.
        bicubic: whether bicubic enlargement is a class at each scale of the networks.
        originals: whether the photographs as they are make a class.

    Raises:
        InputError: if a flag, a directory or a file cannot be used, if two classes have one name,
            or if there are none.
    """
    found = [one for text in zoos for one in of_zoo(zoo_folder(text))]
    found += [parse_network(text) for text in networks]
    found.sort(key=lambda one: (one.facts["architecture"], one.scale, one.facts["overrides"]))
    beside = [parse_labelled(text) for text in labelled]
    if bicubic:
        beside += [
            PictureClass(
                f"bicubic-x{scale}",
                "bicubic",
                {**UNKNOWN, "architecture": zoo_evaluate.BICUBIC, "scale": scale},
            )
            for scale in sorted({one.scale for one in (*found, *beside)} - {0, 1})
        ]
    if originals:
        beside.append(PictureClass("original", "original", {**UNKNOWN, "scale": 1}))
    classes = beside + found
    if not classes:
        raise InputError("No class is given; name --zoo, --network or --labelled.")
    names = [one.name for one in classes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"Two classes are called {name}; rename one with --network=NAME=FILE or "
                "--labelled=NAME=FOLDER, or put it into another --run_dir."
            )
    return classes


def zoo_folder(text: str) -> Path:
    """Return the run directory that a flag names, or that of the zoo that comes with jaxsr."""
    return network_files.packaged() if text == PACKAGED else storage.location(text)


def of_zoo(run_dir: Path) -> list[PictureClass]:
    """List the networks of a run that are complete and whose files exist.

    Raises:
        InputError: if the directory is none of a zoo, or has no network yet.
    """
    entries = [entry for entry in zoo_evaluate.list_networks(run_dir) if entry.path]
    if not entries:
        raise InputError(f"--zoo={run_dir} holds no trained networks; wait, or repeat its command.")
    columns = ["overrides", "num_iters", "parameters"]
    frame = jaxfleet.open(run_dir).to_pandas(["network", *columns])
    others = frame.drop_duplicates("network").set_index("network")[columns].to_dict("index")
    return [
        PictureClass(
            entry.name,
            "network",
            {**entry.facts, **others[entry.name]},
            str(run_dir),
            entry.checksum,
            functools.partial(_read, entry.path),
        )
        for entry in entries
        if entry.path
    ]


def parse_network(text: str) -> PictureClass:
    """Parse the network file that a flag names.

    Args:
        text: [NAME=]FILE of a network of ours, which says what it is, or of a published one with
            what is known of it, `NAME=FILE architecture=A scale=N [loss=L] [training_set=T]
            [seed=N] [num_iters=N] [KEY=VALUE ...]`; other keys are hyperparameters of the network
            that differ from the architecture's, with values as JSON has them. Or NAME=FILE of
            another program (`foreign.ENDINGS`) with what is known of it; its scale is measured.

    Raises:
        InputError: if it is written in another way, or the file cannot be used. Whether published
            weights fit is known when they are loaded.
    """
    name, file, options = _parse("network", text)
    path = storage.location(file)
    if path.suffix in foreign.ENDINGS:
        return _foreign(text, name or path.stem, path, options)
    if options:
        return _published(text, name or path.stem, path, options)
    saved = network_files.read(path)
    known = {key: saved.facts[key] for key in UNKNOWN if key in saved.facts}
    facts = {
        **UNKNOWN,
        **known,
        "architecture": saved.architecture,
        "overrides": json.dumps(dict(saved.overrides)),
        "scale": saved.scale,
        "parameters": jaxsr.count_parameters(
            saved.architecture, scale=saved.scale, **saved.overrides
        ),
    }
    name = name or str(saved.facts.get("network", path.stem))
    load = functools.partial(_read, path)
    return _of_file(name, facts, path, load)


def parse_labelled(text: str) -> PictureClass:
    """List the pictures of one class that were made elsewhere.

    Args:
        text: NAME=FOLDER, then any of architecture=A, scale=N, loss=L, training_set=T, seed=N,
            num_iters=N.

    Raises:
        InputError: if it is written in another way. The folder is not looked at.
    """
    name, folder, options = _parse("labelled", text)
    if not name:
        raise InputError(f"--labelled={text}: write NAME=FOLDER, such as camera=photographs/mine.")
    facts = _facts("labelled", text, options)
    if options:
        raise InputError(
            f"--labelled={text}: '{next(iter(options))}' is not known; there are "
            f"{', '.join((*_TEXTS, *_WHOLES))}."
        )
    return PictureClass(_checked(name), "elsewhere", facts, folder)


def _foreign(text: str, name: str, path: Path, options: dict[str, str]) -> PictureClass:
    """Describe a network of another program, whose scale is what it does."""
    facts = _facts("network", text, options)
    if options:
        raise InputError(
            f"--network={text}: '{next(iter(options))}' is not known; there are "
            f"{', '.join((*_TEXTS, *_WHOLES))}."
        )
    scale = foreign.Enlarger(path).how.scale
    if facts["scale"] not in (0, scale):
        raise InputError(f"--network={text}: {path} enlarges {scale} times; leave scale out.")
    weights = path.with_suffix(".bin") if path.suffix == ".param" else path
    load = functools.partial(foreign.Enlarger, path)
    return _of_file(name, {**facts, "scale": scale}, path, load, weights)


def _of_file(
    name: str,
    facts: Mapping[str, Any],
    path: Path,
    load: Callable[[], nnx.Module | foreign.Enlarger],
    weights: Path | None = None,
) -> PictureClass:
    try:
        checksum = rundir.checksum((weights or path).read_bytes())
    except OSError as error:
        raise InputError(f"--network: {path}: {error.strerror or error}.") from None
    return PictureClass(_checked(name), "network", facts, str(path), checksum, load)


def _published(text: str, name: str, path: Path, options: dict[str, str]) -> PictureClass:
    """Describe a network whose file does not say what it is; uses up all options."""
    facts = _facts("network", text, options)
    if not facts["architecture"] or facts["scale"] < 1:
        raise InputError(
            f"--network={text}: a published file needs architecture=A and scale=N; one of ours "
            "takes no options."
        )
    try:
        overrides = {key: named.value(value) for key, value in options.items()}
        parameters = zoo.count_parameters(facts["architecture"], scale=facts["scale"], **overrides)
    except (TypeError, ValueError) as error:
        raise InputError(f"--network={text}: {error}".replace("`", "")) from None
    facts |= {"overrides": json.dumps(overrides), "parameters": parameters}
    load = functools.partial(
        torch_files.load_published, path, facts["architecture"], facts["scale"], overrides
    )
    return _of_file(name, facts, path, load)


def _parse(flag: str, text: str) -> named.Named:
    """Name (empty if there is none), path, and options of [NAME=]PATH [KEY=VALUE ...]."""
    found = named.parse(text.strip())
    if not found.source:
        raise InputError(f"--{flag}={text} names no file or folder.")
    return found


def _facts(flag: str, text: str, options: dict[str, str]) -> dict[str, Any]:
    """Take the facts on a network out of `options`."""
    facts = dict(UNKNOWN)
    for key in (*_TEXTS, *_WHOLES):
        if key in options:
            value = options.pop(key)
            try:
                facts[key] = named.whole(value, key) if key in _WHOLES else value
            except InputError as error:
                raise InputError(f"--{flag}={text}: {error}") from None
    return facts


def _checked(name: str) -> str:
    if not named.is_name(name):
        raise InputError(f"'{name}' is no name; write NAME=... of letters, digits and . _ + -")
    return name


def _read(path: Path) -> nnx.Module:
    return network_files.read(path).build()
