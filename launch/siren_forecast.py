r"""Forecast how well SIRENs will store a picture, without fitting any, and recommend the best.

    python launch/siren_forecast.py --input=photo.png --image_size=0 --bits_per_pixel=0.3
    python launch/siren_forecast.py --input=photo.png --target_psnr_db=28 --encode_seconds=60
    python launch/siren_forecast.py --input=photo.png --image_size=48 --layer_size=16 \
        --layer_size=32 --num_layers=4 --learning_rate=1e-3 --num_iters=100 --num_iters=1000
    python launch/siren_forecast.py --input=photo.png --image_size=0 --report=photo.html

With limits of size, quality or time, prints the best network and the best one of each depth, with
the PSNR of JPEG at that size. With layers and units, forecasts the networks of a grid. With
neither, or with --report, lists the networks that no other one beats in size, time and PSNR. Times
are of this machine once `launch/benchmark.py --part=calibrate` has measured it.

The printed range holds 90 of 100 networks; it covers both seeds and what the forecaster does not
know. Outside the training range of the forecaster it is wider, and the output says so.
"""

from launch import flagdefs

from experiments.forecaster import forecast as forecaster_forecast

CONFIG = forecaster_forecast.ForecastConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, forecaster_forecast.run, uses_jax=False)
