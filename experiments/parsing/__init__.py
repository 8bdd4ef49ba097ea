"""Model parsing: how the network that made an image was built."""
