"""One network in training, looked at about once a second: for a live display, or to stop early."""

import dataclasses
import math
import time
from collections.abc import Iterator

import jax
import numpy as np

from jaxfleet import trainer
from jaxfleet.imaging import decibels
from jaxinr import buckets, trainers
from jaxinr import kind as kinds
from jaxinr.inputs import checked
from jaxinr.siren import Params
from jaxinr.trial import Trial


@dataclasses.dataclass(frozen=True)
class Moment:
    """A network in training.

    Attributes:
        iteration: updates made.
        seconds: since the training began.
        psnr_db: of the best weights so far, on raw output.
        params: those weights, as of `Fits.params`.
        status: "running"; of the last moment that of `Fit.status`.
    """

    iteration: int
    seconds: float
    psnr_db: float
    params: Params
    status: str


def watch(image: np.ndarray, trial: Trial, *, coordinates: str = "coin") -> Iterator[Moment]:
    """Fit one network to an image, and yield it about once a second and at the end.

    The weights are those of `fit`. Closing the generator ends the training.

        for moment in jaxinr.watch(image, trial):
            picture = jaxinr.render(moment.params, trial, image.shape[:2], clip=True)

    Args:
        image: [H, W, 3] uint8, or float in [0, 1].
        trial: the network's hyperparameters.
        coordinates: as in `fit`.

    Raises:
        TypeError, ValueError: as `fit`.
    """
    picture = checked(image)
    (bucket,) = buckets.make_buckets(
        [trial],
        [picture.shape[:2]],
        shards=sum(mesh.size for mesh in trainer.lanes()),
        platform=jax.local_devices()[0].platform,
        coordinates=coordinates,
    )
    team = trainers.make_trainer(bucket, [trial], [picture], [0])
    start = time.monotonic()

    def moment(iteration: int, loss: float, params: Params, status: str) -> Moment:
        psnr_db = float(decibels.of_error(loss))
        params = kinds.crop(params, trial.layer_shapes)
        return Moment(iteration, time.monotonic() - start, psnr_db, params, status)

    while (finished := team.step()) is not None:
        for now in (one for one in team.best() if math.isfinite(one.loss)):
            yield moment(now.iteration, now.loss, now.params, "running")
        for one in finished:
            yield moment(int(one.iterations[-1]), one.best_loss, one.params, one.status)
