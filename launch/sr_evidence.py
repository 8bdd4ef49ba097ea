r"""Collects what a gallery learns from: pictures of many makers in many states, as features.

    python launch/sr_evidence.py --photos=folder:photographs --zoo=packaged --installed \
        --network='mine=mine.param family=mine' --run_dir=runs/sr_evidence

Each class makes pictures of the same photographs; each picture is compressed, resized, cut or
sharpened as `jaxsr.datasets.perturbations` says, and only its features are kept. Repeat the command
to go on where it stopped, or with more classes.
"""

from launch import flagdefs

from experiments.judge import collect
from experiments.judge.config import CollectConfig

CONFIG = CollectConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, collect.run)
