"""Flags of the pictures of a zoo: which photographs, who enlarges them, and what is kept."""

import dataclasses

from experiments import flags
from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class ImagesConfig:
    """Flags of `launch/sr_images.py`."""

    photos: str = flags.photos(note="High-resolution photographs that no network was trained on.")
    max_images: int = flag(
        0,
        "Use only the first so many photographs, and images of each --labelled folder; 0 for all.",
        lower=0,
    )
    crop_px: int = flag(
        0,
        "Side in pixels of the central square of a photograph that is used, a multiple of every "
        "scale; 0 for whole photographs.",
        lower=0,
    )
    zoo: tuple[str, ...] = flag(
        (),
        "Run directory of launch/sr_zoo.py, all networks of which are used; packaged: the zoo "
        "that jaxsr installs.",
        group="Classes",
    )
    network: tuple[str, ...] = flag(
        (),
        "[NAME=]FILE of a network of ours, or NAME=FILE architecture=A scale=N of a published "
        "one, optionally with loss=L, training_set=T, seed=N, num_iters=N and hyperparameters "
        "that differ from the defaults of the architecture; or NAME=FILE.param of ncnn (its .bin "
        "beside it), NAME=FILE.onnx, NAME=FILE.glsl, a shader of mpv such as Anime4K or FSRCNNX, "
        "or NAME=FILE.json of waifu2x's VGG7 or of WebSR; their scale is measured.",
    )
    labelled: tuple[str, ...] = flag(
        (),
        "NAME=FOLDER: images made elsewhere, as a class of their own; optionally followed by "
        "architecture=A, scale=N, loss=L, training_set=T, seed=N, num_iters=N. An image with "
        "the name of a photograph counts as made from it.",
    )
    include_bicubic: bool = flag(False, "Add bicubic interpolation as a class at each scale.")
    include_originals: bool = flag(False, "Add the unchanged photographs as a class.")
    dry_run: bool = flags.dry_run("how many images would be made, and the cost", group="Run")
