"""What the documentation shows, runs: Python blocks are executed, command lines are tried or checked."""

from __future__ import annotations

import csv
import importlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from im2im_core.cli import app
from im2im_core.config import resolve
from im2im_core.errors import Im2imError
from im2im_core.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/*.md"), *ROOT.glob("examples/*/*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (im2im .*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
# Made from a report by hand before a release; a clone without it is no fault of the page.
MADE_LATER = {"docs/images/nuclei.png"}
HARMLESS = (["list"], ["show"], ["plugins"])
GROUPS = ("plugins", "new")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            yield Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])


def commands() -> Iterator[Block]:
    for block in blocks():
        if block.language == "bash":
            for number, line in enumerate(block.text.splitlines()):
                if line.startswith("im2im "):
                    yield Block(block.page, block.line + number, "bash", line)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in INDENTED.finditer(text):
            yield Block(page, text.count("\n", 0, found.start()) + 1, "bash", found[1])


BLOCKS, COMMANDS = list(blocks()), list(commands())
QUOTES = [block for block in BLOCKS if block.text.startswith("# examples/")]
TABLES = [block for block in BLOCKS if block.language == "console"]
PYTHON_PAGES = sorted({block.page for block in BLOCKS if block.language == "python"})


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)[1:]


def test_there_is_something_to_test() -> None:
    assert len(PYTHON_PAGES) >= 3
    assert len(COMMANDS) > 15
    assert QUOTES
    assert TABLES


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_runs(page: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after the other; one that begins with a file's name is that file."""
    monkeypatch.syspath_prepend(str(empty_folder))
    before = set(sys.modules)
    names: dict[str, object] = {"__name__": "page"}
    try:
        for block in BLOCKS:
            if block.page != page or block.language != "python" or block in QUOTES:
                continue
            head = block.text.partition("\n")[0]
            if head.startswith("# ") and head.endswith(".py"):
                file = empty_folder / head[2:]
                file.parent.mkdir(exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
                importlib.invalidate_caches()
            else:
                exec(compile(block.text, str(block), "exec"), names)
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("im2im_mine"):
                del sys.modules[name]


@pytest.mark.parametrize("block", QUOTES, ids=str)
def test_quotes_of_the_example_are_exact(block: Block) -> None:
    head, _, rest = block.text.partition("\n")
    assert rest.strip() in (ROOT / head[2:]).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_exist_with_their_options(block: Block, empty_folder: Path) -> None:
    arguments = words(block.text)
    if "--config" in arguments:
        file = empty_folder / arguments[arguments.index("--config") + 1]
        file.write_text("model: embedseg\ndataset: {path: nuclei/train}\n", encoding="utf-8")
    if "--for" in arguments:
        file = empty_folder / arguments[arguments.index("--for") + 1]
        file.parent.mkdir(parents=True)
        pytest.importorskip("tifffile").imwrite(file, np.zeros((20, 30), np.uint8))
    path = arguments[:2] if arguments[0] in GROUPS and len(arguments) > 1 else arguments[:1]
    if (path in HARMLESS and "RUN" not in block.text) or "--dry-run" in arguments or arguments[0] == "init":
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{done.output}\n{done.exception}"
        assert done.output.strip()
        return
    # Trainings and predictions are run elsewhere. A word that typer does not know is an error before anything happens.
    done = CliRunner().invoke(app, [*arguments, "--help"])
    assert done.exit_code == 0, done.output
    known = set(re.findall(r"--[a-z-]+", CliRunner().invoke(app, [*path, "--help"], terminal_width=200).output))
    assert {word for word in arguments if word.startswith("--")} <= known


@pytest.mark.parametrize("block", TABLES, ids=str)
def test_console_blocks_show_what_is_printed(block: Block, empty_folder: Path) -> None:
    command, _, shown = block.text.partition("\n")
    with pytest.raises(Im2imError) as caught:
        app(words(command.removeprefix("$ ")), standalone_mode=False)
    assert shown == f"error: {caught.value.message}\nhint: {caught.value.hint}\n"


def of_language(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_every_block_is_of_a_language_that_is_tested() -> None:
    """Text is what nothing here can run: jobs of a cluster, signatures (compared elsewhere), programs with a window."""
    known = {"bash", "console", "csv", "python", "text", "toml", "yaml"}
    assert [str(block) for block in BLOCKS if block.language not in known] == []


@pytest.mark.parametrize("block", of_language("toml"), ids=str)
def test_descriptions_of_packages_name_a_plugin(block: Block) -> None:
    described = tomllib.loads(block.text)["project"]
    ((name, module),) = described["entry-points"]["im2im"].items()
    assert module.partition(".")[0] == f"im2im_{name.replace('-', '_')}"


@pytest.mark.parametrize("block", of_language("yaml"), ids=str)
def test_settings_are_accepted(block: Block) -> None:
    """Pieces of a run are completed; the reference is made from the code and compared with it."""
    settings = yaml.safe_load(block.text)
    assert settings
    if block.page.parent.name != "reference":
        run = {"model": {"name": "fcn", "task": "semantic-segmentation"}, "dataset": {"path": "x"}, **settings}
        assert resolve(Registry.discover(), file=run).model.name


@pytest.mark.parametrize("block", of_language("csv"), ids=str)
def test_tables_have_the_columns_of_pairs(block: Block) -> None:
    rows = list(csv.DictReader(block.text.splitlines()))
    assert rows
    assert set(rows[0]) <= {"image", "target", "costmap"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_that_are_named_exist(page: Path) -> None:
    for program in re.findall(r"python ((?:benchmarks|docs)/\S+\.py)", page.read_text(encoding="utf-8")):
        assert (ROOT / program).is_file(), program


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "bash"], ids=str)
def test_make_targets_and_files_exist(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", block.text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for file in re.findall(r"-r (\S+)", block.text):
        assert (ROOT / file).is_file()


def test_every_preset_has_a_section() -> None:
    """Of its own, or by its full name in that of the preset whose variant it is; and no section is about none."""
    text = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL))
    registry = Registry.discover()
    presets = [entry for entry in registry.components("preset") if entry.plugin in ("embedseg", "fcn", "gan")]
    names = {entry.component.name for entry in presets}
    assert names
    for name in names - set(sections):
        assert any(name.startswith(f"{base}-") and f"`{name}`" in told for base, told in sections.items()), name
    for name, told in sections.items():
        assert len(told.split()) > 3, name
    if len({entry.plugin for entry in presets}) == 3:
        assert set(sections) <= names
        # And the variants that a section names exist.
        assert {name for told in sections.values() for name in re.findall(r"`([a-z-]+-[23]d[a-z-]*)`", told)} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in link and link not in MADE_LATER:
            assert (page.parent / link).exists(), link
