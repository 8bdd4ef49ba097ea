r"""How much worse is the SIREN that the forecaster recommends than the best one, really fitted?

    python launch/siren_regret.py --photos=folder:photographs --run_dir=runs/siren_regret
    python launch/siren_regret.py --photos=folder:photographs --encode_seconds=0.5 \
        --encode_seconds=5 --image_size=128

Asks for networks under limits of size, time of training, time of rendering, and for the smallest
one that reaches a PSNR, on photographs of the test split. The answers and a grid of others that
keep the same limit are fitted. Leaves `report.html`, `table.csv` and `regret.parquet`. Times are
those of `launch/benchmark.py --part=calibrate` on this machine; measure on an idle one. A run that
was killed goes on with the next recommendation when the same command is given again.
"""

from launch import flagdefs

from experiments.forecaster import regret

CONFIG = regret.RegretConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, regret.run)
