"""Measure the speed of training and using super-resolution networks, against PyTorch.

    python launch/sr_benchmark.py --run_dir=runs/sr_benchmark

Prints tables and writes `sr_benchmark.json` to the run directory, in some fifteen minutes on two
cores; --part=fleet --architecture=edsr takes about two. `pip install torch` adds the PyTorch rows.
On a GPU the same command compares unrolled and stacked fleets with networks trained one at a time.
"""

from launch import flagdefs

from experiments.benchmarks import sr as sr_benchmark

CONFIG = sr_benchmark.SrBenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, sr_benchmark.run)
