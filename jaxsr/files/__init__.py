"""Networks in files: our own format, and the files of PyTorch users."""
