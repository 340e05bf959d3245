"""A bundle opens to the same model, or says in words why it does not."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle, toy_registry

from im2im_core import BundleError
from im2im_core.bundle import MANIFEST, WEIGHTS, find_bundle, load_model, open_bundle
from im2im_core.registry import Registry


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    toy_bundle(tmp_path / "run" / "bundle")
    return tmp_path / "run" / "bundle"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return toy_registry()


def change_manifest(bundle: Path, **changes: Any) -> None:
    content = json.loads((bundle / MANIFEST).read_text())
    content.update(changes)
    (bundle / MANIFEST).write_text(json.dumps(content))


def put_weights(bundle: Path, content: bytes) -> None:
    """Other weights with the checksum to match."""
    (bundle / WEIGHTS).write_bytes(content)
    change_manifest(bundle, weights_sha256=hashlib.sha256(content).hexdigest())


def put_tensors(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save

    state = load_file(bundle / WEIGHTS)
    change(state)
    put_weights(bundle, save(state))


def refused(bundle: Path, registry: Registry) -> BundleError:
    with pytest.raises(BundleError) as caught:
        load_model(open_bundle(bundle, registry))
    assert str(bundle) in caught.value.message
    return caught.value


def test_round_trip_gives_the_stored_output(bundle: Path, registry: Registry) -> None:
    import torch

    opened = open_bundle(bundle, registry)
    model = load_model(opened)
    assert not model.training
    image = np.load(bundle / "sample_input.npy", allow_pickle=False)
    expected = np.load(bundle / "sample_output.npy", allow_pickle=False)
    with torch.inference_mode():
        output = model(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_array_equal(output, expected)
    assert expected.std() > 0
    assert opened.config.model.name == "toy"
    assert sorted(path.name for path in bundle.iterdir()) == [
        "bundle.json",
        "config.yaml",
        "sample_input.npy",
        "sample_output.npy",
        "weights.safetensors",
    ]


def test_a_run_folder_stands_for_its_bundle(bundle: Path, registry: Registry) -> None:
    assert find_bundle(bundle.parent) == bundle
    assert open_bundle(bundle.parent, registry).path == bundle


def test_folder_without_bundle(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path, registry)
    assert caught.value.message == f"'{tmp_path}' holds no bundle.json"
    assert "name the bundle folder" in caught.value.hint
    with pytest.raises(BundleError, match="does not exist"):
        open_bundle(tmp_path / "missing", registry)


def test_wrong_checksum(bundle: Path, registry: Registry) -> None:
    weights = bytearray((bundle / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (bundle / WEIGHTS).write_bytes(bytes(weights))
    assert "checksum" in refused(bundle, registry).message


def test_plugin_that_is_not_installed(bundle: Path) -> None:
    error = refused(bundle, Registry.discover(environment={"IM2IM_PLUGINS": "builtin"}))
    assert "needs plug-in 'toys'" in error.message
    assert error.hint == "pip install im2im-toys"


def test_components_of_libraries_need_no_plugin(tmp_path: Path) -> None:
    registry = toy_bundle(tmp_path / "bundle", "augmentation=[RandFlipd]", "scheduler=cosine")
    sources = {
        source.section: source.plugin for source in open_bundle(tmp_path / "bundle", registry).manifest.components
    }
    assert {sources[section] for section in ("optimizer", "scheduler", "augmentation.0")} == {"library"}


class Trap:
    """Tells on whoever unpickles it."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("opened"),))


