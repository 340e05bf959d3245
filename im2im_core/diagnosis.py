"""Whether this computer can train and predict, point by point, with what mends what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from im2im_core.errors import DataError
from im2im_core.registry import Registry

State = Literal["ok", "warning", "error"]
LEAST_DISK, LEAST_MEMORY = 5.0, 4.0  # GiB


@dataclass(frozen=True, slots=True)
class Finding:
    """One point.

    Attributes:
        what: was looked at.
        state: of it.
        text: what was found.
        hint: what mends it; empty where nothing has to be mended.
    """

    what: str
    state: State
    text: str
    hint: str = ""


def diagnose(registry: Registry, folder: Path) -> Iterator[Finding]:
    """Python, torch and its devices, plug-ins, readers, memory, disk, and one training step on each device.

    Args:
        registry: the installed plug-ins.
        folder: where results would be written.
    """
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from _torch()
    yield from _plugins(registry)
    yield from _readers(registry)
    yield _enough(
        "memory", _memory(), LEAST_MEMORY, "smaller patches and windows need less: dataset.patch_size, --window"
    )
    yield _enough("disk", shutil.disk_usage(folder).free / 2**30, LEAST_DISK, "runs, caches and results need space")


def devices() -> list[str]:
    """Names of torch's devices here."""
    import torch

    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def training_step(device: str) -> float:
    """Loss after a step of a convolution that is to become zero, over that before it; below 1 where torch works."""
    import torch

    generator = torch.Generator().manual_seed(0)
    image = torch.rand((2, 1, 32, 32), generator=generator).to(device)
    network = torch.nn.Conv2d(1, 1, 3).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        loss = network(image).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[1] / losses[0]


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:  # a build that does not fit the machine fails in its own ways
        yield Finding("torch", "error", f"cannot be loaded: {error}", "install torch again: https://pytorch.org")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    found = devices()
    if found == ["cpu"]:
        yield Finding("graphics card", "warning", "none that torch can use", "training in 3D wants one")
    for device in found:
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
        try:
            ratio = training_step(device)
        except Exception as error:
            yield Finding("training step", "error", f"{name}: {error}", "update the driver, or install another torch")
            continue
        if ratio < 1:
            yield Finding("training step", "ok", f"{name}: the loss falls")
        else:
            yield Finding("training step", "error", f"{name}: the loss does not fall", "install torch again")


def _plugins(registry: Registry) -> Iterator[Finding]:
    for info in registry.plugins:
        state: State = {"active": "ok", "disabled": "warning", "broken": "error"}.get(info.state, "error")  # type: ignore[assignment]
        text = f"{info.distribution or info.module} {info.version}".strip()
        hint = f"pip install --upgrade {info.distribution or info.name}" if state == "error" else ""
        yield Finding(f"plug-in {info.name}", state, text if state == "ok" else f"{info.state}: {info.reason}", hint)


def _readers(registry: Registry) -> Iterator[Finding]:
    entries = registry.components("reader")
    if not entries:
        yield Finding("readers", "error", "none is installed", "pip install im2im-io")
    covered: set[str] = set()
    missing = []
    for entry in sorted(entries, key=lambda entry: -entry.component.priority):  # type: ignore[attr-defined]
        component = entry.component
        suffixes = " ".join(component.suffixes)  # type: ignore[attr-defined]
        try:
            component.factory(component.config())
        except DataError as error:
            missing.append((component, suffixes, error))
            continue
        covered |= set(component.suffixes)  # type: ignore[attr-defined]
        yield Finding(f"reader {component.name}", "ok", suffixes)
    for component, suffixes, reason in missing:
        # Another reader of the same files will do.
        if not set(component.suffixes) <= covered:  # type: ignore[attr-defined]
            yield Finding(f"reader {component.name}", "warning", f"{reason.message}: no {suffixes}", reason.hint)


def _memory() -> float | None:
    """GiB of the computer, where it says so."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return None


def _enough(what: str, found: float | None, least: float, hint: str) -> Finding:
    if found is None:
        return Finding(what, "ok", "unknown")
    if found < least:
        return Finding(what, "warning", f"{found:.1f} GiB, which is little", hint)
    return Finding(what, "ok", f"{found:.1f} GiB")
