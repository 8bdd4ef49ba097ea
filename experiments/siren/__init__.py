"""SIREN grids: fit, report, export, and compress with them."""
