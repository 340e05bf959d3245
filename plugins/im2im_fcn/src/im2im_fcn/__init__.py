"""Supervised image-to-image learning: one network, many losses. Loads no torch."""
