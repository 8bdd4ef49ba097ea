"""SIREN, FINER, Gauss, WIRE and ReLU on Fourier features at equal numbers of parameters.

    python launch/coordinate_networks.py --run_dir=runs/coordinate_networks
    python launch/coordinate_networks.py --photos=folder:kodak --run_dir=runs/coordinate_networks

chooses learning rate and scale of each kind on the packaged photographs, then fits each kind in
three sizes to the 24 Kodak photographs at 192 x 128 pixels: 540 networks, about 25 minutes of two
cores. Leaves in the run directory `report.html`, `figures/parameters.png` and `table.csv`, and the
networks in `tuning/parts` and `compared/parts`. --dry_run prints both plans and what they cost. A
run that was killed goes on where it was when the same command is given again.
"""

from experiments.coordinate_networks import run
from experiments.coordinate_networks.config import NetworksConfig
from launch import flagdefs

CONFIG = NetworksConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
