"""A trained model in a folder that needs nothing else. Opening a stranger's bundle runs none of its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from im2im_core.borrowed import BORROWED
from im2im_core.components import KINDS
from im2im_core.config import RunConfig, validate
from im2im_core.errors import BundleError, ConfigError
from im2im_core.files import checksum, write_beside, write_json
from im2im_core.layers import read_yaml
from im2im_core.registry import Registry

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

FORMAT_VERSION = 1
WEIGHTS = "weights.safetensors"
MANIFEST = "bundle.json"
# What only training needs; both may hold tensors.
TRAINING_ONLY = ("loss.", "discriminator.")


class ComponentSource(BaseModel):
    """Who supplied a component."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: str = Field(description="Section of the configuration, with its index in a list.")
    name: str = Field(description="Name of the component.")
    plugin: str = Field(description="Plug-in that supplied it.")
    distribution: str = Field(default="", description="What pip calls the plug-in.")
    version: str = Field(default="", description="Version of the plug-in at training.")


class BundleManifest(BaseModel):
    """The content of `bundle.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["im2im-bundle"] = Field(default="im2im-bundle", description="What this file is.")
    format_version: int = Field(default=FORMAT_VERSION, description="Version of the form of this file.")
    core_version: str = Field(default="", description="Version of im2im-core at training.")
    created: str = Field(description="When the bundle was written, ISO 8601.")
    task: str = Field(description="What the model is for.")
    spatial_dims: int = Field(ge=2, le=3, description="2 or 3.")
    axes: str = Field(description="Axes of the network's input without the batch axis.")
    in_channels: int = Field(ge=1, description="Channels of the image.")
    target_channels: int = Field(ge=1, description="Channels of the target in training.")
    channel_names: tuple[str, ...] = Field(default=(), description="Names of the image's channels, where known.")
    pixel_size: Mapping[str, float] = Field(
        default={}, description="Micrometre per pixel of the training data, by axis."
    )
    image_dtype: str = Field(default="", description="Pixel type of the images in training.")
    target_dtype: str = Field(default="", description="Pixel type of the targets in training.")
    window: tuple[int, ...] = Field(description="Window in pixels for prediction, [Z], Y, X.")
    overlap: float = Field(ge=0, lt=1, description="Share by which neighbouring windows overlap.")
    components: tuple[ComponentSource, ...] = Field(description="Where every component came from.")
    metrics: Mapping[str, float] = Field(default={}, description="Validation figures of the weights.")
    training: Mapping[str, Any] = Field(default={}, description="Number of subjects, epochs, steps, seconds.")
    weights_sha256: str = Field(description="Checksum of the weights.")


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: its description and configuration, the weights still on disk."""

    path: Path
    manifest: BundleManifest
    config: RunConfig

    @property
    def channels(self) -> tuple[str | int, ...]:
        """Channels of the training images that were learned from; empty: all, or the data set has no such setting."""
        return tuple(getattr(self.config.dataset.config, "channels", ()))


