"""`im2im plugins`: which there are, whether one keeps what its components promise, installing and removing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from im2im_core.cli.completion import plugin_names

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(help="List the installed plug-ins; check, install or uninstall one.")


@app.callback(invoke_without_command=True)
def plugins(context: typer.Context) -> None:
    """List the installed plug-ins, what they bring, and why some do not work; or check, install, uninstall one."""
    if context.invoked_subcommand is None:
        show_plugins()


@app.command()
def check(
    plugin: Annotated[
        str,
        typer.Argument(
            help="Name of an installed plug-in, or module of one: my_plugin.plugin.", autocompletion=plugin_names
        ),
    ],
    only: Annotated[
        str, typer.Option("--only", help="Checks with this in their names, such as 'loss-dice'.", show_default=False)
    ] = "",
) -> None:
    """Run the conformance kit on a plug-in: what every component of its kind must do."""
    import logging
    import warnings
    from contextlib import ExitStack

    from rich.text import Text

    from im2im_core.cli.console import console
    from im2im_core.errors import ComponentError
    from im2im_core.progress import track
    from im2im_core.testing import NotChecked, checks_of

    checks = [each for each in checks_of(plugin) if only in each.name]
    if not checks:
        raise ComponentError(f"no check of '{plugin}' has '{only}' in its name", "leave --only out")
    terminal = console()
    failed = skipped = 0
    # Trainings and libraries that are tried out have nothing to say here.
    said = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), ExitStack() as after:
        after.callback(logging.disable, said)
        warnings.simplefilter("ignore")
        for each in track(checks, "checking", len(checks)):
            try:
                each()
            except NotChecked as reason:
                skipped += 1
                terminal.print(Text.assemble(("not checked ", "yellow"), f"{each.name}: {reason}"))
            except Exception as error:
                failed += 1
                what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
                terminal.print(Text.assemble(("failed ", "red"), f"{each.name}: {what}\n  wanted: {each.demand}"))
    passed = len(checks) - failed - skipped
    terminal.print(f"{passed} of {len(checks)} checks passed, {skipped} could not be made", highlight=False)
    if failed:
        raise typer.Exit(1)


@app.command()
def install(
    packages: Annotated[list[str], typer.Argument(help="What pip takes: a name, a wheel, a folder, a URL.")],
) -> None:
    """Install plug-ins with pip, into the environment that im2im runs in."""
    _pip("install", packages)
    show_plugins()


@app.command()
def uninstall(
    plugin: Annotated[
        str, typer.Argument(help="A plug-in as listed, or its distribution.", autocompletion=plugin_names)
    ],
) -> None:
    """Uninstall the distribution of a plug-in with pip."""
    from im2im_core.errors import ComponentError
    from im2im_core.registry import Registry

    found = [info for info in Registry.discover().plugins if plugin in (info.name, info.distribution)]
    if not found:
        raise ComponentError(f"there is no plug-in '{plugin}'", "see im2im plugins")
    if found[0].name == "builtin":
        raise ComponentError("the built-in plug-in is part of im2im-core", "name another one")
    _pip("uninstall", ["--yes", found[0].distribution])


def _pip(command: str, arguments: Sequence[str]) -> None:
    import subprocess
    import sys

    from im2im_core.errors import OutputError

    done = subprocess.run([sys.executable, "-m", "pip", command, *arguments], check=False)
    if done.returncode:
        raise OutputError(f"pip {command} of '{arguments[-1]}' failed", "see what pip says above")


def show_plugins() -> None:
    """Print the table."""
    from rich.table import Table
    from rich.text import Text

    from im2im_core.cli.console import console
    from im2im_core.cli.names import plural
    from im2im_core.components import KINDS
    from im2im_core.registry import Registry

    registry = Registry.discover()
    table = Table("plug-in", "distribution", "API", "state", "brings", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for info in registry.plugins:
        counts = {kind: sum(entry.plugin == info.name for entry in registry.components(kind)) for kind in KINDS}
        brings = ", ".join(f"{n} {kind if n == 1 else plural(kind)}" for kind, n in counts.items() if n)
        colour = {"active": "green", "disabled": "yellow", "broken": "red"}[info.state]
        table.add_row(
            info.name,
            f"{info.distribution} {info.version}".strip() or info.module,
            "" if info.api is None else str(info.api),
            Text(info.state, style=colour),
            brings if info.state == "active" else info.reason,
        )
    console().print(table)
