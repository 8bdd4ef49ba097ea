"""Checks a run of SIRENs against its plan, and writes the table of it that is published.

    python launch/collection_table.py --run_dir=runs/collection_300k
    python launch/collection_table.py --run_dir=runs/collection_300k --output=collection

says which networks are missing or there twice, how many were fitted an hour and what interruptions
cost, from the run's own parts and progress logs; also while it runs. With --output it writes
Parquet files in the schema of the published COIN collection without weights, and a card. The exit
code is 1 where networks are missing or there twice.
"""

import sys
from pathlib import Path

from experiments.siren import collection_table
from launch import flagdefs

CONFIG = collection_table.TableConfig


def main(config: collection_table.TableConfig, run_dir: Path) -> int:
    """Check and write; give the exit code."""
    text, complete = collection_table.run(config, run_dir)
    sys.stdout.write(f"{text}\n")
    return 0 if complete else 1


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
