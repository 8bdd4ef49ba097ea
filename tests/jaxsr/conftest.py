import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden(shared_data):
    """Reads a golden file of a super-resolution network: {name: array}."""

    def read(name):
        with np.load(shared_data / "golden" / "sr" / f"{name}.npz") as file:
            return dict(file)

    return read
