"""From a configuration and images to a run folder with a bundle in it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from im2im_core import build
from im2im_core.bundle import BundleManifest, ComponentSource, save_bundle, start_from
from im2im_core.config import RunConfig
from im2im_core.environment import environment, package_version
from im2im_core.errors import DataError, Im2imError, OutputError
from im2im_core.files import check_writable, write_json, write_text
from im2im_core.formats import image_loader
from im2im_core.interfaces import DataFacts, TrainingResult
from im2im_core.planning import inspect_data, plan_settings
from im2im_core.processes import job, rank
from im2im_core.registry import Registry
from im2im_core.tuning import Tuned, tune_postprocessing

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule

DEFAULT_WINDOW = {2: 512, 3: 64}


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """A bundle whose weights a training starts from.

    Attributes:
        bundle: its folder, or the run's that holds it.
        partial: leave out tensors that do not fit, instead of refusing the bundle.
        left_out: told the names of the tensors that keep their random start.
    """

    bundle: Path
    partial: bool = False
    left_out: Callable[[list[str]], None] | None = None

    def load_into(self, model: LightningModule) -> None:
        """Copy the weights.

        Raises:
            BundleError: damaged, or tensors differ; names the first of them.
        """
        names = start_from(model, self.bundle, partial=self.partial)
        if self.left_out:
            self.left_out(names)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Where a training left its results, and how it ended."""

    run_dir: Path
    bundle: Path
    result: TrainingResult
    facts: DataFacts
    seconds: float
    tuned: Tuned | None = None


def new_run_dir(parent: Path, config: RunConfig) -> Path:
    """`<time>-<model>` inside `parent`, or `<job>-<model>` in a cluster's job; a number is added when that exists."""
    if shared := job():
        return parent / f"{shared}-{config.model.component.name}"
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{config.model.component.name}"
    candidates = [parent / name, *(parent / f"{name}-{n}" for n in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def find_checkpoint(path: Path) -> Path:
    """The checkpoint to resume from: a checkpoint itself, or a run folder's last one.

    Raises:
        DataError: there is none.
    """
    found = path if path.is_file() else path / "checkpoints" / "last.ckpt"
    if not found.is_file():
        raise DataError(
            f"there is no checkpoint to resume from at '{path}'", "name the run folder of an unfinished run"
        )
    return found


def train(
    registry: Registry,
    config: RunConfig,
    run_dir: Path,
    *,
    resume: Path | None = None,
    command: list[str] | None = None,
    init_from: InitialWeights | None = None,
    announce: Callable[[DataFacts], None] | None = None,
) -> FinishedRun:
    """Train and write the bundle.

    Args:
        registry: the installed plug-ins.
        config: the resolved configuration.
        run_dir: folder to be made, or the run's own one when resuming.
        resume: a checkpoint of this run.
        command: command line to record.
        init_from: weights of a bundle to start from.
        announce: told what the data are before the training starts.

    Raises:
        Im2imError: for whatever a user can mend; what was done so far stays in `run_dir`.
    """
    started = time.monotonic()
    load = image_loader(registry, config.reader)
    facts = inspect_data(registry, config)
    if announce:
        announce(facts)
    config = plan_settings(registry, config, facts, load)
    check_writable(run_dir)
    first = rank() == 0
    if first:
        write_text(run_dir / "config.yaml", config.to_yaml())
        write_json(run_dir / "environment.json", environment(registry, command))
    import pytorch_lightning as pl

    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build.build_data(config, facts, load, run_dir / "cache", preprocessing_fingerprint(config))
    model = build.build_model(
        config,
        spatial_dims=facts.spatial_dims,
        in_channels=facts.in_channels,
        target_channels=facts.target_channels,
        training=True,
    )
    if init_from:
        init_from.load_into(model)
    try:
        result = build.build_trainer(config).fit(
            model,
            data,
            run_dir,
            resume=resume,
            validate=build.build_validation(config, facts.spatial_dims, facts.pixel_size),
            monitor=build.monitored(config),
        )
    except OSError as error:
        raise OutputError(
            f"cannot write to '{run_dir}': {error.strerror or error}", "free some space, then --resume"
        ) from error
    if not first:
        return FinishedRun(run_dir, run_dir / "bundle", result, facts, time.monotonic() - started)
    tuned = None if result.interrupted else tune_postprocessing(config, result.model, data, facts.pixel_size)
    if tuned:
        config = tuned.config
    seconds = time.monotonic() - started
    bundle = run_dir / "bundle"
    manifest = describe(registry, config, facts, result, seconds)
    more: dict[str, Any] = {"tuned": tuned.record()} if tuned else {}
    if init_from:
        more["init_from"] = str(init_from.bundle)
    manifest = manifest.model_copy(update={"training": {**manifest.training, **more}})
    save_bundle(bundle, manifest, config, result.model, sample_of(result.model, data))
    return FinishedRun(run_dir, bundle, result, facts, seconds, tuned)


def preprocessing_fingerprint(config: RunConfig) -> str:
    """Changes whenever a setting changes that a cached sample depends on."""
    relevant = [choice.settings() for choice in (config.reader, *config.preprocessing) if choice]
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def describe(
    registry: Registry, config: RunConfig, facts: DataFacts, result: TrainingResult, seconds: float
) -> BundleManifest:
    """The bundle's description."""
    plugins = {info.name: info for info in registry.plugins}
    sources = []
    for section, choice in config.choices():
        info = plugins.get(choice.plugin)
        sources.append(
            ComponentSource(
                section=section,
                name=choice.name,
                plugin=choice.plugin,
                distribution=info.distribution if info else "",
                version=info.version if info else package_version(choice.plugin),
            )
        )
    least = DEFAULT_WINDOW[facts.spatial_dims]
    patch = config.patch_size(facts.spatial_dims) or (least,) * facts.spatial_dims
    return BundleManifest(
        core_version=package_version("im2im-core"),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        task=config.task,
        spatial_dims=facts.spatial_dims,
        axes="CZYX" if facts.spatial_dims == 3 else "CYX",
        in_channels=facts.in_channels,
        target_channels=facts.target_channels,
        channel_names=facts.channel_names,
        pixel_size=dict(facts.pixel_size),
        image_dtype=facts.dtype,
        target_dtype=facts.target_dtype,
        window=tuple(max(size, least) for size in patch),
        overlap=0.25,
        components=tuple(sources),
        metrics={key: float(value) for key, value in result.metrics.items()},
        training={
            "subjects": facts.pairs,
            "epochs": result.epochs,
            "steps": result.steps,
            "seconds": round(seconds, 1),
        },
        weights_sha256="",
    )


def sample_of(model: LightningModule, data: LightningDataModule) -> tuple[Any, Any]:
    """A network input and what the network makes of it, for the bundle."""
    import torch

    batch = next(iter(data.val_dataloader() or ()), None)
    if batch is None:  # a single image, or val_fraction 0: nothing is left for validation
        batch = next(iter(data.train_dataloader()))
    image = batch["image"][:1]
    corner = (slice(None), slice(None), *(slice(0, min(n, 128)) for n in image.shape[2:]))
    image = image[corner].float()
    model.eval()
    with torch.inference_mode():
        prediction = model(image.to(model.device))
    if prediction.shape[2:] != image.shape[2:]:
        raise Im2imError(
            f"the model changed the image size from {tuple(image.shape[2:])} to {tuple(prediction.shape[2:])}"
        )
    return image[0].cpu().numpy(), prediction[0].float().cpu().numpy()
