"""The PyTorch programs that ours are measured against."""
