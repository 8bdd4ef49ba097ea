"""Fit a grid or a random sample of SIRENs to photographs.

    python launch/siren_grid.py --flagfile=launch/flagfiles/siren_grid/quickstart.flags

Writes `report.html` and the table `parts/*.parquet` to the run directory. Flags after --flagfile
override it. --dry_run prints trials, buckets, memory and a time forecast. Repeat the command to
resume a run that was interrupted.
"""

from launch import flagdefs

from experiments.siren import grid as siren_grid

CONFIG = siren_grid.GridConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, siren_grid.run)
