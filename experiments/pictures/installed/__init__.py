"""Images of networks that packages on PyPI install."""
