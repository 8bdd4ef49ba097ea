"""Collect evidence of many upscalers, and fit the judge of a gallery to it."""
