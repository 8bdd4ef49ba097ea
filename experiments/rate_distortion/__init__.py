"""Rate-distortion of the codec beside JPEG, WebP, AVIF and published neural codecs."""
