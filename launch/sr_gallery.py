"""Fit a gallery of networks, with which launch/sr_identify.py compares pictures.

    python launch/sr_gallery.py --pictures=runs/sr_images_mini --run_dir=runs/sr_gallery_mini

Takes every class of pictures of a run of launch/sr_images.py: networks, and also originals and
bicubic enlargements, without which a gallery cannot tell that no network made a picture. Writes
`gallery.safetensors` to the run directory and prints how often pictures of the test photographs are
identified correctly. The file also holds a parser, which predicts how unknown networks were built.
"""

from launch import flagdefs

from experiments.gallery import make as gallery_make
from experiments.gallery.config import GalleryConfig

CONFIG = GalleryConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, gallery_make.run)