@pytest.mark.parametrize("form", ["pickle", "torch", "torch-legacy"])
def test_pickle_in_place_of_weights_is_not_opened(
    bundle: Path, registry: Registry, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    if form == "pickle":
        content = pickle.dumps(Trap())
    else:
        torch.save(Trap(), tmp_path / "w.pt", _use_new_zipfile_serialization=form == "torch")
        content = (tmp_path / "w.pt").read_bytes()
    put_weights(bundle, content)
    assert "is a pickle, not safetensors; it was not opened" in refused(bundle, registry).message
    assert not (tmp_path / "opened").exists()


def test_weights_whose_header_begins_like_a_pickle(bundle: Path, registry: Registry) -> None:
    # The length of the header comes first; 128 and 640 are 0x80 and 0x80 0x02, as a pickle begins.
    from safetensors.torch import load_file, save

    state = load_file(bundle / WEIGHTS)
    for length in (128, 640):
        for padding in range(600):
            content = save(state, {"note": "x" * padding})
            if content[:8] == length.to_bytes(8, "little"):
                break
        else:
            continue
        assert content[:1] == b"\x80"
        put_weights(bundle, content)
        assert load_model(open_bundle(bundle, registry)) is not None
        return
    pytest.fail("no header of such a length could be made")


@pytest.mark.parametrize("length", [0, 4, 8, 20, -1])
def test_truncated_weights(bundle: Path, registry: Registry, length: int) -> None:
    put_weights(bundle, (bundle / WEIGHTS).read_bytes()[:length])
    assert "is not readable safetensors" in refused(bundle, registry).message


def test_no_weights_at_all(bundle: Path, registry: Registry) -> None:
    put_tensors(bundle, dict.clear)
    assert "holds no weights" in refused(bundle, registry).message
    (bundle / WEIGHTS).unlink()
    assert "is missing" in refused(bundle, registry).message


def test_foreign_weights(bundle: Path, registry: Registry) -> None:
    def rename(state: dict[str, Any]) -> None:
        for key in list(state):
            state[f"other.{key}"] = state.pop(key)

    put_tensors(bundle, rename)
    message = refused(bundle, registry).message
    assert "2 missing (first: network.0.bias), 2 foreign (first: other.network.0.bias)" in message


def test_missing_additional_and_misshapen_tensors(bundle: Path, registry: Registry) -> None:
    original = (bundle / WEIGHTS).read_bytes()
    put_tensors(bundle, lambda state: state.pop("network.0.bias"))
    assert "1 missing (first: network.0.bias)" in refused(bundle, registry).message
    put_weights(bundle, original)
    put_tensors(bundle, lambda state: state.update(extra=state["network.0.bias"].clone()))
    assert "1 foreign (first: extra)" in refused(bundle, registry).message
    put_weights(bundle, original)
    put_tensors(bundle, lambda state: state.update({"network.0.bias": state["network.0.bias"].repeat(2)}))
    assert "1 of another shape (first: network.0.bias)" in refused(bundle, registry).message


def test_newer_format_with_contents_not_known_yet(bundle: Path, registry: Registry) -> None:
    change_manifest(bundle, format_version=2, something_new={"a": 1})
    error = refused(bundle, registry)
    assert "has bundle format 2, this im2im reads up to 1" in error.message
    assert error.hint == "pip install --upgrade im2im-core"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": "im2im-bundle"}', b'{"format": "other"}', b'"text"'],
)
def test_damaged_description(bundle: Path, registry: Registry, content: bytes) -> None:
    (bundle / MANIFEST).write_bytes(content)
    error = refused(bundle, registry)
    assert "is damaged" in error.message
    assert error.hint == "copy the bundle again"


def test_description_with_one_wrong_value(bundle: Path, registry: Registry) -> None:
    change_manifest(bundle, spatial_dims=4)
    assert "is damaged: spatial_dims: " in refused(bundle, registry).message


def test_configuration_that_does_not_fit(bundle: Path, registry: Registry) -> None:
    text = (bundle / "config.yaml").read_text()
    (bundle / "config.yaml").write_text(text.replace("name: toy-net", "name: lost-net"))
    assert "unknown network 'lost-net'" in refused(bundle, registry).message
    (bundle / "config.yaml").write_text("a: !!python/object/apply:os.system ['touch opened']")
    assert "is not valid YAML" in refused(bundle, registry).message
    (bundle / "config.yaml").unlink()
    assert "cannot read configuration" in refused(bundle, registry).message


def test_saving_over_a_bundle_replaces_it_and_a_failure_keeps_it(
    bundle: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    from im2im_core import OutputError

    before = (bundle / WEIGHTS).read_bytes()
    toy_bundle(bundle, seed=1)
    after = (bundle / WEIGHTS).read_bytes()
    assert after != before

    def full(*args: Any, **kwargs: Any) -> None:
        Path(args[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        toy_bundle(bundle, seed=2)
    assert (bundle / WEIGHTS).read_bytes() == after
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    load_model(open_bundle(bundle, registry))
