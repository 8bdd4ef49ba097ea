import pytest

from experiments.siren import grid
from launch import flagdefs

COMMON = (
    "--photos=packaged", "--max_images=1", "--image_size=12", "--num_layers=2",
    "--w0_initial=30", "--learning_rate=1e-3", "--num_iters=20", "--kernel=xla",
)  # fmt: skip


@pytest.fixture(scope="session")
def grids(tmp_path_factory):
    """A folder of two runs of siren_grid, of widths 4 and 6, and 4 and 8, with short reports."""
    folder = tmp_path_factory.mktemp("runs")

    def write_report(config, run_dir, pictures):
        (run_dir / "report.html").write_text("<h1>The report</h1>")
        return run_dir / "report.html"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "write_report", write_report)
        for name, widths in (("first", (4, 6)), ("second", (4, 8))):
            flags = [*COMMON, *(f"--layer_size={width}" for width in widths)]
            flags.append(f"--run_dir={folder / name}")
            grid.run(*flagdefs.parse(grid.GridConfig, flags))
    return folder
