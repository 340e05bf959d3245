"""Networks in other runtimes compute what the bundle computes."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle

from im2im_core import ConfigError, DataError
from im2im_core.bundle import Bundle, load_model, open_bundle
from im2im_core.export import SUFFIXES, export_bundle
from im2im_core.exported_network import open_network

for module in ("onnx", "onnxruntime", "onnxscript", "bioimageio.core"):
    pytest.importorskip(module)


def bundle(folder: Path, *assignments: str, **more: Any) -> Bundle:
    return open_bundle(folder, toy_bundle(folder, *assignments, **more))


@pytest.mark.parametrize("form", ["torchscript", "onnx"])
@pytest.mark.parametrize(("window", "channels"), [((40, 48), (2, 3)), ((12, 20, 24), (1, 1))])
def test_a_network_runs_elsewhere(
    tmp_path: Path, form: str, window: tuple[int, ...], channels: tuple[int, int]
) -> None:
    import torch

    opened = bundle(tmp_path / "bundle", window=window, channels=channels)
    done = export_bundle(opened, form, tmp_path / f"m{SUFFIXES[form]}")
    assert done.step == 1
    assert done.difference < 1e-4
    image = np.random.default_rng(3).random((2, channels[0], *(n + 5 for n in window))).astype(np.float32)
    with torch.inference_mode():
        expected = load_model(opened)(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(open_network(done.path, form)(image), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preprocessing", "window", "words"),
    [
        ("[{name: normalize-percentile, low: 2, high: 99, clip: true}]", (40, 48), ["scale_range", "clip"]),
        ("[{name: normalize-zscore, per_channel: false}]", (40, 48), ["zero_mean_unit_variance"]),
        ("[normalize-minmax]", (12, 20, 24), ["scale_range"]),
        ("[builtin/normalize-zscore]", (40, 48), ["zero_mean_unit_variance"]),
    ],
)
def test_a_package_of_the_model_zoo(
    tmp_path: Path, preprocessing: str, window: tuple[int, ...], words: list[str]
) -> None:
    """bioimageio.core applies the described preprocessing to the test image; the output must be the bundle's."""
    opened = bundle(tmp_path / "bundle", f"preprocessing={preprocessing}", window=window, channels=(2, 1))
    done = export_bundle(opened, "bioimageio", tmp_path / "m.zip")
    assert done.difference < 1e-4
    with zipfile.ZipFile(done.path) as package:
        assert set(package.namelist()) == {
            "README.md", "bioimageio.yaml", "test_input.npy", "test_output.npy", "weights.onnx", "weights.pt",
        }  # fmt: skip
        content = yaml.safe_load(package.read("bioimageio.yaml"))
    assert [step["id"] for step in content["inputs"][0]["preprocessing"]] == words
    assert set(content["weights"]) == {"torchscript", "onnx"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "m.zip"]


def test_a_package_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2im_core import bioimageio_package

    opened = bundle(tmp_path / "bundle", "preprocessing=[normalize-zscore]", window=(40, 48))
    monkeypatch.setattr(bioimageio_package, "described", lambda choice, dims: [])
    with pytest.raises(DataError, match=r"bioimageio\.core"):
        export_bundle(opened, "bioimageio", tmp_path / "m.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_preprocessing_without_a_word_for_it(tmp_path: Path) -> None:
    opened = bundle(
        tmp_path / "bundle", "preprocessing=[{name: GaussianSmoothd, keys: [image], sigma: 1}]", window=(40, 48)
    )
    with pytest.raises(ConfigError, match="'GaussianSmoothd' has no counterpart"):
        export_bundle(opened, "bioimageio", tmp_path / "m.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert export_bundle(opened, "torchscript", tmp_path / "m.pt").path.is_file()


def test_what_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2im_core import export

    opened = bundle(tmp_path / "bundle", window=(40, 48))
    monkeypatch.setattr(export, "open_network", lambda path, form: lambda image: open_network(path, form)(image) + 1)
    with pytest.raises(DataError):
        export_bundle(opened, "onnx", tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_lengths_that_a_trace_has_fixed(tmp_path: Path) -> None:
    """A network that pads to multiples of 8 in Python: its trace holds for such multiples."""
    import torch

    from im2im_core.exported_network import sizes_taken, write_network

    class Padding(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            missing = [-int(n) % 8 for n in image.shape[2:]]
            padded = torch.nn.functional.pad(image, (0, missing[1], 0, missing[0]))
            pooled = torch.nn.functional.avg_pool2d(padded, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
            return pooled[..., : image.shape[2], : image.shape[3]]

    sample = np.random.default_rng(0).random((1, 1, 32, 40)).astype(np.float32)
    model: Any = Padding()
    write_network(model, sample, "torchscript", tmp_path / "m.pt")
    assert sizes_taken(model, open_network(tmp_path / "m.pt", "torchscript"), sample) == 8


def test_unknown_format_and_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2im_core import export

    opened = bundle(tmp_path / "bundle", window=(40, 48))
    with pytest.raises(ConfigError, match="unknown format 'tflite'"):
        export_bundle(opened, "tflite", tmp_path / "m")
    monkeypatch.setitem(export.NEEDS, "onnx", ("no_such_package.inside",))
    with pytest.raises(ConfigError, match=r"needs no_such_package\.inside"):
        export_bundle(opened, "onnx", tmp_path / "m")
    monkeypatch.undo()
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="'onnx' needs onnx") as caught:
        export_bundle(opened, "onnx", tmp_path / "m")
    assert caught.value.hint == 'pip install "im2im-core[export]"'
