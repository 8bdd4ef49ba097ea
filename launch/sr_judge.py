"""Fit the judge of a gallery, which identifies upscalers of pictures in any file state.

    python launch/sr_judge.py --evidence=runs/sr_evidence --run_dir=runs/sr_judge

Learns from the features that launch/sr_evidence.py collected, chooses thresholds on validation
photographs (those for unknown networks by leaving out families), and evaluates on test photographs.
Writes `gallery.safetensors`, for launch/sr_identify.py, and `table.json`.
"""

from launch import flagdefs

from experiments.judge import learn
from experiments.judge.config import LearnConfig

CONFIG = LearnConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, learn.run)
