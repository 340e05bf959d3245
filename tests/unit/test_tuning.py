"""Settings of post-processing that are chosen on validation images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_registry

from im2im_core import ComponentConfig, Postprocessor
from im2im_core.config import RunConfig, resolve
from im2im_core.registry import Registered, Registry
from im2im_core.tuning import tune_postprocessing


class CutConfig(ComponentConfig):
    """Of a threshold."""

    at: float = Field(0.5, description="threshold")
    try_also: tuple[float, ...] = Field((), description="proposals")


def _cut(config: CutConfig) -> Any:
    return lambda prediction: (prediction[0] > config.at).astype(np.float32)


CUT = Postprocessor(
    name="cut",
    summary="threshold",
    config=CutConfig,
    factory=_cut,
    tune=lambda config: [{"at": value} for value in config.try_also],
)


class Same(torch.nn.Module):
    """The prediction is the image."""

    device = torch.device("cpu")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


class Data:
    """Validation images, and targets that are 1 above 0.7."""

    def __init__(self, number: int) -> None:
        self.images = [torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(n)) for n in range(number)]

    def val_dataloader(self) -> list[dict[str, torch.Tensor]]:
        return [{"image": image, "target": (image > 0.7).float()} for image in self.images]


def run_with(*steps: dict[str, Any], metrics: tuple[str, ...] = ("mae",)) -> RunConfig:
    toys = toy_registry()
    kinds = ("dataset", "transform", "loss", "trainer", "metric", "postprocessor", "model", "network")
    entries = [entry for kind in kinds for entry in toys.components(kind)]
    registry = Registry(toys.plugins, [*entries, Registered("toys", CUT)])
    file = {"postprocessing": list(steps), "metrics": [{"name": name} for name in metrics]}
    return resolve(registry, file=file, flags={"model": {"name": "toy"}, "dataset": {"path": "x"}})


def tuned(config: RunConfig, images: int = 3) -> Any:
    return tune_postprocessing(config, Same(), Data(images), {})  # type: ignore[arg-type]


def test_the_best_proposal_is_kept() -> None:
    found = tuned(run_with({"name": "cut", "try_also": [0.2, 0.7, 0.9]}))
    assert found.config.postprocessing[0].config.at == 0.7
    assert found.changed == {"postprocessing[0].at": 0.7}
    # mae is better when lower
    assert found.after == 0 < found.before
    assert found.record()["images"] == 3


def test_settings_as_they_are_win_a_tie() -> None:
    found = tuned(run_with({"name": "cut", "at": 0.7, "try_also": [0.70000001, 0.2]}))
    assert found.config.postprocessing[0].config.at == 0.7
    assert not found.changed
    assert found.before == found.after


def test_a_chosen_setting_is_what_the_validation_says() -> None:
    """The mean of the figure, computed by hand."""
    found = tuned(run_with({"name": "cut", "at": 0.2, "try_also": [0.6]}))
    errors = [float(((image > 0.6) != (image > 0.7)).float().mean()) for image in Data(3).images]
    assert found.after == pytest.approx(np.mean(errors), abs=1e-6)


@pytest.mark.parametrize(
    ("config", "images"),
    [
        (run_with({"name": "cut", "try_also": [0.7]}), 0),
        (run_with({"name": "cut", "try_also": [0.7]}, metrics=()), 3),
        (run_with({"name": "cut"}), 3),
        (run_with(), 3),
    ],
    ids=["no images", "no metric", "no proposal", "no post-processing"],
)
def test_nothing_to_choose(config: RunConfig, images: int) -> None:
    assert tuned(config, images) is None
