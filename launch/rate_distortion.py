"""Compare files of the SIREN codec with JPEG, WebP, AVIF and published codecs.

    python launch/rate_distortion.py --photos=folder:kodak --run_dir=runs/rate_distortion

Encodes the 24 Kodak photographs at 0.1, 0.2 and 0.4 bits per pixel: 72 files of some 90 s each on
two cores. Writes `report.html`, `figures/rate_distortion.png`, `table.csv` and `files.parquet` to
the run directory. Repeat the command to resume a run that was interrupted.
"""

from launch import flagdefs

from experiments.rate_distortion import run
from experiments.rate_distortion.config import RateDistortionConfig

CONFIG = RateDistortionConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
