"""Compare the PSNR of two runs of one plan, for example on a GPU and on a CPU.

Rounding differs between devices and grows over thousands of steps, so that a network ends a little
higher here and a little lower there. What must agree is the mean of the differences and the
distribution; a run may be a share of the other (`--shard`, `--num_shards`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import jaxfleet
from jaxfleet.errors import InputError

FACTS = ("image_id", "layer_size", "num_layers", "w0_initial", "num_iters", "seed")
CHECKED = "best_psnr_db"
NEAR_DB = 0.5
MOST_STANDARD_ERRORS = 3.0  # of the mean difference


def of_runs(first: Path, second: Path) -> list[dict[str, Any]]:
    """Return one row of `compare` for the networks that both runs have fitted.

    Args:
        first: run directory of `launch/siren_grid.py`.
        second: another one, of the same plan or a share of it.

    Raises:
        InputError: if the two have fewer than two networks in common, or their plans differ.
    """
    tables = [
        jaxfleet.open(run_dir).to_pandas(["trial_id", *FACTS, CHECKED])
        for run_dir in (first, second)
    ]
    both = tables[0].merge(tables[1], on="trial_id", suffixes=("", "_second"))
    if np.isfinite(both[[CHECKED, f"{CHECKED}_second"]]).all(axis=1).sum() < 2:
        raise InputError(
            f"{first} and {second} have fewer than two networks in common that did not diverge; "
            "fit more of the same plan."
        )
    for name in FACTS:
        if (both[name] != both[f"{name}_second"]).any():
            raise InputError(
                f"{first} and {second} are not of one plan: {name} differs; use the same flags."
            )
    return [compare(both[CHECKED].to_numpy(), both[f"{CHECKED}_second"].to_numpy())]


def compare(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Compare networks that were fitted twice: differences, second less first.

    Networks without a finite PSNR in both runs count as `diverged` alone.

    Args:
        first: [N] dB, at least two of them finite in both.
        second: [N] dB, of the same networks.

    Returns:
        networks, diverged, mean_first_db, mean_second_db, mean_difference_db and its
        standard_error_db, median_distance_db, largest_distance_db, within_half_db (share), and
        ks_p_value: of the two-sample Kolmogorov-Smirnov test of both distributions.
    """
    known = np.isfinite(first) & np.isfinite(second)
    first, second = np.asarray(first, float)[known], np.asarray(second, float)[known]
    difference = second - first
    distance = np.abs(difference)
    return {
        "networks": len(known),
        "diverged": int((~known).sum()),
        "mean_first_db": float(first.mean()),
        "mean_second_db": float(second.mean()),
        "mean_difference_db": float(difference.mean()),
        "standard_error_db": float(difference.std(ddof=1) / np.sqrt(len(difference))),
        "median_distance_db": float(np.median(distance)),
        "largest_distance_db": float(distance.max()),
        "within_half_db": float((distance <= NEAR_DB).mean()),
        "ks_p_value": float(stats.ks_2samp(first, second).pvalue),
    }


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """Return whether the mean difference is what chance explains."""
    (row,) = rows
    apart, error = row["mean_difference_db"], row["standard_error_db"]
    agrees = abs(apart) <= MOST_STANDARD_ERRORS * error
    return (
        f"PSNR of {row['networks']} networks: {'the same' if agrees else 'NOT the same'}; the mean "
        f"differs by {apart:+.4f} dB, {MOST_STANDARD_ERRORS:g} standard errors are "
        f"{MOST_STANDARD_ERRORS * error:.4f} dB."
    )
