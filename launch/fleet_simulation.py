"""Simulates a collection on many machines that fail: how long it takes, what is lost, what is left.

    python launch/fleet_simulation.py --run_dir=runs/fleet_simulation
    python launch/fleet_simulation.py --num_workers=50 --num_trials=3000 --shares_per_worker=4

The plan, its cut into shares and the store on disk are the real ones; the clock, the failures and
the training are not. Prints a table, and leaves it as `simulation.md` and `simulation.json`. The
command fails if the table of the run does not hold every trial exactly once.
"""

from launch import flagdefs

from experiments.benchmarks.simulation import run as simulation

CONFIG = simulation.SimulationConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, simulation.run)
