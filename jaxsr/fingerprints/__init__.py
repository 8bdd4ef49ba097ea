"""Traces that networks leave on images: noise residuals, spectra, and correlations."""
