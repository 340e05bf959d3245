"""A preset of im2im beside Cellpose 3: the same images and computer, both from random weights.

    python3 -m venv cellpose-env && cellpose-env/bin/pip install "cellpose<4"
    python benchmarks/beside_cellpose.py nuclei2d/train nuclei2d/holdout --peer cellpose-env/bin/python --out beside/

im2im trains as its preset says; then Cellpose (Stringer et al. 2021) trains, as long or some times as long, with the
defaults of its `train_seg` but for the number of epochs, of 16 images each. Its trained models are not used, and they
are what most people use it for; nor is its model of sizes: all images are scaled by the mean diameter of the training
objects. Both are judged by `im2im evaluate`. What is done already is kept.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from commands import im2im, mean_figures
from tifffile import imread, imwrite

IMAGES_PER_EPOCH = 16


def images(folder: Path, part: str) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a part, IM or GT, by stem."""
    return {path.name.partition(f"_{part}.")[0]: imread(path) for path in sorted(folder.glob(f"*_{part}.tif*"))}


def peer(arguments: argparse.Namespace) -> None:
    """Train Cellpose for some seconds, and predict; runs in its own environment."""
    from cellpose import models, train

    labels = arguments.out / "labels"
    arguments.out.mkdir(parents=True, exist_ok=True)
    data, targets = images(arguments.train, "IM"), images(arguments.train, "GT")
    model = models.CellposeModel(gpu=False, pretrained_model=False)

    def fit(epochs: int, images_per_epoch: int) -> float:
        started = time.perf_counter()
        train.train_seg(
            model.net,
            train_data=list(data.values()),
            train_labels=[targets[stem].astype(np.int32) for stem in data],
            channels=[0, 0],
            n_epochs=epochs,
            nimg_per_epoch=images_per_epoch,
            save_path=arguments.out,
        )
        return time.perf_counter() - started

    # The flows of all targets are computed before the first epoch. That is not counted.
    few = 16
    one, three = fit(1, few), fit(3, few)
    of_an_image = (three - one) / (2 * few)
    epochs = max(1, round(arguments.seconds / (of_an_image * IMAGES_PER_EPOCH)))
    model = models.CellposeModel(gpu=False, pretrained_model=False)
    print(f"cellpose: {fit(epochs, IMAGES_PER_EPOCH):.0f} s, {epochs} epochs of {IMAGES_PER_EPOCH} images", flush=True)
    labels.mkdir()
    for stem, image in images(arguments.holdout, "IM").items():
        found = model.eval(image, channels=[0, 0], diameter=float(model.net.diam_labels.item()))[0]
        imwrite(labels / f"{stem}.tiff", found.astype(np.uint16))


def main() -> None:
    """Train, predict, evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("holdout", type=Path)
    parser.add_argument("--peer", help="a Python that has cellpose<4")
    parser.add_argument("--preset", default="nuclei-2d")
    parser.add_argument("--times", type=float, default=1, help="how many times as long Cellpose trains")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.seconds:
        peer(arguments)
        return
    runs = arguments.out / "im2im"
    started = time.perf_counter()
    if not list(runs.glob("*/bundle")):
        im2im("train", "--preset", arguments.preset, "--data", arguments.train, "--out", runs)
        (runs / "seconds").write_text(str(time.perf_counter() - started), encoding="utf-8")
    seconds = float((runs / "seconds").read_text(encoding="utf-8"))
    print(f"im2im: {seconds:.0f} s", flush=True)
    im2im("predict", next(runs.glob("*/bundle")), arguments.holdout, runs / "labels")
    other = arguments.out / "cellpose"
    if not (other / "labels").exists():
        words = [arguments.peer, __file__, arguments.train, arguments.holdout, "--out", other]
        words += ["--seconds", arguments.times * seconds]
        subprocess.run([str(word) for word in words], check=True)
    for name, labels in (("im2im", runs / "labels"), ("cellpose", other / "labels")):
        figures = mean_figures(labels, arguments.holdout)
        print(f"{name}: " + ", ".join(f"{key} {figures[key]:.3f}" for key in ("ap@0.50", "ap@0.75", "mean_ap")))


if __name__ == "__main__":
    main()
