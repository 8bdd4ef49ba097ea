r"""Says which super-resolution network made a picture, how that was built, or that none did.

    python launch/sr_identify.py --input=photo.png --gallery=runs/sr_gallery_mini --picture=why.png
    python launch/sr_identify.py --input=evidence --gallery=runs/sr_gallery_mini --output=found.csv
    python launch/sr_identify.py --gallery=runs/sr_gallery_mini --output=larger.safetensors \
        --add="mine-x4=pictures architecture=edsr scale=4"

The first answers for one picture, the second in a table for a folder, the third enrols a network by
20 or more pictures that it made, without training. Without --gallery the one that comes with jaxsr
is asked. Probabilities are those if one of the gallery's classes made the picture; whether any did
is said beside them ("known"), by a nearness that 95 % of such pictures have.

A picture should be as its network wrote it: 8-bit colour, of at least one tile of the gallery, not
resized. Nothing is converted silently. Grey pictures (also grey as colour), 16 bits, palettes,
animations, transparency and other colour models are refused, since fingerprints do not outlive the
conversion; JPEG and lossy WebP are answered, with a note, for they weaken them. In a folder a file
that cannot be used has its reason in the column `error`, the others are answered, and the exit code
is 2.

Compiled programs are kept (`jaxfleet.compiled`), so that the second picture is answered sooner than
the first.
"""

import sys
from pathlib import Path

from experiments.gallery.identify_config import IdentifyConfig
from launch import flagdefs

CONFIG = IdentifyConfig


def main(config: IdentifyConfig) -> str | int:
    """Return what to print; for a folder, print the table and return the exit code.

    Raises:
        InputError: for a gallery or a picture that cannot be used.
    """
    from experiments.gallery import (
        identify as gallery_identify,  # after the flags, since this takes its time
    )

    if config.add:
        return gallery_identify.enrol(config)
    if not Path(config.input).expanduser().is_dir():
        return gallery_identify.identify_file(config)
    table, count, bad = gallery_identify.identify_folder(config)
    print(f"wrote {config.output}" if config.output else table.rstrip("\n"))
    if bad:
        print(f"sr_identify: {bad} of {count} pictures could not be used", file=sys.stderr)
    return 2 if bad else 0


if __name__ == "__main__":
    flagdefs.run(CONFIG, main)
