"""Super-resolution networks, and the discriminators that judge them, in Flax NNX.

`NETWORKS` says what each name stands for: a class and the hyperparameters that differ from its
defaults, which are those of the paper. Sizes called light without a paper's own light model are
ours: about as many parameters as EDSR's baseline has.
"""

from collections.abc import Mapping
from typing import Any

from flax import nnx

from jaxsr.networks.edsr import EDSR as EDSR
from jaxsr.networks.imdn import IMDN as IMDN
from jaxsr.networks.nlsn import NLSN as NLSN
from jaxsr.networks.rcan import RCAN as RCAN
from jaxsr.networks.rdn import RDN as RDN
from jaxsr.networks.rlfn import RLFN as RLFN
from jaxsr.networks.rrdbnet import RRDBNet as RRDBNet
from jaxsr.networks.srvgg import SRVGGNetCompact as SRVGGNetCompact
from jaxsr.networks.swinir import SwinIR as SwinIR
from jaxsr.networks.vgg_discriminator import VGGStyleDiscriminator as VGGStyleDiscriminator

# Name -> constructor, defaults.
NETWORKS: Mapping[str, tuple[type[nnx.Module], Mapping[str, Any]]] = {
    "edsr": (EDSR, {}),
    "edsr_baseline": (EDSR, {"num_features": 64, "num_blocks": 16, "res_scale": 1.0}),
    "rdn": (RDN, {}),
    "rdn_light": (RDN, {"growth_rate": 32, "num_blocks": 8, "num_layers": 5}),
    "rcan": (RCAN, {}),
    "rcan_light": (RCAN, {"num_groups": 4, "num_blocks": 4}),
    "nlsn": (NLSN, {}),
    "nlsn_light": (NLSN, {"num_features": 64, "num_blocks": 16}),
    "swinir": (SwinIR, {}),
    "swinir_light": (
        SwinIR,
        {
            "embed_dim": 60,
            "depths": (6, 6, 6, 6),
            "num_heads": (6, 6, 6, 6),
            "upsampler": "pixelshuffledirect",
        },
    ),
    "swinir_real": (SwinIR, {"upsampler": "nearest+conv"}),
    "rrdbnet": (RRDBNet, {}),
    "rrdbnet_anime": (RRDBNet, {"num_blocks": 6}),  # RealESRGAN_x4plus_anime_6B
    "srvgg": (SRVGGNetCompact, {}),  # realesr-animevideov3
    "srvgg_general": (SRVGGNetCompact, {"num_convs": 32}),  # realesr-general-x4v3
    "imdn": (IMDN, {}),
    "rlfn": (RLFN, {}),
    "rlfn_s": (RLFN, {"num_features": 48}),
    "rlfn_ntire": (RLFN, {"num_features": 46, "mid_features": 48, "num_blocks": 4}),
}
