"""What a constructor accepts, and what is wrong with the arguments that a configuration gives it. Loads no torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

# What a YAML value may be where a parameter is annotated with these names; any other name accepts everything.
_ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "None": (type(None),),
    "tuple": (list, tuple),
    "list": (list, tuple),
    "Sequence": (list, tuple),
    "Iterable": (list, tuple),
    "Collection": (list, tuple),
    "KeysCollection": (str, list, tuple),
    "Tensor": (),
}
_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a constructor.

    Attributes:
        name: its name.
        required: it has no default.
        default: the default where it is a plain value, else its source text (`GridSampleMode.BILINEAR`).
        annotation: the source text of its type, or empty.
    """

    name: str
    required: bool
    default: Any = None
    annotation: str = ""

    @property
    def accepted(self) -> tuple[type, ...] | None:
        """Types that the annotation allows; None when it cannot be told."""
        if not self.annotation:
            return None
        types: list[type] = []
        for name in _alternatives(ast.parse(self.annotation, mode="eval").body):
            if name not in _ACCEPTED:
                return None
            types.extend(_ACCEPTED[name])
        if not self.required and self.default is None:
            types.append(type(None))
        return tuple(types) or None


@dataclass(frozen=True, slots=True)
class Signature:
    """The constructor of a class.

    Attributes:
        parameters: without self.
        summary: first sentence of the class's documentation.
        random: the class draws random numbers.
        open: it takes further keyword arguments of any name.
        folder: the folder of its source file: "intensity", "spatial", "optim".
    """

    parameters: tuple[Parameter, ...]
    summary: str = ""
    random: bool = False
    open: bool = False
    folder: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in their order."""
        return tuple(parameter.name for parameter in self.parameters)

    def get(self, name: str) -> Parameter | None:
        """The parameter of that name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def without(self, *names: str) -> Signature:
        """The signature less those parameters that the caller supplies himself."""
        return replace(self, parameters=tuple(p for p in self.parameters if p.name not in names))


def check_arguments(name: str, signature: Signature, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with the arguments, one sentence each; empty when nothing is.

    Args:
        name: what the user called the class, for the messages.
        signature: of the class.
        arguments: name -> value, as read from YAML.
    """
    problems = []
    for key, value in arguments.items():
        parameter = signature.get(key)
        if parameter is None:
            if not signature.open:
                problems.append(f"'{name}' has no setting '{key}'{_suggestion(key, signature.names)}")
            continue
        accepted = parameter.accepted
        wrong = accepted is not None and not isinstance(value, accepted)
        # bool is an int to Python, but `lr: true` is a mistake.
        wrong = wrong or (accepted is not None and isinstance(value, bool) and bool not in accepted)
        if wrong:
            problems.append(f"'{key}' of '{name}' must be {_in_words(accepted or ())}, not '{value}'")
    for parameter in signature.parameters:
        if parameter.required and parameter.name not in arguments:
            problems.append(f"'{name}' needs a value for '{parameter.name}'")
    return problems


def _in_words(accepted: tuple[type, ...]) -> str:
    words = [text for kind, text in _WORDS.items() if kind in accepted]
    if float in accepted and int in accepted:
        words.remove(_WORDS[int])
    return " or ".join(words)


def _alternatives(node: ast.expr) -> Iterator[str]:
    """Names of the types in a union: `float | Tensor` -> float, Tensor."""
    if isinstance(node, ast.BinOp):
        yield from _alternatives(node.left)
        yield from _alternatives(node.right)
    elif isinstance(node, ast.Subscript):
        yield from _alternatives(node.value)
    else:
        yield ast.unparse(node)


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(known)}"
