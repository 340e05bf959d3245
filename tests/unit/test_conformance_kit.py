"""A good plug-in passes every check of the kit, and each check fails on one that is spoiled for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from im2im_core import ComponentError
from im2im_core.cli import main
from im2im_core.testing import CheckFailed, NotChecked, checks_of, modules

GOOD = (Path(__file__).parent / "good_plugin.py").read_text()
Write = Callable[..., str]
# What is written in place of what, and the check that must find it.
GAIN = "    gain: float = Field(default=1.0,"
WRITTEN = """    @field_serializer("gain")
    def _written(self, value):
        return value + 1

"""
EMPTY = "        return found if found.any() else 1 // 0\n"
OPEN = 'KEPT.append(path.open("rb"))\n                data = np.load(file'
RULE = 'def _loss(config):\n    from im2im_core import ConfigError\n\n    raise ConfigError("give a rule", "like 1")\n'
SPOILED = [
    ("plugin-spoiled-is-active", "IM2IM_API = 1", "IM2IM_API = 2"),
    ("plugin-spoiled-loads-no-torch", "import numpy as np\n", "import numpy as np\nimport torch\n"),
    ("network-toy-summary", 'summary="a network"', 'summary="a network\\nof two lines"'),
    ("network-toy-settings-are-described", ', description="a factor"', ""),
    ("network-toy-defaults", '    """Settings."""', '    """Settings."""\n\n    model_config = {"extra": "allow"}'),
    ("network-toy-settings-survive-a-file", GAIN, WRITTEN + GAIN),
    ("network-toy-keeps-the-size", "(in_channels, 4, 3, padding=1)", "(in_channels, 4, 3)"),
    ("network-toy-is-the-same-twice", "nn.ReLU()", "nn.InstanceNorm2d(4) if 0 else Noise()"),
    ("network-toy-has-gradients", "return nn.Sequential(", "return Idle("),
    ("network-toy-time", "from torch import nn\n", "from torch import nn\n    import time\n    SLOW", ),
    ("discriminator-toy-judges", "return [[logits]]", "return logits"),
    ("loss-toy-is-a-number", "return error.mean()", "return error.mean(dim=0)"),
    ("loss-toy-is-differentiable", "error = (prediction - target)", "error = (prediction.detach() - target)"),
    ("loss-toy-is-least-at-the-target", "return error.mean()", "return -error.mean()"),
    ("loss-toy-cost-map", "error if costmap is None else error * costmap", "error"),
    ("model-toy-size-of-the-prediction", "            return prediction\n", "            return prediction[..., 1:]\n"),
    ("model-toy-learns-and-predicts", "self.parameters(), 1e-2", "self.parameters(), 0.0"),
    ("transform-toy-sample", 'np.asarray(sample["image"]) * 2', 'np.asarray(sample["image"]) * np.nan'),
    ("transform-toy-alignment", 'np.asarray(sample["image"]) * 2', 'np.asarray(sample["image"])[..., ::-1]'),
    ("postprocessor-toy-halo", 'merges="labels"', 'merges="labels", halo=lambda config: -1'),
    ("postprocessor-toy-result", "astype(np.int32)", "astype(np.float32)"),
    ("postprocessor-toy-empty-prediction", "        return found\n", EMPTY),
    ("metric-toy-figures", '{"error": error}', '{"errors": error}'),
    ("metric-toy-perfect-is-best", '{"error": error}', '{"error": -error}'),
    ("metric-toy-empty-images", '{"error": error}', '{"error": error / float(target.max())}'),
    ("reader-toy-missing-file", "except (OSError, ValueError)", "except ValueError"),
    ("reader-toy-nonsense-in-a-file", "except (OSError, ValueError)", "except OSError"),
    ("reader-toy-lazy-equals-eager", 'Image(data, "YX")', 'Image(Odd(data), "YX")'),
    ("reader-toy-files-are-closed", "data = np.load(file", OPEN),
    ("writer-toy-round-trip", "np.save(file, image.compute())", "np.save(file, image.compute() // 2)"),
    ("writer-toy-region-by-region", "data.shape, strict=True))] = data", "data.shape, strict=True))] = 0"),
    ("writer-toy-nothing-half-written", "        self.data = None", "        self.close()"),
    ("dataset-toy-batches", "    return data\n\n\n@hookimpl", "    return Halved(data)\n\n\n@hookimpl"),
    ("dataset-toy-seed", "seed=seed", "seed=0"),
    ("trainer-toy-can-fit", "    def fit(", "    def train("),
    ("preset-toy-resolves", 'task="restoration", settings', 'task="translation", settings'),
]  # fmt: skip
# What some of them use.
MORE = """

class Noise:
    def __new__(cls):
        import torch

        class Module(torch.nn.Module):
            def forward(self, x):
                return x + torch.rand_like(x)

        return Module()


def Idle(*layers):
    import torch

    class Module(torch.nn.Sequential):
        def __init__(self, *layers):
            super().__init__(*layers)
            self.idle = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return super().forward(x)

    return Module(*layers)


class Odd:
    def __init__(self, data):
        self.data, self.shape, self.dtype = data, data.shape, data.dtype

    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype)

    def __getitem__(self, key):
        return self.data[key][::-1]


