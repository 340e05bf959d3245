"""What `im2im doctor` finds on a computer that lacks something."""

from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from im2im_core import ComponentConfig, DataError, Reader, diagnosis
from im2im_core.cli import main
from im2im_core.diagnosis import Finding, diagnose, training_step
from im2im_core.registry import PluginInfo, Registered, Registry


def found(registry: Registry, folder: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in diagnose(registry, folder)}


def reader(name: str, suffixes: tuple[str, ...], *, missing: bool = False, priority: int = 0) -> Registered:
    def make(config: ComponentConfig) -> Any:
        if missing:
            raise DataError(f"{name} is not installed", f"pip install {name}")
        return lambda path: None

    return Registered("p", Reader(name=name, summary="", factory=make, suffixes=suffixes, priority=priority))


def test_all_is_well(tmp_path: Path) -> None:
    findings = found(Registry.discover(), tmp_path)
    assert findings["torch"].state == findings["Python"].state == findings["training step"].state == "ok"
    assert findings["plug-in builtin"].state == "ok"
    assert "GiB" in findings["disk"].text


def test_a_broken_plugin_and_a_disabled_one(tmp_path: Path) -> None:
    infos = [
        PluginInfo("bad", "bad.plugin", "im2im-bad", "1.0", "broken", "ImportError: no module 'x'"),
        PluginInfo("off", "off.plugin", "im2im-off", "1.0", "disabled", "IM2IM_DISABLE_PLUGINS"),
    ]
    findings = found(Registry(infos, []), tmp_path)
    assert findings["plug-in bad"].state == "error"
    assert "no module 'x'" in findings["plug-in bad"].text
    assert findings["plug-in bad"].hint == "pip install --upgrade im2im-bad"
    assert findings["plug-in off"].state == "warning"
    assert findings["readers"].hint == "pip install im2im-io"


def test_a_missing_reader_has_the_line_that_adds_it(tmp_path: Path) -> None:
    entries = [
        reader("plain", (".a", ".b"), priority=5),
        reader("other", (".b",), missing=True),
        reader("vendor", (".b", ".c"), missing=True),
    ]
    findings = found(Registry([], entries), tmp_path)
    assert findings["reader plain"].text == ".a .b"
    assert "reader other" not in findings, "its files are opened by another"
    assert (findings["reader vendor"].state, findings["reader vendor"].hint) == ("warning", "pip install vendor")


def test_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda folder: usage(2**40, 2**40, 2**30))
    finding = found(Registry([], []), tmp_path)["disk"]
    assert (finding.state, finding.text) == ("warning", "1.0 GiB, which is little")


def test_a_device_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: str) -> float:
        raise RuntimeError("no kernel image is available")

    assert training_step("cpu") < 1
    monkeypatch.setattr(diagnosis, "training_step", fail)
    finding = found(Registry([], []), tmp_path)["training step"]
    assert finding.state == "error"
    assert "no kernel image" in finding.text


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warning", 0), ("error", 1)])
def test_exit_code(state: Any, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(diagnosis, "diagnose", lambda *_: [Finding("disk", state, "some", "clean up")])
    monkeypatch.setattr(sys, "argv", ["im2im", "doctor"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code or 0) == code
    assert "hint: clean up" in capsys.readouterr().out
