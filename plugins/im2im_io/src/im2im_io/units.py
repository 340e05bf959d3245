"""Lengths in micrometre, whatever unit a file states them in."""

from __future__ import annotations

import math

_MICROMETRES = {
    **dict.fromkeys(("µm", "um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-3),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-6),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch", "inches"), 25400.0),
}


def micrometres(value: float | str | None, unit: str | None) -> float | None:
    """A length in micrometre, or None when it is missing, not positive, or in no unit of length.

    Args:
        value: the length.
        unit: its unit, as OME-XML, OME-Zarr or ImageJ write it.
    """
    if value is None or unit is None:
        return None
    # ImageJ escapes the micro sign, and Unicode has two of them.
    unit = unit.strip().replace("\\u00B5", "µ").replace("μ", "µ").replace("Å", "å").lower()
    try:
        length = float(value) * _MICROMETRES[unit]
    except (KeyError, ValueError):
        return None
    return length if math.isfinite(length) and length > 0 else None
