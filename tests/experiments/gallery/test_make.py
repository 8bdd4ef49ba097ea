"""Galleries made of folders of pictures."""

import shutil

import numpy as np

from experiments.gallery import make as gallery_make
from experiments.gallery.config import GalleryConfig
from jaxsr.datasets import picture_sets
from jaxsr.gallery.core import Gallery
from tests.experiments import picture_rows


def test_grey_test_photographs_do_not_lose_the_gallery(made_up_pictures, tmp_path):
    folder = shutil.copytree(made_up_pictures, tmp_path / "pictures")
    network = picture_sets.open(folder).index["network"].iloc[0]
    rows = picture_sets.read_rows(folder, network)
    tests = [row for row in rows if row["split"] == "test"][:2]
    for number, row in enumerate(tests):
        noise = np.random.default_rng(number).integers(0, 256, (40, 40, 1))
        pixels = np.repeat(noise, 3, axis=2).astype(np.uint8)
        row |= picture_rows.add(folder, network, row["image_id"], "test", pixels)
    picture_sets.write_rows(folder, network, rows)
    config = GalleryConfig(pictures=str(folder), method="dct", crop_px=33)  # without a parser
    said = gallery_make.run(config, tmp_path / "run")
    assert "of 34 test pictures" in said
    assert "2 test pictures left out, which no gallery can identify: grey" in said
    assert (tmp_path / "run" / "DONE").exists()
    assert len(Gallery.open(tmp_path / "run").names) == 9
