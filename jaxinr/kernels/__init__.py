"""Kernels for accelerators, in Pallas, and which of them to use where."""
