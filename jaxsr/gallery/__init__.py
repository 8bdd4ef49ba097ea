"""A gallery of known networks that images are compared with."""
