r"""Train and evaluate the forecaster of the encoding error of SIRENs.

    python launch/siren_predictor.py
    python launch/siren_predictor.py --collections=runs/collection_small \
        --collections=runs/collection_twins --photos=folder:photographs \
        --run_dir=runs/forecaster_own

The first command learns from the fits that come with jaxinr, the second from run directories of
launch/siren_grid.py and the photographs that were fitted. Writes to the run directory:
`report.html`; `forecaster.safetensors`, for launch/siren_forecast.py --forecaster=...; and the fits
as two small tables. Photographs and architectures are held out by name, and all figures are of
held-out ones. Repeat the command to resume a run that was interrupted.
"""

from launch import flagdefs

from experiments.forecaster import train as forecaster_train

CONFIG = forecaster_train.PredictorConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, forecaster_train.run)
