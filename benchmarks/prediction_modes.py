"""Windows through a network as `im2im predict` sends them: compiled, in bf16, in other batches, beside the plain way.

Every way is timed in turn, several rounds, on the device that there is; ratios are of medians within this run.

    python benchmarks/prediction_modes.py
    python benchmarks/prediction_modes.py --spatial-dims 3 --size 96
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.networks.nets import UNet

from im2im_core.execution import Engine, Execution

WINDOWS = 8


def way(dims: int, batch: int, **execution: Any) -> tuple[Engine, Callable[[Any], Any], int]:
    """An engine, its network and the windows that it is given at a time."""
    torch.manual_seed(0)
    network = UNet(dims, 1, 1, (32, 64, 128, 256), (2, 2, 2), num_res_units=2).eval()
    engine = Engine(Execution(**execution))
    return engine, engine.compiled(engine.place(network)), batch


def seconds(engine: Engine, forward: Callable[[Any], Any], batch: int, windows: Any) -> float:
    """Time of all windows, from numpy to numpy."""
    before = time.perf_counter()
    for first in range(0, len(windows), batch):
        engine.on_arrays(forward, windows[first : first + batch])
    return time.perf_counter() - before


def main() -> None:
    """Time all ways and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spatial-dims", type=int, default=2, choices=(2, 3))
    parser.add_argument("--size", type=int, default=256, help="pixels per axis of a window")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    dims = arguments.spatial_dims
    ways = {
        "plain, 4 windows at a time": way(dims, 4),
        "1 window at a time": way(dims, 1),
        "8 windows at a time": way(dims, 8),
        "compiled": way(dims, 4, compiled=True),
    }
    if torch.cuda.is_available():
        ways["bf16, channels last"] = way(dims, 4, precision="bf16")
    windows = np.random.default_rng(0).random((WINDOWS, 1, *(arguments.size,) * dims)).astype(np.float32)
    first = {name: seconds(*chosen, windows) for name, chosen in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, chosen in ways.items():
            times[name].append(seconds(*chosen, windows))
    plain = statistics.median(times["plain, 4 windows at a time"])
    print(f"{WINDOWS} windows of {arguments.size}^{dims} on {torch.get_num_threads()} threads")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name}: {1000 * median:.0f} ms, {plain / median:.2f} times as fast; first time {first[name]:.1f} s")


if __name__ == "__main__":
    main()
