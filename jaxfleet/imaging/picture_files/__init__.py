"""Read picture files: what a file holds, how it becomes 8-bit RGB, and why one is refused.

Every script and every source of photographs reads picture files here and lists folders here, so
that all of them take, convert and refuse the same files. docs/read_converted_refused.md has the
outcome of each kind of file. No JAX device is started here.

Letters: H height, W width, both upright, as the EXIF orientation says.
"""

from jaxfleet.imaging.picture_files.folders import (
    EXTENSIONS,
    Listing,
    find,
    list_folder,
    tell,
)
from jaxfleet.imaging.picture_files.headers import MAX_PIXELS, PictureHeader, bytes_of, check
from jaxfleet.imaging.picture_files.pixels import GREY_NOTE, Picture, decode, read, text_of

__all__ = [
    "EXTENSIONS",
    "GREY_NOTE",
    "MAX_PIXELS",
    "PictureHeader",
    "Listing",
    "Picture",
    "bytes_of",
    "check",
    "decode",
    "find",
    "list_folder",
    "read",
    "tell",
    "text_of",
]
