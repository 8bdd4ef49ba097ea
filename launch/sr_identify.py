r"""Says which super-resolution network made a picture, how that was built, or that none did.

    python launch/sr_identify.py --input=photo.png --gallery=runs/sr_gallery_mini --picture=why.png
    python launch/sr_identify.py --input=evidence --gallery=runs/sr_gallery_mini --output=found.csv
    python launch/sr_identify.py --gallery=runs/sr_gallery_mini --output=larger.safetensors \
        --add="mine-x4=pictures architecture=edsr scale=4"

The first answers for one picture, the second in a table for a folder, the third enrols a network by
20 or more pictures that it made, without training, unless a rehearsal shows harm. Without --gallery
the one that comes with jaxsr is asked.

Questions are answered in this order, each with "cannot tell" where it was not right often enough in
tests on files in the same state: what happened to the file, whether the picture was enlarged, by
interpolation or by a network, by how much, by which family of networks, and by which network. A
gallery of launch/sr_gallery.py answers for pictures as networks wrote them alone.

Grey pictures (also grey as colour) are judged by luma alone, with thresholds and error rates of
their own; --add takes none, since it tells networks apart by what they leave between colours.
Nothing is converted: 16 bits, black and white, palettes, animations, transparency and other colour
models are refused, since fingerprints do not outlive the conversion. In a folder a file that cannot
be used has its reason in the column `error`, the others are answered, and the exit code is 2.

A gallery of launch/sr_gallery.py may need JAX; programs that it compiles are then kept
(`jaxfleet.scripts.compiled`), so that the second picture is answered sooner than the first.
"""

import sys
from pathlib import Path

from launch import flagdefs

from experiments.gallery.identify_config import IdentifyConfig

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
    flagdefs.run(CONFIG, main, uses_jax=False)
