"""From layers of settings to a validated run configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import Field

from im2im_core import (
    ComponentConfig,
    ConfigError,
    Dataset,
    Discriminator,
    Loss,
    Metric,
    Model,
    Network,
    Postprocessor,
    Preset,
)
from im2im_core.config import RunConfig, check_dimensions, resolve, validate
from im2im_core.layers import parse_yaml
from im2im_core.registry import PluginInfo, Registered, Registry


class NetConfig(ComponentConfig):
    """A network's settings."""

    depth: int = Field(default=3, description="levels")
    width: int = Field(default=8, description="channels")


class OtherConfig(ComponentConfig):
    """Another network's settings."""

    blocks: int | tuple[int, ...] = Field(default=2, description="blocks")


class LossConfig(ComponentConfig):
    """Needs a value."""

    weight: float = Field(description="needed")


DEFAULTS: dict[str, Any] = {
    "network": {"name": "net", "width": 16},
    "loss": {"name": "toy-loss"},
    "optimizer": {"name": "adam", "lr": 0.002},
    "scheduler": {"name": "cosine"},
    "postprocessing": [{"name": "toy-post"}],
}
RIVAL: dict[str, Any] = {**DEFAULTS, "loss": {"name": "l1"}}  # generators are compared as images


def nothing(*args: Any, **kwargs: Any) -> None:
    """No factory is called by a configuration."""
    raise AssertionError("a factory was called")


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in plug-in and a toy one."""
    builtin = Registry.discover(environment={"IM2IM_PLUGINS": "builtin"})
    regression = ("regression",)
    toys: list[Any] = [
        Model(name="toy", summary="", factory=nothing, task="regression", defaults=DEFAULTS, target_channels=(1, 2)),
        Model(name="flat", summary="", factory=nothing, task="regression", spatial_dims=(2,), defaults=DEFAULTS),
        Model(
            name="rival",
            summary="",
            factory=nothing,
            task="regression",
            defaults={**RIVAL, "discriminator": {"name": "judge", "depth": 2}},
            adversarial=True,
        ),
        Model(
            name="lone",
            summary="",
            factory=nothing,
            task="regression",
            spatial_dims=(2,),
            defaults=RIVAL,
            adversarial=True,
        ),
        Discriminator(name="judge", summary="", factory=nothing, config=NetConfig),
        Discriminator(name="flat-judge", summary="", factory=nothing, spatial_dims=(2,)),
        Discriminator(name="deep-judge", summary="", factory=nothing, spatial_dims=(3,)),
        Network(name="net", summary="", factory=nothing, config=NetConfig),
        Network(name="other-net", summary="", factory=nothing, config=OtherConfig),
        Network(name="deep-net", summary="", factory=nothing, spatial_dims=(3,)),
        Loss(name="toy-loss", summary="", factory=nothing, tasks=regression),
        Loss(name="needy", summary="", factory=nothing, config=LossConfig),
        Loss(name="class-loss", summary="", factory=nothing, tasks=("semantic-segmentation",)),
        Postprocessor(name="toy-post", summary="", factory=nothing),
        Postprocessor(name="labels-post", summary="", factory=nothing, tasks=("instance-segmentation",)),
        Metric(name="toy-metric", summary="", factory=nothing),
        Metric(name="labels-metric", summary="", factory=nothing, tasks=("instance-segmentation",)),
        Dataset(name="class-data", summary="", factory=nothing, tasks=("semantic-segmentation",), inspect=nothing),
        Preset(
            name="quick",
            summary="",
            task="regression",
            settings={"model": "toy", "trainer": {"max_epochs": 7, "precision": "bf16-mixed"}, "seed": 3},
        ),
        Preset(
            name="judged",
            summary="",
            task="regression",
            settings={"model": "rival", "discriminator": {"name": "judge", "depth": 5}, "seed": 4},
        ),
    ]
    infos = [*builtin.plugins, PluginInfo("toys", "toys", "", "", "active")]
    entries = [
        entry for kind in ("dataset", "transform", "loss", "trainer", "metric") for entry in builtin.components(kind)
    ]
    return Registry(infos, [*entries, *(Registered("toys", toy) for toy in toys)])


@pytest.fixture
def configure(registry: Registry) -> Callable[..., RunConfig]:
    """`resolve` for the toy model, with images named."""

    def run(*assignments: str, model: str = "toy", preset: str | None = None, **file: Any) -> RunConfig:
        flags = {"model": {"name": model}, "dataset": {"path": "images"}}
        return resolve(registry, preset=preset, file=file, flags=flags, assignments=assignments)

    return run


Configure = Callable[..., RunConfig]


def problems(configure: Configure, *assignments: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configure(*assignments, **options)
    assert caught.value.hint
    return caught.value.message.splitlines()


# --- layers


def test_every_layer_lies_over_the_one_before(registry: Registry) -> None:
    def epochs(**layers: Any) -> tuple[int, int, float]:
        config = resolve(registry, flags={"model": {"name": "toy"}, "dataset": {"path": "x"}}, **layers)
        settings = config.to_dict()
        return settings["trainer"]["max_epochs"], settings["seed"], settings["optimizer"]["lr"]

    file = {"trainer": {"max_epochs": 8}, "optimizer": {"lr": 0.5}}
    assert epochs() == (100, 0, 0.002)  # the core's defaults, and the model's
    assert epochs(preset="quick") == (7, 3, 0.002)
    assert epochs(preset="quick", file=file) == (8, 3, 0.5)
    assert epochs(preset="quick", file=file, assignments=["trainer.max_epochs=9", "seed=4"]) == (9, 4, 0.5)


def test_flags_lie_over_the_file(registry: Registry) -> None:
    file = {"model": "toy", "dataset": {"path": "a", "batch_size": 2}, "network": {"name": "net", "depth": 9}}
    flags = {"dataset": {"path": "b"}, "network": {"name": "other-net"}}
    settings = resolve(registry, file=file, flags=flags).to_dict()
    assert settings["dataset"]["path"] == "b"
    assert settings["dataset"]["batch_size"] == 2
    assert settings["network"] == {"name": "other-net", "blocks": 2}


def test_a_nested_key_keeps_its_neighbours(configure: Configure) -> None:
    network = configure("network.depth=5").to_dict()["network"]
    assert network == {"name": "net", "depth": 5, "width": 16}


def test_another_component_drops_the_settings_of_the_one_before(configure: Configure) -> None:
    assert configure("network.name=other-net").to_dict()["network"] == {"name": "other-net", "blocks": 2}
    assert configure("network=other-net").to_dict()["network"] == {"name": "other-net", "blocks": 2}
    assert configure("optimizer.name=adamw").to_dict()["optimizer"] == {"name": "adamw"}
    assert configure(network="other-net").to_dict()["network"] == {"name": "other-net", "blocks": 2}


def test_the_model_may_come_from_any_layer(registry: Registry) -> None:
    for layers in (
        {"file": {"model": "toy", "dataset": {"path": "x"}}},
        {"flags": {"model": {"name": "toy"}, "dataset": {"path": "x"}}},
        {"preset": "quick", "assignments": ["dataset.path=x"]},
        {"assignments": ["model=toy", "dataset.path=x"]},
        {"file": {"model": "flat"}, "assignments": ["model.name=toy", "dataset.path=x"]},
    ):
        assert resolve(registry, **layers).model.name == "toy"  # type: ignore[arg-type]


def test_no_model_at_all(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="no model was chosen"):
        resolve(registry, file={"dataset": {"path": "x"}})


def test_an_item_of_a_list_is_changed_by_its_index(configure: Configure) -> None:
    settings = configure("preprocessing.0.low=2").to_dict()["preprocessing"]
    assert settings[0]["name"] == "normalize-percentile"
    assert settings[0]["low"] == 2
    assert settings[0]["high"] != 2
    replaced = configure("preprocessing.0.name=normalize-zscore").to_dict()["preprocessing"]
    assert [item["name"] for item in replaced] == ["normalize-zscore"]


def test_an_optional_section_can_be_turned_off(configure: Configure, registry: Registry) -> None:
    config = configure("scheduler=null")
    assert config.scheduler is None
    assert resolve(registry, file=parse_yaml(config.to_yaml())) == config
    assert configure().scheduler is not None


# --- problems


def test_all_problems_at_once_each_with_its_path(configure: Configure) -> None:
    found = problems(
        configure,
        "trainer.max_epoch=3",
        "network.depth=deep",
        "loss=mze",
        "datset.path=x",
        "seed=-1",
        "metrics=[nope]",
        "optimizer.lrate=0.1",
    )
    assert "trainer.max_epoch: unknown setting; did you mean max_epochs?" in found
    assert "datset: unknown section; did you mean dataset?" in found
    assert any(line.startswith("network.depth: ") and line.endswith("(got 'deep')") for line in found)
    assert any(line.startswith("loss: unknown loss 'mze'; did you mean mse") for line in found)
    assert any(line.startswith("seed: a whole number") for line in found)
    assert any(line.startswith("metrics.0: unknown metric 'nope'") for line in found)
    assert "optimizer.lrate: unknown setting" in " ".join(found)
    assert len(found) == 7


@pytest.mark.parametrize(
    ("assignment", "start"),
    [
        ("network.depth=3.5", "network.depth: input should be a valid integer"),
        ("network.depth=[3]", "network.depth: input should be a valid integer (got '[3]')"),
        ("trainer.precision=half", "trainer.precision: input should be '32-true'"),
        ("loss=needy", "loss.weight: this setting is needed"),
        ("model.sigma=1", "model.sigma: unknown setting"),
        ("preprocessing.0.lowest=1", "preprocessing.0.lowest: unknown setting; did you mean low?"),
        ("preprocessing=[{low: 3}]", "preprocessing.0: 'name' is missing"),
        ("preprocessing=normalize-zscore", "preprocessing: a list is needed"),
        ("seed=1.5", "seed: a whole number"),
        ("seed=true", "seed: a whole number"),
        ("seed=null", "seed: a whole number"),
        ("loss=null", "loss: nothing chosen; add --set loss.name=NAME (im2im list loss)"),
        (
            "trainer.callbacks=[{name: ema, decai: 0.9}]",
            "trainer.callbacks.0.decai: unknown setting; did you mean decay?",
        ),
        ("trainer.callbacks=[{name: emma}]", "trainer.callbacks.0: 'emma' is unknown; did you mean ema?"),
        ("trainer.callbacks=[{decay: 0.9}]", "trainer.callbacks.0: 'name' is missing"),
    ],
)
def test_one_problem(configure: Configure, assignment: str, start: str) -> None:
    (line,) = problems(configure, assignment)
    assert line.startswith(start)


def test_a_setting_of_several_types_is_one_problem_without_library_words(configure: Configure) -> None:
    (line,) = problems(configure, "network=other-net", "network.blocks=many")
    assert line.startswith("network.blocks: input should be a valid integer")
    assert " or input should be a valid tuple (got 'many')" in line
    (line,) = problems(configure, "dataset.patch_size=big")
    assert line.startswith("dataset.patch_size: ")
    assert "constrained" not in line


def test_keys_that_are_no_text(configure: Configure, registry: Registry) -> None:
    found = problems(configure, network={"name": "net", 3: 4})
    assert len(found) == 1
    assert found[0].startswith("network")
    with pytest.raises(ConfigError, match="5: unknown section"):
        validate(registry, {**configure().to_dict(), 5: 1})  # type: ignore[dict-item]


def test_unknown_preset_and_model(configure: Configure) -> None:
    from im2im_core import ComponentError

    with pytest.raises(ComponentError, match="did you mean quick"):
        configure(preset="quik")
    with pytest.raises(ComponentError, match="unknown model 'toi'"):
        configure(model="toi")


# --- what does not fit together


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("loss=class-loss", "loss: 'class-loss' serves semantic-segmentation; model 'toy' is for regression"),
        (
            "dataset={name: class-data}",
            "dataset: 'class-data' serves semantic-segmentation; model 'toy' is for regression",
        ),
        (
            "postprocessing=[labels-post]",
            "postprocessing.0: 'labels-post' serves instance-segmentation; model 'toy' is for regression",
        ),
        (
            "metrics=[toy-metric, labels-metric]",
            "metrics.1: 'labels-metric' serves instance-segmentation; model 'toy' is for regression",
        ),
    ],
)
def test_another_task(registry: Registry, assignment: str, line: str) -> None:
    sets = [assignment] if assignment.startswith("dataset") else [assignment, "dataset.path=x"]
    with pytest.raises(ConfigError) as caught:
        resolve(registry, flags={"model": {"name": "toy"}}, assignments=sets)
    assert caught.value.message == line


def test_network_and_model_of_other_dimensions(configure: Configure) -> None:
    assert problems(configure, "network=deep-net", model="flat") == [
        "network: 'deep-net' works in 3D, model 'flat' in 2D"
    ]


def test_data_of_other_dimensions(configure: Configure) -> None:
    config = configure(model="flat")
    check_dimensions(config, 2, 1)
    with pytest.raises(ConfigError, match="model: 'flat' works in 2D, the data are 3D"):
        check_dimensions(config, 3, 1)
    with pytest.raises(ConfigError, match="network: 'deep-net' works in 3D, the data are 2D"):
        check_dimensions(configure("network=deep-net"), 2, 1)


# --- discriminators


def test_the_discriminator_is_a_section_like_the_network(configure: Configure, registry: Registry) -> None:
    config = configure("discriminator.width=4", model="rival")
    assert config.to_dict()["discriminator"] == {"name": "judge", "depth": 2, "width": 4}
    assert dict(config.choices())["discriminator"].plugin == "toys"
    assert resolve(registry, file=parse_yaml(config.to_yaml())) == config
    other = configure("discriminator=flat-judge", model="rival")
    assert other.to_dict()["discriminator"] == {"name": "flat-judge"}


def test_other_models_have_no_such_section(configure: Configure) -> None:
    config = configure()
    assert config.discriminator is None
    assert "discriminator" not in config.to_dict()
    line = "discriminator: model 'toy' is trained against none; leave the section out"
    assert problems(configure, "discriminator=judge") == [line]
    assert problems(configure, discriminator={"name": "judge"}) == [line]


def test_the_discriminator_of_a_preset_goes_with_its_model(configure: Configure) -> None:
    assert configure(preset="judged", model="rival").to_dict()["discriminator"]["depth"] == 5
    config = configure(preset="judged", model="toy")
    assert (config.discriminator, config.seed) == (None, 4)
    [line] = problems(configure, "discriminator.depth=3", preset="judged", model="toy")
    assert line.startswith("discriminator: model 'toy'")


def test_training_against_a_discriminator_needs_one_and_prediction_does_not(
    configure: Configure, registry: Registry
) -> None:
    line = "discriminator: nothing chosen; add --discriminator NAME (im2im list discriminators)"
    assert problems(configure, model="lone") == [line]
    settings = configure("discriminator=judge", model="lone").to_dict()
    del settings["discriminator"]
    assert validate(registry, settings, training=False).discriminator is None
    with pytest.raises(ConfigError, match="nothing chosen"):
        validate(registry, settings)


def test_discriminator_of_other_dimensions(configure: Configure) -> None:
    assert problems(configure, "discriminator=deep-judge", model="lone") == [
        "discriminator: 'deep-judge' works in 3D, model 'lone' in 2D"
    ]
    config = configure("discriminator=flat-judge", model="rival")
    check_dimensions(config, 2, 1)
    with pytest.raises(ConfigError, match="discriminator: 'flat-judge' works in 2D, the data are 3D"):
        check_dimensions(config, 3, 1)


def test_targets_of_other_channels(configure: Configure) -> None:
    config = configure()
    check_dimensions(config, 2, 2)
    with pytest.raises(ConfigError, match=r"needs targets of 1 or 2 channel\(s\), the data have 3"):
        check_dimensions(config, 2, 3)


def test_a_random_transform_is_no_preprocessing(configure: Configure) -> None:
    flip = "[{name: RandFlipd, keys: [image], prob: 0.5}]"
    assert problems(configure, f"preprocessing={flip}") == [
        "preprocessing.0: 'RandFlipd' is random; move it to augmentation"
    ]
    assert configure(f"augmentation={flip}").augmentation[0].name == "RandFlipd"


# --- components of libraries


def test_transforms_of_monai_by_their_names(configure: Configure) -> None:
    config = configure("augmentation=[{name: RandGaussianNoised, keys: [image], std: 0.2}]")
    assert config.to_dict()["augmentation"] == [{"name": "RandGaussianNoised", "keys": ["image"], "std": 0.2}]
    (line,) = problems(configure, "augmentation=[{name: RandGaussianNoised, keys: [image], stdd: 0.2}]")
    assert line.startswith("augmentation.0.stdd: unknown setting; did you mean std?")
    (line,) = problems(configure, "augmentation=[{name: RandFlip2d}]")
    assert line.startswith("augmentation.0: unknown transform 'RandFlip2d'; did you mean RandFlipd")
    assert configure("augmentation=[RandFlipd]").to_dict()["augmentation"] == [{"name": "RandFlipd"}]


@pytest.mark.parametrize("name", ["os.system", "Compose.__init__", "torch.optim.SGD", "../sgd", "RandFlipd.__class__"])
def test_no_name_leads_out_of_the_library(configure: Configure, name: str) -> None:
    for section in ("augmentation", "preprocessing"):
        (line,) = problems(configure, f"{section}=[{{name: '{name}', keys: [image]}}]")
        assert "unknown transform" in line
    (line,) = problems(configure, f"optimizer.name={name}")
    assert "unknown optimizer" in line or "no optimizer" in line.lower()


def test_optimizers_and_schedulers_by_their_names(configure: Configure) -> None:
    settings = configure(
        "optimizer={name: sgd, lr: 0.1, momentum: 0.9}", "scheduler={name: step, step_size: 5}"
    ).to_dict()
    assert settings["optimizer"] == {"name": "sgd", "lr": 0.1, "momentum": 0.9}
    assert settings["scheduler"] == {"name": "step", "step_size": 5}


@pytest.mark.parametrize(
    ("assignments", "parts"),
    [
        (["optimizer={name: sgd, lr: 0.1, momentun: 0.9}"], ("optimizer.momentun: ", "did you mean momentum?")),
        (["optimizer=adamv"], ("optimizer: ", "'adamv'", "adam")),
        (["scheduler=cosin"], ("scheduler: ", "'cosin'", "cosine")),
        (["scheduler={name: step, stepsize: 5}"], ("scheduler.stepsize: ", "did you mean step_size?")),
        (["optimizer.lr=fast"], ("optimizer", "'fast'")),
        (["optimizer.lr=true"], ("optimizer", "lr")),
    ],
)
def test_misspelt_optimizers_and_schedulers(
    configure: Configure, assignments: list[str], parts: tuple[str, ...]
) -> None:
    text = "\n".join(problems(configure, *assignments))
    for part in parts:
        assert part in text


# --- round trip


def test_the_resolved_configuration_is_accepted_back(configure: Configure, registry: Registry) -> None:
    config = configure(
        "augmentation=[{name: RandFlipd, keys: [image, target], prob: 0.5, spatial_axis: [0, 1]}]",
        "optimizer.lr=1e-5",
        "dataset.patch_size=[32, 64]",
        "trainer.callbacks=[{name: gradient-accumulation-scheduler, scheduling: {4: 2}}]",
        "trainer.max_time='10:00:00:00'",
        "metrics=[toy-metric]",
        "seed=7",
        preset="quick",
    )
    text = config.to_yaml()
    again = resolve(registry, file=parse_yaml(text))
    assert again == config
    assert again.to_yaml() == text


def test_a_path_that_looks_like_a_number_stays_a_path(registry: Registry) -> None:
    flags = {"model": {"name": "toy"}, "dataset": {"path": "1e5"}}
    config = resolve(registry, flags=flags)
    assert resolve(registry, file=parse_yaml(config.to_yaml())).to_dict()["dataset"]["path"] == "1e5"


def test_resolving_loads_neither_torch_nor_a_library_of_transforms() -> None:
    code = """
import sys
from im2im_core.config import resolve
from im2im_core.registry import Registry
registry = Registry.discover()
model = registry.components("model")
if model:
    sets = ["augmentation=[RandFlipd]", "optimizer.name=sgd", "optimizer.lr=0.1", "dataset.path=x"]
    resolve(registry, flags={"model": {"name": model[0].qualified}}, assignments=sets).to_yaml()
heavy = {"torch", "monai", "pytorch_lightning", "skimage", "scipy", "numba"} & set(sys.modules)
assert not heavy, heavy
print(len(registry.plugins))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 1
