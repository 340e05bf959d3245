"""A bundle's network in formats of other software, each loaded there and compared before it is called done."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from im2im_core.bundle import Bundle, load_model
from im2im_core.errors import ConfigError
from im2im_core.exported_network import Exported, compared, open_network, sample_input, sizes_taken, write_network
from im2im_core.files import write_beside

SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx", "bioimageio": ".zip"}
NEEDS = {
    "torchscript": (),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "bioimageio": ("bioimageio.core", "onnx", "onnxruntime", "onnxscript"),
}


def export_bundle(bundle: Bundle, form: str, path: Path) -> Exported:
    """Write the network and check the file in its own runtime, on the bundle's sample and on an image of another size.

    Args:
        bundle: an opened bundle.
        form: one of SUFFIXES.
        path: the file to write.

    Raises:
        ConfigError: the format is unknown, its packages are not installed, or it cannot say what the bundle does.
        DataError: what the file computes is not what the bundle computes.
        OutputError: it cannot be written.
    """
    check_form(form)
    if form == "bioimageio":
        from im2im_core.bioimageio_package import write_package

        return write_package(bundle, path)
    model, sample = load_model(bundle), sample_input(bundle)
    with write_beside(path) as beside:
        write_network(model, sample, form, beside)
        run = open_network(beside, form)
        step = sizes_taken(model, run, sample)
        return Exported(path, compared(model, run, sample), step)


def check_form(form: str) -> None:
    """Whether a format is known and can be written here.

    Raises:
        ConfigError: it is not, or packages are missing.
    """
    if form not in SUFFIXES:
        raise ConfigError(f"unknown format '{form}'", f"formats: {', '.join(SUFFIXES)}")
    missing = [name for name in NEEDS[form] if not _installed(name)]
    if missing:
        raise ConfigError(f"'{form}' needs {', '.join(missing)}", 'pip install "im2im-core[export]"')


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of a package around it
        return False
