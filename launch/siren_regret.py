r"""Measure how much worse recommended SIRENs are than the best ones, by fitting both.

    python launch/siren_regret.py --photos=folder:photographs --run_dir=runs/siren_regret
    python launch/siren_regret.py --photos=folder:photographs --encode_seconds=0.5 \
        --encode_seconds=5 --image_size=128

Asks for networks under limits of size, training time and rendering time, and for the smallest
network that reaches a PSNR, on photographs of the test split. Fits each recommended network and a
grid of others within the same limit. Writes `report.html`, `table.csv` and `regret.parquet`. Times
are those of `launch/benchmark.py --part=calibrate` on this machine, so run it on an idle one.
Repeat the command to resume a run that was interrupted.
"""

from launch import flagdefs

from experiments.forecaster import regret

CONFIG = regret.RegretConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, regret.run)
