"""The pages of the hooks say what the code says: signatures, fields, what factories are given, what is checked."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from im2im_core import build, interfaces
from im2im_core.components import KINDS, Component, ComponentConfig, Reader
from im2im_core.config import Choice
from im2im_core.formats import image_loader, image_writer
from im2im_core.hookspecs import HookSpecs
from im2im_core.interfaces import DataFacts
from im2im_core.registry import HOOKS, Registered, Registry
from im2im_core.testing import arrays, declarations, files, modules, trainings

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "hooks"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
INDEX = PAGES.pop("index")
KIND_OF = {hook.removeprefix("im2im_"): kind for kind, hook in HOOKS.items()}
# Methods of what a factory builds, where it is more than a callable or a module of torch.
METHODS = {"trainers": ("ModelTrainer",), "writers": ("ImageWriter", "RegionWriter")}
NEEDED: Mapping[str, dict[str, Any]] = {
    "reader": {"suffixes": (".x",)},
    "writer": {"suffixes": (".x",)},
    "dataset": {"inspect": print},
    "model": {"task": "restoration"},
    "preset": {"task": "restoration", "settings": {}},
}
WIDEST = 100
LINES = range(60, 201)


def block(page: str, marker: str) -> str:
    """What stands in the block whose first line is the marker."""
    found = re.findall(rf"^```text\n# {re.escape(marker)}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{page}: {len(found)} blocks begin with '# {marker}'"
    return str(found[0])


def table(text: str, first: str) -> dict[str, str]:
    """Rows of the table whose first column is called so: name and what is said of it."""
    found = re.findall(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert len(found) == 1, f"{len(found)} tables begin with '{first}'"
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[0].splitlines()]
    return {cells[0].strip("`"): cells[1] for cells in rows}


def hook_text(name: str) -> str:
    return f"def {name}() -> {inspect.signature(getattr(HookSpecs, name)).return_annotation}\n"


def declaration_text(component: type[Component]) -> str:
    fields = dataclasses.fields(component)
    assert all(field.kw_only for field in fields)
    types = [str(field.type).replace("'", '"') for field in fields]
    lines = [f"    {field.name}: {kind}{default_text(field)}," for field, kind in zip(fields, types, strict=True)]
    return "\n".join([f"{component.__name__}(", "    *,", *lines, ")", ""])


def default_text(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f" = {field.default_factory.__name__}()"  # type: ignore[attr-defined]
    value = field.default
    if value is dataclasses.MISSING:
        return ""
    if isinstance(value, str):
        return f" = {json.dumps(value)}"
    if callable(value) and value.__name__ == "<lambda>":
        found = re.search(r"lambda[^)]*", inspect.getsource(value))
        assert found
        return f" = {found[0]}"
    return f" = {value.__name__ if callable(value) else repr(value)}"


def method_text(protocol: str, name: str) -> str:
    signature = inspect.signature(getattr(getattr(interfaces, protocol), name))
    parts: list[str] = []
    for parameter in list(signature.parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        ending = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{parameter.name}: {parameter.annotation}{ending}")
    line = f"def {name}({', '.join(parts)}) -> {signature.return_annotation}\n"
    if len(line) <= WIDEST:
        return line
    return f"def {name}(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {signature.return_annotation}\n"


def factory_text(names: tuple[str, ...]) -> str:
    return f"factory(config{', *, ' if names else ''}{', '.join(names)}) -> "


def passed(kind: str, path: Path) -> tuple[str, ...]:
    """The named arguments that the core really passes, in their order."""
    told: dict[str, dict[str, Any]] = {}

    def choice(section: str) -> Choice:
        def factory(config: Any, **available: Any) -> Any:
            told[section] = available
            return lambda *args: None

        component = SimpleNamespace(
            kind=section, name="x", config=ComponentConfig, factory=factory, suffixes=(".x",), priority=0,
            adversarial=True, halo=lambda config: 0, merges="crop",
        )  # fmt: skip
        return Choice("x", "mine", component, ComponentConfig())

    names = ("network", "discriminator", "model", "loss", "optimizer", "scheduler", "trainer", "dataset")
    steps = {"preprocessing": (choice("transform"),), "postprocessing": (choice("postprocessor"),)}
    config: Any = SimpleNamespace(
        **{name: choice(name) for name in names}, **steps, augmentation=(), seed=0, task="restoration"
    )
    facts = DataFacts(pairs=1, spatial_dims=2, in_channels=1, target_channels=1)
    image_loader(Registry([], []), choice("reader"))(path)
    image_writer(Registry([], [Registered("mine", choice("writer").component)]), path)
    build.build_data(config, facts, print, path.parent, "")  # type: ignore[arg-type]
    build.build_network(config, 2)(1, 1)
    build.build_discriminator(config, 2)(1)
    build.build_model(config, spatial_dims=2, in_channels=1, target_channels=1, training=True)
    build.build_trainer(config)
    build.build_postprocessing(config, 2)
    build.build_metrics([choice("metric")])
    return tuple(told[kind])


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    path = tmp_path / "a.x"
    path.touch()
    return path


def test_every_hook_has_a_page_and_every_page_a_hook() -> None:
    hooks = {name for name in vars(HookSpecs) if name.startswith("im2im_")}
    assert {f"im2im_{page}" for page in PAGES} == hooks
    rows = re.findall(r"^\| \[`(im2im_(\w+))`\]\((\w+)\.md\) \| (.+) \|$", INDEX, re.MULTILINE)
    assert {hook for hook, *_ in rows} == hooks
    for hook, page, link, told in rows:
        assert page == link, hook
        assert told.strip()


@pytest.mark.parametrize("page", PAGES)
def test_signature_of_the_hook(page: str) -> None:
    assert block(page, "hook") == hook_text(f"im2im_{page}")


@pytest.mark.parametrize("page", PAGES)
def test_declaration(page: str) -> None:
    assert block(page, "declaration") == declaration_text(KINDS[KIND_OF[page]])


@pytest.mark.parametrize("page", [page for page in PAGES if page != "presets"])
def test_what_the_factory_is_given(page: str, existing: Path) -> None:
    names = passed(KIND_OF[page], existing)
    shown = " ".join(block(page, "factory").split())
    assert shown.startswith(factory_text(names))
    assert len(shown) > len(factory_text(names)), "it says what is built"
    told = table(PAGES[page], "argument")
    assert set(told) == {"config", *names}
    assert all(len(words.split()) >= 3 for words in told.values())


@pytest.mark.parametrize("page", PAGES)
def test_every_field_is_explained(page: str) -> None:
    told = table(PAGES[page], "field")
    assert list(told) == [field.name for field in dataclasses.fields(KINDS[KIND_OF[page]])]
    assert all(len(words.split()) >= 3 for words in told.values())


@pytest.mark.parametrize(
    ("page", "protocol"), [(page, protocol) for page, protocols in METHODS.items() for protocol in protocols]
)
def test_methods_of_what_is_built(page: str, protocol: str) -> None:
    methods = [name for name in vars(getattr(interfaces, protocol)) if not name.startswith("_")]
    assert methods
    assert block(page, protocol) == "".join(method_text(protocol, name) for name in methods)


@pytest.mark.parametrize("page", PAGES)
def test_checks_of_the_kit(page: str) -> None:
    """Each with what it demands, in the words of the kit."""
    kind = KINDS[KIND_OF[page]]
    component = kind(name="x", summary="x", factory=print, **NEEDED.get(kind.kind, {}))
    found = [check for part in (files, arrays, modules, trainings) for check in part.of_component(component)]
    assert table(PAGES[page], "check") == demands(found)


def test_checks_of_every_component() -> None:
    plugin = [declarations.check_is_active, declarations.check_loads_no_torch]
    assert table(INDEX, "check") == demands([*plugin, *declarations.of_component(None)])  # type: ignore[arg-type]


def demands(checks: list[Any]) -> dict[str, str]:
    names = [check.__name__.removeprefix("check_").replace("_", "-") for check in checks]
    return {name: inspect.getdoc(check).splitlines()[0] for name, check in zip(names, checks, strict=True)}  # type: ignore[union-attr]


@pytest.mark.parametrize("page", PAGES)
def test_an_example_is_discovered_used_and_checked(page: str) -> None:
    """That it runs is tested with all other pages."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL))
    assert f"def im2im_{page}()" in code
    assert 'EntryPoint("mine", "im2im_mine.plugin", "im2im")' in code
    assert 'checks_of("im2im_mine.plugin")' in code
    assert re.search(r"^assert ", code, re.MULTILINE)
    assert len(PAGES[page].splitlines()) in LINES
    assert "## See also" in PAGES[page]


@pytest.mark.parametrize("page", [*PAGES, "index"])
def test_links_stay_inside_the_documentation(page: str) -> None:
    """A site is built of that folder alone."""
    links = re.findall(r"\]\(([^)#]+)", (FOLDER / f"{page}.md").read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert "://" in link or (FOLDER / link).resolve().is_relative_to(FOLDER.parent), link


def test_signatures_that_change_are_noticed() -> None:
    """The texts are made of the code, not of the pages."""

    @dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
    class Changed(Reader):
        tries: int = 3

    assert declaration_text(Changed).splitlines()[-2:] == ["    tries: int = 3,", ")"]
    assert block("readers", "declaration") in declaration_text(Changed).replace("Changed(", "Reader(").replace(
        "    tries: int = 3,\n", ""
    )
