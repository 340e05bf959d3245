"""Judges of generated images."""
