"""What one accelerator reaches, and whether that is what it should reach."""
