"""Picture sets of made-up networks, as launch/sr_images.py leaves them."""

from PIL import Image

from jaxfleet import rundir
from jaxsr.datasets import picture_sets


def add(run_dir, network, image_id, split, pixels, **facts):
    """Write a picture of a network, [H, W, 3] uint8, and return its row of the index."""
    file = picture_sets.file_of(network, image_id)
    for folder in (run_dir / "index", (run_dir / file).parent):
        folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(run_dir / file)
    height, width, _ = pixels.shape
    return {
        **{"network": network, "kind": "network", "image_id": image_id, "split": split},
        **{"file": file, "height": height, "width": width, "architecture": "edsr"},
        **{"overrides": "{}", "scale": 2, "loss": "l1", "training_set": "A", "seed": 1},
        **{"num_iters": 1, "parameters": 1, "psnr_y_db": 30.0, "source": "runs/zoo"},
        **{"network_checksum": network, "photo_checksum": image_id},
        "file_checksum": rundir.checksum((run_dir / file).read_bytes()),
        **facts,
    }
