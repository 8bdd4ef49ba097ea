"""Rate and distortion of fitted networks at several precisions, and of codecs beside them.

Rates are in bits per pixel. A network of floats counts 32 or 16 bits a weight, as in COIN. One of k
bits counts k bits a weight, or, `entropy_bpp`, what an ideal entropy coder needs that knows how
often each code stands in each array; either way 32 bits are added for the step of each array
(`jaxinr.quantise`), without which the codes say nothing. PSNR is over the pixels and channels of
one photograph, peak 1, on raw output (what COIN published) and of the decoded 8-bit image.

Letters: V kinds of weights of one network, K blocks of B pixels.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from experiments.report import figures
from jaxfleet.imaging import codecs, decibels
from jaxfleet.imaging.photos import Photo
from jaxfleet.trainer import usable_cores
from jaxinr import quantise, siren
from jaxinr.program import pack
from jaxinr.siren import Params

BITS = tuple(range(4, quantise.MAX_BITS + 1))
STEP_BITS = 32
BLOCK = 512  # pixels; the activations of all kinds of weights then stay in the cache

FLOAT16, FIXED, IDEAL = "COIN, float16", "COIN, 4–16 bits", "COIN, 4–16 bits, ideal code"

# COIN's own mean over the 24 Kodak photographs of 768 x 512 pixels, after 50,000 iterations, of
# weights and arithmetic in float16: bits per pixel and dB. The last five are the five sizes; which
# network the first is, is not said.
# Source: https://github.com/EmilienDupont/coin, results.json, commit
# a21e50746a9f46ac74e165cc77a68ebf5037c48a.
PUBLISHED = np.array(
    [
        (0.0368, 22.408),
        (0.07361, 23.205),
        (0.1604, 24.6410833),
        (0.3074, 26.412125),
        (0.6109, 28.408),
        (1.209, 30.644),
    ]
)
PUBLISHED_SHAPE = (512, 768)
KODAK = frozenset(f"kodim{number:02}" for number in range(1, 25))


def is_published_set(photographs: Sequence[Photo]) -> bool:
    """Return whether these are exactly the photographs of COIN's published means."""
    shapes = {tuple(sorted(photo.pixels.shape[:2])) for photo in photographs}
    return {photo.image_id for photo in photographs} == KODAK and shapes == {PUBLISHED_SHAPE}


# ------------------------------------------------------------------------------------- networks


@dataclasses.dataclass(frozen=True)
class Precision:
    """One network with its weights in one precision.

    Attributes:
        weights: "float32", "float16" or "codes".
        weight_bits: of each.
        params: the network that is meant, float32.
        bits: of the network, with the steps of its codes.
        entropy_bits: the same after an ideal entropy coder; NaN for floats.
    """

    weights: str
    weight_bits: int
    params: Params
    bits: float
    entropy_bits: float


def float16(params: Params) -> Params:
    """Round the weights of a network to float16; return them as float32."""
    return jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), params)


def kinds(params: Params) -> list[Precision]:
    """Return a network in float32, float16 and codes of 4 to 16 bits: every precision measured.

    Args:
        params: finite; layers `{"weight": [out, in], "bias": [out]}`.
    """
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    found = [
        Precision("float32", 32, params, 32 * count, np.nan),
        Precision("float16", 16, float16(params), 16 * count, np.nan),
    ]
    for bits in BITS:
        coded = quantise.quantise(params, bits)
        steps = STEP_BITS * len(coded.steps)
        found.append(
            Precision("codes", bits, coded.params, bits * count + steps, coded.entropy_bits + steps)
        )
    return found


