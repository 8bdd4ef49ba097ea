r"""Train the forecaster of the encoding error of SIRENs, and measure it.

    python launch/siren_predictor.py
    python launch/siren_predictor.py --collections=runs/collection_small \
        --collections=runs/collection_twins --photos=folder:photographs --run_dir=runs/forecaster_2

The first learns from the fits that come with jaxinr, the second from run directories of
launch/siren_grid.py, with the photographs that were fitted. Leaves in the run directory
`forecaster.safetensors`, for launch/siren_forecast.py --forecaster=..., `report.html` to look at,
and the fits as two small tables. Photographs and architectures are held out of training by their
names, and all figures are of those. A run that was killed goes on where it was when the same
command is given again.
"""

from launch import flagdefs

from experiments.forecaster import train as forecaster_train

CONFIG = forecaster_train.PredictorConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, forecaster_train.run)
