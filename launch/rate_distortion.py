"""The codec's files of photographs at several sizes, beside JPEG, WebP, AVIF and published codecs.

    python launch/rate_distortion.py --photos=folder:kodak --run_dir=runs/rate_distortion

encodes the 24 Kodak photographs at 0.1, 0.2 and 0.4 bits per pixel, 72 files of some 90 s each
on two cores, and leaves `report.html`, `figures/rate_distortion.png`, `table.csv` and
`files.parquet` in the run directory. A run that was stopped or killed goes on where it was when the
same command is given again.
"""

from launch import flagdefs

from experiments.rate_distortion import run
from experiments.rate_distortion.config import RateDistortionConfig

CONFIG = RateDistortionConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
