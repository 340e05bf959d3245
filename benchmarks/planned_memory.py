"""Memory that a training step of `--network auto` takes, beside the memory that it was planned for.

Each plan is carried out in a process of its own, on the CPU: the peak of its resident memory, less what the process
held before the network was built. A ratio above 1 means that the plan asks for more than it was given.

    python benchmarks/planned_memory.py --memory-gb 1 2
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

SHAPES = {"2D": (512, 512), "2D, large": (2048, 2048), "3D": (64, 160, 160), "3D, thin": (13, 256, 256)}


def planned(shape: tuple[int, ...], memory_gb: float) -> dict[str, Any]:
    """Patch, batch and network for images of this shape."""
    from im2im_fcn.auto_network import AutoConfig, largest_step

    plan = largest_step(shape, [1.0] * len(shape), AutoConfig(memory_gb=memory_gb))
    return {
        "patch": plan.patch,
        "batch": plan.batch,
        "strides": plan.topology.strides,
        "kernels": plan.topology.kernels,
        "filters": plan.filters,
    }


def peak_bytes() -> int:
    """Most resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def step(shape: tuple[int, ...], memory_gb: float) -> None:
    """Carry out one step, and print plan and memory as JSON."""
    import torch

    from im2im_core.build import build_model
    from im2im_core.config import resolve
    from im2im_core.registry import Registry

    plan = planned(shape, memory_gb)
    network = {"name": "dynunet", **{name: plan[name] for name in ("strides", "kernels", "filters")}}
    flags = {"model": {"name": "fcn", "target_range": [[0, 1]]}, "network": network, "dataset": {"path": "."}}
    config = resolve(Registry.discover(), flags=flags)
    before = peak_bytes()
    model = build_model(config, spatial_dims=len(shape), in_channels=1, target_channels=1, training=True)
    model.log = lambda *args, **settings: None
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):  # the optimizer's own memory is there from the second step on
        image = torch.rand(plan["batch"], 1, *plan["patch"])
        loss = model.compare(model.raw(image), {"target": image})
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps({**plan, "bytes": peak_bytes() - before}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-gb", type=float, nargs="+", default=[1.0, 2.0], help="memory to plan for")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        memory_gb, *shape = options.one
        step(tuple(int(length) for length in shape), float(memory_gb))
        return
    for name, shape in SHAPES.items():
        for memory_gb in options.memory_gb:
            command = [sys.executable, __file__, "--one", str(memory_gb), *map(str, shape)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            size = "x".join(map(str, found["patch"]))
            took = found["bytes"] / 1e9
            print(
                f"{name:10} {memory_gb:4.1f} GB  patch {size:14} batch {found['batch']:2}  {took:5.2f} GB  "
                f"ratio {took / memory_gb:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
