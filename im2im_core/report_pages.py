"""Contents to pages, by templates that escape whatever they are given."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, its file name in the Markdown report, and what it shows for those who cannot see it."""

    name: str
    png: bytes
    alt: str


def html_page(content: Mapping[str, Any]) -> str:
    """One HTML file that asks for nothing else: pictures and style are inside, and there is no script."""
    environment = _environment(autoescape=True)
    return environment.get_template("report.html.j2").render(content, src=_data_address)


def markdown_page(content: Mapping[str, Any], picture_folder: str) -> str:
    """Markdown with links to the pictures in `picture_folder`."""
    environment = _environment(autoescape=False, finalize=_escape_markdown)
    environment.filters["code"] = _fenced
    page = environment.get_template("report.md.j2").render(
        content, src=lambda picture: Markup(f"{picture_folder}/{picture.name}")
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def _environment(**settings: Any) -> Environment:
    return Environment(
        loader=PackageLoader("im2im_core", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )


def _data_address(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


def _escape_markdown(value: Any) -> Any:
    """For all that a template fills in: file names and messages must not become formatting or HTML."""
    if isinstance(value, Markup):
        return value
    text = re.sub(r"\s+", " ", str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|>#~])", r"\\\1", text)


def _fenced(text: str, language: str = "") -> Markup:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{text}\n{fence}")
