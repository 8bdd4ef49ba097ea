"""Benchmarks of the engines, against baselines and machine limits."""
