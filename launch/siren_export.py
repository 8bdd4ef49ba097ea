r"""Export the networks of a run for PyTorch, NumPy, safetensors readers or JavaScript.

    python launch/siren_export.py --run_dir=runs/quickstart --best_per_image
    python launch/siren_export.py --run_dir=runs/quickstart --format=torch --output=networks

Writes one file per network, such as `astronaut_4x32_trial39.pt`, and `index.csv`, which lists the
files with their hyperparameters. Weights have the names of COIN's code, whose `Siren` loads them:

    siren.load_state_dict(torch.load("astronaut_4x32_trial39.pt", weights_only=True))

To render a picture elsewhere, with height H, width W, rows and columns counted from 0, and `coin`
coordinates: start with h = (2 row / (H - 1) - 1, 2 column / (H - 1) - 1); apply
h = sin(w0_initial (W h + b)) in net.0 and h = sin(w0 (W h + b)) in net.1 and later layers; the
colour is W h + b in last_layer: red, green and blue from 0 to 1, to be clipped. The modules of
`jaxinr.networks` give the formulas of other kinds of networks. An unfinished run exports the
networks that it has.

    python launch/siren_export.py --run_dir=runs/quickstart --format=coin_collection \
        --output=published

Writes all networks as rows of the published COIN collection, split into train, validation and test:
`json/*.jsonl.gz`, `parquet/*.parquet` and a dataset card, for `datasets.load_dataset("FOLDER")`,
pandas, DuckDB or launch/collection_import.py.
"""

from launch import flagdefs

from experiments.siren import export as siren_export

CONFIG = siren_export.ExportConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, siren_export.run)
