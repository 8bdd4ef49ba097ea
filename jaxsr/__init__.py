"""Super-resolution networks and the fingerprints that they leave on images.

The zoo (its classes: `jaxsr.networks`):

- `names()`: what there is.
- `build(name, scale=)`: a network, [N, H, W, 3] float in [0, 1] in and out.
- `count_parameters(name, scale=)`: by shapes alone.
- `load_torch(model, path_or_arrays)`: published weights, by their official names.

Spectra that fingerprints are sought in:

- `log_power_spectrum(images)`: centred, natural logarithm.
- `azimuthal_average(spectrum)`: one value per radial frequency.
- `dct2(images)`: orthonormal cosine transform.

What it is trained on and for stays in its modules: `jaxsr.degrade` (MATLAB's bicubic reduction),
`jaxsr.data` (photographs on the device, random crops), `jaxsr.losses` and `jaxsr.feature_networks`.

The training of the zoo and the attribution of images to it are not here yet.
"""

from jaxsr.spectra import azimuthal_average, dct2, log_power_spectrum
from jaxsr.weights import load_torch
from jaxsr.zoo import build, count_parameters, names

__all__ = [
    "azimuthal_average",
    "build",
    "count_parameters",
    "dct2",
    "load_torch",
    "log_power_spectrum",
    "names",
]
