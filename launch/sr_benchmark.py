"""Measures the training and the use of super-resolution networks, against PyTorch where installed.

    python launch/sr_benchmark.py --run_dir=runs/sr_benchmark

prints tables and leaves `sr_benchmark.json` in the run directory. Some fifteen minutes on two
cores; --part=fleet --architecture=edsr about two. `pip install torch` adds the PyTorch rows. On a
GPU the same command compares fleets that are unrolled, stacked and one at a time.
"""

from launch import flagdefs

from experiments.benchmarks import sr as sr_benchmark

CONFIG = sr_benchmark.SrBenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, sr_benchmark.run)
