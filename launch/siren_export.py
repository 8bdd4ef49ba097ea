r"""Gives the networks of a run to other programs: PyTorch, NumPy, safetensors, a page in a browser.

    python launch/siren_export.py --run_dir=runs/quickstart --best_per_image
    python launch/siren_export.py --run_dir=runs/quickstart --format=torch --output=networks

writes one file for each network, such as `astronaut_4x32_trial39.pt`, and `index.csv`, which lists
them with their hyperparameters. Weights have the names of COIN's code, whose `Siren` loads them:

    siren.load_state_dict(torch.load("astronaut_4x32_trial39.pt", weights_only=True))

To draw a picture elsewhere, with H its height, rows and columns counted from 0, and coordinates of
`coin`: h = (2 row / (H - 1) - 1, 2 column / (H - 1) - 1); then h = sin(w0_initial (W h + b)) in
net.0; h = sin(w0 (W h + b)) in net.1 and so on; and the colour is W h + b in last_layer, red, green
and blue from 0 to 1, to be clipped. That is a SIREN; the modules of `jaxinr.networks` say the same
of the other kinds. A run that is not finished gives the networks that it has.

    python launch/siren_export.py --run_dir=runs/quickstart --format=coin_collection \
        --output=published

writes all networks as rows of the published COIN collection, split into train, validation and test:
`json/*.jsonl.gz`, `parquet/*.parquet` and a dataset card, for `datasets.load_dataset("FOLDER")`,
pandas, DuckDB or launch/collection_import.py.
"""

from launch import flagdefs

from experiments.siren import export as siren_export

CONFIG = siren_export.ExportConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, siren_export.run)
