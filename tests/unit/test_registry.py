"""Plug-ins as a user may have installed them: good, broken, clashing, disabled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from im2im_core import ComponentError, Discriminator, Loss, Network, hookimpl
from im2im_core.registry import HOOKS, Registry

MakePlugin = Callable[..., EntryPoint]


def network(name: str) -> Network:
    return Network(name=name, summary="a network", factory=lambda config: None)


def yields(hook: str, *items: Any) -> Any:
    def function() -> Any:
        yield from items

    function.__name__ = hook
    return hookimpl(function)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePlugin]:
    """Makes an importable module and the entry point that names it."""

    def make(name: str, *hooks: Any, api: Any = 1, **contents: Any) -> EntryPoint:
        module = ModuleType(f"fake_{name}_{len(sys.modules)}")
        if api is not None:
            vars(module)["IM2IM_API"] = api
        for hook in hooks:
            vars(module)[hook.__name__] = hook
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, module.__name__, "im2im")

    yield make


@pytest.fixture
def source(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], EntryPoint]:
    """Makes an entry point whose module is a file, for what goes wrong at import."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, text: str) -> EntryPoint:
        (tmp_path / f"fake_source_{name}.py").write_text(text)
        return EntryPoint(name, f"fake_source_{name}", "im2im")

    return make


def discover(*points: EntryPoint, **environment: str) -> Registry:
    return Registry.discover(points, environment)


def only(registry: Registry, name: str) -> Any:
    (info,) = (info for info in registry.plugins if info.name == name)
    return info


def test_good_plugin_is_active_and_its_components_are_found(plugin: MakePlugin) -> None:
    registry = discover(plugin("good", yields("im2im_networks", network("small-net"), network("net2"))))
    info = only(registry, "good")
    assert (info.state, info.reason, info.api) == ("active", "", 1)
    assert [entry.component.name for entry in registry.components("network")] == ["small-net", "net2"]
    assert registry.get("network", "small-net").plugin == "good"
    assert registry.get("network", "good/small-net").qualified == "good/small-net"


def test_a_discriminator_is_a_kind_of_its_own(plugin: MakePlugin) -> None:
    judge = Discriminator(name="judge", summary="", factory=lambda config: None)
    registry = discover(
        plugin("good", yields("im2im_discriminators", judge)),
        plugin("bad", yields("im2im_discriminators", network("unet"))),
    )
    assert registry.get("discriminator", "judge").component is judge
    assert list(registry.components("network")) == []
    assert only(registry, "bad").reason == "im2im_discriminators yielded Network, not Discriminator"


def test_every_kind_has_a_hook_of_the_specification() -> None:
    from im2im_core.components import KINDS
    from im2im_core.hookspecs import HookSpecs

    assert set(HOOKS) == set(KINDS)
    assert set(HOOKS.values()) == {name for name in vars(HookSpecs) if name.startswith("im2im_")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ValueError('no licence found')", "import failed: ValueError: no licence found"),
        ("import nowhere_to_be_found", "import failed: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("import sys; sys.exit(3)", "import failed: SystemExit: 3"),
        ("def broken(:", "import failed: SyntaxError"),
        ("x = 1", "does not state IM2IM_API"),
        ("IM2IM_API = 'one'", "does not state IM2IM_API"),
        ("IM2IM_API = 99", "written for API 99, this is API 1"),
    ],
)
def test_plugin_that_cannot_be_used_is_recorded_and_the_others_work(
    plugin: MakePlugin, source: Callable[[str, str], EntryPoint], text: str, reason: str
) -> None:
    good = plugin("good", yields("im2im_networks", network("small-net")))
    registry = discover(source(f"bad{abs(hash(text))}", text), good)
    bad = next(info for info in registry.plugins if info.name != "good")
    assert bad.state == "broken"
    assert bad.reason.startswith(reason)
    assert registry.get("network", "small-net").plugin == "good"


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (yields("im2im_network", network("a")), "unknown hook 'im2im_network'; did you mean im2im_networks?"),
        (yields("something_else", network("a")), "unknown hook 'something_else'"),
        (
            yields("im2im_networks", Loss(name="a", summary="", factory=print)),
            "im2im_networks yielded Loss, not Network",
        ),
        (yields("im2im_networks", "unet"), "im2im_networks yielded str, not Network"),
        (yields("im2im_networks", network("Bad Name")), "network name 'Bad Name' is not lower case words"),
        (yields("im2im_networks", network("a--b")), "network name 'a--b' is not lower case words"),
        (yields("im2im_networks", network("a/b")), "network name 'a/b' is not lower case words"),
        (yields("im2im_networks", network("a"), network("a")), "im2im_networks yields 'a' twice"),
    ],
)
def test_wrong_declarations_break_only_their_own_plugin(plugin: MakePlugin, hook: Any, reason: str) -> None:
    registry = discover(plugin("bad", hook), plugin("good", yields("im2im_networks", network("small-net"))))
    info = only(registry, "bad")
    assert info.state == "broken"
    assert info.reason.startswith(reason)
    assert [entry.plugin for entry in registry.components("network")] == ["good"]


def test_exception_in_the_middle_of_a_generator_hook(plugin: MakePlugin) -> None:
    @hookimpl
    def im2im_networks() -> Any:
        yield network("first")
        raise RuntimeError("out of networks")

    registry = discover(plugin("bad", im2im_networks), plugin("good", yields("im2im_networks", network("small-net"))))
    assert only(registry, "bad").reason == "im2im_networks failed: RuntimeError: out of networks"
    assert [entry.component.name for entry in registry.components("network")] == ["small-net"]


