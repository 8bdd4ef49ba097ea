"""Measures the engine against plain vmap, a PyTorch loop and the machine's matrix product.

    python launch/benchmark.py --run_dir=runs/benchmark

prints the table and leaves `benchmark.json` in the run directory. About twelve minutes on two
cores; --part=shapes alone about five. `pip install torch` adds the PyTorch rows.
"""

from pathlib import Path

from experiments import benchmark
from launch import flagdefs

CONFIG = benchmark.BenchmarkConfig


def main(config: benchmark.BenchmarkConfig, run_dir: Path) -> None:
    """Measures and prints."""
    print(benchmark.run(config, run_dir))


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
