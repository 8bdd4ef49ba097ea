"""Measures the engine against plain vmap, a PyTorch loop and the machine's matrix product.

    python launch/benchmark.py --run_dir=runs/benchmark

prints the table and leaves `benchmark.json` in the run directory. About fifteen minutes on two
cores; --part=shapes alone about seven. `pip install torch` adds the PyTorch rows.
"""

from experiments import benchmark
from launch import flagdefs

CONFIG = benchmark.BenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, benchmark.run)
