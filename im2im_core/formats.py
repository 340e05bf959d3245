"""Which reader opens a file, which writer makes one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from im2im_core.config import Choice
from im2im_core.errors import DataError, OutputError
from im2im_core.image import Image
from im2im_core.interfaces import ImageWriter, ReadImage
from im2im_core.registry import Registered, Registry

_log = logging.getLogger(__name__)


def by_suffix(registry: Registry, kind: str, path: Path) -> list[Registered]:
    """Readers or writers of this file name: the longest suffix first, then the highest priority."""
    name = path.name.lower()
    ranked = []
    for entry in registry.components(kind):
        fitting = [suffix for suffix in entry.component.suffixes if name.endswith(suffix)]  # type: ignore[attr-defined]
        if fitting:
            ranked.append((-max(map(len, fitting)), -entry.component.priority, entry.component.name, entry))  # type: ignore[attr-defined]
    return [entry for *_, entry in sorted(ranked, key=lambda item: item[:3])]


def known_suffixes(registry: Registry, kind: str = "reader") -> tuple[str, ...]:
    """All suffixes that some installed reader (or writer) takes."""
    return tuple(sorted({s for entry in registry.components(kind) for s in entry.component.suffixes}))  # type: ignore[attr-defined]


def image_loader(registry: Registry, reader: Choice | None = None, *, scene: int | str | None = None) -> ReadImage:
    """`load(path) -> Image`: the chosen reader, or the readers of the file's suffix one after the other.

    Args:
        registry: the installed plug-ins.
        reader: chosen, with its settings.
        scene: number from 0, or name, of an image of a file that holds several; None: as the reader is set.
    """
    built: dict[str, ReadImage] = {}

    def candidates(path: Path) -> list[tuple[str, Callable[[], ReadImage]]]:
        if reader is not None:
            return [(reader.name, partial(_build, reader.component, reader.config, scene))]
        found = [entry.component for entry in by_suffix(registry, "reader", path)]
        return [(component.name, partial(_build, component, None, scene)) for component in found]

    def load(path: Path) -> Image:
        if not path.exists():
            raise DataError(f"'{path}' does not exist", "check the path")
        found = candidates(path)
        if not found:
            suffix = "".join(path.suffixes[-2:]) or path.name
            raise DataError(f"no installed reader opens '{suffix}' files: '{path}'", _install_hint(registry))
        reasons = []
        hint = "check that the file is complete and opens in other software"
        for name, make in found:
            try:
                if name not in built:
                    built[name] = make()
                return built[name](path)
            except DataError as error:
                reasons.append(f"{name}: {error.message}")
                hint = error.hint or hint
            except Exception as error:  # a reader of any plug-in must not stop a run over many files
                _log.debug("reader '%s' failed on '%s'", name, path, exc_info=True)
                reasons.append(f"{name}: {type(error).__name__}: {error}")
        raise DataError(f"cannot read '{path}'; readers tried: " + "; ".join(reasons), hint)

    return load


def _build(component: Any, config: Any, scene: int | str | None) -> ReadImage:
    config = component.config() if config is None else config
    if scene is not None:
        if "scene" not in component.config.model_fields:
            raise DataError(f"reader '{component.name}' knows no scenes", "leave --scene out")
        config = component.config.model_validate({**config.model_dump(), "scene": scene})
    read: ReadImage = component.factory(config)
    return read


def try_readers(registry: Registry, path: Path) -> Iterator[tuple[str, Image | str]]:
    """Every reader by name, those first that `image_loader` would try first: the opened image, or why there is none.

    Raises:
        DataError: the file does not exist.
    """
    if not path.exists():
        raise DataError(f"'{path}' does not exist", "check the path")
    fitting = by_suffix(registry, "reader", path)
    for entry in fitting:
        component = entry.component
        try:
            yield component.name, component.factory(component.config())(path)
        except DataError as error:
            yield component.name, error.message + (f" ({error.hint})" if error.hint else "")
        except Exception as error:
            yield component.name, f"{type(error).__name__}: {error}"
    for entry in registry.components("reader"):
        if entry not in fitting:
            suffixes = " ".join(entry.component.suffixes)  # type: ignore[attr-defined]
            yield entry.component.name, f"takes other files: {suffixes}"


def image_writer(registry: Registry, path: Path, *, labels: bool = False) -> ImageWriter:
    """The writer of a file name.

    Args:
        registry: the installed plug-ins.
        path: of the file, or one that ends alike.
        labels: whole numbers will name objects or classes; told to a writer that has a setting `content`.

    Raises:
        OutputError: no installed writer makes such files.
    """
    found = by_suffix(registry, "writer", path)
    if not found:
        suffixes = ", ".join(known_suffixes(registry, "writer")) or "none; pip install im2im-io"
        raise OutputError(f"no installed writer makes '{path.name}'", f"suffixes that can be written: {suffixes}")
    component = found[0].component
    content = {"content": "labels"} if labels and "content" in component.config.model_fields else {}
    writer: ImageWriter = component.factory(component.config(**content))
    return writer


def _install_hint(registry: Registry) -> str:
    suffixes = known_suffixes(registry)
    if not suffixes:
        return "pip install im2im-io"
    return f'pip install "im2im-io[aicsimageio]" for vendors\' formats; readable now: {", ".join(suffixes)}'
