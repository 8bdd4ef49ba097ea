r"""Fits the judge of a gallery: who enlarged a picture, in whatever state its file is.

    python launch/sr_judge.py --evidence=runs/sr_evidence --run_dir=runs/sr_judge

learns from what launch/sr_evidence.py collected, chooses thresholds on validation photographs (for
networks that are not known, by families left out), measures on test photographs, and leaves
`gallery.safetensors`, which launch/sr_identify.py takes, and `table.json`.
"""

from launch import flagdefs

from experiments.judge import learn
from experiments.judge.config import LearnConfig

CONFIG = LearnConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, learn.run)
