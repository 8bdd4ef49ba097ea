"""Attribution of images that were compressed, resized, blurred, or cropped."""
