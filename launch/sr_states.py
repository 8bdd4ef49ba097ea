"""Measure how well networks are told apart by state of the file, and by which features.

    python launch/sr_states.py --evidence=runs/sr_evidence --run_dir=runs/sr_states

Learns all networks that launch/sr_evidence.py collected and attributes test pictures in each state:
all together, by each part of the evidence alone, with families left out, and what can be said of
networks that were never learnt. Writes `report.html`, `results.json` and `pictures.parquet`, a row
for each test picture.
"""

from launch import flagdefs

from experiments.judge import states
from experiments.judge.config import StatesConfig

CONFIG = StatesConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, states.run)
