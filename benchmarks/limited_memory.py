"""Prediction of a part of a huge OME-Zarr volume under a hard limit of memory, and its speed beside the bare network.

The volume is generated lazily: its chunks are hard links to a few files, so 40 GiB take little disk and are read and
decoded all the same. A process that may not have more than --limit GiB (a cgroup where one can be made, otherwise
RLIMIT_DATA, which counts all private memory) predicts a part of it from file to file with an untrained U-Net. Then the
network alone is timed on windows of that volume that are in memory already, some of them, several times.

    python benchmarks/limited_memory.py --volume 40 --part 4 --limit 2
    python benchmarks/limited_memory.py --volume 4 --part 0.25
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

CGROUPS = Path("/sys/fs/cgroup/memory")
CHUNK = (64, 256, 256)
PLANE = (2048, 4096)
WINDOW = 128
MEASURED = 12


def volume(folder: Path, gigabytes: float) -> tuple[int, int, int]:
    """An OME-Zarr of float32 whose chunks are links to four files."""
    depth = max(CHUNK[0], int(gigabytes * 2**28 / math.prod(PLANE)) // CHUNK[0] * CHUNK[0])
    shape = (depth, *PLANE)
    (folder / "0").mkdir(parents=True)
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    scale = [{"type": "scale", "scale": [0.5, 0.2, 0.2]}]
    level = {"path": "0", "coordinateTransformations": scale}
    (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    (folder / ".zattrs").write_text(
        json.dumps({"multiscales": [{"version": "0.4", "axes": axes, "datasets": [level]}]})
    )
    array = {
        **{"zarr_format": 2, "shape": shape, "chunks": CHUNK, "dtype": "<f4", "order": "C", "compressor": None},
        **{"fill_value": 0, "filters": None, "dimension_separator": "/"},
    }
    (folder / "0" / ".zarray").write_text(json.dumps(array))
    rng = np.random.default_rng(0)
    for number in range(4):
        rng.random(CHUNK, np.float32).tofile(folder / f"pixels-{number}")
    for index in np.ndindex(*(n // c for n, c in zip(shape, CHUNK, strict=True))):
        place = folder / "0" / "/".join(map(str, index))
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / f"pixels-{sum(index) % 4}", place)
    return shape


def write_bundle(folder: Path) -> None:
    """The light 3D U-Net as it is by default, untrained, with the weights that its seed gives."""
    import torch

    from im2im_core.build import build_model
    from im2im_core.bundle import BundleManifest, ComponentSource, save_bundle
    from im2im_core.config import resolve
    from im2im_core.registry import Registry

    torch.manual_seed(0)
    registry = Registry.discover()
    flags = {
        "model": {"name": "fcn", "task": "restoration"},
        "network": {"name": "unet"},
        "dataset": {"path": "x", "spatial_dims": 3},
    }
    config = resolve(registry, flags=flags)
    model = build_model(config, spatial_dims=3, in_channels=1, target_channels=1, training=False).eval()
    image = np.random.default_rng(0).random((1, 32, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        output = model(torch.from_numpy(image)[None])[0].numpy()
    sources = tuple(
        ComponentSource(section=section, name=choice.name, plugin=choice.plugin) for section, choice in config.choices()
    )
    manifest = BundleManifest(
        created="2025-01-01T00:00:00+00:00",
        task="restoration",
        spatial_dims=3,
        axes="CZYX",
        in_channels=1,
        target_channels=1,
        window=(WINDOW,) * 3,
        overlap=0.25,
        components=sources,
        weights_sha256="",
    )
    save_bundle(folder, manifest, config, model, (image, output))


def limit_memory(gigabytes: float) -> str:
    """No more than this for the process at hand; says by which means."""
    size = int(gigabytes * 2**30)
    group = CGROUPS / f"im2im-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(size))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        return "RLIMIT_DATA"
    return "a memory cgroup"


def predict(folder: Path, part: float, limit: float, answers: Any) -> None:
    """In a process of its own: under the limit from file to file, then the bare network."""
    means = limit_memory(limit)
    from im2im_core.bundle import open_bundle
    from im2im_core.formats import image_loader, image_writer
    from im2im_core.prediction import Predictor
    from im2im_core.registry import Registry
    from im2im_core.result_files import ResultFiles
    from im2im_core.windows import window_starts

    registry = Registry.discover()
    predictor = Predictor(open_bundle(folder / "bundle", registry), batch=1)
    image = image_loader(registry)(folder / "volume.ome.zarr")
    rows = min(image.shape[0], 512)
    width = min(image.shape[2], 2048)
    height = min(image.shape[1], max(WINDOW, int(part * 2**28 / rows / width)))
    region = image.with_data(image.data[:rows, :height, :width])
    writer = image_writer(registry, Path("x.ome.zarr"))
    computed: list[int] = []
    count = predictor.model.register_forward_hook(lambda module, windows, output: computed.append(len(output)))
    before = time.monotonic()
    ResultFiles(folder / "out", ".ome.zarr", writer).predict(predictor, region, "volume")
    spent = time.monotonic() - before
    count.remove()
    windows = math.prod(len(window_starts(n, WINDOW, 0.25)) for n in region.shape)
    bare = bare_seconds(predictor, np.asarray(region.data[:WINDOW, :WINDOW, : 2 * WINDOW]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    answers.put((means, region.shape, spent, (windows, sum(computed)), bare, peak))


def bare_seconds(predictor: Any, pixels: Any) -> float:
    """Median time of the network on one window that is in memory."""
    import torch

    seconds = []
    with torch.inference_mode():
        for number in range(MEASURED + 1):
            window = torch.from_numpy(np.ascontiguousarray(pixels[..., number : number + WINDOW]))[None, None]
            before = time.monotonic()
            predictor.model(window)
            seconds.append(time.monotonic() - before)
    return statistics.median(seconds[1:])


def main() -> None:
    """Make the volume, predict a part of it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volume", type=float, default=40, help="GiB")
    parser.add_argument("--part", type=float, default=0.5, help="GiB that are predicted")
    parser.add_argument("--limit", type=float, default=2, help="GiB of memory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = volume(folder / "volume.ome.zarr", arguments.volume)
        context = multiprocessing.get_context("spawn")
        made = context.Process(target=write_bundle, args=(folder / "bundle",))
        made.start()
        made.join()
        answers = context.Queue()
        child = context.Process(target=predict, args=(folder, arguments.part, arguments.limit, answers))
        child.start()
        child.join()
        with suppress(OSError):
            (CGROUPS / f"im2im-{child.pid}").rmdir()
        if child.exitcode:
            raise SystemExit(f"the prediction ended with exit code {child.exitcode}: more than the limit was needed")
        means, part, spent, (windows, computed), bare, peak = answers.get()
    size = math.prod(shape) * 4 / 2**30
    print(f"volume of {'x'.join(map(str, shape))} float32, {size:.1f} GiB; limit of {arguments.limit} GiB by {means}")
    print(f"part of {'x'.join(map(str, part))}, {math.prod(part) * 4 / 2**30:.2f} GiB: {spent:.0f} s")
    print(f"{windows} windows, {computed} computed, since those at the borders of columns are computed twice")
    print(f"the network alone, on {computed} windows: {computed * bare:.0f} s ({1000 * bare:.0f} ms each)")
    done, needed = computed * bare / spent, windows * bare / spent
    print(f"throughput over that of the bare network: {done:.3f} on windows computed, {needed:.3f} on windows needed")
    print(f"peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
