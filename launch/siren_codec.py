r"""Compress a picture to a file that holds a SIREN, and draw pictures from such files.

    python launch/siren_codec.py --mode=encode --input=photo.png --output=photo.srn \
        --bits_per_pixel=0.3
    python launch/siren_codec.py --mode=decode --input=photo.srn --output=photo_back.png \
        --reference=photo.png
    python launch/siren_codec.py --mode=decode --input=photo.srn --output=big.png --height=2160
    python launch/siren_codec.py --mode=info --input=photo.srn

Encoding trains networks. It takes seconds for a thumbnail, one to two minutes for a photograph of
768 x 512 pixels at 0.2 bits per pixel on two idle cores, and longer for larger files. It prints the
PSNR of the decoded file; decoding with --reference prints the same number. Repeat the command to
resume an encoding that was interrupted: until photo.srn is written, its state is saved about every
ten seconds in the folder photo.srn.checkpoint. Grey pictures stay grey; transparent ones are
rejected. Output is always PNG, which keeps every pixel.
"""

from launch import flagdefs

from experiments.siren import codec as siren_codec

CONFIG = siren_codec.CodecConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, siren_codec.run)
