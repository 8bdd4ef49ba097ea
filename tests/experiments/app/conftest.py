import pytest

from experiments.siren import grid
from launch import flagdefs

COMMON = (
    "--photos=packaged", "--max_images=1", "--image_size=12", "--num_layers=2",
    "--w0_initial=20", "--w0_initial=30", "--num_iters=20", "--kernel=xla",
)  # fmt: skip


@pytest.fixture(scope="session")
def grids(tmp_path_factory):
    """A folder of two runs of siren_grid: widths 4 and 6, and widths 4 and 8 with another rate."""
    folder = tmp_path_factory.mktemp("runs")
    for name, widths, rate in (("first", (4, 6), 1e-3), ("second", (4, 8), 1e-3)):
        flags = [*COMMON, *(f"--layer_size={w}" for w in widths), f"--learning_rate={rate}"]
        config, run_dir = flagdefs.parse(grid.GridConfig, [*flags, f"--run_dir={folder / name}"])
        grid.run(config, run_dir)
    return folder
