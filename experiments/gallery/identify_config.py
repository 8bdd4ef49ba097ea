"""Flags of the question which network made a picture. Light: nothing is imported before it is."""

import dataclasses
from typing import ClassVar

from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class IdentifyConfig:
    """Flags of `launch/sr_identify.py`."""

    RUN_DIR: ClassVar[str] = "none"

    input: str = flag(
        "", "A picture; or a folder of pictures, for a line of CSV for each.", group="Pictures"
    )
    gallery: str = flag(
        "",
        "Run directory of launch/sr_gallery.py, or a file from one; empty for the gallery that "
        "comes with jaxsr.",
        group="Networks",
    )
    add: str = flag(
        "",
        "NAME=FOLDER: a network more, of which the folder holds 20 pictures or more, of different "
        "photographs; after it any of architecture=A, scale=N, loss=L, training_set=T, seed=N, "
        "num_iters=N. The larger gallery goes to --output.",
    )
    top: int = flag(
        5, "How many networks are listed, the most probable first.", group="Answer", lower=1
    )
    picture: str = flag(
        "",
        "A .png to write: the residual spectrum of the picture beside those of the networks that "
        "are nearest.",
    )
    output: str = flag(
        "",
        "What to write: of a folder a .csv, or else it goes to standard output; of --add a "
        ".safetensors. One that is there is replaced.",
    )
    json: str = flag(
        "",
        "A .json to write: all answers with their probabilities and error rates, the SHA-256 of "
        "each file, and version and checksum of the gallery.",
    )
    page: str = flag("", "Of a folder, an .html to write: one page for people.")

    def __post_init__(self) -> None:
        """Refuse flags that do not go together.

        Raises:
            ValueError: naming the flags.
        """
        if bool(self.input) == bool(self.add):
            raise ValueError("Give one of --input=PATH and --add=NAME=FOLDER, and not both.")
        if self.add and not self.output:
            raise ValueError("--add=NAME=FOLDER needs --output=FILE, for the larger gallery.")
        if self.picture and not self.input:
            raise ValueError("--picture goes with --input=FILE.")
        if self.json and self.add:
            raise ValueError("--json goes with --input.")
        if self.page and self.add:
            raise ValueError("--page goes with --input=FOLDER.")
        output = ".safetensors" if self.add else ".csv"
        for name, ending in (
            ("picture", ".png"),
            ("output", output),
            ("json", ".json"),
            ("page", ".html"),
        ):
            value = getattr(self, name)
            if value and not value.lower().endswith(ending):
                raise ValueError(f"--{name}={value}: give a name that ends in {ending}.")
