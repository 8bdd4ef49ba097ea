"""What the paper measured of attribution, to stand beside our numbers.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

LEFT_OUT = "nlsn"  # of the paper's seed triplets: one of its networks had but 87.3 %
WITHOUT, TOTAL = f"without {LEFT_OUT}", "total"


class Published(NamedTuple):
    """Percent of the paper: ConvNeXt's mean and deviation over three seeds, and PRNU's."""

    convnext: float
    deviation: float
    prnu: float


# Table of numbers of ours, and row there. Of 180 networks and the middles, 224 pixels, of 100 test
# photographs. PRNU by scale, loss, training set and architecture is in the repository alone.
PAPER: Mapping[tuple[str, str], Published] = {
    ("scale", "2"): Published(95.4, 0.7, 9.1),
    ("scale", "4"): Published(96.6, 0.4, 19.0),
    ("loss", "l1"): Published(89.2, 1.5, 35.6),
    ("loss", "vgg_adv"): Published(99.2, 0.2, 4.6),
    ("loss", "resnet_adv"): Published(99.6, 0.1, 1.9),
    ("training_set", "div2k"): Published(96.1, 1.0, 14.5),
    ("training_set", "flickr2k"): Published(96.6, 0.1, 13.0),
    ("training_set", "quarter_div2k"): Published(94.9, 0.5, 13.5),
    ("training_set", "quarter_flickr2k"): Published(96.3, 0.4, 14.4),
    ("architecture", "edsr"): Published(94.9, 1.3, 10.4),
    ("architecture", "rdn"): Published(96.3, 0.5, 20.8),
    ("architecture", "rcan"): Published(94.7, 1.1, 13.8),
    ("architecture", "swinir"): Published(98.0, 0.4, 13.9),
    ("architecture", "nlsn"): Published(96.1, 0.9, 11.2),
    ("quadrant", "l1 ×2"): Published(88.2, 1.9, np.nan),  # of runs 88.6, 85.6, 90.3
    ("quadrant", "l1 ×4"): Published(90.3, 1.1, np.nan),  # of runs 90.2, 88.9, 91.7
    ("quadrant", "adversarial ×2"): Published(99.0, 0.2, np.nan),  # of runs 98.7, 99.1, 99.2
    ("quadrant", "adversarial ×4"): Published(99.8, 0.1, np.nan),  # of runs 99.8, 99.7, 99.9
    (WITHOUT, "l1 ×2"): Published(95.6, 1.1, 82.8),
    (WITHOUT, "l1 ×4"): Published(96.8, 0.4, 81.3),
    (WITHOUT, "vgg_adv ×2"): Published(99.7, 0.1, 70.5),
    (WITHOUT, "vgg_adv ×4"): Published(99.9, 0.0, 46.2),
    (WITHOUT, "resnet_adv ×2"): Published(99.8, 0.1, 45.4),
    (WITHOUT, "resnet_adv ×4"): Published(100.0, 0.0, 46.8),
    (WITHOUT, TOTAL): Published(98.6, 0.2, 62.2),
}
