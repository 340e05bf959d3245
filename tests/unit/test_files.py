"""A file under its final name is complete, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from im2im_core import OutputError
from im2im_core.files import check_writable, write_beside, write_json, write_text


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    with write_beside(path) as beside:
        beside.write_text("new")
        assert not path.exists()
        assert beside.parent == path.parent
        assert beside.name.startswith(".")
        assert beside.suffix == ".txt"
    assert content(tmp_path) == {"new/folder/a.txt": "new"}


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="half way"), write_beside(path) as beside:
        beside.write_text("ne")
        raise ValueError("half way")
    assert content(tmp_path) == {"a.txt": "old"}


def test_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_beside(path) as beside:
        beside.write_text("ne")
        raise KeyboardInterrupt
    assert content(tmp_path) == {"a.txt": "old"}


def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError) as caught, write_beside(path) as beside:
        beside.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.message == f"cannot write '{path}': No space left on device"
    assert "disk" in caught.value.hint
    assert content(tmp_path) == {"a.txt": "old"}


def test_full_disk_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_text(path, "new")
    assert content(tmp_path) == {"a.txt": "old"}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with write_beside(path) as beside:
        beside.mkdir()
        (beside / "new.txt").write_text("new")
        assert content(path) == {"old.txt": "old"}
    assert content(tmp_path) == {"bundle/new.txt": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(OutputError), write_beside(path) as beside:
        beside.mkdir()
        (beside / "new.txt").write_text("n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert content(tmp_path) == {"bundle/old.txt": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "old.txt").write_text("old")
    replace = Path.replace
    new: list[Path] = []

    def refuse_the_new(self: Path, target: Any) -> Path:
        if self in new:
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_new)
    with pytest.raises(OutputError, match="Input/output error"), write_beside(path) as beside:
        new.append(beside)
        beside.mkdir()
    assert content(tmp_path) == {"bundle/old.txt": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for path in (tmp_path / "taken" / "a.txt", tmp_path / "taken" / "deeper" / "a.txt"):
        with pytest.raises(OutputError) as caught:
            write_text(path, "new")
        assert str(path) in caught.value.message
    assert content(tmp_path) == {"taken": "a file"}


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_text(tmp_path / "a.txt", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").is_dir()


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError), write_beside(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Zellkern µm", "n": [1, 2]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "Zellkern µm", "n": [1, 2]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"path": Path()})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "taken").write_text("a file")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(OutputError) as caught:
            check_writable(folder)
        assert f"'{folder}'" in caught.value.message
        assert caught.value.hint


def test_check_writable_finds_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(OutputError, match="No space left on device"):
        check_writable(tmp_path)
