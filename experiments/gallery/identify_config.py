"""Flags of the question which network made a picture. Light: nothing is imported before it is."""

import dataclasses
from dataclasses import field


@dataclasses.dataclass(frozen=True)
class IdentifyConfig:
    """Flags of `launch/sr_identify.py`."""

    image: str = field(default="", metadata={"group": "Pictures", "help": "A picture."})
    images: str = field(
        default="", metadata={"help": "A folder of pictures: a line of CSV for each."}
    )
    gallery: str = field(
        default="",
        metadata={
            "group": "Networks",
            "help": "Run directory of launch/sr_gallery.py, or a file from one; empty for the "
            "gallery that comes with jaxsr.",
        },
    )
    add: str = field(
        default="",
        metadata={
            "help": "NAME=FOLDER: a network more, of which the folder holds 20 pictures or more, "
            "of different photographs; after it any of architecture=A, scale=N, loss=L, "
            "training_set=T, seed=N, num_iters=N. With --save.",
        },
    )
    save: str = field(
        default="",
        metadata={"help": "File for the gallery that --add makes; one that is there is replaced."},
    )
    top: int = field(
        default=5,
        metadata={
            "group": "Answer",
            "help": "How many networks are listed, the most probable first.",
            "lower": 1,
        },
    )
    picture: str = field(
        default="",
        metadata={
            "help": "A .png to write: the residual spectrum of --image beside those of the "
            "networks that are nearest.",
        },
    )
    out: str = field(
        default="", metadata={"help": "A .csv to write of --images; empty: standard output."}
    )

    def __post_init__(self) -> None:
        """Refuses flags that do not go together.

        Raises:
            ValueError: naming the flags.
        """
        if (bool(self.image), bool(self.images), bool(self.add)).count(True) != 1:
            raise ValueError(
                "Give one of --image=FILE, --images=FOLDER and --add=NAME=FOLDER, and no two."
            )
        if bool(self.add) != bool(self.save):
            raise ValueError("--add=NAME=FOLDER and --save=FILE belong together.")
        if self.picture and not self.image:
            raise ValueError("--picture goes with --image.")
        if self.out and not self.images:
            raise ValueError("--out goes with --images.")
        for flag, ending in (("picture", ".png"), ("out", ".csv"), ("save", ".safetensors")):
            value = getattr(self, flag)
            if value and not value.lower().endswith(ending):
                raise ValueError(f"--{flag}={value}: give a name that ends in {ending}.")
