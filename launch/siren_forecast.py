r"""Says how well SIRENs will store a picture, without fitting any; and which of them is the best.

    python launch/siren_forecast.py --input=photo.png --image_size=48 --bits_per_pixel=2 \
        --learning_rate=1e-3 --num_iters=500
    python launch/siren_forecast.py --input=photo.png --image_size=48 --layer_size=16 \
        --layer_size=32 --num_layers=4 --learning_rate=1e-3 --num_iters=100 --num_iters=1000

The first compares the networks that take at most so many bits per pixel and names the best of each
depth, with JPEG's PSNR at that size beside it. The second forecasts the networks of a grid. The
spread is that of seeds and of what the forecaster does not know: 90 of 100 networks end within the
range that is printed. What the forecaster was not trained on is said, and widens the range.
"""

from experiments.forecaster import forecast as forecaster_forecast
from launch import flagdefs

CONFIG = forecaster_forecast.ForecastConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, forecaster_forecast.run)
