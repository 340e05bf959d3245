"""What a shell is told when a name is half typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from im2im_core.cli import completion
from im2im_core.components import KINDS
from im2im_core.registry import Registry

REGISTRY = Registry.discover()


def offered(line: str) -> list[str]:
    """What bash gets from the program for a command line with the cursor at its end."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_IM2IM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = Path(sys.executable).with_name("im2im")
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "kind"),
    [("im2im list ", None), ("im2im train --loss ", "loss"), ("im2im show metric ", "metric")],
)
def test_the_program_answers_bash(line: str, kind: str | None) -> None:
    names = {entry.component.name for entry in REGISTRY.components(kind)} if kind else {"models", "losses"}
    assert names <= set(offered(line))


def test_only_what_begins_as_typed_is_offered() -> None:
    assert offered("im2im show losses ms") == [name for name, _ in completion.names_of("loss")("ms")]
    assert offered("im2im plugins check built") == ["builtin"]
    assert offered("im2im show nothing x") == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_offered_with_its_summaries(kind: str) -> None:
    offers = completion.names_of(kind)("")
    assert len(offers) >= len(REGISTRY.components(kind))
    assert all(name for name, _ in offers)
    summaries = dict(offers)
    assert all(summaries.get(entry.component.name) for entry in REGISTRY.components(kind))
