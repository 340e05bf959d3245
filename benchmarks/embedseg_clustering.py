"""Clustering of spatial embeddings: time against the direct loop over all pixels, and how it grows with the image.

The direct loop (in the tests of the plug-in) evaluates each proposal on all candidates. It takes minutes on an image of
2048 x 2048 with 1500 objects, or of 64 x 512 x 512 with 500, so it runs once; the package runs before and after it.
Labels must be identical. Times are those of the processor, so that other work on the machine counts less. Then images
of growing size with equally dense objects, and the exponent e of time ~ pixels^e.

    python benchmarks/embedseg_clustering.py --direct-size 2048
    python benchmarks/embedseg_clustering.py --spatial-dims 3
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

from im2im_embedseg.clustering import cluster

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "im2im_embedseg" / "tests"))
import direct_embedseg as direct

SETTINGS = {"seed_threshold": 0.6, "min_mask_sum": 0, "min_unclustered_sum": 0, "min_object_size": 36}
GEOMETRY = {
    2: {"grid": (1024, 1024), "pixel": (1.0, 1.0), "n_sigma": 2},
    3: {"grid": (64, 1024, 1024), "pixel": (0.25, 1.0, 1.0), "n_sigma": 3},
}
# 100 objects in a tile of 512 x 512, 125 in one of 64 x 256 x 256.
TILE = {2: (512, 512), 3: (64, 256, 256)}
OBJECTS = {2: (10, 10), 3: (5, 5, 5)}
DIRECT = {2: [(512, 512)], 3: [(64, 512, 512)]}
GROWTH = {
    2: [(side, side) for side in (512, 1024, 2048, 4096)],
    3: [(64, 256, 256), (64, 256, 512), (64, 512, 512), (64, 512, 1024)],
}


def prediction_of(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Copies of a generated tile side by side, (C, [Z], Y, X).

    Offsets are relative, so copies are as good as new objects, and images of all sizes are alike but for their size.
    """
    rng, dims = np.random.default_rng(seed), len(shape)
    labels = direct.blobs(TILE[dims], OBJECTS[dims], rng)
    tile = direct.trained_prediction(labels, rng=rng, **GEOMETRY[dims])
    copies = [-(-length // own) for length, own in zip(shape, TILE[dims], strict=True)]
    cut = (slice(None), *(slice(0, length) for length in shape))
    return np.ascontiguousarray(np.tile(tile, (1, *copies))[cut])


def by(shape: tuple[int, ...]) -> str:
    """2048 x 2048."""
    return " x ".join(map(str, shape))


def timed(function, prediction: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds of processor time, and labels."""
    start = time.process_time()
    labels = function(prediction, **GEOMETRY[prediction.ndim - 1], **SETTINGS)
    return time.process_time() - start, labels


def compare(shape: tuple[int, ...], repeats: int) -> None:
    """One row: both on the same image."""
    prediction = prediction_of(shape, seed=shape[-1])
    before = [timed(cluster, prediction) for _ in range(repeats)]
    direct_time, expected = timed(direct.cluster, prediction)
    after = [timed(cluster, prediction) for _ in range(repeats)]
    fast_time = statistics.median(seconds for seconds, _ in before + after)
    same = all(np.array_equal(labels, expected) for _, labels in before + after)
    print(
        f"{by(shape):>15} {expected.max():7d} {direct_time:10.2f} s {fast_time:10.4f} s "
        f"{direct_time / fast_time:9.0f} x   {'identical' if same else 'DIFFERENT'}",
        flush=True,
    )
    if not same:
        raise SystemExit("labels differ")


def grow(shapes: list[tuple[int, ...]], repeats: int) -> None:
    """Times by size and the exponent."""
    times = []
    for shape in shapes:
        prediction = prediction_of(shape, seed=1)
        runs = [timed(cluster, prediction) for _ in range(repeats)]
        times.append(statistics.median(seconds for seconds, _ in runs))
        print(f"{by(shape):>15} {runs[0][1].max():7d} {times[-1]:27.4f} s", flush=True)
    exponent = np.polyfit(np.log([math.prod(shape) for shape in shapes]), np.log(times), 1)[0]
    print(f"time ~ pixels^{exponent:.2f}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spatial-dims", type=int, choices=(2, 3), default=2)
    parser.add_argument("--direct-size", type=int, nargs="*", help="2D: sides of images for the comparison")
    parser.add_argument("--sizes", type=int, nargs="*", help="2D: sides of images for the growth")
    parser.add_argument("--skip-direct", action="store_true", help="measure the growth only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dims = arguments.spatial_dims
    compared, growing = DIRECT[dims], GROWTH[dims]
    if dims == 2:
        compared = compared if arguments.direct_size is None else [(side, side) for side in arguments.direct_size]
        growing = growing if arguments.sizes is None else [(side, side) for side in arguments.sizes]
    timed(cluster, prediction_of((64,) * dims, seed=0))  # compiles
    print(f"{'image':>15} {'objects':>7} {'direct':>12} {'im2im':>12} {'ratio':>11}")
    for shape in [] if arguments.skip_direct else compared:
        compare(shape, arguments.repeats)
    if growing:
        grow(growing, arguments.repeats)


if __name__ == "__main__":
    main()
