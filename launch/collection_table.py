"""Check a run of SIRENs against its plan, and add its networks to the table that is published.

    python launch/collection_table.py --run_dir=runs/collection_300k
    python launch/collection_table.py --run_dir=runs/collection_300k --output=collection

Reports missing and duplicate networks, networks fitted per hour and the cost of interruptions, from
the run's parts and progress logs, also while it runs. With --output, adds what is missing there to
a table in the schema of the published COIN collection without weights: Parquet files and a card.
Run directories of several machines, which fitted other shards of the same plan, can be added to one
table, one after the other. The exit code is 1 if networks are missing, in the table or, without
--output, in the run.
"""

import sys
from pathlib import Path

from launch import flagdefs

from experiments.siren import collection_table

CONFIG = collection_table.TableConfig


def main(config: collection_table.TableConfig, run_dir: Path) -> int:
    """Check and write; give the exit code."""
    text, complete = collection_table.run(config, run_dir)
    sys.stdout.write(f"{text}\n")
    return 0 if complete else 1


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
