"""Compare the speed of the engine with plain vmap, PyTorch and the machine's matrix product.

    python launch/benchmark.py --run_dir=runs/benchmark

Prints a table and writes `benchmark.json` to the run directory, in about fifteen minutes on two
cores; --part=shapes alone takes about seven. `pip install torch` adds the PyTorch rows.

    python launch/benchmark.py --part=accelerator --run_dir=runs/accelerator

Measures a GPU or TPU within ten minutes: its limits, each engine against them and against plain
vmap, the PSNR lost to TF32 and bfloat16, and the hours that a collection of 300,000 networks takes.
--part=start measures what a new user waits for: imports, a forecast and the quickstart.
--part=accelerator_tiles tries blocks and groups of the portable engine. --part=agreement compares
the PSNR of two runs of one plan, for example on a GPU and on a CPU. --part=calibrate times single
fits for half a minute and stores the speed of this machine for launch/siren_forecast.py and
`jaxinr.recommend`.
"""

from launch import flagdefs

from experiments.benchmarks.accelerator import run as accelerator_benchmark
from experiments.benchmarks.config import BenchmarkConfig

CONFIG = BenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, accelerator_benchmark.run)
