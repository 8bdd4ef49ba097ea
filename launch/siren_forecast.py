r"""Says how well SIRENs will store a picture, without fitting any; and which of them is the best.

    python launch/siren_forecast.py --input=photo.png --image_size=0 --bits_per_pixel=0.3
    python launch/siren_forecast.py --input=photo.png --target_psnr_db=28 --encode_seconds=60
    python launch/siren_forecast.py --input=photo.png --image_size=48 --layer_size=16 \
        --layer_size=32 --num_layers=4 --learning_rate=1e-3 --num_iters=100 --num_iters=1000
    python launch/siren_forecast.py --input=photo.png --image_size=0 --report=photo.html

With one or more limits of size, quality and time it names the best network and the best of each
depth, with JPEG's PSNR at that size beside them. With layers and units it forecasts the networks of
a grid. With neither, or with --report, it shows what size and time buy: the networks that no other
one beats. Times are of this machine once `launch/benchmark.py --part=calibrate` has measured it.

The spread is that of seeds and of what the forecaster does not know: 90 of 100 networks end within
the range that is printed. What the forecaster was not trained on is said, and widens the range.
"""

from launch import flagdefs

from experiments.forecaster import forecast as forecaster_forecast

CONFIG = forecaster_forecast.ForecastConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, forecaster_forecast.run, uses_jax=False)
