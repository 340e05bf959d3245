"""The spatial-embedding loss, forward and backward, against the direct loop over the objects on whole crops.

Both on the same batch, in alternation, several times; printed are the medians and the median of the ratios of
neighbouring runs. Values must agree to 1e-4. The predictions: `trained` points to the centres, one pixel off, with
bandwidths that suit the objects; `untrained` has small random offsets and bandwidths for a radius of 8 pixels; `flat`
has sigma 0, so that every pixel of a crop matters to every object, which is the worst case.

    python benchmarks/embedseg_loss.py --size 256 --batch 4 --objects 60 --repeats 5
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from im2im_embedseg.loss import SpatialEmbeddingLoss

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "im2im_embedseg" / "tests"))
import direct_embedseg as direct

GRID, PIXEL = (1024, 1024), (1.0, 1.0)


def make_batch(size: int, batch: int, objects: int) -> tuple[dict[str, Tensor], Tensor]:
    """Predictions (B, 5, size, size) by name, and the target (B, 1, size, size)."""
    rng = np.random.default_rng(0)
    side = math.ceil(math.sqrt(objects))
    labels = [direct.blobs((size, size), (side, side), rng) for _ in range(batch)]
    for image in labels:
        image[image > objects] = 0
    trained = torch.from_numpy(np.stack([direct.trained_prediction(image, GRID, PIXEL, rng) for image in labels]))
    generator = torch.Generator().manual_seed(0)
    untrained = 0.005 * torch.randn(trained.shape, generator=generator)
    untrained[:, 2:4] += math.log(math.log(2) / (8 / (GRID[0] - 1)) ** 2) / 10
    flat = untrained.clone()
    flat[:, 2:4] = 0
    target = torch.from_numpy(np.stack(labels))[:, None]
    return {"trained": trained, "untrained": untrained, "flat": flat}, target


def timed(function, prediction: Tensor) -> tuple[float, float]:
    """Seconds for forward and backward, and the value."""
    leaf = prediction.clone().requires_grad_()
    start = time.perf_counter()
    value = function(leaf)
    value.backward()
    return time.perf_counter() - start, value.item()


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--objects", type=int, default=60, help="per crop")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    predictions, target = make_batch(arguments.size, arguments.batch, arguments.objects)
    loss = SpatialEmbeddingLoss(2, 2, GRID, PIXEL)
    settings = {"grid": GRID, "pixel": PIXEL, "n_sigma": 2}
    print(f"{'prediction':>10} {'direct':>12} {'im2im':>12} {'ratio':>9} {'difference':>12}")
    for name, prediction in predictions.items():
        timed(lambda p: loss(p, target), prediction)
        direct_times, fast_times, worst = [], [], 0.0
        for _ in range(arguments.repeats):
            seconds, expected = timed(lambda p: direct.loss(p, target, **settings), prediction)
            direct_times.append(seconds)
            seconds, value = timed(lambda p: loss(p, target), prediction)
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
