"""Measures the engine against plain vmap, a PyTorch loop and the machine's matrix product.

    python launch/benchmark.py --run_dir=runs/benchmark

prints the table and leaves `benchmark.json` in the run directory. About fifteen minutes on two
cores; --part=shapes alone about seven. `pip install torch` adds the PyTorch rows.

    python launch/benchmark.py --part=accelerator --run_dir=runs/accelerator

measures a GPU or TPU within ten minutes: its limits, every engine against them and against plain
vmap, what TF32 and bfloat16 cost in dB, and the hours of the collection of 300,000 networks.
--part=start measures what a newcomer waits for: imports, a forecast and the quickstart.
--part=accelerator_tiles tries the blocks and groups of the portable path. --part=agreement compares
the PSNR of two runs of one plan, such as a GPU's and a CPU's. --part=calibrate measures single fits
for half a minute and keeps the speed of this machine, for launch/siren_forecast.py and
`jaxinr.recommend`.
"""

from launch import flagdefs

from experiments.benchmarks import siren as siren_benchmark
from experiments.benchmarks.accelerator import run as accelerator_benchmark

CONFIG = siren_benchmark.BenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, accelerator_benchmark.run)
