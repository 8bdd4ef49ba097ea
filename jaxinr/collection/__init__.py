"""The published COIN collection: its rows, and the files that hold them."""
