r"""Makes a gallery of networks, which launch/sr_identify.py compares pictures with.

    python launch/sr_gallery.py --pictures=runs/sr_images_mini --run_dir=runs/sr_gallery_mini

takes every class of a folder of launch/sr_images.py: networks, and what is not super-resolved, that
is originals and bicubic enlargements, without which a gallery cannot tell that a picture is none of
a network's. It leaves `gallery.safetensors`, one file, in the run directory and says how often
pictures of the test photographs are told rightly. In the file is also a parser, which says of
networks that the gallery does not know how they seem to be built.
"""

from launch import flagdefs

from experiments.gallery import make as gallery_make
from experiments.gallery.config import GalleryConfig

CONFIG = GalleryConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, gallery_make.run)
