r"""Test attribution after compression, resizing, blur and cropping.

    python launch/sr_robustness.py --flagfile=launch/flagfiles/sr_robustness/mini.flags
    python launch/sr_robustness.py --attribution=runs/sr_attribution --perturb= \
        --perturb=jpeg:75 --perturb=resize:0.5+jpeg:75 --train_on=jpeg:80 --train_on=jpeg:60

Tests the classifiers of a run of launch/sr_attribution.py on its test photographs after each
perturbation. Writes `report.html`, with accuracy against strength, `results.json`, and `parts/`
with one row per crop. With --train_on, classifiers that also learn from perturbed pictures are
fitted and tested beside them. Repeat the command to resume a run that was interrupted;
perturbations may be added.
"""

from launch import flagdefs

from experiments.robustness import run as robustness_run
from experiments.robustness.config import RobustnessConfig

CONFIG = RobustnessConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, robustness_run.run)
