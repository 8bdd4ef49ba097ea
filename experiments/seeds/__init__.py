"""Which draws of the initial weights decide how well a narrow SIREN fits."""
