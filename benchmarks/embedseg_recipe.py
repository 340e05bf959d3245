"""EmbedSeg with the published recipe beside a plain one: same network, data, optimizer, seed and number of steps.

    python benchmarks/embedseg_recipe.py nuclei2d/train nuclei2d/holdout --epochs 6 --patches 4 --out recipe/

Published (Lalit et al. 2022): crops around every object with its medoid as centre, weight of the foreground and least
object size from the data, polynomial learning rate, flips and turns, best epoch by AP on validation images, thresholds
chosen there, and a mean over flips and turns in prediction. Plain: none of these. What is done already is kept, so the
same command goes on after an interruption. AP at an IoU threshold is TP/(TP+FP+FN), averaged over the hold-out images.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from commands import im2im, mean_figures
from tifffile import imread

KEYS = ["image", "target", "costmap"]
COMMON: Mapping[str, Any] = {
    "model": {"name": "embedseg", "initial_radius": 8.0},
    "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 1e-4},
    "trainer": {"name": "lightning", "gradient_clip_val": 1.0, "progress": False},
}
TURNS = [
    {"name": "RandFlipd", "keys": KEYS, "prob": 0.5, "spatial_axis": -2, "allow_missing_keys": True},
    {"name": "RandRotate90d", "keys": KEYS, "prob": 0.75, "spatial_axes": [-2, -1], "allow_missing_keys": True},
]


def plain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Patches anywhere, centroids, one learning rate, last epoch, thresholds of one half."""
    return {
        **COMMON,
        "dataset": {"name": "paired", **data(arguments)},
        "loss": {"name": "spatial-embedding", "center": "centroid", "foreground_weight": 10.0},
        "augmentation": [],
        "scheduler": {"name": "constant", "factor": 1.0},
        "trainer": {**COMMON["trainer"], "max_epochs": arguments.epochs, "keep_best": False},
        "postprocessing": [{"name": "embedseg-clustering", "min_object_size": 36, "tune": False}],
    }


def published(arguments: argparse.Namespace) -> dict[str, Any]:
    """See the head of this file; numbers that depend on the data come from the training targets."""
    weight, least = facts(arguments.train)
    center = {"center": "approximate-medoid"}
    return {
        **COMMON,
        "dataset": {"name": "instances", "mode": "instance-crops", **data(arguments), **center},
        "loss": {"name": "spatial-embedding", "foreground_weight": weight, **center},
        "augmentation": TURNS,
        "scheduler": {"name": "polynomial", "power": 0.9},
        "trainer": {**COMMON["trainer"], "max_epochs": arguments.epochs},
        "postprocessing": [{"name": "embedseg-clustering", "min_object_size": least}],
    }


ARMS = {"plain": plain, "published": published}


def data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings that both data sets share."""
    return {"patch_size": 128, "patches_per_image": arguments.patches, "batch_size": 8}


def facts(folder: Path) -> tuple[float, int]:
    """Background over foreground pixels, and a size below which there is no object but one in a hundred."""
    sizes: list[int] = []
    foreground = total = 0
    for path in sorted(folder.glob("*_GT.tiff")):
        labels = imread(path)
        foreground, total = foreground + int((labels > 0).sum()), total + labels.size
        sizes += [int(n) for n in np.bincount(labels.reshape(-1))[1:] if n]
    return round((total - foreground) / foreground, 2), int(np.percentile(sizes, 1)) - 1


def trained(arguments: argparse.Namespace, arm: str, seed: int) -> Path:
    """The run of an arm and a seed, trained unless it is there."""
    out = arguments.out / f"{arm}-{seed}"
    done = [path.parent for path in out.glob("*/bundle")]
    if not done:
        out.mkdir(parents=True, exist_ok=True)
        config = out / "settings.yaml"
        config.write_text(yaml.safe_dump({"seed": seed, **ARMS[arm](arguments)}), encoding="utf-8")
        im2im("train", "--config", config, "--data", arguments.train, "--out", out)
        done = [path.parent for path in out.glob("*/bundle")]
    return done[0]


def judged(arguments: argparse.Namespace, arm: str, seed: int, run: Path) -> dict[str, float]:
    """Mean figures on the hold-out."""
    labels = arguments.out / f"{arm}-{seed}" / "labels"
    turned = ["--uncertainty", "test-time-augmentation"] if arm == "published" else []
    im2im("predict", run, arguments.holdout, labels, *turned)
    return mean_figures(labels, arguments.holdout)


def main() -> None:
    """Train, predict, evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("holdout", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--patches", type=int, default=4, help="patches per image and epoch")
    parser.add_argument("--train-only", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for seed in arguments.seeds:
        for arm in ARMS:
            run = trained(arguments, arm, seed)
            if arguments.train_only:
                continue
            figures = judged(arguments, arm, seed, run)
            found[arm].append(figures["ap@0.50"])
            print(f"{arm}, seed {seed}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
    for arm, values in found.items():
        if values:
            print(f"{arm}: mean AP at 0.5 {statistics.mean(values):.3f} over seeds {arguments.seeds}")


if __name__ == "__main__":
    main()
