"""`im2im demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from im2im_core.cli import options

TRAIN_IMAGES, TEST_IMAGES = 24, 8
# Few images, so many patches of each: 440 steps, which take two cores less than three minutes.
DEMO_SETTINGS: dict[str, Any] = {
    "dataset.patches_per_image": 8,
    "trainer.max_epochs": 20,
    "trainer.check_val_every_n_epoch": 5,
    # Two validation images cannot tell which epoch is best, and the learning rate ends at zero anyway.
    "trainer.keep_best": False,
}


def demo(
    data: options.Data = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that the demo makes.")] = Path("demo"),
    preset: Annotated[str, typer.Option("--preset", help="Settings to train with.")] = "nuclei-2d",
    sets: options.Sets = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the generated images and of the training.")] = 0,
) -> None:
    """Train, predict and evaluate on generated nuclei, or on a folder of your own; needs no network and no data."""
    from im2im_core.cli.console import console
    from im2im_core.cli.evaluate import run_evaluation
    from im2im_core.cli.predict import report_failures, run_prediction
    from im2im_core.cli.train import resolve_settings, run_training
    from im2im_core.files import check_writable
    from im2im_core.registry import Registry

    registry = Registry.discover()
    check_writable(out)
    terminal = console()
    if data is None:
        train, test = generate(registry, out / "images", seed)
        terminal.print(f"made {TRAIN_IMAGES} training and {TEST_IMAGES} test images: {out / 'images'}", highlight=False)
    else:
        train, test = split_own(Path(data))
    flags: dict[str, Any] = {"seed": seed, "dataset": {"path": str(train)}}
    assignments = [] if data else [f"{key}={value}" for key, value in DEMO_SETTINGS.items()]
    settings = resolve_settings(registry, preset=preset, config=None, flags=flags, sets=[*assignments, *(sets or [])])
    run_dir = run_training(registry, settings, out / "runs")
    labels = run_dir / "predictions"
    failed = run_prediction(registry, run_dir / "bundle", str(test), labels)
    title = "Demo: nuclei that the network has not seen" if data is None else f"Demo: {data}"
    run_evaluation(registry, labels, str(test), [], run_dir / "evaluation", run_dir=run_dir, title=title)
    report_failures(failed)


def generate(registry: Any, folder: Path, seed: int) -> tuple[Path, Path]:
    """Nuclei-like images to learn from and others to be judged by."""
    from im2im_core.demo_images import write_demo
    from im2im_core.formats import image_writer

    writer = image_writer(registry, Path("image.tiff"))
    write_demo(folder, TRAIN_IMAGES, TEST_IMAGES, seed, writer.write)
    return folder / "train", folder / "test"


def split_own(folder: Path) -> tuple[Path, Path]:
    """Folders to train on and to be judged by: `train` and one other sub-folder, or the same one twice."""
    from im2im_core.errors import DataError

    if not folder.is_dir():
        raise DataError(f"'{folder}' is not a folder", "name a folder of X_IM and X_GT images")
    if (folder / "train").is_dir():
        for name in ("test", "holdout", "val"):
            if (folder / name).is_dir():
                return folder / "train", folder / name
    return folder, folder
