"""Super-resolution networks and the fingerprints that they leave on images.

What is here today are the spectra that fingerprints are sought in:

- `log_power_spectrum(images)`: centred, natural logarithm.
- `azimuthal_average(spectrum)`: one value per radial frequency.
- `dct2(images)`: orthonormal cosine transform.

The zoo of networks, their training and the attribution of images to them are not here yet.
"""

from jaxsr.spectra import azimuthal_average, dct2, log_power_spectrum

__all__ = ["azimuthal_average", "dct2", "log_power_spectrum"]
