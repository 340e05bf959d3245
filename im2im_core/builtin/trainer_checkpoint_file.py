"""Checkpoint files: written whole, of plain types only, read without running code."""

from __future__ import annotations

import enum
import os
import shutil
import uuid
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from im2im_core.errors import BundleError, OutputError
from im2im_core.files import write_beside

LAST, BEST = "last.ckpt", "best.ckpt"
_SAFE = (str, bytes, int, float, bool, complex, type(None), torch.Size, torch.dtype, torch.device)
_CONTAINERS = (dict, OrderedDict, Counter)


def plain(value: Any, where: str = "checkpoint", *, describe: bool = False) -> Any:
    """The same content in types that `torch.load(weights_only=True)` reads.

    Args:
        value: dictionaries, sequences, tensors, numbers; numpy values, paths and enumerations are converted.
        where: place of the value, for the error.
        describe: write anything else as its description; otherwise it is an error.

    Raises:
        OutputError: something cannot be represented.
    """
    if isinstance(value, torch.Tensor):
        return value if type(value) in (torch.Tensor, torch.nn.Parameter) else value.as_subclass(torch.Tensor)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()) if value.dtype.kind in "biufc" else value.tolist()
    if isinstance(value, enum.Enum):
        return plain(value.value, where, describe=describe)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        kind: Any = type(value) if type(value) in _CONTAINERS else dict
        # only the informative part may be described: a state that is described could not be restored
        items = {
            plain(key, where): plain(item, f"{where}.{key}", describe=describe or str(key).endswith("hyper_parameters"))
            for key, item in value.items()
        }
        return kind(items)
    if isinstance(value, list | tuple | set | frozenset) and type(value) is not torch.Size:
        items_of = [plain(item, f"{where}[{index}]", describe=describe) for index, item in enumerate(value)]
        return {list: list, set: set}.get(type(value), tuple)(items_of)
    if type(value) in _SAFE:
        return value
    if describe:
        return str(value)
    raise OutputError(
        f"'{where}' of type '{type(value).__name__}' cannot be kept in a checkpoint",
        "let the component that owns it store numbers, strings, lists, dictionaries and tensors only",
    )


class PlainCheckpointIO(TorchCheckpointIO):  # type: ignore[misc]
    """Checkpoints that are written beside and renamed, and read without running code.

    Lightning's own writing goes through a temporary folder that may be on another disk, whence a kill while the file is
    copied destroys the previous one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write whole or not at all.

        Raises:
            OutputError: the place cannot be written, the disk is full, or the content is not of plain types.
        """
        target = Path(path)
        content = plain(checkpoint)
        with write_beside(target) as beside:
            try:
                torch.save(content, beside)
            except RuntimeError as error:  # how torch reports a full disk
                raise OutputError(
                    f"cannot write '{target}': {str(error).splitlines()[0]}", "check that the disk is not full"
                ) from error

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read, whatever the caller says, plain types only."""
        return read_checkpoint(Path(path), map_location)


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        BundleError: it is missing, damaged, contains code, or is not a checkpoint of a training.
    """
    if not path.is_file():
        raise BundleError(f"there is no checkpoint '{path}'", f"a run keeps its checkpoint as checkpoints/{LAST}")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # zip, unpickling, end of file: torch promises no common type
        raise BundleError(
            f"'{path}' is not a checkpoint that can be read safely: it is damaged or contains code",
            f"resume from the {LAST} or {BEST} of a run of im2im",
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "loops", "optimizer_states"} <= checkpoint.keys():
        raise BundleError(
            f"'{path}' is not a checkpoint of a training", f"resume from the {LAST} or {BEST} of a run of im2im"
        )
    return checkpoint


def check_unused(folder: Path) -> None:
    """A training that is not resumed must not overwrite the checkpoints of another.

    Raises:
        OutputError: there are some.
    """
    if (folder / LAST).exists() or (folder / BEST).exists():
        raise OutputError(
            f"'{folder}' already holds the checkpoints of a training",
            f"resume it from '{folder / LAST}', or choose another run folder",
        )


def link(source: Path, target: Path) -> None:
    """`target` becomes another name of the same content; costs nothing where the disk knows hard links."""
    beside = target.with_name(f".{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        try:
            os.link(source, beside)
        except OSError:
            shutil.copyfile(source, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
