"""A bundle as a package of the bioimage.io model zoo, specification 0.5: weights as TorchScript and ONNX.

Preprocessing goes into the package as far as the specification has words for it, so other software normalizes alike.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.build import build_steps
from im2im_core.bundle import Bundle, load_model
from im2im_core.config import Choice
from im2im_core.errors import ConfigError, DataError
from im2im_core.exported_network import (
    OPSET,
    Exported,
    NumpyArray,
    compared,
    open_network,
    sample_input,
    sizes_taken,
    write_network,
)
from im2im_core.files import write_beside, write_text
from im2im_core.image import Image
from im2im_core.layers import dump_yaml
from im2im_core.regions import fit_steps, prepared

WEIGHTS: dict[Any, str] = {"torchscript": "weights.pt", "onnx": "weights.onnx"}


def write_package(bundle: Bundle, path: Path) -> Exported:
    """Write the package, validate it offline and run both of its weights on its test image with bioimageio.core.

    Raises:
        ConfigError: a step of the preprocessing has no counterpart in the specification.
        DataError: the package does not validate, or computes something else.
        OutputError: it cannot be written.
    """
    import torch

    model, sample = load_model(bundle), sample_input(bundle)
    steps = [step for choice in bundle.config.preprocessing for step in described(choice, bundle.manifest.spatial_dims)]
    with tempfile.TemporaryDirectory() as name, write_beside(path) as beside:
        folder = Path(name)
        differences, sizes = [], []
        for form, file in WEIGHTS.items():
            write_network(model, sample, form, folder / file)
            run = open_network(folder / file, form)
            sizes.append(sizes_taken(model, run, sample))
            differences.append(compared(model, run, sample))
        image = _multiple(sample, max(sizes))
        np.save(folder / "test_input.npy", image)
        with torch.inference_mode():
            output = model(torch.from_numpy(_preprocessed(bundle, image))).float().numpy()
        np.save(folder / "test_output.npy", output)
        (folder / "README.md").write_text(_documentation(bundle), encoding="utf-8")
        names = tuple(getattr(model, "output_names", ()))
        content = description(bundle, image, output, max(sizes), steps, names if len(names) == output.shape[1] else ())
        weights = content["weights"]
        weights["torchscript"]["pytorch_version"] = str(torch.__version__).partition("+")[0]
        write_text(folder / "bioimageio.yaml", dump_yaml(content))
        pack(folder, folder / "package.zip")
        check_package(folder / "package.zip")
        shutil.copyfile(folder / "package.zip", beside)
    return Exported(path, max(differences), max(sizes))


def described(choice: Choice, spatial_dims: int) -> list[dict[str, Any]]:
    """A step of the preprocessing in words of the specification; empty where it leaves images alone.

    Raises:
        ConfigError: it has none.
    """
    settings = choice.config
    if "image" not in getattr(settings, "keys", ("image",)):
        return []
    axes = [*"zyx"[3 - spatial_dims :]]
    if not getattr(settings, "per_channel", True):
        axes = ["channel", *axes]
    if choice.component.name == "normalize-percentile":
        limits = {"min_percentile": settings.low, "max_percentile": settings.high}  # type: ignore[attr-defined]
        clip = [{"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}] if settings.clip else []  # type: ignore[attr-defined]
        return [{"id": "scale_range", "kwargs": {"axes": axes, **limits}}, *clip]
    if choice.component.name == "normalize-minmax":
        return [{"id": "scale_range", "kwargs": {"axes": axes, "min_percentile": 0.0, "max_percentile": 100.0}}]
    if choice.component.name == "normalize-zscore":
        return [{"id": "zero_mean_unit_variance", "kwargs": {"axes": axes}}]
    raise ConfigError(
        f"preprocessing '{choice.name}' has no counterpart in the bioimage.io specification",
        "export as onnx or torchscript, and preprocess before it",
    )


def _multiple(sample: NumpyArray, step: int) -> NumpyArray:
    lengths = [max(step, length // step * step) for length in sample.shape[2:]]
    return np.ascontiguousarray(sample[(slice(None), slice(None), *(slice(0, n) for n in lengths))])


def _preprocessed(bundle: Bundle, image: NumpyArray) -> NumpyArray:
    dims = bundle.manifest.spatial_dims
    source = Image(image[0], "CZYX" if dims == 3 else "CYX")
    steps = fit_steps(build_steps(bundle.config.preprocessing, dims), source)
    return prepared(source, tuple(slice(0, n) for n in source.shape[1:]), steps)[None]


def description(
    bundle: Bundle,
    image: NumpyArray,
    output: NumpyArray,
    step: int,
    steps: list[dict[str, Any]],
    outputs: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The content of `bioimageio.yaml`.

    Args:
        bundle: an opened bundle.
        image: test input (1, C, [Z], Y, X), before preprocessing.
        output: what the network makes of it.
        step: lengths must be multiples of it.
        steps: the preprocessing in words of the specification.
        outputs: names of the output's channels, where the model has any.
    """
    manifest = bundle.manifest
    letters = "zyx"[3 - manifest.spatial_dims :]
    lengths = dict(zip(letters, image.shape[2:], strict=True))
    units = {
        letter: {"unit": "micrometer", "scale": manifest.pixel_size[letter.upper()]}
        for letter in letters
        if letter.upper() in manifest.pixel_size
    }
    taken = {
        letter: {"min": min(length, step * max(1, 16 // step)), "step": step} for letter, length in lengths.items()
    }
    names = manifest.channel_names if len(manifest.channel_names) == manifest.in_channels else ()
    image_axes = [{"type": "space", "id": axis, "size": taken[axis], **units.get(axis, {})} for axis in letters]
    output_axes = [
        {"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis}, **units.get(axis, {})}
        for axis in letters
    ]
    title = f"im2im {bundle.config.model.name} {manifest.created[:10]}"
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": title,
        "description": f"{manifest.task} in {manifest.spatial_dims}D, trained with im2im.",
        "documentation": "README.md",
        "tags": ["im2im", manifest.task, f"{manifest.spatial_dims}d", bundle.config.model.name],
        "inputs": [
            {
                "id": "image",
                "axes": [{"type": "batch"}, _channels(names, manifest.in_channels, "channel"), *image_axes],
                "test_tensor": {"source": "test_input.npy"},
                "data": {"type": "float32"},
                "preprocessing": steps,
            }
        ],
        "outputs": [
            {
                "id": "output",
                "axes": [
                    {"type": "batch"},
                    _channels(outputs, output.shape[1], "output"),
                    *output_axes,
                ],
                "test_tensor": {"source": "test_output.npy"},
                "data": {"type": "float32"},
            }
        ],
        "weights": {
            "torchscript": {"source": "weights.pt"},
            "onnx": {"source": "weights.onnx", "opset_version": OPSET},
        },
    }


def _channels(names: tuple[str, ...], count: int, word: str) -> dict[str, Any]:
    plain = [name.replace(" ", "-") or f"{word}{number}" for number, name in enumerate(names)]
    return {"type": "channel", "channel_names": plain or [f"{word}{number}" for number in range(count)]}


def _documentation(bundle: Bundle) -> str:
    manifest = bundle.manifest
    names = ", ".join(choice.name for choice in bundle.config.postprocessing) or "none"
    return (
        f"# {bundle.config.model.name}\n\n"
        f"A model for {manifest.task} in {manifest.spatial_dims}D, trained with im2im ({manifest.created}).\n\n"
        f"The package holds preprocessing and network. The post-processing of the bundle ({names}) is not part of it:\n"
        f"the output is that of the network.\n\n## Validation\n\n"
        + "".join(f"- {name}: {value:.4g}\n" for name, value in manifest.metrics.items())
    )


def pack(folder: Path, package: Path) -> None:
    """All files of a folder as a zip archive."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)


def check_package(package: Path) -> None:
    """Validate a package and run each of its weights on its test image, without a network connection.

    Raises:
        DataError: it does not validate, or its output is not the stated one.
    """
    from bioimageio.core import test_description  # type: ignore[import-not-found]

    for form in WEIGHTS:
        summary = test_description(package, weight_format=form)
        if summary.status != "passed":
            reasons = [f"{error.loc}: {error.msg}" for detail in summary.details for error in detail.errors]
            raise DataError(f"the package does not pass bioimageio.core ({form}): {'; '.join(reasons)}")
