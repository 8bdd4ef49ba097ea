r"""Which draws of the initial weights decide how well a narrow SIREN fits?

    python launch/siren_seeds.py --run_dir=runs/siren_seeds
    python launch/siren_seeds.py --photos=folder:photographs --max_images=0 --layer_size=4 \
        --first_draws=8 --run_dir=runs/siren_seeds_4

Fits networks with every combination of 24 draws of the first layer and 4 draws of the others, at
three widths on eight photographs: 2,304 networks, ten minutes of two cores beside other work. Says
how much of the variance over seeds is of the first layer, how much of the others, and how much of
both together; whether a first layer that is good on one photograph is good on others; and whether
its frequencies tell that it is good. Leaves `report.html`, `table.csv` and `seeds.parquet`. A run
that was killed goes on with the next width and photograph when the same command is given again.
"""

from launch import flagdefs

from experiments.seeds import run
from experiments.seeds.config import SeedsConfig

CONFIG = SeedsConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
