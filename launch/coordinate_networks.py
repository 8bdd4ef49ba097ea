"""SIREN, FINER, Gauss, WIRE and ReLU on Fourier features at equal numbers of parameters.

    python launch/coordinate_networks.py --run_dir=runs/coordinate_networks
    python launch/coordinate_networks.py --photos=folder:kodak --run_dir=runs/coordinate_networks

searches for the learning rate and the hyperparameters of each kind on the packaged photographs, by
halving and doubling one at a time, and where that gains nothing changing it eightfold, from its
paper's values on, then fits each kind in three sizes to the 24 Kodak photographs at 192 x 128
pixels: some 800 networks, about 40 minutes of two cores beside other work. Leaves in the run
directory `report.html`, `figures/parameters.png` and `table.csv`, and the networks in
`tuning/round-NN/parts` and `compared/parts`. --dry_run prints the plan of a round and that of the
comparison, and what they cost. A run that was killed goes on where it was when the same command is
given again.
"""

from launch import flagdefs

from experiments.coordinate_networks import run
from experiments.coordinate_networks.config import NetworksConfig

CONFIG = NetworksConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, run.run)
