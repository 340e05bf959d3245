"""Pixel size and channel names out of a TIFF's several kinds of metadata. Needs no format library."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from im2im_io.units import micrometres

AXES_NOTE = "im2im axes: "
"""Begins the OME description of an image that im2im wrote with axes of length 1."""
_PLACEHOLDER = re.compile(r"Channel:\d+(:\d+)?")
_RESOLUTION_UNITS = {3: "cm", 4: "mm", 5: "µm"}


def usable_names(names: list[str], channels: int) -> tuple[str, ...]:
    """The names, unless they are too few, too many, all empty, or mere numbers that some software filled in."""
    if len(names) != channels or all(not name or _PLACEHOLDER.fullmatch(name) for name in names):
        return ()
    return tuple(names)


@dataclass(frozen=True)
class Metadata:
    """What a file says about its pixels.

    Attributes:
        pixel_size: micrometre by axis.
        names: of the channels, as found.
        axes: all axes, those of length 1 too, which OME-XML has no way to tell from missing ones; empty if unknown.
    """

    pixel_size: dict[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    axes: str = ""


def from_ome(xml: str, scene: int, name: str) -> Metadata:
    """From OME-XML.

    Args:
        xml: the document.
        scene: position of the image among those that hold pixels.
        name: of the image; decides when positions do not agree because some images could not be found.
    """
    images = ElementTree.fromstring(xml).findall("{*}Image")
    named = [image for image in images if image.get("Name", "") == name]
    image = named[0] if len(named) == 1 else images[scene] if scene < len(images) else None
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return Metadata()
    sizes = {
        axis: micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    }
    names = [channel.get("Name", "") for channel in pixels.findall("{*}Channel")]
    note = image.findtext("{*}Description") or ""
    return Metadata(_known(sizes), names, note.removeprefix(AXES_NOTE) if note.startswith(AXES_NOTE) else "")


def from_imagej(metadata: dict[str, Any], tags: Any) -> Metadata:
    """From ImageJ's description and the resolution tags, which are in pixels per ImageJ's unit."""
    unit = metadata.get("unit")
    sizes = {
        "Z": micrometres(metadata.get("spacing"), metadata.get("zunit", unit)),
        "Y": micrometres(_length(tags, "YResolution"), metadata.get("yunit", unit)),
        "X": micrometres(_length(tags, "XResolution"), unit),
    }
    labels = metadata.get("Labels")
    names = [str(label) for label in labels] if isinstance(labels, (list, tuple)) else []
    return Metadata(_known(sizes), names)


def from_lsm(metadata: dict[str, Any]) -> Metadata:
    """From Zeiss LSM's header, which is in metre."""
    sizes = {axis: micrometres(metadata.get(f"VoxelSize{axis}"), "m") for axis in "ZYX"}
    return Metadata(_known(sizes))


def from_resolution(tags: Any) -> Metadata:
    """From a plain TIFF. Dots per inch are a printer's affair, and one pixel per centimetre means: not set."""
    unit = tags.get("ResolutionUnit")
    unit = None if unit is None else _RESOLUTION_UNITS.get(int(unit.value))
    sizes = {axis: micrometres(_length(tags, f"{axis}Resolution"), unit) for axis in "YX"}
    return Metadata({axis: size for axis, size in _known(sizes).items() if size < 1000})


def _known(sizes: dict[str, float | None]) -> dict[str, float]:
    return {axis: size for axis, size in sizes.items() if size}


def _length(tags: Any, name: str) -> float | None:
    """Unit lengths per pixel, from a tag that holds pixels per unit length as a fraction."""
    tag = tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or not tag.value[0]:
        return None
    numerator, denominator = tag.value
    return float(denominator) / float(numerator)
