"""One thin script per job; flags exist only here."""
