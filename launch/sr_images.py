r"""Enlarges photographs with every network of a zoo: pictures to look for fingerprints in.

    python launch/sr_images.py --flagfile=launch/flagfiles/sr_images/mini.flags
    python launch/sr_images.py --photos=tfds:kodak,packaged --zoo=runs/sr_quickstart \
        --network="IMDN=IMDN_x4.pth architecture=imdn scale=4 loss=l1" --labelled=camera=mine \
        --run_dir=runs/my_images

leaves in the run directory `images/NETWORK/IMAGE_ID.png` and `index/NETWORK.parquet`, which says of
each picture the photograph, the network with its hyperparameters, PSNR and split (800 of 1,000
photographs to learn from, by their names). Read them with `jaxsr.datasets.picture_sets.open`, or
with pandas.read_parquet("index"), or as TFDS's `super_resolved`. --dry_run says how many pictures
there would be. The same command again makes only what is missing or has changed, so a zoo may still
be training; other networks and photographs may be added.
"""

from launch import flagdefs

from experiments.pictures import run as pictures_run
from experiments.pictures.config import ImagesConfig

CONFIG = ImagesConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, pictures_run.run)