def quantisation(
    fitted: pd.DataFrame,
    weights: Callable[[pd.Series], Params],
    pictures: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return the rate and PSNR of every network in every precision.

    Networks go to the devices in turn, all precisions of one at a time.

    Args:
        fitted: rows of the run's table, of finite weights; at least one.
        weights: row -> its layers `{"weight": [out, in], "bias": [out]}`.
        pictures: image_id -> [H, W, 3] uint8.

    Returns:
        One row for each network and precision: trial_id, image_id, image_height, image_width,
        num_layers, layer_size, parameters, weights, weight_bits, bits_per_pixel, entropy_bpp,
        psnr_db, psnr_8bit_db.
    """
    devices = jax.local_devices()
    rows: list[dict[str, Any]] = []
    errors: list[Array] = []
    for i, (_, row) in enumerate(fitted.iterrows()):
        picture = pictures[row["image_id"]]
        height, width = picture.shape[:2]
        precisions = kinds(weights(row))
        stacked = jax.tree.map(lambda *x: np.stack(x), *(kind.params for kind in precisions))
        w0 = np.float32(row["w0_initial"]), np.float32(row["w0"])
        target = pack([picture], -(-height * width // BLOCK), BLOCK)[0]
        place = devices[i % len(devices)]
        errors.append(
            _squared_errors(
                *jax.device_put((stacked, *w0, target, np.int32(height), np.int32(width)), place)
            )
        )
        network = {
            "trial_id": row["trial_id"],
            "image_id": row["image_id"],
            "image_height": height,
            "image_width": width,
            "num_layers": row["num_layers"],
            "layer_size": row["layer_size"],
            "parameters": row["parameters"],
        }
        rows += [
            {
                **network,
                "weights": kind.weights,
                "weight_bits": kind.weight_bits,
                "bits_per_pixel": kind.bits / (height * width),
                "entropy_bpp": kind.entropy_bits / (height * width),
            }
            for kind in precisions
        ]
    found = pd.DataFrame(rows)
    sums = np.concatenate([np.asarray(error, np.float64).sum(axis=0) for error in errors])
    samples = 3 * found["image_height"] * found["image_width"]
    found[["psnr_db", "psnr_8bit_db"]] = decibels.of_error(sums / samples.to_numpy()[:, None])
    return found


@jax.jit
def _squared_errors(
    variants: Params,
    w0_initial: Array,
    w0: Array,
    target: Array,
    height: Array,
    width: Array,
) -> Array:
    """Sum squared errors over each block, of raw output and of the 8-bit image: [K, V, 2].

    Args:
        variants: leaves [V, ...].
        w0_initial: of the network.
        w0: of the network.
        target: [K, 3, B] uint8.
        height: of the picture.
        width: of the picture.
    """

    def one(block: tuple[Array, Array]) -> Array:
        index, target = block
        points = siren.points_of(index, height, width, "coin")
        # HIGHEST: accelerators would otherwise round the factors to TF32 or bfloat16.
        with jax.default_matmul_precision("highest"):
            decoded = jax.vmap(siren.apply, (0, None, None, None))(variants, w0_initial, w0, points)
        seen = jnp.round(jnp.clip(decoded, 0.0, 1.0) * 255.0) / 255.0
        both = jnp.stack([decoded, seen]) - target.astype(jnp.float32)[None, None] / 255.0
        inside = (index < height * width)[None, None, None]
        return jnp.sum(jnp.where(inside, both, 0.0) ** 2, axis=(2, 3)).T

    count, _, block = target.shape
    index = jnp.arange(count * block, dtype=jnp.int32).reshape(count, block)
    return lax.map(one, (index, target))


# --------------------------------------------------------------------------------------- curves


def network_rates(quantised: pd.DataFrame) -> pd.DataFrame:
    """Return the points of `FLOAT16`, `FIXED` and `IDEAL` as rows of `codec_rates`.

    Of one photograph's networks, of all sizes and numbers of bits, `FIXED` and `IDEAL` keep those
    that none of equal or smaller rate equals or beats, see `figures.best_curve`.
    """
    rows = []
    for image_id, own in quantised.groupby("image_id", sort=False):
        shape = tuple(own.iloc[0][["image_height", "image_width"]])
        half, codes = own[own["weights"] == "float16"], own[own["weights"] == "codes"]
        known = codes[codes["psnr_db"].notna()]
        psnr_db = known["psnr_db"].to_numpy()
        for method, (bits, psnr) in {
            FLOAT16: (half["bits_per_pixel"].to_numpy(), half["psnr_db"].to_numpy()),
            FIXED: figures.best_curve(known["bits_per_pixel"].to_numpy(), psnr_db),
            IDEAL: figures.best_curve(known["entropy_bpp"].to_numpy(), psnr_db),
        }.items():
            rows.append(_points(str(image_id), shape, method, bits, psnr))
    return pd.concat(rows, ignore_index=True)


def codec_rates(photographs: Sequence[Photo]) -> pd.DataFrame:
    """Measure the codecs of this Pillow on photographs, see `codecs.rate_distortion`.

    Returns:
        One row for each point: image_id, image_height, image_width, method, bits_per_pixel,
        psnr_db.
    """
    present = [codec for codec in codecs.CODECS if codec.available]
    pairs = [(photo, codec) for codec in present for photo in photographs]

    def measure(pair: tuple[Photo, codecs.Codec]) -> pd.DataFrame:
        photo, codec = pair
        curve = codecs.rate_distortion(photo.pixels, codec)
        return _points(photo.image_id, photo.pixels.shape[:2], codec.name, *curve)

    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as threads:
        return pd.concat(threads.map(measure, pairs), ignore_index=True)


def mean_curves(rates: pd.DataFrame) -> dict[str, figures.Curve]:
    """Map each method to the mean over the photographs of rows of `codec_rates`.

    Every photograph's points are joined by straight lines in dB over the logarithm of the rate,
    and dB are averaged over the photographs at equal rates, where all of them have a line.
    """
    means = {}
    for method, rows in rates.groupby("method", sort=False):
        curves = [
            (own["bits_per_pixel"].to_numpy(), own["psnr_db"].to_numpy())
            for _, own in rows.groupby("image_id")
        ]
        means[str(method)] = figures.mean_curve(curves, (0.0, np.inf))
    return means


def size_means(quantised: pd.DataFrame) -> pd.DataFrame:
    """Return means over photographs, a row per network size and precision, small to large.

    Args:
        quantised: from `quantisation`.

    Returns:
        size, such as `10 × 28`; parameters, weights, weight_bits, bits_per_pixel, entropy_bpp,
        psnr_db, psnr_8bit_db.
    """
    shapes = zip(quantised["num_layers"], quantised["layer_size"], strict=True)
    named = quantised.assign(size=[f"{layers} × {units}" for layers, units in shapes])
    keys = ["parameters", "size", "weights", "weight_bits"]
    values = ["bits_per_pixel", "entropy_bpp", "psnr_db", "psnr_8bit_db"]
    return named.groupby(keys)[values].agg(lambda own: decibels.mean(own).db).reset_index()


def _points(
    image_id: str, shape: Sequence[int], method: str, bits: np.ndarray, psnr_db: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": image_id,
            "image_height": int(shape[0]),
            "image_width": int(shape[1]),
            "method": method,
            "bits_per_pixel": bits,
            "psnr_db": psnr_db,
        }
    )
