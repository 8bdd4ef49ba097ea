import shutil

import pyarrow.compute
import pyarrow.parquet
import pytest

from experiments.siren import grid, pages
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

    flags = [*COMMON, *(f"--layer_size={width}" for width in (4, 6, 8))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "write_report", write_report)
        grid.run(*flagdefs.parse(grid.GridConfig, [*flags, f"--run_dir={folder / 'first'}"]))
    shutil.copytree(folder / "first", folder / "second")  # what is trained once is quicker
    for name, widths in (("first", [4, 6]), ("second", [4, 8])):
        for part in (folder / name / "parts").glob("*.parquet"):
            kept = pyarrow.compute.field("layer_size").isin(widths)
            pyarrow.parquet.write_table(pyarrow.parquet.read_table(part).filter(kept), part)
    return folder
