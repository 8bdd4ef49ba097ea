"""Rows of a run's table, whose values say which trial they are of."""

import numpy as np
import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("trial_id", pa.int64()),
        ("psnr_db", pa.float64()),
        ("layer_size", pa.int64()),
        ("num_layers", pa.int64()),
        ("weights", pa.list_(pa.float32())),
    ]
)


def row(trial_id):
    """Return the row of a network of 2 layers of 4 units; its weights count up from trial_id."""
    count = 4 * 3 + 4 * 5 + 3 * 5
    return {
        "trial_id": trial_id,
        "psnr_db": 20.0 + trial_id,
        "layer_size": 4,
        "num_layers": 2,
        "weights": trial_id + np.arange(count, dtype=np.float32),
    }


def flush(results, *trial_ids):
    results.add([row(trial_id) for trial_id in trial_ids])
    results.flush()
