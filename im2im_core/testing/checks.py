"""Which checks a plug-in has to pass, each under a name of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from im2im_core.errors import ComponentError, ConfigError, Im2imError
from im2im_core.registry import ENTRY_POINT_GROUP, PluginInfo, Registered, Registry

Settings = Mapping[str, Mapping[str, Any]]


class CheckFailed(AssertionError):
    """What a component does not do that it should."""


class NotChecked(Exception):
    """Why a demand cannot be looked at: the component cannot be built from what there is."""


def require(condition: Any, message: str) -> None:
    """Fail with a message unless the condition holds."""
    if not condition:
        raise CheckFailed(message)


@dataclass(frozen=True, slots=True)
class Subject:
    """A component under test.

    Attributes:
        registry: all plug-ins, its own among them.
        entry: the component and its plug-in.
        settings: instead of the defaults.
    """

    registry: Registry
    entry: Registered
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def component(self) -> Any:
        """The declaration."""
        return self.entry.component

    @property
    def config(self) -> Any:
        """Its settings."""
        return self.component.config(**self.settings)

    def build(self, **available: Any) -> Any:
        """Call its factory.

        Raises:
            NotChecked: the settings are not enough to build one.
        """
        from im2im_core.build import call_factory

        try:
            return call_factory(self, **available)  # type: ignore[arg-type]
        except ConfigError as error:
            raise NotChecked(f"{error.message}; {error.hint}") from error


def in_each(make: Callable[[int], Any]) -> list[tuple[int, Any]]:
    """What is made in 2D and in 3D, less the one that is refused with words; a component may be for one of them.

    Raises:
        NotChecked: both are refused for lack of settings.
        CheckFailed: both are refused.
    """
    made: list[tuple[int, Any]] = []
    refused: list[Exception] = []
    for dims in (2, 3):
        try:
            made.append((dims, make(dims)))
        except (Im2imError, NotChecked) as error:
            refused.append(error)
    if not made:
        first = refused[0]
        raise first if isinstance(first, NotChecked) else CheckFailed(str(first)) from first
    return made


@dataclass(frozen=True, slots=True)
class Check:
    """One demand. Calling it does nothing when it is met.

    Attributes:
        name: kind, component and demand.
        demand: in words.
        run: raises what is wrong.
    """

    name: str
    demand: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Run.

        Raises:
            CheckFailed: the demand is not met. What the component itself raises comes through.
            NotChecked: it cannot be looked at with these settings.
        """
        self.run()


def checks_of(plugin: str, settings: Settings | None = None) -> list[Check]:
    """All checks for a plug-in.

    Args:
        plugin: module with its declarations, "my_plugin.plugin", installed or not; or name of an installed one.
        settings: of components that are to be checked with others than their defaults, `{"loss/name": {"gamma": 2}}`.
            Of a component that has no default for some setting only the declaration is checked otherwise.
    """
    from im2im_core.testing.declarations import check_is_active, check_loads_no_torch

    registry, info = _found(plugin)
    checks = [_named(f"plugin-{info.name}", check_is_active, info)]
    if info.state != "active":
        return checks
    checks.append(_named(f"plugin-{info.name}", check_loads_no_torch, info))
    for entry in _entries(registry, info):
        component = entry.component
        subject = Subject(registry, entry, (settings or {}).get(f"{component.kind}/{component.name}", {}))
        for function in _functions(subject):
            checks.append(_named(f"{component.kind}-{component.name}", function, subject))
    return checks


def parametrize_with_checks(plugin: str, settings: Settings | None = None) -> Any:
    """A pytest decorator for a test with an argument `check`, run for every check of a plug-in; see `checks_of`.

    What cannot be looked at is skipped with the reason.
    """
    import pytest

    def skipping(check: Check) -> Callable[[], None]:
        def run() -> None:
            try:
                check()
            except NotChecked as reason:
                pytest.skip(str(reason))

        return run

    checks = checks_of(plugin, settings)
    return pytest.mark.parametrize("check", [pytest.param(skipping(check), id=check.name) for check in checks])


def _found(plugin: str) -> tuple[Registry, PluginInfo]:
    installed = list(entry_points(group=ENTRY_POINT_GROUP))
    if not any(plugin in (point.name, point.value) for point in installed):
        if "." not in plugin:
            names = ", ".join(sorted(point.name for point in installed))
            raise ComponentError(f"there is no plug-in '{plugin}'", f"installed: {names}; or name a module")
        name = plugin.split(".")[0].removeprefix("im2im_").replace("_", "-")
        installed.append(EntryPoint(name, plugin, ENTRY_POINT_GROUP))
    registry = Registry.discover(installed, environment={})
    return registry, next(info for info in registry.plugins if plugin in (info.name, info.module))


def _entries(registry: Registry, info: PluginInfo) -> Iterator[Registered]:
    from im2im_core.components import KINDS

    for kind in KINDS:
        yield from (entry for entry in registry.components(kind) if entry.plugin == info.name)


def _functions(subject: Subject) -> list[Callable[[Any], None]]:
    from im2im_core.testing import arrays, declarations, files, modules, trainings

    component = subject.component
    declared = declarations.of_component(component)
    if component.kind != "dataset" and declarations.needs_settings(subject):
        return declared  # which ones, only its author could say
    return [
        *declared,
        *files.of_component(component),
        *arrays.of_component(component),
        *modules.of_component(component),
        *trainings.of_component(component),
    ]


def _named(subject_name: str, function: Callable[[Any], None], subject: Any) -> Check:
    name = function.__name__.removeprefix("check_").replace("_", "-")
    demand = (inspect.getdoc(function) or "").splitlines()[0]
    return Check(f"{subject_name}-{name}", demand, lambda: function(subject))
