"""Compressed images: a SIREN whose weights are quantised and entropy-coded in a file."""
