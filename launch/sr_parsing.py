r"""How was the network built that made a picture? Scale, loss, architecture and training set.

    python launch/sr_parsing.py --flagfile=launch/flagfiles/sr_parsing/mini.flags
    python launch/sr_parsing.py --pictures=runs/sr_images --predict=scale --hold_out=seed=3 \
        --also_on=runs/sr_images_installed

Networks with the value held out are kept for the test: the parser has seen no picture of them. Each
--hold_out makes its own parsers; none gives the paper's 18. The run directory gets `report.html`,
with the paper's numbers beside ours, `results.json`, `predictions/PARSER.parquet` and
`models/PARSER.safetensors`. The same command again trains only what is missing or has changed.
"""

from launch import flagdefs

from experiments.parsing import run as parsing_run
from experiments.parsing.config import ParsingConfig

CONFIG = ParsingConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, parsing_run.run)
