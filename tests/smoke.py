"""The public API and a script, from whatever is installed: run by `.ci/run` outside pytest.

    python -I tests/smoke.py

Needs no test dependency. Works in a temporary folder and leaves nothing.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import jaxfleet
import jaxinr
import jaxsr

FLAGS = """
    --layer_size= --layer_size=4 --num_layers= --num_layers=1 --w0_initial= --w0_initial=30
    --num_iters= --num_iters=20 --image_size= --image_size=12 --max_images=1 --run_dir=run
""".split()


def main() -> None:
    """Fits, encodes, forecasts, enlarges, runs a grid; raises where something is not as it was."""
    rows, columns = np.mgrid[:24, :20] / 24
    image = np.uint8(255 * np.stack([rows, columns, rows * columns], axis=-1))
    trial = jaxinr.Trial(layer_size=8, num_layers=2, learning_rate=1e-3, num_iters=60)
    fits = jaxinr.fit([image], [trial])
    assert fits.best_psnr_db[0] > fits.psnr_db[0, 0] + 3
    picture = jaxinr.render(fits.params(0), trial, (24, 20))
    again = jaxinr.render(jaxinr.from_torch(jaxinr.to_torch(fits.params(0))), trial, (24, 20))
    np.testing.assert_allclose(again, picture, rtol=0, atol=1e-6)
    assert np.isfinite(jaxinr.forecast(image, [trial]).mean_db).all()
    model = jaxsr.build("srvgg", scale=2, num_features=4, num_convs=1)
    assert jaxsr.upscale(model, image).shape == (48, 40, 3)
    assert len(jaxsr.Gallery.open().names) > 100
    os.chdir(tempfile.mkdtemp())
    command = str(Path(sys.executable).with_name("jaxfleet"))
    subprocess.run([command, "siren_grid", "--flagfile=smoke.flags", *FLAGS], check=True)
    assert "siren_grid" in subprocess.check_output([command], text=True)
    table = jaxfleet.open("run")
    assert len(table) == 1
    assert table.weights(0)[0]["weight"].shape == (4, 2)


if __name__ == "__main__":
    main()
