"""Checks of models, data sets, trainers and presets: what takes a training, a small one."""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.build import build_model
from im2im_core.bundle import open_bundle
from im2im_core.components import Component
from im2im_core.config import resolve
from im2im_core.image import Image
from im2im_core.prediction import Predictor
from im2im_core.testing.checks import NotChecked, Subject, in_each, require
from im2im_core.testing.toy_data import PIXELS, disc_image, load, with_toy_reader, write_pairs
from im2im_core.training import train

TRAINING_SIZE = {2: (64, 64), 3: (16, 32, 32)}
PATCH = {2: [32, 32], 3: [8, 32, 32]}
EPOCHS = 4
# By what share of itself the first epoch's loss has to fall.
LEARNED = 0.01


def of_component(component: Component) -> list[Callable[[Subject], None]]:
    """Those of its kind."""
    checks: dict[str, list[Callable[[Subject], None]]] = {
        "model": [check_size_of_the_prediction, check_learns_and_predicts],
        "dataset": [check_batches, check_seed],
        "trainer": [check_can_fit],
        "preset": [check_resolves],
    }
    return checks.get(component.kind, [])


def check_size_of_the_prediction(subject: Subject) -> None:
    """`forward` maps (B, C, [Z,] Y, X) to (B, K, [Z,] Y, X) and gives the same twice, without loss and optimizer."""
    import torch

    for dims in subject.component.spatial_dims:
        config = resolve(subject.registry, flags=_flags(subject, Path("x"), dims))
        model = build_model(config, spatial_dims=dims, in_channels=1, target_channels=1, training=False).eval()
        batch = torch.randn(2, 1, *PIXELS[dims])
        with torch.inference_mode():
            first, second = model(batch), model(batch)
        require(tuple(first.shape[2:]) == PIXELS[dims], f"in {dims}D the size becomes {tuple(first.shape)}")
        require(torch.equal(first, second), f"in {dims}D a second pass gives something else")


def check_learns_and_predicts(subject: Subject) -> None:
    """A few epochs lower the loss, and the bundle predicts what the trained model did."""
    component = subject.component
    dims = min(component.spatial_dims)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = with_toy_reader(subject.registry)
        data = write_pairs(folder / "data", component.task, dims, count=6, size=TRAINING_SIZE[dims])
        settings = {
            # Every epoch sees the same, so that nothing but learning lowers the loss.
            "dataset.patch_size": "null",
            "augmentation": "[]",
            "dataset.batch_size": 2,
            "trainer.max_epochs": EPOCHS,
            "trainer.check_val_every_n_epoch": 1,
            "trainer.accelerator": "cpu",
            "trainer.progress": "false",
        }
        assignments = [f"{key}={value}" for key, value in settings.items()]
        config = resolve(registry, flags=_flags(subject, data, dims), assignments=assignments)
        run = train(registry, config, folder / "run")
        with (folder / "run" / "metrics.csv").open(newline="") as stream:
            losses = [float(row["train_loss"]) for row in csv.DictReader(stream) if row.get("train_loss")]
        require(losses and all(map(math.isfinite, losses)), f"`train_loss` of the epochs is {losses}")
        if not component.adversarial:
            require(losses[0] - min(losses[1:]) > LEARNED * abs(losses[0]), f"the loss does not fall: {losses}")
        predictor = Predictor(open_bundle(run.bundle, registry), device="cpu")
        sample = [np.load(run.bundle / f"sample_{which}.npy") for which in ("input", "output")]
        import torch

        with torch.inference_mode():
            again = predictor.model(torch.from_numpy(sample[0])[None])[0].numpy()
        require(np.allclose(again, sample[1], rtol=1e-3, atol=1e-4), "the bundle predicts something else")
        image, _ = disc_image(dims, 9)
        result = predictor.predict(Image(image, "ZYX"[-dims:]))
        require(result.shape[-dims:] == image.shape, f"of {image.shape} comes a result of {result.shape}")


def check_batches(subject: Subject) -> None:
    """Batches hold float32 images (B, C, [Z,] Y, X) and targets of the same pixels."""
    import torch

    for dims, (batch, *_) in in_each(lambda dims: _first_batches(subject, dims, seed=0)):
        require({"image", "target"} <= set(batch), f"in {dims}D a batch holds {sorted(batch)}")
        require(batch["image"].dtype == torch.float32, f"in {dims}D images are {batch['image'].dtype}")
        require(batch["image"].ndim == dims + 2, f"in {dims}D images have shape {tuple(batch['image'].shape)}")
        shapes = {tuple(value.shape[2:]) for key, value in batch.items() if key in ("image", "target", "costmap")}
        require(len(shapes) == 1, f"in {dims}D image, target and cost map differ: {shapes}")


def check_seed(subject: Subject) -> None:
    """The same seed gives the same batches, another one others."""
    import torch

    for dims, (one, two, other) in in_each(lambda dims: [_first_batches(subject, dims, seed) for seed in (1, 1, 2)]):
        same = all(torch.equal(a["image"], b["image"]) for a, b in zip(one, two, strict=True))
        require(same, f"in {dims}D a second data set of the same seed gives other batches")
        different = any(not torch.equal(a["image"], b["image"]) for a, b in zip(one, other, strict=False))
        require(different, f"in {dims}D another seed gives the same batches")


def check_can_fit(subject: Subject) -> None:
    """What is built has a method `fit`."""
    trainer = subject.component.factory(subject.config)
    require(callable(getattr(trainer, "fit", None)), f"'{type(trainer).__name__}' has no method `fit`")


def check_resolves(subject: Subject) -> None:
    """With data named, the settings are a complete run of the preset's task."""
    config = resolve(subject.registry, preset=subject.entry.qualified, flags={"dataset": {"path": "x"}})
    require(config.task == subject.component.task, f"the task is '{config.task}', not '{subject.component.task}'")


def _flags(subject: Subject, data: Path, dims: int) -> dict[str, Any]:
    return {"model": {"name": subject.entry.qualified}, "dataset": {"path": str(data), "spatial_dims": dims}}


def _first_batches(subject: Subject, dims: int, seed: int) -> list[dict[str, Any]]:
    component = subject.component
    if "path" not in component.config.model_fields:
        raise NotChecked("without a setting 'path' it cannot be given images to make batches of")
    with tempfile.TemporaryDirectory() as name:
        task = component.tasks[0] if component.tasks else "instance-segmentation"
        folder = write_pairs(Path(name, "data"), task, dims, size=TRAINING_SIZE[dims])
        usual = {"path": str(folder), "patch_size": PATCH[dims], "batch_size": 2}
        config = component.config(
            **{key: value for key, value in usual.items() if key in component.config.model_fields}
        )
        component.inspect(config, load)
        data = replace(subject, settings=config.model_dump()).build(
            load=load,
            preprocessing=_unchanged,
            augmentation=_unchanged,
            spatial_dims=dims,
            seed=seed,
            cache_dir=Path(name, "cache"),
            fingerprint="",
            task=task,
        )
        data.setup("fit")
        batches = [batch for _, batch in zip(range(3), data.train_dataloader(), strict=False)]
        data.teardown("fit")
    return batches


def _unchanged(sample: Any) -> Any:
    return sample
