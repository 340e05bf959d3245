"""A network as TorchScript or ONNX, loaded in the runtime of its format and compared with the model.

What is exported is the network: preprocessed windows (B, C, [Z], Y, X) float32 to its raw output of the same size.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from im2im_core.bundle import Bundle
from im2im_core.errors import DataError

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

NumpyArray = np.ndarray[Any, Any]
Run = Callable[[NumpyArray], NumpyArray]
# Least opset in which all layers of the first-party networks exist.
OPSET = 18
STEPS = (1, 2, 4, 8, 16, 32, 64)
# Largest difference, in shares of the output's spread, between a network and what it was exported to.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        difference: the largest between the bundle's output and that of the file, in shares of the output's spread.
        step: lengths of Y and X (and Z) that the file takes are multiples of this.
    """

    path: Path
    difference: float
    step: int


def sample_input(bundle: Bundle) -> NumpyArray:
    """The network input that a bundle carries, (1, C, [Z], Y, X) float32."""
    sample: NumpyArray = np.load(bundle.path / "sample_input.npy", allow_pickle=False)[None].astype(np.float32)
    return sample


def write_network(model: LightningModule, sample: NumpyArray, form: str, path: Path) -> None:
    """Write a network as torchscript or ONNX, with free sizes."""
    import torch

    example = torch.from_numpy(sample)
    with warnings.catch_warnings():
        # Of what torch says on the way a user can mend nothing; what was written is compared afterwards.
        warnings.simplefilter("ignore")
        if form == "torchscript":
            # Lightning takes care of its own properties, which a trace cannot follow.
            trace = getattr(model, "to_torchscript", None)
            traced: Any = (
                trace(method="trace", example_inputs=example, check_trace=False, strict=False)
                if trace
                else torch.jit.trace(model, example, check_trace=False, strict=False)
            )
            # Not by its path: torch refuses names that begin with a dot.
            buffer = io.BytesIO()
            torch.jit.save(traced, buffer)
            path.write_bytes(buffer.getvalue())
            return
        axes = {0: "batch", **dict(zip(range(2, sample.ndim), "zyx"[5 - sample.ndim :], strict=True))}
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=["image"],
            output_names=["output"],
            dynamic_axes={"image": axes, "output": axes},
            opset_version=OPSET,
            dynamo=False,
        )


def open_network(path: Path, form: str) -> Run:
    """The written network in the runtime of its format."""
    if form == "torchscript":
        import torch

        loaded = torch.jit.load(str(path), map_location="cpu")

        def run_torchscript(image: NumpyArray) -> NumpyArray:
            with torch.inference_mode():
                output: NumpyArray = loaded(torch.from_numpy(image)).numpy()
            return output

        return run_torchscript
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it would print each size that it does not take
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run_onnx(image: NumpyArray) -> NumpyArray:
        output: NumpyArray = session.run(None, {"image": image})[0]
        return output

    return run_onnx


def compared(model: LightningModule, run: Run, image: NumpyArray) -> float:
    """The largest difference between a network and a written one, in shares of the output's spread.

    Raises:
        DataError: it is above TOLERANCE.
    """
    difference = _difference(model, run, image)
    if difference > TOLERANCE:
        raise DataError(
            f"what was exported differs from the model by {difference:.2g} of its output's spread",
            "report the network; another format may do",
        )
    return difference


def sizes_taken(model: LightningModule, run: Run, sample: NumpyArray) -> int:
    """Of which number lengths must be multiples: some networks pad inside, and a trace of that holds for one size."""
    for step in STEPS:
        lengths = [max(step, (length // step - 1) * step) for length in sample.shape[2:]]
        if step == 1:
            lengths = [length - 3 for length in lengths]  # a number that two does not divide
        smaller = np.ascontiguousarray(sample[(slice(None), slice(None), *(slice(0, n) for n in lengths))])
        try:
            if _difference(model, run, smaller) <= TOLERANCE:
                return step
        except Exception:
            continue
    raise DataError("what was exported takes images of no other size than the sample", "another format may do")


def _difference(model: LightningModule, run: Run, image: NumpyArray) -> float:
    import torch

    with torch.inference_mode():
        expected = model(torch.from_numpy(image)).float().numpy()
    found = run(image)
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(float(expected.std()), 1e-6))
