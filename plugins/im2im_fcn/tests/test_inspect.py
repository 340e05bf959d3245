"""`im2im inspect`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from typer.testing import CliRunner

from im2im_core.cli import app


def test_a_data_set_is_described_and_planned_for(tmp_path: Path) -> None:
    for name, shape in (("a", (48, 64)), ("b", (64, 96)), ("c", (80, 128))):
        target = np.zeros(shape, np.uint8)
        target[: shape[0] // 2] = 255
        tifffile.imwrite(tmp_path / f"{name}_IM.tiff", np.full(shape, 7, np.uint16))
        tifffile.imwrite(tmp_path / f"{name}_GT.tiff", target)
    told = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert told.exit_code == 0, told.output
    for words in ("(48, 64) to (80, 128), median (64, 96)", "uint16 -> uint8", "50.0 %", "2 different: 0, 255"):
        assert words in told.output
    assert "dataset.patch_size=[64, 96]" in told.output and "network.strides=[[1, 1], [2, 2]" in told.output
    little = CliRunner().invoke(app, ["inspect", str(tmp_path), "--set", "network.memory_gb=0.01"]).output
    assert "dataset.batch_size=2" in little and "dataset.patch_size=[64, 96]" not in little