def save_bundle(
    path: Path,
    manifest: BundleManifest,
    config: RunConfig,
    model: LightningModule,
    sample: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> None:
    """Write a bundle whole or not at all.

    Args:
        path: the folder to make.
        manifest: its description; the checksum is filled in here.
        config: the resolved configuration.
        model: whose weights are saved.
        sample: a network input and the prediction it must give, (C, [Z], Y, X) and (K, [Z], Y, X).
    """
    from safetensors.torch import save_file

    with write_beside(path) as folder:
        folder.mkdir()
        state = {key: value.detach().cpu().contiguous().clone() for key, value in _product(model).items()}
        save_file(state, folder / WEIGHTS)
        np.save(folder / "sample_input.npy", sample[0], allow_pickle=False)
        np.save(folder / "sample_output.npy", sample[1], allow_pickle=False)
        (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        complete = manifest.model_copy(update={"weights_sha256": checksum(folder / WEIGHTS)})
        write_json(folder / MANIFEST, complete.model_dump(mode="json"))


def find_bundle(path: Path) -> Path:
    """Accept a bundle, or the run folder that holds one.

    Raises:
        BundleError: neither.
    """
    for candidate in (path, path / "bundle"):
        if (candidate / MANIFEST).is_file():
            return candidate
    reason = "does not exist" if not path.exists() else f"holds no {MANIFEST}"
    raise BundleError(f"'{path}' {reason}", "name the bundle folder of a finished run, for instance runs/RUN/bundle")


def open_bundle(path: Path, registry: Registry) -> Bundle:
    """Read a bundle's description and look its components up among the installed plug-ins.

    The discriminator is left out: prediction asks for none, so nobody needs the plug-in that brought it.

    Raises:
        BundleError: damaged, of a newer format, or a plug-in is missing.
    """
    path = find_bundle(path)
    manifest = _read_manifest(path)
    names = {entry.plugin for kind in KINDS for entry in registry.components(kind)} | {BORROWED}
    needed = [source for source in manifest.components if source.section != "discriminator"]
    missing = sorted({(c.plugin, c.distribution) for c in needed if c.plugin not in names})
    if missing:
        plugin, distribution = missing[0]
        raise BundleError(
            f"'{path}' needs plug-in '{plugin}', which is not installed or not working",
            f"pip install {distribution}" if distribution else "im2im plugins lists what is installed",
        )
    try:
        settings = read_yaml(path / "config.yaml")
        settings.pop("discriminator", None)
        config = validate(registry, settings, training=False)
    except ConfigError as error:
        raise BundleError(
            f"the configuration of '{path}' does not fit the installed plug-ins:\n{error.message}"
        ) from error
    return Bundle(path, manifest, config)


def _read_manifest(path: Path) -> BundleManifest:
    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        _check_version(path, raw)
        return BundleManifest.model_validate(raw)
    except (OSError, ValueError, ValidationError) as error:
        raise BundleError(f"'{path / MANIFEST}' is damaged: {_short(error)}", "copy the bundle again") from error


def _check_version(path: Path, raw: Any) -> None:
    """Before anything else: a newer format may hold what this version would call damaged."""
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"'{path}' has bundle format {version}, this im2im reads up to {FORMAT_VERSION}",
            "pip install --upgrade im2im-core",
        )


def load_model(bundle: Bundle) -> LightningModule:
    """Build the bundle's model and load its weights, every one of them.

    Raises:
        BundleError: weights are missing, altered, no safetensors, or do not fit the network.
    """
    from im2im_core.build import build_model

    path = bundle.path / WEIGHTS
    state = _read_weights(path, bundle.manifest.weights_sha256)
    model = build_model(
        bundle.config,
        spatial_dims=bundle.manifest.spatial_dims,
        in_channels=bundle.manifest.in_channels,
        target_channels=bundle.manifest.target_channels,
        training=False,
    )
    load_strictly(model, state, path)
    return model.eval()


def start_from(model: LightningModule, path: Path, *, partial: bool = False) -> list[str]:
    """Copy a bundle's weights into a model that is to be trained; of a loss or a discriminator nothing is expected.

    Args:
        model: of the same networks, or of others where only a part fits.
        path: the bundle, or the run that holds it.
        partial: leave out what does not fit.

    Returns:
        With `partial`, the tensors that kept their random start, sorted.

    Raises:
        BundleError: damaged; or tensors differ, the first of which are named; or nothing fits at all.
    """
    path = find_bundle(path)
    state = _read_weights(path / WEIGHTS, _read_manifest(path).weights_sha256)
    expected = _product(model)
    if not partial:
        _check_state(expected, state, path / WEIGHTS, "choose the same network, or add --init-partial")
        model.load_state_dict(state, strict=False)
        return []
    fitting = {key: value for key, value in state.items() if key in expected and value.shape == expected[key].shape}
    if not fitting:
        raise BundleError(f"no tensor of '{path / WEIGHTS}' fits the network", "choose the same kind of network")
    model.load_state_dict(fitting, strict=False)
    return sorted(set(expected) - set(fitting))


def _product(model: LightningModule) -> dict[str, Any]:
    """The tensors that make up a model for prediction."""
    return {key: value for key, value in model.state_dict().items() if not key.startswith(TRAINING_ONLY)}


def load_strictly(model: Any, state: Mapping[str, Any], path: Path) -> None:
    """Load weights into a module; every tensor must be there and fit.

    Raises:
        BundleError: names the first tensors that differ.
    """
    _check_state(model.state_dict(), state, path)
    model.load_state_dict(state, strict=True)


def _check_state(expected: Mapping[str, Any], state: Mapping[str, Any], path: Path, hint: str = "") -> None:
    missing = sorted(set(expected) - set(state))
    foreign = sorted(set(state) - set(expected))
    shapes = [k for k in expected if k in state and expected[k].shape != state[k].shape]
    if missing or foreign or shapes:
        parts = [
            f"{len(names)} {what} (first: {names[0]})"
            for names, what in ((missing, "missing"), (foreign, "foreign"), (shapes, "of another shape"))
            if names
        ]
        raise BundleError(f"the weights in '{path}' do not fit the network: tensors " + ", ".join(parts), hint)


def _read_weights(path: Path, sha256: str) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise BundleError(f"'{path}' is missing", "copy the bundle again")
    if _is_pickle(path):
        raise BundleError(
            f"'{path}' is a pickle, not safetensors; it was not opened", "get the bundle from its source again"
        )
    if checksum(path) != sha256:
        raise BundleError(f"'{path}' does not have the checksum that {MANIFEST} states", "copy the bundle again")
    try:
        state: dict[str, Any] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"'{path}' is not readable safetensors: {_short(error)}", "copy the bundle again") from error
    if not state:
        raise BundleError(f"'{path}' holds no weights")
    return state


def _is_pickle(path: Path) -> bool:
    """A pickle, bare or in torch's zip archive. Safetensors may begin with the same byte, but its ninth is a brace."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[8:] != b"{" and (head[:1] == b"\x80" or head[:2] == b"PK")


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split())[:200]
