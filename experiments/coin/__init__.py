"""COIN on photographs, compared with image codecs."""
