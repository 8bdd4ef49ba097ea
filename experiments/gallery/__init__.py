"""Make a gallery, and identify images with it."""
