"""Train and evaluate a zoo of super-resolution networks."""
