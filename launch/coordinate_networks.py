"""Compare SIREN, FINER, Gauss, WIRE and ReLU with Fourier features at equal parameter counts.

    python launch/coordinate_networks.py --run_dir=runs/coordinate_networks
    python launch/coordinate_networks.py --photos=folder:kodak --run_dir=runs/coordinate_networks

Searches for the learning rate and hyperparameters of each kind on the packaged photographs: from
the values of its paper on it halves and doubles one at a time, and where that gains nothing changes
it eightfold. Then it fits each kind in three sizes to the 24 Kodak photographs at 192 x 128 pixels:
some 800 networks, about 40 minutes on two busy cores. Writes to the run directory: `report.html`,
`figures/parameters.png`, `table.csv`, and the networks in `tuning/round-NN/parts` and
`compared/parts`. --dry_run prints the plan and cost of one round and of the comparison. Repeat the
command to resume a run that was interrupted.
"""

from launch import flagdefs

from experiments.coordinate_networks import run
from experiments.coordinate_networks.config import NetworksConfig

CONFIG = NetworksConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
