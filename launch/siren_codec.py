r"""Compresses a picture to a SIREN in a file, and draws pictures from such files.

    python launch/siren_codec.py --mode=encode --input=photo.png --output=photo.srn \
        --bits_per_pixel=0.3
    python launch/siren_codec.py --mode=decode --input=photo.srn --output=photo_back.png \
        --reference=photo.png
    python launch/siren_codec.py --mode=decode --input=photo.srn --output=big.png --height=2160
    python launch/siren_codec.py --mode=info --input=photo.srn

Encoding trains networks: seconds for a thumbnail, one to two minutes for a photograph of 768 x 512
pixels at 0.2 bits per pixel on two idle cores, longer for larger files. It prints the PSNR of what
the file decodes to, and decoding with --reference prints the same. An encoding that was stopped or
killed goes on when the same command is given again: until photo.srn is written, its state is in a
folder photo.srn.checkpoint, which it renews every ten seconds or so. Grey pictures stay grey;
transparency is refused. Only PNG files are written, as they keep every pixel.
"""

from launch import flagdefs

from experiments.siren import codec as siren_codec

CONFIG = siren_codec.CodecConfig

if __name__ == "__main__":
    flagdefs.run(CONFIG, siren_codec.run)
