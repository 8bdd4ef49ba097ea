r"""Train and test classifiers that tell which network produced a picture.

    python launch/sr_attribution.py --flagfile=launch/flagfiles/sr_attribution/mini.flags
    python launch/sr_attribution.py --pictures=runs/sr_images --method=linear --method=prnu \
        --seed=0 --seed=1 --seed=2 --where=scale=4 --crop_px=128 --run_dir=runs/attribution_x4

Writes to the run directory: `report.html`; `models/METHOD-SEED.safetensors`, which
`jaxsr.attribution.files.load` reads; `predictions.parquet` with one row per test crop and
classifier; and the tables in `results.json`. Repeat the command to resume; methods and seeds may be
added. --dry_run prints what would be trained.
"""

from launch import flagdefs

from experiments.attribution import run as attribution_run
from experiments.attribution.config import AttributionConfig

CONFIG = AttributionConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, attribution_run.run)