@pytest.mark.parametrize("result", [None, 3, SystemExit(1)])
def test_hook_that_does_not_return_an_iterable(plugin: MakePlugin, result: Any) -> None:
    @hookimpl
    def im2im_losses() -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    registry = discover(plugin("bad", im2im_losses))
    assert only(registry, "bad").state == "broken"
    assert only(registry, "bad").reason.startswith("im2im_losses failed: ")


def test_hook_with_arguments_is_refused(plugin: MakePlugin) -> None:
    @hookimpl
    def im2im_losses(registry: Any) -> Any:
        return []

    assert only(discover(plugin("bad", im2im_losses)), "bad").reason.startswith("registration failed: ")


def test_an_object_with_any_attribute_in_a_module_is_no_hook(plugin: MakePlugin) -> None:
    class Anything:
        def __getattr__(self, name: str) -> Any:
            if name == "__name__":
                raise AttributeError(name)
            return True

    registry = discover(plugin("good", yields("im2im_networks", network("small-net")), anything=Anything()))
    assert only(registry, "good").state == "active"


def test_one_name_from_two_plugins_needs_the_qualified_name(plugin: MakePlugin) -> None:
    registry = discover(
        plugin("fcn", yields("im2im_networks", network("unet"))),
        plugin("other", yields("im2im_networks", network("unet"), network("mine"))),
    )
    assert [info.state for info in registry.plugins] == ["active", "active"]
    with pytest.raises(ComponentError) as caught:
        registry.get("network", "unet")
    assert "fcn/unet, other/unet" in caught.value.message
    assert caught.value.hint == "write fcn/unet"
    assert registry.get("network", "other/unet").plugin == "other"
    assert registry.get("network", "fcn/unet").plugin == "fcn"
    assert registry.get("network", "mine").plugin == "other"


def test_same_name_in_two_kinds_is_no_conflict(plugin: MakePlugin) -> None:
    loss = Loss(name="same", summary="", factory=print)
    registry = discover(
        plugin("one", yields("im2im_networks", network("same"))), plugin("two", yields("im2im_losses", loss))
    )
    assert registry.get("network", "same").plugin == "one"
    assert registry.get("loss", "same").plugin == "two"


def test_second_plugin_of_one_name_is_broken_and_the_first_works(plugin: MakePlugin) -> None:
    registry = discover(
        plugin("twice", yields("im2im_networks", network("first"))),
        plugin("twice", yields("im2im_networks", network("second"))),
    )
    assert [info.state for info in registry.plugins] == ["active", "broken"]
    assert registry.plugins[1].reason == "another plug-in is already called 'twice'"
    assert [entry.component.name for entry in registry.components("network")] == ["first"]


def test_environment_limits_the_plugins(plugin: MakePlugin) -> None:
    points = [plugin(name, yields("im2im_networks", network(f"{name}-net"))) for name in ("builtin", "a", "b")]

    def active(**environment: str) -> list[str]:
        return [info.name for info in discover(*points, **environment).plugins if info.state == "active"]

    assert active() == ["builtin", "a", "b"]
    assert active(IM2IM_PLUGINS="a") == ["builtin", "a"]
    assert active(IM2IM_PLUGINS=" a , b ") == ["builtin", "a", "b"]
    assert active(IM2IM_DISABLE_PLUGINS="a,b") == ["builtin"]
    assert active(IM2IM_DISABLE_PLUGINS="builtin") == ["a", "b"]
    assert active(IM2IM_PLUGINS="a,b", IM2IM_DISABLE_PLUGINS="b") == ["builtin", "a"]
    reasons = {info.name: info.reason for info in discover(*points, IM2IM_PLUGINS="a").plugins}
    assert reasons == {"builtin": "", "a": "", "b": "not named in IM2IM_PLUGINS"}
    disabled = discover(*points, IM2IM_DISABLE_PLUGINS="b")
    assert only(disabled, "b").reason == "named in IM2IM_DISABLE_PLUGINS"
    with pytest.raises(ComponentError, match="unknown network 'b-net'"):
        disabled.get("network", "b-net")


def test_disabled_plugin_is_not_even_imported(source: Callable[[str, str], EntryPoint]) -> None:
    point = source("never", "raise RuntimeError")
    assert only(discover(point, IM2IM_DISABLE_PLUGINS="never"), "never").state == "disabled"
    assert "fake_source_never" not in sys.modules


def test_unknown_name_suggests_the_nearest(plugin: MakePlugin) -> None:
    registry = discover(plugin("good", yields("im2im_networks", network("residual-unet"), network("erfnet"))))
    with pytest.raises(ComponentError) as caught:
        registry.get("network", "residul-unet")
    assert caught.value.message == "unknown network 'residul-unet'"
    assert caught.value.hint == "did you mean residual-unet?"


def test_unknown_name_of_a_first_party_plugin_says_what_to_install(plugin: MakePlugin) -> None:
    registry = discover(plugin("good", yields("im2im_networks", network("erfnet"))))
    with pytest.raises(ComponentError) as caught:
        registry.get("model", "cyclegan")
    assert caught.value.hint == "pip install im2im-gan"


def test_unlike_name_lists_what_is_installed_and_counts_the_broken(
    plugin: MakePlugin, source: Callable[[str, str], EntryPoint]
) -> None:
    registry = discover(
        plugin("good", yields("im2im_networks", network("erfnet"))), source("broken_one", "raise ValueError")
    )
    with pytest.raises(ComponentError) as caught:
        registry.get("network", "zzz")
    assert caught.value.hint == "installed: erfnet; 1 broken plug-in(s), see im2im plugins"


def test_installed_plugins_are_found_by_their_entry_points() -> None:
    registry = Registry.discover(environment={})
    builtin = only(registry, "builtin")
    assert builtin.state == "active", builtin.reason
    assert builtin.distribution == "im2im-core"
    assert registry.get("dataset", "paired").plugin == "builtin"
