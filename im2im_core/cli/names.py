"""Kinds and components as a person names them on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from im2im_core.registry import Registry

BORROWED_KINDS = ("optimizer", "scheduler")


def kind_of(text: str) -> str:
    """The kind that a person means by 'losses', 'loss' or 'metrics'.

    Raises:
        ComponentError: there is no such kind.
    """
    from difflib import get_close_matches

    from im2im_core.components import KINDS
    from im2im_core.errors import ComponentError

    names = {form: kind for kind in (*KINDS, *BORROWED_KINDS) for form in (kind, plural(kind))}
    names["postprocessing"] = "postprocessor"
    if text not in names:
        near = get_close_matches(text, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "kinds: " + ", ".join(plural(kind) for kind in KINDS)
        raise ComponentError(f"unknown kind '{text}'", hint)
    return names[text]


def plural(kind: str) -> str:
    """'loss' to 'losses'."""
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def component_rows(registry: Registry, kind: str, *, everything: bool) -> list[tuple[str, str, str]]:
    """Name, summary and provider of each component of a kind; of MONAI's transforms only with `everything`."""
    from im2im_core.borrowed import borrowed_names

    entries = registry.components(kind)
    names = [entry.component.name for entry in entries]
    rows = [
        (c.name if names.count(c.name) == 1 else entry.qualified, c.summary, entry.plugin)
        for entry in entries
        for c in (entry.component,)
    ]
    borrowed = borrowed_names(kind) if everything or kind in BORROWED_KINDS else {}
    library = "MONAI" if kind == "transform" else "torch"
    rows += [(name, summary, library) for name, summary in borrowed.items()]
    if kind == "transform" and not everything:
        rows.append(
            ("RandFlipd, ...", "MONAI's dictionary transforms by their own names: im2im list transforms", "MONAI")
        )
    return rows
