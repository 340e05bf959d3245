"""What a shell offers when a name is half typed: the components that are installed."""

from __future__ import annotations

from collections.abc import Callable

import typer

Offers = list[tuple[str, str]]


def names_of(kind: str) -> Callable[[str], Offers]:
    """Offers the components of a kind, each with its summary."""

    def offer(incomplete: str) -> Offers:
        return _matching(kind, incomplete)

    return offer


def kinds(incomplete: str) -> Offers:
    """Offers the kinds, in the plural as `im2im list` prints them."""
    from im2im_core.cli.names import BORROWED_KINDS, plural
    from im2im_core.components import KINDS

    return [(plural(kind), "") for kind in (*KINDS, *BORROWED_KINDS) if plural(kind).startswith(incomplete)]


def names_of_typed_kind(ctx: typer.Context, incomplete: str) -> Offers:
    """Offers the components of the kind that was typed before, as in `im2im show loss`."""
    from im2im_core.cli.names import kind_of
    from im2im_core.errors import ComponentError

    try:
        return _matching(kind_of(str(ctx.params.get("what"))), incomplete)
    except ComponentError:  # a bundle, or a kind that does not exist
        return []


def plugin_names(incomplete: str) -> Offers:
    """Offers the installed plug-ins."""
    from im2im_core.registry import Registry

    return [(info.name, info.distribution) for info in Registry.discover().plugins if info.name.startswith(incomplete)]


def template_kinds(incomplete: str) -> Offers:
    """Offers the kinds that `im2im new plugin` has a template for."""
    from im2im_core.plugin_template import KINDS

    return [(kind, "") for kind in KINDS if kind.startswith(incomplete)]


def _matching(kind: str, incomplete: str) -> Offers:
    from im2im_core.cli.names import component_rows
    from im2im_core.registry import Registry

    rows = component_rows(Registry.discover(), kind, everything=True)
    return [(name, summary) for name, summary, _ in rows if name.startswith(incomplete)]
