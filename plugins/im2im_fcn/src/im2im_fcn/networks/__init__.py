"""Networks for images of any size. Loads no torch."""
