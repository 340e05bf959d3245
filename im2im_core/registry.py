"""Which plug-ins are installed, which of them work, and what they bring."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal

import pluggy

from im2im_core.components import KINDS, Component
from im2im_core.errors import ComponentError
from im2im_core.hookspecs import API_VERSION, PROJECT, HookSpecs

ENTRY_POINT_GROUP = "im2im"
HOOKS: Mapping[str, str] = {
    "reader": "im2im_readers",
    "writer": "im2im_writers",
    "dataset": "im2im_datasets",
    "transform": "im2im_transforms",
    "network": "im2im_networks",
    "discriminator": "im2im_discriminators",
    "model": "im2im_models",
    "loss": "im2im_losses",
    "trainer": "im2im_trainers",
    "postprocessor": "im2im_postprocessors",
    "metric": "im2im_metrics",
    "preset": "im2im_presets",
}
FIRST_PARTY: Mapping[str, tuple[str, ...]] = {
    "im2im-embedseg": ("embedseg", "branched-erfnet", "residual-unet", "embedseg-clustering", "nuclei-2d"),
    "im2im-fcn": ("fcn", "unet", "fnet", "attention-unet", "deeplab", "dynunet", "probabilistic-unet"),
    "im2im-gan": ("pix2pix", "cyclegan", "resnet-generator", "patch", "multi-scale"),
    "im2im-io": ("tifffile", "image", "numpy", "ome-zarr", "aicsimageio", "ome-tiff", "png"),
}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plug-in as found.

    Attributes:
        name: of the entry point; qualifies component names.
        module: where its declarations are.
        distribution: what pip calls it, or empty.
        version: of the distribution, or empty.
        state: "active", "disabled" by the environment, or "broken".
        reason: why it is not active.
        api: the API version it states, or None.
    """

    name: str
    module: str
    distribution: str
    version: str
    state: Literal["active", "disabled", "broken"]
    reason: str = ""
    api: int | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A component and who supplies it."""

    plugin: str
    component: Component

    @property
    def qualified(self) -> str:
        """'plug-in/name'."""
        return f"{self.plugin}/{self.component.name}"


class _Broken(Exception):
    """Why a plug-in cannot be used."""


class Registry:
    """All components of all working plug-ins."""

    def __init__(self, plugins: Iterable[PluginInfo], components: Iterable[Registered]) -> None:
        self.plugins = tuple(plugins)
        self._components = tuple(components)

    @classmethod
    def discover(
        cls, points: Iterable[EntryPoint] | None = None, environment: Mapping[str, str] | None = None
    ) -> Registry:
        """Load every installed plug-in, each on its own: a broken one is recorded and the others work.

        Args:
            points: entry points to use instead of the installed ones.
            environment: where `IM2IM_PLUGINS` and `IM2IM_DISABLE_PLUGINS` are read, `os.environ` by default.
        """
        env = os.environ if environment is None else environment
        only, disabled = _names(env.get("IM2IM_PLUGINS")), _names(env.get("IM2IM_DISABLE_PLUGINS"))
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(HookSpecs)
        infos: list[PluginInfo] = []
        found: list[Registered] = []
        points = entry_points(group=ENTRY_POINT_GROUP) if points is None else points
        for point in sorted(points, key=lambda p: (p.name != "builtin", p.name)):
            api: int | None = None
            state: Literal["active", "disabled", "broken"] = "active"
            reason = ""
            # The built-in plug-in is what makes the rest usable: only naming it explicitly turns it off.
            if point.name in disabled or (only and point.name not in only and point.name != "builtin"):
                state = "disabled"
                reason = "named in IM2IM_DISABLE_PLUGINS" if point.name in disabled else "not named in IM2IM_PLUGINS"
            elif any(info.name == point.name and info.state == "active" for info in infos):
                state, reason = "broken", f"another plug-in is already called '{point.name}'"
            else:
                try:
                    module, api = _load(point)
                    found += _collect(manager, point.name, module)
                except _Broken as error:
                    state, reason = "broken", str(error)
            infos.append(_info(point, state, reason, api))
        return cls(infos, found)

    def components(self, kind: str) -> list[Registered]:
        """All components of a kind, in the order of their plug-ins' names."""
        return [entry for entry in self._components if entry.component.kind == kind]

    def get(self, kind: str, name: str) -> Registered:
        """Look a component up by its name or, where two plug-ins supply it, by 'plug-in/name'.

        Raises:
            ComponentError: unknown or ambiguous name.
        """
        entries = self.components(kind)
        found = [entry for entry in entries if name in (entry.component.name, entry.qualified)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = ", ".join(entry.qualified for entry in found)
            raise ComponentError(
                f"{kind} '{name}' is supplied by several plug-ins: {choices}", f"write {found[0].qualified}"
            )
        raise ComponentError(f"unknown {kind} '{name}'", self._advice(kind, name))

    def _advice(self, kind: str, name: str) -> str:
        names = [entry.component.name for entry in self.components(kind)]
        near = get_close_matches(name, names, n=3, cutoff=0.6)
        if near:
            return f"did you mean {' or '.join(near)}?"
        broken = [info for info in self.plugins if info.state == "broken"]
        for distribution, brought in FIRST_PARTY.items():
            if name in brought:
                state = [info for info in self.plugins if info.distribution == distribution]
                if state and state[0].state != "active":
                    return f"plug-in {state[0].name} is {state[0].state}: {state[0].reason}"
                return f"pip install {distribution}"
        installed = f"installed: {', '.join(sorted(names)) or 'none'}"
        return installed + (f"; {len(broken)} broken plug-in(s), see im2im plugins" if broken else "")


def _names(value: str | None) -> set[str]:
    return {name.strip() for name in (value or "").split(",") if name.strip()}


def _info(
    point: EntryPoint, state: Literal["active", "disabled", "broken"], reason: str, api: int | None
) -> PluginInfo:
    distribution = point.dist
    return PluginInfo(
        name=point.name,
        module=point.value,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
        state=state,
        reason=reason,
        api=api,
    )


def _load(point: EntryPoint) -> tuple[ModuleType, int]:
    try:
        module = point.load()
    except (Exception, SystemExit) as error:
        raise _Broken(f"import failed: {type(error).__name__}: {error}") from error
    api = getattr(module, "IM2IM_API", None)
    if not isinstance(api, int):
        raise _Broken("does not state IM2IM_API")
    if api != API_VERSION:
        raise _Broken(f"written for API {api}, this is API {API_VERSION}")
    return module, api


def _collect(manager: pluggy.PluginManager, name: str, module: Any) -> list[Registered]:
    """Ask one plug-in alone, so that a failure has a name."""
    known = set(HOOKS.values())
    for attribute in vars(module).values():
        # As pluggy does: an object that answers to any attribute, such as a mock, is no hook.
        if inspect.isroutine(attribute) and hasattr(attribute, f"{PROJECT}_impl") and attribute.__name__ not in known:
            near = get_close_matches(attribute.__name__, known, n=1)
            raise _Broken(f"unknown hook '{attribute.__name__}'" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        manager.register(module, name)
    except Exception as error:
        raise _Broken(f"registration failed: {error}") from error
    collected: list[Registered] = []
    try:
        for kind, hook_name in HOOKS.items():
            for implementation in getattr(manager.hook, hook_name).get_hookimpls():
                if implementation.plugin_name == name:
                    collected += [
                        Registered(name, item) for item in _declared(kind, hook_name, implementation.function)
                    ]
    except _Broken:
        manager.unregister(name=name)
        raise
    return collected


def _declared(kind: str, hook_name: str, function: Any) -> list[Component]:
    try:
        items = list(function())
    except (Exception, SystemExit) as error:
        raise _Broken(f"{hook_name} failed: {type(error).__name__}: {error}") from error
    seen: set[str] = set()
    for item in items:
        if not isinstance(item, KINDS[kind]):
            raise _Broken(f"{hook_name} yielded {type(item).__name__}, not {KINDS[kind].__name__}")
        if not _NAME.fullmatch(item.name):
            raise _Broken(f"{kind} name '{item.name}' is not lower case words joined by '-'")
        if item.name in seen:
            raise _Broken(f"{hook_name} yields '{item.name}' twice")
        seen.add(item.name)
    return items
