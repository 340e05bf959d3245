"""The spatial-embedding loss, forward and backward, against the direct loop over the objects on whole crops.

Both on the same batch, in alternation, several times; printed are the medians of processor time and the median of the
ratios of neighbouring runs. Values must agree to 1e-4. The predictions: `trained` points to the centres, one pixel
off, with bandwidths that suit the objects; `untrained` has small random offsets and bandwidths for a radius of 8
pixels; `flat` has sigma 0, so that every pixel of a crop matters to every object, which is the worst case.

With --memory each prediction is measured once, in a process of its own for each of the two: by how much the highest
memory grew in a step.

    python benchmarks/embedseg_loss.py --size 256 --batch 4 --objects 60 --repeats 5
    python benchmarks/embedseg_loss.py --size 16 96 96 --batch 4 --objects 20 --memory
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from im2im_embedseg.loss import SpatialEmbeddingLoss

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "im2im_embedseg" / "tests"))
import direct_embedseg as direct

GEOMETRY = {
    2: {"grid": (1024, 1024), "pixel": (1.0, 1.0), "n_sigma": 2},
    3: {"grid": (64, 1024, 1024), "pixel": (0.25, 1.0, 1.0), "n_sigma": 3},
}
RADIUS = 8.0


def make_batch(shape: tuple[int, ...], batch: int, objects: int) -> tuple[dict[str, Tensor], Tensor]:
    """Predictions (B, C, [Z], Y, X) by name, and the target (B, 1, [Z], Y, X)."""
    rng, dims = np.random.default_rng(0), len(shape)
    geometry = GEOMETRY[dims]
    # Cells of about equal sides.
    side = (math.prod(shape) / objects) ** (1 / dims)
    counts = [max(1, round(length / side)) for length in shape]
    while math.prod(counts) < objects:
        counts[-1] += 1
    labels = [direct.blobs(shape, counts, rng) for _ in range(batch)]
    for image in labels:
        image[image > objects] = 0
    trained = torch.from_numpy(np.stack([direct.trained_prediction(image, rng=rng, **geometry) for image in labels]))
    untrained = 0.005 * torch.randn(trained.shape, generator=torch.Generator().manual_seed(0))
    steps = [extent / (count - 1) for extent, count in zip(geometry["pixel"], geometry["grid"], strict=True)]
    for channel, step in enumerate(reversed(steps), start=dims):
        untrained[:, channel] += math.log(math.log(2) / (RADIUS * step) ** 2) / 10
    flat = untrained.clone()
    flat[:, dims : 2 * dims] = 0
    target = torch.from_numpy(np.stack(labels))[:, None]
    return {"trained": trained, "untrained": untrained, "flat": flat}, target


def timed(function, prediction: Tensor, target: Tensor) -> tuple[float, float]:
    """Seconds for forward and backward, and the value."""
    leaf = prediction.clone().requires_grad_()
    start = time.process_time()
    value = function(leaf, target)
    value.backward()
    return time.process_time() - start, value.item()


def peak(function, prediction: Tensor, target: Tensor) -> float:
    """Megabytes by which the highest memory of a fresh process grows in one step."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        corner = (slice(0, 1), slice(None), *[slice(0, 8)] * (prediction.ndim - 2))
        timed(function, prediction[corner], target[corner])  # loads what the first step loads
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        timed(function, prediction, target)
        os.write(write, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        return int(pipe.read()) / 1024


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[256], help="pixels per axis, one number or [Z] Y X")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--objects", type=int, default=60, help="per crop")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="memory instead of time; on Linux")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = tuple(arguments.size) if len(arguments.size) > 1 else (arguments.size[0],) * 2
    predictions, target = make_batch(shape, arguments.batch, arguments.objects)
    settings = GEOMETRY[len(shape)]
    loss = SpatialEmbeddingLoss(len(shape), **settings)
    plain = partial(direct.loss, **settings)
    if arguments.memory:
        for name, prediction in predictions.items():
            theirs, ours = (peak(function, prediction, target) for function in (plain, loss))
            print(f"{name:>10} {theirs:9.0f} MB {ours:9.0f} MB {theirs / max(ours, 1):9.1f} x", flush=True)
        return
    print(f"{'prediction':>10} {'direct':>12} {'im2im':>12} {'ratio':>9} {'difference':>12}")
    for name, prediction in predictions.items():
        timed(loss, prediction, target)
        direct_times, fast_times, worst = [], [], 0.0
        for _ in range(arguments.repeats):
            seconds, expected = timed(plain, prediction, target)
            direct_times.append(seconds)
            seconds, value = timed(loss, prediction, target)
            fast_times.append(seconds)
            worst = max(worst, abs(value / expected - 1))
        ratio = statistics.median(a / b for a, b in zip(direct_times, fast_times, strict=True))
        print(
            f"{name:>10} {statistics.median(direct_times):10.3f} s {statistics.median(fast_times):10.4f} s "
            f"{ratio:7.1f} x {worst:12.1e}",
            flush=True,
        )
        if worst > 1e-4:
            raise SystemExit("values differ")


if __name__ == "__main__":
    main()
