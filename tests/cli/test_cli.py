"""The command line as a user meets it: answers, errors with a hint, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from im2im_core.borrowed import borrowed_names
from im2im_core.cli import main
from im2im_core.cli.names import plural
from im2im_core.components import KINDS
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
COMMANDS = (
    "train", "predict", "evaluate", "report", "export", "list", "show", "plugins", "init", "schema", "inspect", "demo",
    "doctor", "new",
)  # fmt: skip
COMPONENTS = [(kind, entry.qualified) for kind in KINDS for entry in REGISTRY.components(kind)]
BORROWED = [(kind, name) for kind in ("optimizer", "scheduler") for name in borrowed_names(kind)]


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


Im2im = Callable[..., Answer]


@pytest.fixture
def im2im(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Im2im:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IM2IM_PLUGINS", raising=False)
    monkeypatch.delenv("IM2IM_DISABLE_PLUGINS", raising=False)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["im2im", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def model() -> str:
    """A model that is installed."""
    models = REGISTRY.components("model")
    if not models:
        pytest.skip("no plug-in with a model is installed")
    return models[0].qualified


def failed(answer: Answer, *parts: str) -> None:
    """An error in words a user can act on."""
    assert answer.code == 1, answer
    assert "error: " in answer.err
    assert "Traceback" not in answer.err + answer.out
    for part in parts:
        assert part in answer.err


# --- help


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_names_every_command(im2im: Im2im, arguments: list[str]) -> None:
    answer = im2im(*arguments)
    assert answer.code in ((0,) if arguments else (0, 2))
    text = answer.out + answer.err
    for command in (
        "train",
        "predict",
        "evaluate",
        "report",
        "export",
        "list",
        "show",
        "plugins",
        "init",
        "schema",
        "demo",
    ):
        assert command in text
    assert "--debug" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(im2im: Im2im, command: str) -> None:
    answer = im2im(command, "--help")
    assert answer.code == 0
    assert "Usage: im2im " + command in answer.out


# --- list


def test_list_shows_everything(im2im: Im2im) -> None:
    answer = im2im("list")
    assert answer.code == 0
    for kind in KINDS:
        assert plural(kind) in answer.out
    for kind, name in COMPONENTS:
        assert name.split("/")[1] in answer.out, kind


@pytest.mark.parametrize("kind", [*KINDS, "optimizer", "scheduler"])
def test_list_of_one_kind(im2im: Im2im, kind: str) -> None:
    answer = im2im("list", plural(kind))
    assert answer.code == 0
    assert answer.out.splitlines()[0] == plural(kind)
    names = [entry.component.name for entry in REGISTRY.components(kind)] + list(borrowed_names(kind))
    for name in names or ["none installed"]:
        assert name in answer.out
    assert im2im("list", kind).out == answer.out


def test_a_redirected_list_has_a_line_for_each_component(im2im: Im2im) -> None:
    lines = im2im("list", "losses").out.splitlines()
    assert len(lines) == 1 + len(REGISTRY.components("loss"))


def test_list_of_an_unknown_kind(im2im: Im2im) -> None:
    failed(im2im("list", "modles"), "unknown kind 'modles'", "hint: did you mean models?")
    failed(im2im("list", "zzz"), "hint: kinds: ")


# --- show


@pytest.mark.parametrize(("kind", "name"), COMPONENTS + BORROWED, ids="/".join)
def test_show_every_component(im2im: Im2im, kind: str, name: str) -> None:
    answer = im2im("show", kind, name)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[0].startswith(name.split("/")[-1])
    if kind in KINDS:
        component = REGISTRY.get(kind, name).component
        assert component.summary in answer.out
        for setting, field in component.config.model_fields.items():
            line = next(line for line in answer.out.splitlines() if line.startswith(f"{setting} "))
            assert field.description, f"{setting} of {name} has no description"
            assert field.description in line


def test_show_keeps_the_brackets_of_types(im2im: Im2im) -> None:
    assert "list[int]" in im2im("show", "trainer", "lightning").out


def test_show_a_transform_of_monai(im2im: Im2im) -> None:
    answer = im2im("show", "transform", "RandFlipd")
    assert answer.code == 0
    assert "prob" in answer.out


def test_show_what_is_not_there(im2im: Im2im) -> None:
    failed(im2im("show", "loss", "msee"), "unknown loss 'msee'", "hint: did you mean mse")
    failed(im2im("show", "lose", "mse"), "unknown kind 'lose'", "hint: did you mean loss")
    failed(im2im("show", "optimizer", "adamv"), "'adamv'", "hint: ")
    failed(im2im("show", "transform", "RandFlip2d"), "unknown transform 'RandFlip2d'", "hint: did you mean ")
    failed(im2im("show", "no-bundle"), "'no-bundle' does not exist", "hint: name the bundle folder")
    failed(im2im("show", "."), "holds no bundle.json", "hint: ")


def test_show_a_bundle(im2im: Im2im, tmp_path: Path) -> None:
    bundle = tmp_path / "run[a]" / "bundle"
    bundle.mkdir(parents=True)
    entry = {"section": "model", "name": "toy", "plugin": "toys", "distribution": "im2im-toys", "version": "1.2"}
    (bundle / "bundle.json").write_text(json.dumps({"task": "regression", "components": [entry]}))
    (bundle / "config.yaml").write_text("model: {name: toy}\n")
    for path in (bundle, bundle.parent):
        answer = im2im("show", path)
        assert answer.code == 0
        assert "task: regression" in answer.out
        assert "model: toy (im2im-toys 1.2)" in answer.out
        assert "model: {name: toy}" in answer.out
        assert str(bundle) in answer.out
    for damaged in ("{", "[]", '{"components": [3]}', '{"components": 3}', "\udcff"):
        (bundle / "bundle.json").write_bytes(damaged.encode(errors="surrogateescape"))
        failed(im2im("show", bundle), "is damaged", "hint: copy the bundle again")


# --- plugins


def test_plugins(im2im: Im2im) -> None:
    answer = im2im("plugins")
    assert answer.code == 0
    for info in REGISTRY.plugins:
        line = next(line for line in answer.out.splitlines() if line.startswith(f"{info.name} "))
        assert info.state in line


def test_plugins_that_are_turned_off(im2im: Im2im, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IM2IM_DISABLE_PLUGINS", "builtin")
    line = next(line for line in im2im("plugins").out.splitlines() if line.startswith("builtin "))
    assert "disabled" in line
    assert "named in IM2IM_DISABLE_PLUGINS" in line
    failed(im2im("show", "loss", "mse"), "unknown loss 'mse'")


def test_a_broken_plugin_is_listed_with_its_reason(
    im2im: Im2im, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "broken-0.1.dist-info").mkdir(parents=True)
    (site / "broken-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n")
    (site / "broken-0.1.dist-info" / "entry_points.txt").write_text("[im2im]\nbroken = broken_im2im_plugin\n")
    (site / "broken_im2im_plugin.py").write_text("raise RuntimeError('[no] licence')\n")
    monkeypatch.syspath_prepend(str(site))
    line = next(line for line in im2im("plugins").out.splitlines() if line.startswith("broken "))
    assert "broken 0.1" in line
    assert "import failed: RuntimeError: [no] licence" in line
    answer = im2im("list", "losses")
    assert answer.code == 0
    assert "mse" in answer.out
    assert "plug-in 'broken' is broken: import failed" in answer.err


# --- init and dry run


def test_dry_run_is_accepted_back(im2im: Im2im, model: str, tmp_path: Path) -> None:
    sets = ["--set", "trainer.max_epochs=3", "--set", "optimizer.lr=1e-5", "--set", "augmentation=[RandFlipd]"]
    first = im2im("train", "--model", model, "--data", "images [1]", *sets, "--dry-run")
    assert first.code == 0, first.err
    content = yaml.safe_load(first.out)
    assert content["trainer"]["max_epochs"] == 3
    assert content["dataset"]["path"] == "images [1]"
    (tmp_path / "run.yaml").write_text(first.out)
    second = im2im("train", "--config", "run.yaml", "--dry-run")
    assert second.out == first.out
    changed = im2im("train", "--config", "run.yaml", "--set", "trainer.max_epochs=4", "--dry-run")
    assert changed.out == first.out.replace("max_epochs: 3", "max_epochs: 4")
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_init_writes_what_train_accepts(im2im: Im2im, model: str, tmp_path: Path) -> None:
    expected = im2im("train", "--model", model, "--data", "images", "--dry-run").out
    answer = im2im("init", "--model", model, "--data", "images", "--out", "mine.yaml")
    assert answer.code == 0, answer.err
    assert "im2im train --config mine.yaml" in answer.out
    text = (tmp_path / "mine.yaml").read_text()
    assert "max_epochs: 100  # " in text
    assert im2im("train", "--config", "mine.yaml", "--dry-run").out == expected


def test_init_needs_no_data_yet(im2im: Im2im, model: str, tmp_path: Path) -> None:
    answer = im2im("init", "--model", model)
    assert answer.code == 0, answer.err
    assert yaml.safe_load((tmp_path / "im2im.yaml").read_text())["dataset"]["path"]
    failed(
        im2im("init", "--model", model, "--set", "trainer.max_epoch=3", "--out", "b.yaml"), "did you mean max_epochs?"
    )


@pytest.mark.parametrize("preset", [entry.qualified for entry in REGISTRY.components("preset")])
def test_init_of_every_preset(im2im: Im2im, preset: str) -> None:
    expected = im2im("train", "--preset", preset, "--data", "x", "--dry-run")
    assert expected.code == 0, expected.err
    assert im2im("init", "--preset", preset, "--data", "x").code == 0
    assert im2im("train", "--config", "im2im.yaml", "--dry-run").out == expected.out


def test_init_never_overwrites(im2im: Im2im, model: str, tmp_path: Path) -> None:
    (tmp_path / "im2im.yaml").write_text("mine")
    failed(im2im("init", "--model", model, "--data", "x"), "'im2im.yaml' exists already", "hint: ")
    assert (tmp_path / "im2im.yaml").read_text() == "mine"


@pytest.mark.parametrize("entry", REGISTRY.components("model"), ids=lambda entry: entry.qualified)
def test_every_model_has_working_defaults(im2im: Im2im, entry: object) -> None:
    answer = im2im("train", "--model", entry.qualified, "--data", "x", "--dry-run")  # type: ignore[attr-defined]
    assert answer.code == 0, answer.err


# --- errors


def test_all_wrong_settings_at_once(im2im: Im2im, model: str) -> None:
    answer = im2im(
        "train", "--model", model, "--data", "x", "--set", "trainer.max_epoch=3", "--set", "optimizer.lr=fast",
        "--set", "networc.depth=3", "--dry-run",
    )  # fmt: skip
    failed(
        answer,
        "trainer.max_epoch: unknown setting; did you mean max_epochs?",
        "optimizer",
        "networc: unknown section; did you mean network?",
        "hint: ",
    )
    assert answer.out == ""


def test_unknown_names(im2im: Im2im, model: str) -> None:
    failed(im2im("train", "--model", model[:-1] + "gg", "--data", "x"), "unknown model", "hint: ")
    failed(im2im("train", "--model", model, "--loss", "zzz", "--data", "x"), "loss: unknown loss 'zzz'", "hint: ")
    failed(im2im("train", "--model", model, "--network", "zzz", "--data", "x"), "network: unknown network 'zzz'")
    failed(im2im("train", "--preset", "zzz", "--data", "x"), "unknown preset 'zzz'", "hint: ")
    failed(im2im("train", "--data", "x"), "no model was chosen", "hint: add --model NAME")


def test_configuration_files_that_are_none(im2im: Im2im, tmp_path: Path) -> None:
    failed(im2im("train", "--config", "missing.yaml"), "missing.yaml", "hint: ")
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    failed(im2im("train", "--config", "bad.yaml"), "'bad.yaml' is not valid YAML")
    (tmp_path / "list.yaml").write_text("- a\n")
    failed(im2im("train", "--config", "list.yaml"), "does not hold sections", "hint: ")
    failed(im2im("train", "--set", "no-equals-sign"), "is not of the form", "hint: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["train", "--no-such-option"],
        ["predict"],
        ["predict", "a", "b", "c", "--batch", "0"],
        ["predict", "a", "b", "c", "--overlap", "two"],
        ["show"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(im2im: Im2im, arguments: list[str]) -> None:
    answer = im2im(*arguments)
    assert answer.code == 2
    assert "Traceback" not in answer.err


def test_debug_gives_the_traceback(im2im: Im2im) -> None:
    from im2im_core import ComponentError

    for arguments in (["--debug", "show", "loss", "msee"], ["show", "loss", "msee", "--debug"]):
        with pytest.raises(ComponentError):
            im2im(*arguments)


def test_an_unforeseen_error_is_told_without_traceback(im2im: Im2im, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr(Registry, "discover", fail)
    failed(im2im("plugins"), "ZeroDivisionError: in the middle", "hint: run again with --debug")


def test_interruption(im2im: Im2im, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "discover", interrupted)
    answer = im2im("plugins")
    assert answer.code == 130
    assert "Traceback" not in answer.err


# --- show reader --for


def test_what_readers_make_of_a_file(im2im: Im2im, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 20, 30), np.uint8))
    (tmp_path / "b.npy").write_text("no array")
    if ("reader", "io/numpy") not in COMPONENTS:
        pytest.skip("im2im-io is not installed")
    answer = im2im("show", "reader", "--for", tmp_path / "a.npy")
    assert answer.code == 0
    lines = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    assert "yes" in lines["numpy"] and "C=3 Y=20 X=30; uint8" in lines["numpy"]
    assert "takes other files: .png" in lines["image"]
    failed(im2im("show", "reader", "--for", tmp_path / "b.npy"), "no installed reader opens")
    failed(im2im("show", "reader", "--for", tmp_path / "c.npy"), "does not exist")
    assert im2im("show", "model", "--for", tmp_path / "a.npy").code == 2
    assert im2im("show", "reader", "numpy", "--for", tmp_path / "a.npy").code == 2
