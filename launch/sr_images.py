r"""Enlarge photographs with every network of a zoo, to make a set of labelled pictures.

    python launch/sr_images.py --flagfile=launch/flagfiles/sr_images/mini.flags
    python launch/sr_images.py --photos=tfds:kodak,packaged --zoo=runs/sr_quickstart \
        --network="IMDN=IMDN_x4.pth architecture=imdn scale=4 loss=l1" --labelled=camera=mine \
        --run_dir=runs/my_images

Writes `images/NETWORK/IMAGE_ID.png` and `index/NETWORK.parquet` to the run directory. The index has
the photograph, network, hyperparameters, PSNR and split of each picture; names put 80 % of the
photographs into the training split. Read it with `jaxsr.datasets.picture_sets.open`, with
pandas.read_parquet("index"), or as the TFDS dataset `super_resolved`. --dry_run prints the number
of pictures. Repeat the command to make only what is missing or has changed, for example while a zoo
is still training; networks and photographs may be added.
"""

from launch import flagdefs

from experiments.pictures import run as pictures_run
from experiments.pictures.config import ImagesConfig

CONFIG = ImagesConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, pictures_run.run)
