r"""Predict how the network behind a picture was built: scale, loss, architecture, training set.

    python launch/sr_parsing.py --flagfile=launch/flagfiles/sr_parsing/mini.flags
    python launch/sr_parsing.py --pictures=runs/sr_images --predict=scale --hold_out=seed=3 \
        --also_on=runs/sr_images_installed

Networks with a held-out value are used only for the test; the parser never sees their pictures.
Each --hold_out makes its own parsers; without one, the paper's 18 are trained. Writes to the run
directory: `report.html`, with the paper's numbers beside ours, `results.json`,
`predictions/PARSER.parquet` and `models/PARSER.safetensors`. Repeat the command to train only what
is missing or has changed.
"""

from launch import flagdefs

from experiments.parsing import run as parsing_run
from experiments.parsing.config import ParsingConfig

CONFIG = ParsingConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, parsing_run.run)
