"""Golden vectors, and the names that their weights have here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

FOLDER = next(
    (folder for p in Path(__file__).resolve().parents if (folder := p.parent / "shared" / "golden").is_dir()), None
)
needs_golden = pytest.mark.skipif(FOLDER is None, reason="the shared golden vectors are not part of the repository")


def case(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Arrays and parameters."""
    assert FOLDER is not None
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        arrays = {key: torch.from_numpy(stored[key]) for key in stored}
    cases = json.loads((FOLDER / "index.json").read_text())["cases"]
    return arrays, next(each["params"] for each in cases if each["name"] == name)


def load(module: torch.nn.Module, arrays: dict[str, torch.Tensor], prefix: str) -> None:
    """Every weight under a prefix into a module, in the order of its layers; none may be left over."""
    theirs = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    theirs = {key: value for key, value in theirs.items() if not key.endswith("num_batches_tracked")}
    mine = {key: value for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert [tuple(value.shape) for value in mine.values()] == [tuple(value.shape) for value in theirs.values()]
    module.load_state_dict(dict(zip(mine, theirs.values(), strict=True)), strict=False)
