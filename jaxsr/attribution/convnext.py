"""Attribution by a network that looks at crops, or at what a denoiser takes away: "convnext".

A network that learnt from smaller crops than it is asked about looks at tiles of a crop, as large
as what it learnt from, and takes them for independent. (It could look at the whole, but then sees
means of other deviations, and other shares of the border, and is more often wrong.)

Letters: N crops, c side of a crop in pixels, t side of a tile, n tiles of a crop, K classes, D
channels of the last stage.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 4, with
ConvNeXt-Base and weights of ImageNet. Those are a file of torchvision, of timm or of the authors of
ConvNeXt; without one a network learns from scratch, by a recipe of ours.
"""

import dataclasses
import functools
import os
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.imaging.pixels import from_uint8
from jaxsr.attribution.classifier import PixelClassifier
from jaxsr.datasets.crops import BATCH, CROP_PX, GRID_PX, centre, check_picture, in_batches
from jaxsr.files import torch as weight_files
from jaxsr.fingerprints import residuals
from jaxsr.networks import convnext
from jaxsr.networks.convnext import ConvNeXt
from jaxsr.state_dicts import names as torch_names
from jaxsr.training import classifier as classifier_training
from jaxsr.training.classifier import Schedule

CONVNEXT = "convnext"
INPUTS = ("rgb", "residual")
_SEEN_FOR_DEVIATION = 256  # middles of pictures

# Mean colour and deviation of ImageNet, red, green, blue, that published weights are for.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ConvNeXtRecipe(NamedTuple):
    """The default settings of a training.

    Attributes:
        inputs: one of `INPUTS`.
        train_crop_px: side of the crops that it learns from; None for those it is asked about.
        crops_per_picture: in an epoch, each at a random place.
        grid_px: crops begin at multiples of it.
        schedule: how long, and how fast.
    """

    inputs: str
    train_crop_px: int | None
    crops_per_picture: int
    grid_px: int
    schedule: Schedule


PAPER = ConvNeXtRecipe("rgb", None, 1, 1, Schedule(3, 15, 16, 5e-4, classifier_training.PLATEAU))
# Where crops begin anywhere, the stem meets the grid of up-sampling in 16 positions, and of colours
# it sees edges alone: of 12 networks of the mini zoo, 73 % of crops were right after 100 updates of
# 64; 37 % where they began anywhere, and by colours 9 %, which is chance. Small crops make many
# updates in little time.
FROM_SCRATCH = ConvNeXtRecipe(
    *("residual", 64, 32, GRID_PX),
    Schedule(0, 10, 128, 3e-3, classifier_training.COSINE),
)


@dataclasses.dataclass(frozen=True)
class Transform:
    """Return what the network is given of a crop.

    Attributes:
        kind: "rgb", colours less the mean of ImageNet over its deviation; "residual", what is
            finer than a Gaussian blur of a pixel.
        deviation: that residuals are divided by, in the unit of images, 1 the whole range.

    Raises:
        InputError: if there is no such kind.
    """

    kind: str = "rgb"
    deviation: float = 1.0

    def __post_init__(self) -> None:
        """Check the kind."""
        if self.kind not in INPUTS:
            raise InputError(f"No inputs '{self.kind}'; use one of {', '.join(INPUTS)}.")

    def __call__(self, crops: Array) -> Array:
        """Map [N, c, c, 3] uint8 to the same shape in float32."""
        images = from_uint8(crops)
        if self.kind == "residual":
            return residuals.gaussian_residual(images) / self.deviation
        mean, deviation = (jnp.asarray(v).reshape(1, 1, 1, 3) for v in (_MEAN, _DEVIATION))
        return (images - mean) / deviation


