"""Clustering of spatial embeddings: time against the direct loop over all pixels, and how it grows with the image.

The direct loop (in the tests of the plug-in) evaluates each proposal on all candidates. It takes minutes on an image of
2048 x 2048 with 1500 objects, so it runs once; the package runs before and after it. Labels must be identical. Then
images of growing size with equally dense objects, and the exponent e of time ~ pixels^e.

    python benchmarks/embedseg_clustering.py --direct-size 2048
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from im2im_embedseg.clustering import cluster

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "im2im_embedseg" / "tests"))
import direct_embedseg as direct

GRID, PIXEL = (1024, 1024), (1.0, 1.0)
SETTINGS = {
    "grid": GRID,
    "pixel": PIXEL,
    "n_sigma": 2,
    "seed_threshold": 0.6,
    "min_mask_sum": 0,
    "min_unclustered_sum": 0,
    "min_object_size": 36,
}
TILE, OBJECTS_PER_SIDE = 512, 10


def prediction_of(size: int, seed: int) -> np.ndarray:
    """Copies of a generated tile side by side: (5, size, size) with 10 x 10 objects per 512 x 512 pixels.

    Offsets are relative, so copies are as good as new objects, and images of all sizes are alike but for their size.
    """
    rng = np.random.default_rng(seed)
    labels = direct.blobs((TILE, TILE), (OBJECTS_PER_SIDE, OBJECTS_PER_SIDE), rng)
    tile = direct.trained_prediction(labels, GRID, PIXEL, rng)
    copies = -(-size // TILE)
    return np.ascontiguousarray(np.tile(tile, (1, copies, copies))[:, :size, :size])


def timed(function, prediction: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds and labels."""
    start = time.perf_counter()
    labels = function(prediction, **SETTINGS)
    return time.perf_counter() - start, labels


def compare(size: int, repeats: int) -> None:
    """One row: both on the same image."""
    prediction = prediction_of(size, seed=size)
    before = [timed(cluster, prediction) for _ in range(repeats)]
    direct_time, expected = timed(direct.cluster, prediction)
    after = [timed(cluster, prediction) for _ in range(repeats)]
    fast_time = statistics.median(seconds for seconds, _ in before + after)
    same = all(np.array_equal(labels, expected) for _, labels in before + after)
    print(
        f"{size:6d} x {size:<6d} {expected.max():7d} {direct_time:10.2f} s {fast_time:10.4f} s "
        f"{direct_time / fast_time:9.0f} x   {'identical' if same else 'DIFFERENT'}",
        flush=True,
    )
    if not same:
        raise SystemExit("labels differ")


def grow(sizes: list[int], repeats: int) -> None:
    """Times by size and the exponent."""
    times = []
    for size in sizes:
        prediction = prediction_of(size, seed=1)
        runs = [timed(cluster, prediction) for _ in range(repeats)]
        times.append(statistics.median(seconds for seconds, _ in runs))
        print(f"{size:6d} x {size:<6d} {runs[0][1].max():7d} {times[-1]:27.4f} s", flush=True)
    exponent = np.polyfit(np.log([size**2 for size in sizes]), np.log(times), 1)[0]
    print(f"time ~ pixels^{exponent:.2f}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direct-size", type=int, nargs="+", default=[512], help="side of images for the comparison")
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024, 2048, 4096], help="sides, for the growth")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    timed(cluster, prediction_of(64, seed=0))  # compiles
    print(f"{'image':>15} {'objects':>7} {'direct':>12} {'im2im':>12} {'ratio':>11}")
    for size in arguments.direct_size:
        compare(size, arguments.repeats)
    if arguments.sizes:
        grow(arguments.sizes, arguments.repeats)


if __name__ == "__main__":
    main()
