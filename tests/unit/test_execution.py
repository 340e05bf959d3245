"""Device, precision and compilation of prediction."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle

from im2im_core import ConfigError, Image
from im2im_core import execution as execution_module
from im2im_core.bundle import open_bundle
from im2im_core.execution import Engine, Execution, find_device
from im2im_core.prediction import Predictor

IMAGE = Image(np.random.default_rng(0).random((40, 50)).astype(np.float32), "YX")


def predicted(tmp_path: Path, execution: Execution) -> Any:
    registry = toy_bundle(tmp_path / "bundle")
    return Predictor(open_bundle(tmp_path / "bundle", registry), execution=execution).raw(IMAGE)


def test_bf16_gives_float32_of_less_precision(tmp_path: Path) -> None:
    plain = predicted(tmp_path, Execution(device="cpu"))
    half = predicted(tmp_path, Execution(device="cpu", precision="bf16"))
    assert half.dtype == np.float32
    difference = np.abs(half - plain).max()
    assert 0 < difference < 0.02 * np.abs(plain).max() + 0.01


@pytest.mark.parametrize("capable", [True, False])
def test_a_processor_without_bf16_is_told(capable: bool, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(execution_module, "_cpu_has_bf16", lambda: capable)
    with caplog.at_level(logging.WARNING):
        Engine(Execution(device="cpu", precision="bf16"))
    assert ("no bf16 arithmetic" in caplog.text) == (not capable)


def test_unknown_precision() -> None:
    with pytest.raises(ConfigError, match="'half'") as caught:
        Execution(precision="half")
    assert "bf16" in caught.value.hint


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="'nowhere'"):
        find_device("nowhere")
    assert find_device("cpu").type == "cpu"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++, which is not installed")
def test_a_compiled_network_predicts_the_same(tmp_path: Path) -> None:
    plain = predicted(tmp_path, Execution(device="cpu"))
    np.testing.assert_allclose(predicted(tmp_path, Execution(device="cpu", compiled=True)), plain, atol=1e-5)


def test_a_network_that_cannot_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: Any, dynamic: bool) -> Any:
        def forward(windows: Any) -> Any:
            raise torch._dynamo.exc.TorchDynamoException("no compiler here\nat length")

        assert dynamic is False
        return forward

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.raises(ConfigError, match="cannot be compiled: no compiler here") as caught:
        predicted(tmp_path, Execution(device="cpu", compiled=True))
    assert "--compile" in caught.value.hint


def test_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels-last where it pays: in half precision on CUDA, which a stand-in plays here."""
    engine = Engine(Execution(device="cpu"))
    plain = engine.place(torch.nn.Conv2d(3, 4, 3))
    assert plain.weight.is_contiguous()
    monkeypatch.setattr(engine, "_channels_last", True)
    assert engine.place(torch.nn.Conv2d(3, 4, 3)).weight.is_contiguous(memory_format=torch.channels_last)
    assert engine.place(torch.nn.Conv3d(3, 4, 3)).weight.is_contiguous(memory_format=torch.channels_last_3d)
    seen = []
    engine.run(lambda windows: seen.append(windows) or windows, torch.rand(2, 3, 8, 8))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
