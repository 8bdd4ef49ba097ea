"""Simulate a collection on many failing machines: its duration, lost work and final table.

    python launch/fleet_simulation.py --run_dir=runs/fleet_simulation
    python launch/fleet_simulation.py --num_workers=50 --num_trials=3000 --shares_per_worker=4

Plan, shares and store are real; clock, failures and training are simulated. Prints a table and
writes it as `simulation.md` and `simulation.json`. Fails if the final table does not contain every
trial exactly once.
"""

from launch import flagdefs

from experiments.benchmarks.simulation import run as simulation

CONFIG = simulation.SimulationConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, simulation.run)
