"""Comparison of coordinate networks at equal numbers of parameters."""