@dataclasses.dataclass(frozen=True, eq=False)
class ConvNeXtClassifier(PixelClassifier):
    """A network and what it is given.

    Attributes:
        classes: K names.
        crop_px: c.
        tile_px: t, at most c.
        size: one of `convnext.SIZES`.
        stem_stride: 1, 2 or 4.
        inputs: what the network is given of a tile.
        model: the network.
    """

    classes: tuple[str, ...]
    crop_px: int
    tile_px: int
    size: str
    stem_stride: int
    inputs: Transform
    model: ConvNeXt

    method = CONVNEXT

    def log_scores_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return log-probabilities, [N, c, c, 3] uint8 to [N, K] float32; see `Classifier`."""
        return self._in_batches(extracted, _log_scores)

    def embedding_of(self, extracted: np.ndarray) -> np.ndarray:
        """Return what the last layer takes, averaged over tiles, [N, D] float32."""
        return self._in_batches(extracted, _features)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return weights by timm's names, in PyTorch's layouts, and facts for `from_arrays`."""
        facts = {
            "tile_px": self.tile_px,
            "size": self.size,
            "stem_stride": self.stem_stride,
            "inputs": dataclasses.asdict(self.inputs),
        }
        return torch_names.to_arrays(self.model), facts

    def _in_batches(self, crops: np.ndarray, function: Callable[..., Array]) -> np.ndarray:
        graph, state = nnx.split(self.model)
        at_once = max(1, BATCH * self.stem_stride**2 // convnext.STEM_PX**2)

        def of_batch(some: np.ndarray) -> np.ndarray:
            pieces = [some[i : i + at_once] for i in range(0, len(some), at_once)]
            return np.concatenate(
                [function(graph, self.inputs, self.tile_px, state, one) for one in pieces]
            )

        return in_batches(of_batch, crops)


def fit(
    pictures: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    crop_px: int = CROP_PX,
    seed: int = 0,
    validation: tuple[Sequence[np.ndarray], np.ndarray] | None = None,
    progress: Callable[[float], object] | None = None,
    size: str = "zepto",
    inputs: str | None = None,
    weights: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    stem_stride: int = convnext.STEM_PX,
    train_crop_px: int | None = None,
    crops_per_picture: int | None = None,
    head_epochs: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    dtype: str = "float32",
    on_epoch: Callable[[int, float, float], object] | None = None,
    checkpoint: Path | None = None,
) -> ConvNeXtClassifier:
    """Fit a network that names which class made a crop.

    What is None is as in `PAPER` where there are weights to go on from, otherwise as in
    `FROM_SCRATCH`. The weights that are most often right about the middles of the validation
    pictures are kept; without those the last.

    Args:
        pictures: of [H, W, 3] uint8, each side at least c.
        labels: their places in `classes`, int.
        classes: K names.
        crop_px: c, at least 8 times the stride of the stem.
        seed: of the weights, of the order of pictures and of the places of crops.
        validation: pictures and labels that decide which weights are kept.
        progress: called after each update with the part of all epochs that is done, 0 to 1; 1 is
            not reached if the rate has fallen too low before, which ends the training.
        size: one of `convnext.SIZES`; the paper's is base.
        inputs: "rgb", as in the paper, or "residual", what is finer than a pixel or so.
        weights: file, or arrays by name, of a ConvNeXt of this size to go on from, such as
            ImageNet's, or a classifier's own file. Its last layer is not looked at. None to
            draw them, and to leave out the epochs of the last layer alone.
        stem_stride: pixels between the windows of the first layer: 4 as in the paper; 2 or 1 keep
            finer structure, at 4 or 16 times the cost.
        train_crop_px: side of the crops that it learns from, at most c, and at least 8 times the
            stride of the stem.
        crops_per_picture: in an epoch, at random places.
        head_epochs: in which only the last layer trains, where there are weights.
        epochs: in which all weights train, at most.
        batch_size: crops in an update.
        learning_rate: the highest; see `classifier_training.Schedule`.
        dtype: of the computation while it trains, float32 or bfloat16; weights are float32.
        on_epoch: called with the number of an epoch, from 1 on, the mean loss of the training, and
            the accuracy on the validation pictures, NaN without them.
        checkpoint: folder to keep the state in after each epoch; a training that was interrupted
            goes on from there to the same bits.

    Raises:
        InputError: if an option is out of its range, a picture is too small, weights cannot be
            read or do not fit, or the training diverges; or if the checkpoint is of another one.
    """
    if dtype not in ("float32", "bfloat16"):
        raise InputError(f"No dtype '{dtype}'; use float32 or bfloat16.")
    recipe = (FROM_SCRATCH if weights is None else PAPER)._replace(
        **_told(inputs=inputs, train_crop_px=train_crop_px, crops_per_picture=crops_per_picture)
    )
    schedule = dataclasses.replace(
        recipe.schedule,
        **_told(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate),
        **_told(head_epochs=None if weights is None else head_epochs),
    )
    given = Transform(recipe.inputs)
    model = _build(len(classes), size, stem_stride, dtype, seed)
    tile_px = min(recipe.train_crop_px or crop_px, crop_px)
    if tile_px < 8 * stem_stride:
        raise InputError(
            f"crop_px or train_crop_px is {tile_px}; a ConvNeXt with stem_stride {stem_stride} "
            f"takes crops of {8 * stem_stride} pixels or more."
        )
    if weights is not None:
        _load(model, weights, size)
    if recipe.inputs == "residual":
        given = Transform(recipe.inputs, _residual_deviation(pictures, crop_px))

    def classifier(model: ConvNeXt) -> ConvNeXtClassifier:
        return ConvNeXtClassifier(tuple(classes), crop_px, tile_px, size, stem_stride, given, model)

    def accuracy(model: Any) -> float:
        assert validation is not None
        truth = np.asarray(validation[1])
        right = 0
        for start in range(0, len(truth), BATCH):
            rows = range(start, min(start + BATCH, len(truth)))
            found = classifier(model).log_scores(_centres(validation[0], rows, crop_px))
            right += int(np.sum(np.argmax(found, axis=1) == truth[rows]))
        return right / len(truth)

    classifier_training.train(
        model,
        classifier_training.Material(
            _Checked(pictures, crop_px),
            labels,
            tile_px,
            given,
            crops_per_picture=recipe.crops_per_picture,
            grid_px=recipe.grid_px,
        ),
        schedule,
        seed=seed,
        validate=accuracy if validation is not None and len(validation[0]) else None,
        progress=progress,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )
    trained = _build(len(classes), size, stem_stride, "float32", seed=None)
    torch_names.load_arrays(trained, torch_names.to_arrays(model))
    return classifier(trained)


def _told(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def from_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> ConvNeXtClassifier:
    """Invert `attribution.to_arrays`.

    Raises:
        KeyError: if a fact is missing.
        ValueError: if the arrays do not fit the network.
        TypeError: if the inputs are described otherwise.
    """
    classes, size, stride = tuple(facts["classes"]), facts["size"], facts["stem_stride"]
    model = _build(len(classes), size, stride, "float32", seed=None)
    convnext.load_weights(model, arrays, head=True)
    inputs = Transform(**facts["inputs"])
    crop_px = int(facts["crop_px"])
    tile_px = int(facts.get("tile_px", crop_px))  # files from before there were tiles
    return ConvNeXtClassifier(classes, crop_px, tile_px, size, stride, inputs, model)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _log_scores(
    graph: nnx.GraphDef[ConvNeXt], inputs: Transform, tile_px: int, state: nnx.State, crops: Array
) -> Array:
    logits = nnx.merge(graph, state)(inputs(_tiles(crops, tile_px)))
    of_tiles = jax.nn.log_softmax(logits).reshape(len(crops), -1, logits.shape[-1])
    return jax.nn.log_softmax(jnp.sum(of_tiles, axis=1))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _features(
    graph: nnx.GraphDef[ConvNeXt], inputs: Transform, tile_px: int, state: nnx.State, crops: Array
) -> Array:
    of_tiles = nnx.merge(graph, state).features(inputs(_tiles(crops, tile_px)))
    return jnp.mean(of_tiles.reshape(len(crops), -1, of_tiles.shape[-1]), axis=1)


def _tiles(crops: Array, tile_px: int) -> Array:
    """Cut as many tiles as fit, side by side from multiples of 24 pixels on.

    [N, c, c, 3] to [N n, t, t, 3], those of a crop one after the other.
    """
    pitch = -(-tile_px // GRID_PX) * GRID_PX
    starts = range(0, crops.shape[1] - tile_px + 1, pitch)
    found = [crops[:, i : i + tile_px, j : j + tile_px] for i in starts for j in starts]
    return jnp.stack(found, axis=1).reshape(-1, tile_px, tile_px, crops.shape[-1])


class _Checked(Sequence[np.ndarray]):
    """Pictures that are checked when they are asked for."""

    def __init__(self, pictures: Sequence[np.ndarray], crop_px: int) -> None:
        self._pictures, self._crop_px = pictures, crop_px

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, row: Any) -> Any:
        picture = self._pictures[row]
        check_picture(picture, self._crop_px)
        return picture


def _build(classes: int, size: str, stem_stride: int, dtype: str, seed: int | None) -> ConvNeXt:
    """Build a network with fresh weights; without a seed, of shapes only."""
    # Nothing is drawn here, so any key will do; nnx.Rngs would count, which takes long.
    rngs: Any = types.SimpleNamespace(params=lambda: jax.random.key(0))
    try:
        model: ConvNeXt = nnx.eval_shape(
            lambda: ConvNeXt(
                classes=classes,
                size=size,
                stem_stride=stem_stride,
                dtype=jnp.dtype(dtype),
                rngs=rngs,
            )
        )
    except ValueError as error:
        raise InputError(str(error).replace("`", "")) from None
    if seed is not None:
        convnext.draw_weights(model, seed)
    return model


def _load(model: ConvNeXt, weights: str | os.PathLike[str] | Mapping[str, Any], size: str) -> None:
    name = "weights"
    try:
        if not isinstance(weights, Mapping):
            name = os.fspath(weights)
            weights = weight_files.read_state_dict(Path(weights).expanduser())
        convnext.load_weights(model, weights, head=False)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(
            f"{name}: no ConvNeXt of size {size} can be made of it. {error}".replace("`", "")
        ) from None


def _residual_deviation(pictures: Sequence[np.ndarray], crop_px: int) -> float:
    """Return the RMS of the residuals of some pictures, at least 0.01 grey levels."""
    rows = np.unique(np.linspace(0, len(pictures) - 1, _SEEN_FOR_DEVIATION).astype(int))

    @jax.jit
    def mean_square(crops: Array) -> Array:
        return jnp.mean(Transform("residual")(crops) ** 2, axis=(1, 2, 3))

    found = [
        in_batches(mean_square, _centres(pictures, some.tolist(), crop_px))
        for some in np.array_split(rows, -(-len(rows) // BATCH))
    ]
    return float(max(np.sqrt(np.mean(np.concatenate(found))), 0.01 / 255.0))


def _centres(pictures: Sequence[np.ndarray], rows: Sequence[int], crop_px: int) -> np.ndarray:
    return np.stack([centre(pictures[row], crop_px) for row in rows])
