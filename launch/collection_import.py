"""Imports files of the published COIN collection as a run, for whatever reads runs.

    python launch/collection_import.py --input=COIN-collection --run_dir=runs/published

reads JSON lines, JSON or Parquet files in the schema of huggingface.co/datasets/predict-SIREN-PSNR/
COIN-collection, and writes `parts/*.parquet` with one row for each network and its weights. Damaged
rows are named in one line at the end, with exit code 2; all others are imported. Repeat the command
after a kill, or once they are mended: what is there already is not read again.
"""

from launch import flagdefs

from experiments.siren import import_collection

CONFIG = import_collection.ImportConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, import_collection.run)
