r"""Collect features of pictures from many networks in many file states, to train a judge.

    python launch/sr_evidence.py --photos=folder:photographs --zoo=packaged --installed \
        --network='mine=mine.param family=mine' --run_dir=runs/sr_evidence

Every network enlarges the same photographs; each picture is compressed, resized, cropped or
sharpened (see `jaxsr.datasets.perturbations`), and only its features are stored. Repeat the command
to resume, or to add networks. launch/sr_judge.py learns from the result.
"""

from launch import flagdefs

from experiments.judge import collect
from experiments.judge.config import CollectConfig

CONFIG = CollectConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, collect.run)
