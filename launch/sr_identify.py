r"""Identify the super-resolution network that produced a picture, or report that none did.

    python launch/sr_identify.py --input=photo.png --gallery=runs/sr_gallery_mini --picture=why.png
    python launch/sr_identify.py --input=evidence --gallery=runs/sr_gallery_mini --output=found.csv
    python launch/sr_identify.py --gallery=runs/sr_gallery_mini --output=larger.safetensors \
        --add="mine-x4=pictures architecture=edsr scale=4"

The first command identifies one picture. The second writes a table for a folder. The third adds a
network to the gallery from 20 or more of its pictures, without training, unless a test shows that
this makes the gallery worse. Without --gallery, the gallery that comes with jaxsr is used.

The output says what happened to the file, whether the picture was enlarged, by interpolation or by
a network, by how much, and by which family and which network. Each answer is "cannot tell" where it
was not right often enough in tests on files in the same state. A gallery of launch/sr_gallery.py is
only for pictures as networks wrote them.

Grey pictures, including grey ones stored in colour, are judged by luma alone, with their own
thresholds and error rates; --add does not take them. Pictures with 16 bits, palettes, animation,
transparency, black and white pixels or other colour models are rejected, since fingerprints do not
survive conversion. In a folder, the column `error` says why a file was rejected, the others are
answered, and the exit code is 2.

A gallery of launch/sr_gallery.py may need JAX. Its compiled programs are cached
(`jaxfleet.scripts.compiled`), so the second picture is faster than the first.
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
    if not config.output:
        print(table.rstrip("\n"))
    for name in filter(None, (config.output, config.json, config.page)):
        print(f"wrote {name}", file=sys.stdout if config.output else sys.stderr)
    if bad:
        print(f"sr_identify: {bad} of {count} pictures could not be used", file=sys.stderr)
    return 2 if bad else 0


if __name__ == "__main__":
    flagdefs.run(CONFIG, main, uses_jax=False)
