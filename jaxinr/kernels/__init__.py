"""Kernels in Numba for CPUs and in Pallas for GPUs, and which of them to use where."""
