"""What this package contributes. Loads pluggy and pydantic only: no format library before a file is opened."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from im2im_core.components import Reader, Writer
from im2im_core.hookspecs import hookimpl
from im2im_io import config

if TYPE_CHECKING:
    from im2im_core.interfaces import ImageWriter, ReadImage

IM2IM_API = 1

# Formats that only a vendor's library, or Bio-Formats behind aicsimageio, understands.
VENDOR_SUFFIXES = (
    *(".czi", ".lif", ".nd2", ".lsm", ".oib", ".oif", ".dv", ".r3d", ".vsi"),
    *(".ims", ".zvi", ".sld", ".stk", ".mrc", ".ics", ".flex", ".dm3"),
)


def _read_tiff(settings: config.TiffReaderConfig) -> ReadImage:
    from im2im_io.tiff_reader import tiff_reader

    return tiff_reader(settings)


def _read_picture(settings: config.PictureReaderConfig) -> ReadImage:
    from im2im_io.picture_reader import picture_reader

    return picture_reader(settings)


def _read_numpy(settings: config.NumpyReaderConfig) -> ReadImage:
    from im2im_io.numpy_reader import numpy_reader

    return numpy_reader(settings)


def _read_ome_zarr(settings: config.OmeZarrReaderConfig) -> ReadImage:
    from im2im_io.ome_zarr_reader import ome_zarr_reader

    return ome_zarr_reader(settings)


def _read_with_aicsimageio(settings: config.VendorReaderConfig) -> ReadImage:
    from im2im_io.vendor_reader import aicsimageio_reader

    return aicsimageio_reader(settings)


def _read_with_bioio(settings: config.VendorReaderConfig) -> ReadImage:
    from im2im_io.vendor_reader import bioio_reader

    return bioio_reader(settings)


def _write_ome_tiff(settings: config.OmeTiffWriterConfig) -> ImageWriter:
    from im2im_io.tiff_writer import OmeTiffWriter

    return OmeTiffWriter(settings)


def _write_ome_zarr(settings: config.OmeZarrWriterConfig) -> ImageWriter:
    from im2im_io.ome_zarr_writer import OmeZarrWriter

    return OmeZarrWriter(settings)


def _write_png(settings: config.PngWriterConfig) -> ImageWriter:
    from im2im_io.png_writer import PngWriter

    return PngWriter(settings)


def _write_numpy(settings: config.NumpyWriterConfig) -> ImageWriter:
    from im2im_io.numpy_writer import NumpyWriter

    return NumpyWriter(settings)


@hookimpl
def im2im_readers() -> Iterator[Reader]:
    """Formats that can be opened."""
    yield Reader(
        name="tifffile",
        summary="TIFF, OME-TIFF, ImageJ hyperstacks, BigTIFF",
        config=config.TiffReaderConfig,
        factory=_read_tiff,
        suffixes=(".tif", ".tiff", ".btf", ".lsm"),
        priority=10,
    )
    yield Reader(
        name="image",
        summary="PNG, JPEG, BMP",
        config=config.PictureReaderConfig,
        factory=_read_picture,
        suffixes=(".png", ".jpg", ".jpeg", ".bmp"),
        priority=10,
    )
    yield Reader(
        name="numpy",
        summary="numpy arrays, memory-mapped",
        config=config.NumpyReaderConfig,
        factory=_read_numpy,
        suffixes=(".npy",),
        priority=10,
    )
    yield Reader(
        name="ome-zarr",
        summary="OME-Zarr folders, versions 0.1 to 0.5",
        config=config.OmeZarrReaderConfig,
        factory=_read_ome_zarr,
        suffixes=(".zarr", ".ome.zarr"),
        priority=10,
    )
    yield Reader(
        name="aicsimageio",
        summary="vendors' formats (CZI, LIF, ND2, ...) through aicsimageio",
        config=config.VendorReaderConfig,
        factory=_read_with_aicsimageio,
        suffixes=VENDOR_SUFFIXES,
        priority=-10,
    )
    # The two never share an environment, so where aicsimageio is, bioio is no choice to speak of.
    if find_spec("bioio") or not find_spec("aicsimageio"):
        yield Reader(
            name="bioio",
            summary="vendors' formats (CZI, LIF, ND2, ...) through bioio, the successor of aicsimageio",
            config=config.VendorReaderConfig,
            factory=_read_with_bioio,
            suffixes=VENDOR_SUFFIXES,
            priority=-20,
        )


@hookimpl
def im2im_writers() -> Iterator[Writer]:
    """Formats that can be written."""
    yield Writer(
        name="ome-tiff",
        summary="OME-TIFF with pixel size and channel names",
        config=config.OmeTiffWriterConfig,
        factory=_write_ome_tiff,
        suffixes=(".ome.tiff", ".ome.tif", ".tiff", ".tif"),
        priority=10,
    )
    yield Writer(
        name="ome-zarr",
        summary="OME-Zarr 0.4 with a pyramid, pixel size and channel names",
        config=config.OmeZarrWriterConfig,
        factory=_write_ome_zarr,
        suffixes=(".ome.zarr", ".zarr"),
        priority=10,
    )
    yield Writer(
        name="png",
        summary="PNG: 8 or 16 bit grey, 8 bit RGB",
        config=config.PngWriterConfig,
        factory=_write_png,
        suffixes=(".png",),
        priority=10,
    )
    yield Writer(
        name="numpy",
        summary="numpy array: pixels without axes, pixel size or names",
        config=config.NumpyWriterConfig,
        factory=_write_numpy,
        suffixes=(".npy",),
        priority=10,
    )
