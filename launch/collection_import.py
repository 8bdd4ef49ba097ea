"""Import files of the published COIN collection as a run directory.

    python launch/collection_import.py --input=COIN-collection --run_dir=runs/published

Reads JSON lines, JSON or Parquet files in the schema of huggingface.co/datasets/predict-SIREN-PSNR/
COIN-collection and writes `parts/*.parquet` with one row per network, weights included. Damaged
rows are listed in one line at the end and the exit code is 2; all other rows are imported. Repeat
the command after an interruption or once the rows are mended; rows that were imported are not read
again.
"""

from launch import flagdefs

from experiments.siren import import_collection

CONFIG = import_collection.ImportConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, import_collection.run)
