r"""Measure which layers' initial weights decide how well a narrow SIREN fits.

    python launch/siren_seeds.py --run_dir=runs/siren_seeds
    python launch/siren_seeds.py --photos=folder:photographs --max_images=0 --layer_size=4 \
        --first_draws=8 --run_dir=runs/siren_seeds_4

Fits networks with every combination of 24 draws of the first layer and 4 draws of the other layers,
at three widths on eight photographs: 2,304 networks, ten minutes on two busy cores. Reports which
share of the variance over seeds comes from the first layer, from the others and from their
combination; whether a first layer that is good on one photograph is good on others; and whether its
frequencies predict this. Writes `report.html`, `table.csv` and `seeds.parquet`. Repeat the command
to resume a run that was interrupted.
"""

from launch import flagdefs

from experiments.seeds import run
from experiments.seeds.config import SeedsConfig

CONFIG = SeedsConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
