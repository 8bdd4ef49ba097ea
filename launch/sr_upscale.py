r"""Enlarge pictures with a super-resolution network.

    python launch/sr_upscale.py --input=photo.png \
        --model=runs/sr_quickstart/networks/edsr-packaged-x2-l1-s1.safetensors
    python launch/sr_upscale.py --model=IMDN_x4.pth --architecture=imdn --scale=4 \
        --input=photographs --output=large
    python launch/sr_upscale.py --model=bicubic --scale=4 --input=small.png --reference=large.png

The first command uses a network of launch/sr_zoo.py. The second applies published weights, which do
not name their architecture, to all pictures of a folder (IMDN_x4.pth is in the folder checkpoints
of github.com/Zheng222/IMDN). The third compares the result with a reference. photo.png becomes
photo_x2.png in the current folder unless --output says otherwise.

Large pictures are computed in tiles that fit into memory. In one second two CPU cores enlarge some
30,000 pixels with IMDN, 10,000 with SwinIR's light network, 900 with EDSR; the first picture of a
size also waits for compilation. Output is PNG in 8-bit sRGB: grey becomes colour, ICC profiles are
converted, transparency is laid on white, 16 bits are rounded to 8; the line of each picture says
which of these happened.
"""

from launch import flagdefs

from experiments.pictures import upscale as pictures_upscale

CONFIG = pictures_upscale.UpscaleConfig


def main(config: pictures_upscale.UpscaleConfig) -> None:
    """Upscale what --input names; print a line for each image as it is done."""
    for line in pictures_upscale.run(config):
        print(line, flush=True)


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
