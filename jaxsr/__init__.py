"""Super-resolution networks and the fingerprints that they leave on images.

The zoo (its classes: `jaxsr.networks`):

- `names()`: what there is.
- `build(name, scale=)`: a network, [N, H, W, 3] float in [0, 1] in and out.
- `count_parameters(name, scale=)`: by shapes alone.
- `load_torch(model, path_or_arrays)`: published weights, by their official names.
- `save(model, path, architecture=, scale=)`, `load(path)`: our own files, which PyTorch reads too.
- `trained()`: small networks that come with jaxsr, for `load(name)`.
- `upscale(model, image)`: one picture of any size, uint8 in and out.

Spectra that fingerprints are sought in:

- `log_power_spectrum(images)`: centred, natural logarithm.
- `azimuthal_average(spectrum)`: one value per radial frequency.
- `dct2(images)`: orthonormal cosine transform.

Fingerprints proper, from what a denoiser takes away:

- `noise_residual(images, method)`: "wavelet", "gaussian", "wiener", "bm3d".
- `jaxsr.fingerprints.prnu`: mean and maximum-likelihood fingerprints of many residuals, cleaned as
  for cameras.
- `jaxsr.fingerprints.correlation`: normalised cross-correlation, and the energy of its peak.
- `jaxsr.fingerprints.periodicity`: what an up-sampling grid repeats every 2, 3, 4 or 8 pixels.

Which network made a picture, and how was it built:

- `Gallery.open()`, `.identify(picture)`, `.add(name, pictures)`: the tool.
- `jaxsr.attribution.methods`: all methods behind one interface;
  `jaxsr.fingerprints.phase_autocorrelation`
  is the strongest
  of them and learns in minutes, `jaxsr.networks.convnext` the network classifier of the paper.
- `jaxsr.attribution.open_set`, `jaxsr.attribution.calibration`,
  `jaxsr.attribution.class_distances`, `jaxsr.datasets.perturbations`:
  how sure,
  how far apart, and how much a picture may suffer on its way.

What it is trained on and for stays in its modules: `jaxsr.datasets.degrade` (MATLAB's bicubic
reduction), `jaxsr.datasets.training_sets` (photographs on the device, random crops),
`jaxsr.training.losses` and `jaxsr.training.feature_networks`.

How they are trained: `jaxsr.training.program`, and side by side, `jaxsr.training.trainer`; how well
they do: `jaxsr.evaluation`.
"""

from typing import TYPE_CHECKING

from jaxfleet import lazy

if TYPE_CHECKING:
    from jaxsr.files.networks import load as load
    from jaxsr.files.networks import save as save
    from jaxsr.files.networks import trained as trained
    from jaxsr.files.torch import load_torch as load_torch
    from jaxsr.fingerprints.residuals import noise_residual as noise_residual
    from jaxsr.fingerprints.spectra import azimuthal_average as azimuthal_average
    from jaxsr.fingerprints.spectra import dct2 as dct2
    from jaxsr.fingerprints.spectra import log_power_spectrum as log_power_spectrum
    from jaxsr.gallery.core import Gallery as Gallery
    from jaxsr.upscale import upscale as upscale
    from jaxsr.zoo import build as build
    from jaxsr.zoo import count_parameters as count_parameters
    from jaxsr.zoo import names as names
else:
    lazy.export(__name__)
