"""Losses beyond those of the core: regions, images, and regularizers of shape and topology."""
