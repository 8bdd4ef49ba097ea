"""State dicts of PyTorch: official names of weights, and where they lie in a file."""
