"""Measures the extraction of noise residuals and queries against prnu-python, where it is there.

    python launch/fingerprint_benchmark.py --run_dir=runs/fingerprint_benchmark

prints the table and leaves `fingerprint_benchmark.json` in the run directory. Under a minute on two
cores. The baseline's row needs the folder `prnu` of github.com/polimi-ispl/prnu-python on
PYTHONPATH, and PyWavelets and tqdm; the package of that name on PyPI is another.
"""

from launch import flagdefs

from experiments.benchmarks import residuals as residual_benchmark

CONFIG = residual_benchmark.FingerprintBenchmarkConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, residual_benchmark.run)
