"""Train a zoo of super-resolution networks: architecture x scale x loss x training set x seed.

    python launch/sr_zoo.py --flagfile=launch/flagfiles/sr_zoo/mini.flags

Writes to the run directory: `report.html`; `networks/*.safetensors`, which launch/sr_upscale.py and
PyTorch read; and the tables `parts/*.parquet` and `evaluation.parquet`. Networks that share
architecture, scale and loss train side by side. Every seed trains on the first training set, and
the first --seeds_elsewhere of them on the others, as in the paper. --dry_run prints fleets, FLOPs,
memory and time. Repeat the command to resume a run that was interrupted; in a job array each task
takes its share.
"""

from launch import flagdefs

from experiments.zoo import run as zoo_run
from experiments.zoo.config import ZooConfig

CONFIG = ZooConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, zoo_run.run)
