"""A mosaic of nuclei segmented block by block: peak memory, and time beside that of its tiles one by one.

A tile is a piece of 2048 x 2048 pixels, predicted as an image of its own in the same process, from file to file. The
mosaic of S x S pixels has (S / 2048)^2 of them.

    python benchmarks/large_image.py runs/RUN/bundle --size 16384
    python benchmarks/large_image.py runs/RUN/bundle --size 8192 --images nuclei2d/train
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

TILE = 2048
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "nuclei2d" / "train"


def mosaic(path: Path, size: int, images: Path, piece: int = 256) -> None:
    """Write images side by side, in random order, as one tiled TIFF, uint8; row of tiles by row of tiles."""
    rng = np.random.default_rng(0)
    sources = [tifffile.imread(file) for file in sorted(images.glob("*_IM.tif*"))]
    sources = [source[:piece, :piece] for source in sources if min(source.shape[:2]) >= piece and source.ndim == 2]
    array = tifffile.memmap(path, shape=(size, size), dtype=np.uint8, bigtiff=True, metadata={"axes": "YX"})
    for top in range(0, size, piece):
        row = np.concatenate([sources[i] for i in rng.integers(len(sources), size=-(-size // piece))], axis=1)
        array[top : top + piece] = row[: size - top, :size]
    array.flush()


def segment(bundle: Path, folder: Path, size: int, tiles: int) -> None:
    """In a process of its own, so that its memory is its own."""
    from im2im_core.bundle import open_bundle
    from im2im_core.formats import image_loader, image_writer
    from im2im_core.prediction import Predictor
    from im2im_core.registry import Registry
    from im2im_core.result_files import ResultFiles

    registry = Registry.discover()
    opened = open_bundle(bundle, registry)
    load, predictor = image_loader(registry, opened.config.reader), Predictor(opened)
    files = ResultFiles(folder / "labels", ".tiff", image_writer(registry, Path("x.tiff")))
    large = load(folder / "mosaic.tiff")
    spent = []
    rng = np.random.default_rng(1)
    for _ in range(tiles + 1):
        top, left = rng.integers(0, size - TILE, 2, endpoint=True)
        piece = np.asarray(large.data[..., top : top + TILE, left : left + TILE]).reshape(TILE, TILE)
        tifffile.imwrite(folder / "tile.tiff", piece)
        before = time.process_time()
        files.predict(predictor, load(folder / "tile.tiff"), "tile")
        spent.append(time.process_time() - before)
    one = statistics.mean(spent[1:])  # the first one compiles the clustering
    tiles_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    before, clock = time.process_time(), time.monotonic()
    files.predict(predictor, large, "mosaic")
    spent_whole, wall = time.process_time() - before, time.monotonic() - clock
    count = (size / TILE) ** 2
    objects = sum(1 for _ in (folder / "labels" / "objects" / "mosaic.csv").open()) - 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    between = f"{min(spent[1:]):.1f}-{max(spent[1:]):.1f}"
    print(f"one tile of {TILE} x {TILE}: {one:.1f} s of processor time (of {tiles}: {between})")
    print(f"{size} x {size}: {spent_whole:.1f} s of processor time, {wall:.1f} s on the clock, {objects} objects")
    print(f"time over (tiles x time of one tile): {spent_whole / (count * one):.3f}")
    print(f"peak memory {memory:.2f} GiB; with tiles alone {tiles_memory:.2f} GiB")


def main() -> None:
    """Make the mosaic and segment it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--size", type=int, default=16384)
    parser.add_argument("--tiles", type=int, default=3)
    parser.add_argument("--images", type=Path, default=SHARED)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mosaic(Path(folder) / "mosaic.tiff", arguments.size, arguments.images)
        child = multiprocessing.get_context("spawn").Process(
            target=segment, args=(arguments.bundle, Path(folder), arguments.size, arguments.tiles)
        )
        child.start()
        child.join()
        raise SystemExit(child.exitcode)


if __name__ == "__main__":
    main()
