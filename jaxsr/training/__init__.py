"""Training of super-resolution networks: program, losses, devices, and cost."""
