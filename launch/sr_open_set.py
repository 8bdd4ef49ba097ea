"""Is a network that was never learnt answered "unknown"? Unseen seed, architecture, training set.

    python launch/sr_open_set.py --flagfile=launch/flagfiles/sr_open_set/mini.flags
    python launch/sr_open_set.py --pictures=runs/sr_images --unseen= --unseen=architecture=swinir

keeps networks away, fits classifiers on the others, and scores test photographs of both. Leaves
`report.html` with accuracy, AUROC, OSCR and the share of unknown networks that are refused when 95
% of the known are answered, `results.json`, and `parts/` with a row for each crop. A run that was
killed goes on when the same command is given again; splits, methods and seeds may be added.
"""

from launch import flagdefs

from experiments.open_set import run as open_set_run
from experiments.open_set.config import OpenSetConfig

CONFIG = OpenSetConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, open_set_run.run)
