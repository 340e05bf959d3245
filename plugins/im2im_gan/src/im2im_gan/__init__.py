"""Adversarial image-to-image learning: generators against discriminators. Loads no torch."""
