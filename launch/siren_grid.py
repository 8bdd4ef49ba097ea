"""Fits a grid, or a random sample, of SIRENs to photographs.

    python launch/siren_grid.py --flagfile=launch/flagfiles/siren_grid/quickstart.flags

leaves in the run directory `report.html` to look at and `parts/*.parquet` to compute with. Flags
after --flagfile override it. --dry_run prints trials, buckets, memory and a time forecast. A run
that was killed goes on where it was when the same command is given again.
"""

from launch import flagdefs

from experiments.siren import grid as siren_grid

CONFIG = siren_grid.GridConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, siren_grid.run)
