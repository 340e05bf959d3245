"""Cutting instance crops: time against a loop with one pass over the whole image for each object.

The loop, which stands here, finds the pixels of an object by comparing all pixels of the image with its number, once,
and takes from them the centre for centre image and crop. Both are given images in memory, in one process, and make the
same arrays: image, labels, centre image and class image of every crop, which are compared. Finding the objects is what
the two do in different ways; copying the pixels of the crops, which is told apart, takes both as long. Times there are
those of the processor, so that other work on the machine counts less. `center` is the function
that finds a centre among the pixels of an object; it is the same in both, so with medoids the ratio tells less.

Then the whole preparation of the same images from files on disk to files on disk, with one process and with several.

    python benchmarks/embedseg_preparation.py --images 8 --size 1024 --objects 400
    python benchmarks/embedseg_preparation.py --data nuclei2d/train
    python benchmarks/embedseg_preparation.py --data inst3d_nuclei/train --crop 16 64 64 --memory-only
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tifffile import imread, imwrite

from im2im_core import Image
from im2im_embedseg.centers import center_of
from im2im_embedseg.crop_making import Objects, list_objects, make_crops, padded
from im2im_embedseg.dataset_config import InstancesConfig
from im2im_embedseg.instance_data import InstancesDataModule

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "im2im_embedseg" / "tests"))
import direct_embedseg as direct

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "nuclei2d" / "train"


def find(sample: dict, center: str) -> Objects:
    """The package: where the objects are."""
    return list_objects(sample["target"][0], center)


def cut(sample: dict, objects: Objects, size: tuple[int, ...]) -> dict:
    """The package: their crops."""
    return make_crops(sample, objects, slice(0, len(objects)), size)


def find_one_by_one(sample: dict, center: str) -> list[np.ndarray]:
    """One pass over the whole image for each object."""
    labels = sample["target"][0]
    places = []
    for number in [number for number in np.unique(labels) if number]:
        pixels = np.stack(np.nonzero(labels == number), axis=1)
        places.append(np.rint(center_of(pixels, center)).astype(int))
    return places


def cut_one_by_one(sample: dict, places: list[np.ndarray], size: tuple[int, ...]) -> dict:
    """The crops of the loop, which are copied as those of the package are."""
    labels = sample["target"][0]
    marks, classes = np.zeros(labels.shape, np.uint8), (labels > 0).astype(np.uint8)
    for place in places:
        marks[tuple(place)] = 1
    found: dict[str, list] = {key: [] for key in ("image", "labels", "centers", "classes")}
    for place in places:
        start = [min(max(0, c - n // 2), s - n) for c, n, s in zip(place, size, labels.shape, strict=True)]
        region = (..., *(slice(a, a + n) for a, n in zip(start, size, strict=True)))
        for key, source in (("image", sample["image"]), ("labels", labels), ("centers", marks), ("classes", classes)):
            found[key].append(source[region])
    return {key: np.stack(crops) for key, crops in found.items()}


def generated(folder: Path, images: int, shape: tuple[int, ...], objects: int) -> None:
    """Images with about so many objects each."""
    rng = np.random.default_rng(0)
    side = round(objects ** (1 / len(shape)))
    counts = (round(objects / side ** (len(shape) - 1)), *[side] * (len(shape) - 1))
    for index in range(images):
        labels = direct.blobs(shape, counts, rng).astype(np.uint16)
        imwrite(folder / f"{index}_GT.tiff", labels)
        imwrite(folder / f"{index}_IM.tiff", ((labels > 0) * 100 + rng.integers(0, 60, shape)).astype(np.uint8))


def timed(seconds: dict[str, float], name: str, function, *arguments):
    """Add processor time to an entry of `seconds`."""
    start = time.process_time()
    result = function(*arguments)
    seconds[name] = seconds.get(name, 0.0) + time.process_time() - start
    return result


def compare(folder: Path, size: tuple[int, ...], center: str, most: int) -> None:
    """Both in memory, one image after the other."""
    seconds: dict[str, float] = {}
    objects = images = 0
    for file in sorted(folder.glob("*_GT.tif*"))[:most]:
        labels = imread(file).astype(np.int32)
        image = imread(next(folder.glob(file.name.split("_GT")[0] + "_IM.tif*"))).astype(np.float32)
        image = np.moveaxis(image, -1, 0) if image.ndim > labels.ndim else image[None]
        sample = padded({"image": image, "target": labels[None]}, size)
        if not sample["target"].any():
            continue
        if not images:
            cut(sample, find(sample, center), size)  # not timed: memory is taken from the system once
        found = timed(seconds, "find", find, sample, center)
        crops = timed(seconds, "cut", cut, sample, found, size)
        places = timed(seconds, "find, loop", find_one_by_one, sample, center)
        expected = timed(seconds, "cut, loop", cut_one_by_one, sample, places, size)
        for key, value in expected.items():
            if not np.array_equal(crops[key], value):
                raise SystemExit(f"{file.name}: {key} differs")
        objects, images = objects + len(places), images + 1
    fast, slow = seconds["find"] + seconds["cut"], seconds["find, loop"] + seconds["cut, loop"]
    print(
        f"in memory, {images} images, {objects} objects, centre '{center}': loop {slow:.2f} s, package {fast:.3f} s "
        f"of one core, {slow / fast:.1f} times faster, equal; finding the objects alone {seconds['find, loop']:.2f} s "
        f"and {seconds['find']:.3f} s, {seconds['find, loop'] / seconds['find']:.1f} times faster, the rest is copying",
        flush=True,
    )


def load(path: Path) -> Image:
    """Read a file."""
    pixels = imread(path)
    return Image(pixels, "ZYX"[-pixels.ndim :])


def from_files(folder: Path, size: tuple[int, ...], center: str, workers: int) -> None:
    """The whole preparation, and a second start that finds everything made."""
    settings = {"path": str(folder), "mode": "instance-crops", "patch_size": size, "center": center, "val_fraction": 0}
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            data = InstancesDataModule(
                InstancesConfig(**settings, prepare_workers=workers),
                load=load,
                preprocessing=lambda sample: sample,
                augmentation=lambda sample: sample,
                spatial_dims=len(size),
                seed=0,
                cache_dir=Path(cache),
            )
            start = time.perf_counter()
            data.prepare_data()
            seconds.append(time.perf_counter() - start)
        disk = sum(file.stat().st_size for file in Path(cache).iterdir()) / 1e6
    print(
        f"from files to files, {workers} processes: {seconds[0]:.2f} s, {disk:.0f} MB; "
        f"found again in {seconds[1]:.2f} s",
        flush=True,
    )


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, nargs="+", default=[1024], help="pixels per axis, one number or [Z] Y X")
    parser.add_argument("--objects", type=int, default=400, help="in each image")
    parser.add_argument("--crop", type=int, nargs="+", default=[128], help="pixels per axis, one number or [Z] Y X")
    parser.add_argument("--data", type=Path, default=None, help="folder of X_IM.tiff and X_GT.tiff; default: generated")
    parser.add_argument("--center", nargs="+", default=["centroid", "approximate-medoid"])
    parser.add_argument("--most", type=int, default=40, help="of the images are compared in memory")
    parser.add_argument("--memory-only", action="store_true", help="leave the preparation from files out")
    chosen = parser.parse_args()
    dims = max(2, len(chosen.size), len(chosen.crop))
    shape, crop = (tuple(value) if len(value) > 1 else (value[0],) * dims for value in (chosen.size, chosen.crop))
    with tempfile.TemporaryDirectory() as made:
        sets = [("data", chosen.data)] if chosen.data else [("generated", Path(made))]
        if not chosen.data:
            generated(Path(made), chosen.images, shape, chosen.objects)
            if dims == 2 and SHARED.is_dir():
                sets.append(("nuclei2d", SHARED))
        for name, folder in sets:
            print(f"{name}: crops of {' x '.join(map(str, crop))}", flush=True)
            for center in chosen.center:
                compare(folder, crop, center, chosen.most)
            for workers in () if chosen.memory_only else (0, os.cpu_count() or 1):
                from_files(folder, crop, chosen.center[0], workers)


if __name__ == "__main__":
    main()
