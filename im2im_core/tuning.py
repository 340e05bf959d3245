"""Settings of post-processing chosen on the validation images once a training is over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from im2im_core.averages import mean_of_defined
from im2im_core.build import build_validation, monitored
from im2im_core.config import Choice, RunConfig
from im2im_core.progress import track

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search among settings of a post-processor came to.

    Attributes:
        config: the run with the best settings in it.
        changed: settings that differ from those before, by `postprocessing[i].name`.
        figure: name of the validation figure that decided.
        before: its mean over the validation images with the settings as they were.
        after: with those chosen; never worse.
        images: number of validation images.
    """

    config: RunConfig
    changed: Mapping[str, Any]
    figure: str
    before: float
    after: float
    images: int

    def record(self) -> dict[str, Any]:
        """As plain JSON, for the bundle."""
        return {
            "changed": dict(self.changed),
            "figure": self.figure,
            "before": round(self.before, 4),
            "after": round(self.after, 4),
            "images": self.images,
        }


def tune_postprocessing(
    config: RunConfig, model: LightningModule, data: LightningDataModule, pixel_size: Mapping[str, float]
) -> Tuned | None:
    """Try the settings that the post-processors propose, and keep those with the best mean validation figure.

    The network sees every validation image once, and one image at a time is held in memory. The settings as they are
    win a tie. With several post-processors that propose something, one is tuned after the other.

    Args:
        config: the run.
        model: trained.
        data: whose validation images are used.
        pixel_size: micrometre per pixel, by axis.

    Returns:
        None where there is nothing to choose: no proposals, no metric, or no validation images.
    """
    watched = monitored(config)
    proposing = [index for index, choice in enumerate(config.postprocessing) if choice.component.tune]
    if watched is None or not proposing:
        return None
    name, higher = watched[0].removeprefix("val_"), watched[1]
    found: Tuned | None = None
    for index in proposing:
        choice = config.postprocessing[index]
        variants = [choice, *_variants(choice)]
        if len(variants) == 1:
            continue
        runs = [_with(config, index, variant) for variant in variants]
        scores = _score(runs, model, data, pixel_size, name)
        if not scores:
            return found
        means = [mean_of_defined(values) for values in zip(*scores, strict=True)]
        # The first of equals is the setting as it is, or the one proposed first.
        best = (max if higher else min)(range(len(means)), key=lambda i: _ranked(means[i], higher))
        before = variants[0].config.model_dump()
        after = variants[best].config.model_dump()
        changed = {f"postprocessing[{index}].{key}": after[key] for key in after if after[key] != before[key]}
        config = runs[best]
        start = found.before if found else means[0]
        found = Tuned(config, {**(found.changed if found else {}), **changed}, name, start, means[best], len(scores))
    return found


def _variants(choice: Choice) -> list[Choice]:
    """The proposals of a post-processor as choices, without the settings as they are."""
    result: list[Choice] = []
    for proposal in choice.component.tune(choice.config):
        config = type(choice.config).model_validate({**choice.config.model_dump(), **proposal})
        if config != choice.config:
            result.append(replace(choice, config=config))
    return result


def _with(config: RunConfig, index: int, choice: Choice) -> RunConfig:
    steps = list(config.postprocessing)
    steps[index] = choice
    return replace(config, postprocessing=tuple(steps))


def _score(
    runs: Sequence[RunConfig],
    model: LightningModule,
    data: LightningDataModule,
    pixel_size: Mapping[str, float],
    name: str,
) -> list[list[float]]:
    """A row for each validation image, with the figure of each run."""
    import torch

    loader: Any = data.val_dataloader() or ()
    judges: list[Any] = []
    rows: list[list[float]] = []
    model.eval()
    for batch in track(loader, "choosing thresholds", len(loader)):
        with torch.inference_mode():
            predictions = model(batch["image"].to(model.device)).float().cpu().numpy()
        targets = batch["target"].cpu().numpy()
        judges = judges or [build_validation(run, predictions.ndim - 2, pixel_size) for run in runs]
        rows += [
            [float(judge(prediction, target).get(name, math.nan)) for judge in judges]
            for prediction, target in zip(predictions, targets, strict=True)
        ]
    return rows


def _ranked(value: float, higher: bool) -> float:
    if math.isnan(value):
        return -math.inf if higher else math.inf
    return value
