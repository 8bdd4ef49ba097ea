"""Test whether classifiers recognise unknown networks: unseen seeds, architectures, training sets.

    python launch/sr_open_set.py --flagfile=launch/flagfiles/sr_open_set/mini.flags
    python launch/sr_open_set.py --pictures=runs/sr_images --unseen= --unseen=architecture=swinir

Holds networks out, fits classifiers to the others, and scores test photographs of both. Writes
`report.html` with accuracy, AUROC, OSCR and the share of unknown networks rejected when 95 % of the
known ones are answered; `results.json`; and `parts/` with one row per crop. Repeat the command to
resume a run that was interrupted; splits, methods and seeds may be added.
"""

from launch import flagdefs

from experiments.open_set import run as open_set_run
from experiments.open_set.config import OpenSetConfig

CONFIG = OpenSetConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, open_set_run.run)