class Halved:
    def __init__(self, data):
        self.data = data

    def setup(self, stage):
        self.data.setup(stage)

    def teardown(self, stage):
        self.data.teardown(stage)

    def train_dataloader(self):
        for batch in self.data.train_dataloader():
            yield {**batch, "image": batch["image"].half()}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """`write(old, new) -> module name` of the good plug-in with something else in it."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(old: str = "", new: str = "") -> str:
        assert old in GOOD
        package = tmp_path / "spoiled"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        source = GOOD.replace(old, new) if old else GOOD
        (package / "plugin.py").write_text(source + MORE)
        for name in [name for name in sys.modules if name.startswith("spoiled")]:
            monkeypatch.delitem(sys.modules, name)
        return "spoiled.plugin"

    return make


def test_a_good_plugin_passes(write: Write) -> None:
    checks = checks_of(write())
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        check()
        assert check.demand.endswith((".", ":"))


def test_every_check_is_spoiled_once(write: Write) -> None:
    behaviour = {check.name for check in checks_of(write())}
    everywhere = ("summary", "settings-are-described", "defaults", "settings-survive-a-file")
    wanted = {name for name in behaviour if not name.endswith(everywhere) or name.startswith("network-")}
    assert wanted == {name for name, *_ in SPOILED}


@pytest.mark.parametrize(("name", "old", "new"), SPOILED, ids=[name for name, *_ in SPOILED])
def test_each_check_finds_what_it_is_for(
    write: Write, name: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "network-toy-time":
        monkeypatch.setattr(modules, "LONGEST", 0.0)
    (check,) = [check for check in checks_of(write(old, new)) if check.name == name]
    with pytest.raises(Exception) as caught:
        check()
    assert not isinstance(caught.value, NotChecked)
    assert str(caught.value)


def test_what_cannot_be_built_is_not_checked(write: Write) -> None:
    refusing = (
        'def _loss(config):\n    from im2im_core import ConfigError\n\n    raise ConfigError("give a rule", "like 1")\n'
    )
    module = write("def _loss(config):\n", refusing)
    (check,) = [check for check in checks_of(module) if check.name == "loss-toy-cost-map"]
    with pytest.raises(NotChecked, match="give a rule"):
        check()


def test_a_data_set_that_takes_no_folder_is_not_asked_for_batches(write: Write) -> None:
    module = write('summary="a data set", config=PairedConfig', 'summary="a data set", config=Settings')
    for name in ("dataset-toy-batches", "dataset-toy-seed"):
        (check,) = [check for check in checks_of(module) if check.name == name]
        with pytest.raises(NotChecked, match="without a setting 'path'"):
            check()


def test_a_data_set_may_be_of_one_dimensionality(write: Write) -> None:
    refusing = 'from im2im_core import DataError\n    if more["spatial_dims"] == 3:\n        raise DataError("flat")\n'
    module = write("data = _paired(config", f"{refusing}    data = _paired(config")
    for check in checks_of(module):
        if check.name.startswith("dataset-toy-"):
            check()


@pytest.mark.parametrize("kind", ["transform", "postprocessor"])
def test_arrays_may_be_of_one_dimensionality(write: Write, kind: str) -> None:
    refusing = '    from im2im_core import ConfigError\n    if spatial_dims == 3:\n        raise ConfigError("flat")\n'
    head = f"def _{kind}(config, *, spatial_dims):\n"
    module = write(head if kind == "transform" else f"def _{kind}(config):\n", head + refusing)
    chosen = [check for check in checks_of(module) if check.name.startswith(f"{kind}-toy-")]
    assert len(chosen) > 5
    for check in chosen:
        check()


def test_a_data_set_that_takes_nothing_fails(write: Write) -> None:
    refusing = 'from im2im_core import DataError\n    raise DataError("no data at all")\n'
    module = write("data = _paired(config", f"{refusing}    data = _paired(config")
    (check,) = [check for check in checks_of(module) if check.name == "dataset-toy-batches"]
    with pytest.raises(CheckFailed, match="no data at all"):
        check()


def test_a_model_may_name_its_post_processor_in_short(write: Write) -> None:
    module = write('"preprocessing": []}', '"preprocessing": [], "postprocessing": ["toy"]}')
    (check,) = [check for check in checks_of(module) if check.name == "postprocessor-toy-result"]
    check()


def test_settings_can_be_given(write: Write) -> None:
    module = write("gain: float = Field(default=1.0,", "gain: float = Field(")
    names = [check.name for check in checks_of(module)]
    assert "network-toy-time" not in names
    assert "network-toy-summary" in names
    given = [check for check in checks_of(module, {"network/toy": {"gain": 2.0}}) if check.name == "network-toy-time"]
    given[0]()


def test_the_command(write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["im2im", "plugins", "check", *arguments])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().out
        raise AssertionError

    code, out = run(write(), "--only", "loss-toy")
    assert (code, out.strip()) == (0, "8 of 8 checks passed, 0 could not be made")
    code, out = run(write("error.mean()", "error.mean(dim=0)"), "--only", "loss-toy")
    assert code == 1
    assert "failed loss-toy-is-a-number: restoration in 2D: the loss has shape" in out
    assert "wanted: Of a batch comes one finite number" in out


def test_unknown_plugin() -> None:
    with pytest.raises(ComponentError, match="there is no plug-in 'nowhere'"):
        checks_of("nowhere")
    (check,) = checks_of("nowhere.plugin")
    with pytest.raises(AssertionError, match="import failed"):
        check()
