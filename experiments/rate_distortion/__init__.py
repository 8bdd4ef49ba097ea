"""How does the codec compare with JPEG, WebP, AVIF and published neural codecs?"""
