"""How a network is run for prediction: on which device, in which precision, compiled or not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from im2im_core.errors import ConfigError

if TYPE_CHECKING:
    import torch

NumpyArray = np.ndarray[Any, Any]
Forward = Callable[["torch.Tensor"], "torch.Tensor"]
PRECISIONS = ("float32", "bf16")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What a user chooses.

    Attributes:
        device: "auto", or a torch device such as "cpu", "cuda:1", "mps".
        precision: of the network's arithmetic, "float32" or "bf16"; what comes out is float32.
        compiled: compile the network first, which takes about a minute.
    """

    device: str = "auto"
    precision: str = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"there is no precision '{self.precision}'", f"choose one of: {', '.join(PRECISIONS)}")


class Engine:
    """Runs networks on a device.

    Raises:
        ConfigError: the device cannot be used.
    """

    def __init__(self, execution: Execution) -> None:
        self.device = find_device(execution.device)
        self._bf16 = execution.precision == "bf16"
        self._compiled = execution.compiled
        # Tensor cores take it; a CPU was measured to lose by it.
        self._channels_last = self._bf16 and self.device.type == "cuda"
        if self._bf16 and self.device.type == "cpu" and not _cpu_has_bf16():
            _log.warning("this processor has no bf16 arithmetic: bf16 will be many times slower than float32")

    def place(self, model: Any) -> Any:
        """The model on the device, in the memory layout that suits it."""
        if self._channels_last:
            return model.to(self.device, memory_format=self._layout(model))
        return model.to(self.device)

    def compiled(self, model: Any) -> Forward:
        """The model, compiled at its first call if the user asked for it."""
        if not self._compiled:
            return model  # type: ignore[no-any-return]
        import torch

        # Windows have one shape; a compiler that expects others fails on strided convolutions.
        compiled = torch.compile(model, dynamic=False)

        def forward(windows: torch.Tensor) -> torch.Tensor:
            try:
                return compiled(windows)  # type: ignore[no-any-return, no-untyped-call]
            except torch._dynamo.exc.TorchDynamoException as error:  # type: ignore[attr-defined]
                reason = str(error).strip().splitlines()[0][:200]
                raise ConfigError(f"the network cannot be compiled: {reason}", "leave --compile out") from error

        return forward

    def run(self, forward: Forward, windows: torch.Tensor) -> torch.Tensor:
        """Apply a network to windows (B, C, [Z], Y, X), without gradients, on the device."""
        import torch

        windows = windows.to(self.device)
        if self._channels_last:
            windows = windows.contiguous(memory_format=self._layout(windows))
        precision: AbstractContextManager[Any] = nullcontext()
        if self._bf16:
            precision = torch.autocast(self.device.type, dtype=torch.bfloat16)
        with torch.inference_mode(), precision:
            return forward(windows).float()

    def on_arrays(self, forward: Forward, windows: NumpyArray) -> NumpyArray:
        """The same from numpy to numpy, float32."""
        import torch

        predicted: NumpyArray = self.run(forward, torch.from_numpy(windows)).cpu().numpy()
        return predicted

    def _layout(self, module_or_tensor: Any) -> Any:
        import torch

        if isinstance(module_or_tensor, torch.Tensor):
            dims = module_or_tensor.ndim
        else:
            dims = max((parameter.ndim for parameter in module_or_tensor.parameters()), default=4)
        return {4: torch.channels_last, 5: torch.channels_last_3d}.get(dims, torch.contiguous_format)


def find_device(name: str) -> torch.device:
    """The device of a name; "auto": CUDA, else MPS, else the CPU.

    Raises:
        ConfigError: it cannot be used here.
    """
    import torch

    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"device '{name}' cannot be used: {reason}", "use --device auto or cpu") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _cpu_has_bf16() -> bool:
    import torch

    # Builds of torch for other processors lack the library that could be asked.
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
