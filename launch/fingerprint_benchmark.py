"""Compare the speed of noise residuals and fingerprint queries with prnu-python.

    python launch/fingerprint_benchmark.py --run_dir=runs/fingerprint_benchmark

Prints a table and writes `fingerprint_benchmark.json` to the run directory, in under a minute on
two cores. The row of prnu-python needs the folder `prnu` of github.com/polimi-ispl/prnu-python on
PYTHONPATH, and the packages PyWavelets and tqdm. (The package prnu on PyPI is a different one.)
"""

from launch import flagdefs

from experiments.benchmarks import residuals as residual_benchmark

CONFIG = residual_benchmark.FingerprintBenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, residual_benchmark.run)
