"""Layers of settings, before anybody knows what the settings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im2im_core import ConfigError
from im2im_core.layers import assign, dump_yaml, overlay, parse_assignment, parse_yaml, read_yaml


def test_a_nested_key_leaves_its_neighbours() -> None:
    lower = {"trainer": {"name": "lightning", "max_epochs": 100, "precision": "32-true"}, "seed": 0}
    upper = {"trainer": {"max_epochs": 3}}
    assert overlay(lower, upper) == {
        "trainer": {"name": "lightning", "max_epochs": 3, "precision": "32-true"},
        "seed": 0,
    }
    assert lower["trainer"]["max_epochs"] == 100  # type: ignore[index]


def test_another_name_drops_the_settings_below() -> None:
    lower = {"loss": {"name": "mse", "weight": 3}, "network": {"name": "unet", "depth": 4}}
    result = overlay(lower, {"loss": {"name": "l1"}, "network": {"name": "unet", "width": 8}})
    assert result == {"loss": {"name": "l1"}, "network": {"name": "unet", "depth": 4, "width": 8}}


def test_lists_and_values_are_replaced() -> None:
    assert overlay({"a": [1, 2], "b": {"c": 1}}, {"a": [3], "b": None}) == {"a": [3], "b": None}


def test_the_layers_are_not_changed() -> None:
    lower: dict[str, Any] = {"a": {"b": {"c": 1}}}
    upper: dict[str, Any] = {"a": {"b": {"d": 2}}, "e": {"f": 1}}
    result = overlay(lower, upper)
    result["a"]["b"]["x"] = result["e"]["x"] = 1
    assert lower == {"a": {"b": {"c": 1}}}
    assert upper == {"a": {"b": {"d": 2}}, "e": {"f": 1}}


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("trainer.max_epochs=50", ("trainer", "max_epochs"), 50),
        ("optimizer.lr=1e-3", ("optimizer", "lr"), 0.001),
        ("optimizer.lr=-2.5E+2", ("optimizer", "lr"), -250.0),
        ("dataset.patch_size=[32, 64]", ("dataset", "patch_size"), [32, 64]),
        ("dataset.path=a=b", ("dataset", "path"), "a=b"),
        ("dataset.path=2024-01-31", ("dataset", "path"), "2024-01-31"),
        ("dataset.path=2024-13-45", ("dataset", "path"), "2024-13-45"),
        ("trainer.max_time=10:00:00:00", ("trainer", "max_time"), "10:00:00:00"),
        ("scheduler=null", ("scheduler",), None),
        ("scheduler=", ("scheduler",), None),
        ("trainer.progress=false", ("trainer", "progress"), False),
        ("loss=mse", ("loss",), "mse"),
    ],
)
def test_assignments(text: str, keys: tuple[str, ...], value: Any) -> None:
    found = parse_assignment(text)
    assert found == (keys, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize(
    "text", ["trainer.max_epochs", "=3", "a..b=3", ".a=3", "a=[1, 2", "a={b", "a: b=!!python/name:os.system"]
)
def test_malformed_assignments(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignment(text)
    assert text in caught.value.message


def test_names_are_set_before_the_settings_of_the_component() -> None:
    config = {"loss": {"name": "mse", "weight": 3}}
    sets = [parse_assignment("loss.delta=2"), parse_assignment("loss.name=huber")]
    assert assign(config, sets) == {"loss": {"name": "huber", "delta": 2}}


def test_an_item_of_a_list_by_its_index() -> None:
    config = {"preprocessing": [{"name": "a", "low": 1, "high": 9}, "b"]}
    result = assign(config, [parse_assignment("preprocessing.0.low=2"), parse_assignment("preprocessing.1.x=3")])
    assert result == {"preprocessing": [{"name": "a", "low": 2, "high": 9}, {"name": "b", "x": 3}]}
    assert config["preprocessing"][0] == {"name": "a", "low": 1, "high": 9}


def test_an_item_of_a_list_that_becomes_another_component() -> None:
    config = {"preprocessing": [{"name": "a", "low": 1}]}
    expected = {"preprocessing": [{"name": "b", "x": 3}]}
    sets = [parse_assignment("preprocessing.0.x=3"), parse_assignment("preprocessing.0.name=b")]
    assert assign(config, sets) == expected
    assert assign(config, [parse_assignment("preprocessing.0={name: b, x: 3}")]) == expected


def test_a_list_inside_a_section() -> None:
    config = {"trainer": {"name": "lightning", "callbacks": [{"name": "ema", "decay": 0.9, "warmup": True}]}}
    result = assign(config, [parse_assignment("trainer.callbacks.0.decay=0.5")])
    assert result["trainer"]["callbacks"] == [{"name": "ema", "decay": 0.5, "warmup": True}]


@pytest.mark.parametrize("text", ["preprocessing.1.low=2", "metrics.0.x=1", "trainer.callbacks.0.x=1"])
def test_an_item_that_is_not_there(text: str) -> None:
    config = {"preprocessing": [{"name": "a"}], "trainer": {"callbacks": []}}
    with pytest.raises(ConfigError) as caught:
        assign(config, [parse_assignment(text)])
    assert text.split("=")[0] in caught.value.message
    assert "there is no item" in caught.value.message


def test_yaml_never_builds_objects() -> None:
    import yaml

    with pytest.raises(yaml.YAMLError):
        parse_yaml("a: !!python/object/apply:os.system ['true']")


@pytest.mark.parametrize(
    "value", ["1e5", "10:30:00:00", "2024-01-31", "null", "true", "007", "", " x ", "a: b # c", "ä"]
)
def test_text_survives_yaml(value: str) -> None:
    assert parse_yaml(dump_yaml({"path": value})) == {"path": value}
    assert parse_yaml(dump_yaml({"path": [value]})) == {"path": [value]}


def test_read_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("trainer: {max_epochs: 3}\n")
    assert read_yaml(path) == {"trainer": {"max_epochs": 3}}
    path.write_text("# nothing yet\n")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n- b\n", "does not hold sections of settings"),
        (b"just words", "does not hold sections of settings"),
        (b"a: [1, 2", "is not valid YAML"),
        (b"\xff\xfe\x00\x01", "is not valid YAML"),
        (b"a: !!python/name:os.system", "is not valid YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            read_yaml(path)
        assert str(path) in caught.value.message
