r"""Learns to tell which network made a picture, by several methods, and tests them.

    python launch/sr_attribution.py --flagfile=launch/flagfiles/sr_attribution/mini.flags
    python launch/sr_attribution.py --pictures=runs/sr_images --method=linear --method=prnu \
        --seed=0 --seed=1 --seed=2 --where=scale=4 --crop_px=128 --run_dir=runs/attribution_x4

leaves in the run directory `models/METHOD-SEED.safetensors`, which `jaxsr.attribution.files.load`
reads, `predictions.parquet` with a row for each test crop and classifier, `results.json` with the
tables and `report.html`. The same command again goes on where it was stopped; methods and seeds may
be added. --dry_run says what would be trained.
"""

from launch import flagdefs

from experiments.attribution import run as attribution_run
from experiments.attribution.config import AttributionConfig

CONFIG = AttributionConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, attribution_run.run)
