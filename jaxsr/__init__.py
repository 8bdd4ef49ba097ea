"""Super-resolution networks and the fingerprints that they leave on images.

The zoo (its classes: `jaxsr.networks`):

- `names()`: what there is.
- `build(name, scale=)`: a network, [N, H, W, 3] float in [0, 1] in and out.
- `count_parameters(name, scale=)`: by shapes alone.
- `load_torch(model, path_or_arrays)`: published weights, by their official names.
- `save(model, path, architecture=, scale=)`, `load(path)`: our own files, which PyTorch reads too.
- `upscale(model, image)`: one picture of any size, uint8 in and out.

Spectra that fingerprints are sought in:

- `log_power_spectrum(images)`: centred, natural logarithm.
- `azimuthal_average(spectrum)`: one value per radial frequency.
- `dct2(images)`: orthonormal cosine transform.

Fingerprints proper, from what a denoiser takes away:

- `noise_residual(images, method)`: "wavelet", "gaussian", "wiener", "bm3d".
- `jaxsr.prnu`: mean and maximum-likelihood fingerprints of many residuals, cleaned as for cameras.
- `jaxsr.correlation`: normalised cross-correlation, and the energy of its peak.
- `jaxsr.periodicity`: what an up-sampling grid repeats every 2, 3, 4 or 8 pixels.

What it is trained on and for stays in its modules: `jaxsr.degrade` (MATLAB's bicubic reduction),
`jaxsr.data` (photographs on the device, random crops), `jaxsr.losses` and `jaxsr.feature_networks`.

How they are trained: `jaxsr.training`, and side by side, `jaxsr.fleets`; how well they do:
`jaxsr.evaluation`. The attribution of images to networks is not here yet.
"""

from jaxsr.network_files import load, save
from jaxsr.residuals import noise_residual
from jaxsr.spectra import azimuthal_average, dct2, log_power_spectrum
from jaxsr.upscale import upscale
from jaxsr.weights import load_torch
from jaxsr.zoo import build, count_parameters, names

__all__ = [
    "azimuthal_average",
    "build",
    "count_parameters",
    "dct2",
    "load",
    "load_torch",
    "log_power_spectrum",
    "names",
    "noise_residual",
    "save",
    "upscale",
]
