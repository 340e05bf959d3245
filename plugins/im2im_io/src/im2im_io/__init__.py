"""Readers and writers for im2im. `plugin.py` declares them; everything heavy is imported when one of them is used."""
