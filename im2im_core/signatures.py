"""Constructor signatures of MONAI's transforms and torch's optimizers, read from their source. Imports neither.

Importing torch takes seconds, reading the one class that a configuration names takes milliseconds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from im2im_core.arguments import Parameter, Signature, check_arguments
from im2im_core.errors import ComponentError

__all__ = ["Parameter", "Signature", "TransformTable", "check_arguments", "monai_transforms", "torch_class"]

# Folders of monai.transforms whose dictionary transforms work on one sample. Left out: io (its readers and writers are
# imported by name), lazy and meta_utility (bookkeeping), regularization (whole batches).
FOLDERS = ("croppad", "intensity", "post", "signal", "smooth_field", "spatial", "utility")
# take a function, or import whatever module they are told
_FREE = {"Lambdad", "RandLambdad", "TorchVisiond", "RandTorchVisiond", "TorchIOd", "RandTorchIOd", "CuCIMd"}
_FREE |= {"RandCuCIMd", "Invertd"}
# write files, choose devices, return other than tensors, print, sleep
_SIDE_EFFECTS = {"SaveClassificationd", "ToDeviced", "ToCupyd", "ToPILd", "DataStatsd", "SimulateDelayd"}
# make several samples of one (the dataset does that), or one of several
_SEVERAL = {"RandSpatialCropSamplesd", "RandCropByPosNegLabeld", "RandCropByLabelClassesd", "RandWeightedCropd"}
_SEVERAL |= {"GridSplitd", "GridPatchd", "RandGridPatchd", "SplitDimd", "FlattenSequenced"}
_SEVERAL |= {"Ensembled", "MeanEnsembled", "VoteEnsembled"}
REFUSED = frozenset(_FREE | _SIDE_EFFECTS | _SEVERAL)
_CLASS = re.compile(r"^class (\w+)\b", re.MULTILINE)
_ALIASES = re.compile(r"^((?:\w+ = )+)(\w+)$", re.MULTILINE)
_KEYS_FIRST = re.compile(r"def __init__\(\s*self,\s*keys\b")


class TransformTable(Mapping[str, Signature]):
    """Names of transforms; each one's signature is parsed when it is asked for."""

    def __init__(self, blocks: Mapping[str, tuple[str, str]], aliases: Mapping[str, str]) -> None:
        self._blocks = blocks
        self._aliases = aliases
        self._names = tuple(
            sorted(
                name
                for name, target in {**{name: name for name in blocks}, **aliases}.items()
                if _is_offered(target, blocks.get(target, ("", ""))[1])
            )
        )
        self._known = frozenset(self._names)

    def __getitem__(self, name: str) -> Signature:
        if name not in self._known:
            raise KeyError(name)
        return _with_defaults(self.canonical(name), _signature(self.canonical(name), self._blocks))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def canonical(self, name: str) -> str:
        """The class behind a name: `RandFlipd` for `RandFlipDict`."""
        return self._aliases.get(name, name)


@lru_cache(maxsize=1)
def monai_transforms() -> TransformTable:
    """MONAI's dictionary transforms that a configuration may name: one sample in, one sample out, plain arguments.

    Raises:
        ComponentError: MONAI is not installed.
    """
    root = _package_folder("monai") / "transforms"
    blocks: dict[str, tuple[str, str]] = {}
    aliases: dict[str, str] = {}
    for path in (root / "transform.py", *(root / folder / "dictionary.py" for folder in FOLDERS)):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        blocks.update({name: (path.parent.name, block) for name, block in _class_blocks(text)})
        for chain, target in _ALIASES.findall(text):
            aliases.update({alias: target for alias in chain.split(" = ") if alias})
    return TransformTable(blocks, {alias: target for alias, target in aliases.items() if target in blocks})


@lru_cache(maxsize=64)
def torch_class(package_file: str, class_name: str) -> Signature:
    """The signature of a class in torch's sources.

    Args:
        package_file: the file inside the package: "optim/adamw.py".
        class_name: the class: "AdamW".

    Raises:
        ComponentError: torch is not installed, or that version of it has no such class.
    """
    path = _package_folder("torch") / package_file
    blocks = {}
    if path.is_file():
        blocks = {name: (path.parent.name, block) for name, block in _class_blocks(path.read_text(encoding="utf-8"))}
    if class_name not in blocks:
        raise ComponentError(f"the installed torch has no '{class_name}' in '{package_file}'", "pip install -U torch")
    return _signature(class_name, blocks)


def _with_defaults(name: str, signature: Signature) -> Signature:
    """What moves pixels must move those of target and cost map alike; what changes intensities is for the image."""
    moves = signature.folder in ("spatial", "croppad") or name == "RandSmoothDeformd"
    changes: dict[str, dict[str, Any]] = {
        "keys": {"required": False, "default": ("image", "target", "costmap") if moves else ("image",)},
        "allow_missing_keys": {"default": True},
    }
    if signature.folder == "spatial":  # one mode for each key is taken everywhere, but not always declared
        changes |= {"mode": {"annotation": "SequenceStr"}, "padding_mode": {"annotation": "SequenceStr"}}
    return replace(signature, parameters=tuple(replace(p, **changes.get(p.name, {})) for p in signature.parameters))


def _package_folder(package: str) -> Path:
    # The spec of a top-level package is found without importing it; that of a submodule is not.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ComponentError(f"the package '{package}' is not installed", f"pip install {package}")
    return Path(spec.origin).parent


def _class_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Name and source of each top-level class. Parsing these alone is far cheaper than parsing the whole file."""
    for match in _CLASS.finditer(text):
        end = re.compile(r"^[^\s)#]", re.MULTILINE).search(text, match.end())
        yield match.group(1), text[match.start() : end.start() if end else len(text)]


def _is_offered(name: str, block: str) -> bool:
    if not name.endswith("d") or name in REFUSED or not block:
        return False
    return "def __init__" not in block or bool(_KEYS_FIRST.search(block))


def _signature(name: str, blocks: Mapping[str, tuple[str, str]]) -> Signature:
    folder, block = blocks[name]
    node = ast.parse(block).body[0]
    assert isinstance(node, ast.ClassDef)
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    random = name.startswith("Rand") or any(base.startswith("Random") for base in bases)
    summary = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    summary = summary.replace(":py:class:", "").replace("`", "")
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return Signature(tuple(_parameters(item.args)), summary, random, item.args.kwarg is not None, folder)
    for base in bases:
        if base in blocks:
            return replace(_signature(base, blocks), summary=summary, random=random, folder=folder)
    return Signature((), summary, random, folder=folder)


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = list(zip(positional, [*missing, *arguments.defaults], strict=True))[1:]  # without self
    pairs += list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    for argument, default in pairs:
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        yield Parameter(argument.arg, default is None, None if default is None else _value(default), annotation)


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):  # a default such as 1.0 / 3
        top, bottom = _value(node.left), _value(node.right)
        if isinstance(top, int | float) and isinstance(bottom, int | float):
            return top / bottom
    return ast.unparse(node)
