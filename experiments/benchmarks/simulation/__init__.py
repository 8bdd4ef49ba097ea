"""A collection on a thousand machines, simulated."""
