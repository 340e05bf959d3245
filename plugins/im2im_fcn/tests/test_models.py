"""Models with every network, task and dimension; odd data; what is found in the data; start points."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml

from im2im_core import BundleError, ConfigError, DataFacts, DataSurvey
from im2im_core.build import build_model
from im2im_core.cli.predict import run_prediction
from im2im_core.cli.train import resolve_settings, run_training
from im2im_core.config import check_dimensions
from im2im_core.registry import Registry
from im2im_fcn.auto_network import AutoConfig, count_weights, largest_step, plan_step
from im2im_fcn.data_plan import count_classes, plan_model
from im2im_fcn.networks.config import DynUNetConfig
from im2im_fcn.networks.monai_networks import dynunet

REGISTRY = Registry.discover()
MODELS = [entry.component for entry in REGISTRY.components("model") if entry.plugin == "fcn"]
NETWORKS = [entry for entry in REGISTRY.components("network") if entry.component.name != "auto"]
TASKS = ("restoration", "translation", "semantic-segmentation", "regression")
# Only to be quick: the defaults are as large as published.
SMALL = {
    "basic-unet": {"features": [4, 4, 8, 8, 8, 4]},
    "dynunet": {"strides": [1, 2, 2], "filters": [4, 8, 8]},
    "highresnet": {"channels": [4, 8], "repeats": 1, "last_channels": 8},
    "flexible-unet": {"backbone": "resnet10", "decoder_channels": [16, 8, 8, 4, 4]},
    "segresnet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "unetr": {"input_size": 32, "feature_size": 2, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2},
    "swin-unetr": {"feature_size": 12, "depths": [1, 1, 1, 1], "window_size": 3},
    "fnet": {"depth": 2, "mult_chan": 4},
    "anisotropic-unet": {"channels": [4, 8, 8]},
    "deeplabv3": {"channels": 8},
}


def settings_for(network: str, model: str, task: str, sets: tuple[str, ...] = ()):
    chosen = {"name": network, **SMALL.get(network, {})}
    flags = {"model": {"name": model, "task": task}, "network": chosen, "dataset": {"path": "x"}}
    return resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=list(sets))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", [entry.component.name for entry in NETWORKS])
def test_what_validates_trains_a_step(network: str, task: str, dims: int, one_thread) -> None:
    for model in MODELS:
        settings = settings_for(network, model.name, task)
        declared = settings.network.component
        if dims not in declared.spatial_dims:
            with pytest.raises(ConfigError, match=f"'{network}' works in"):
                check_dimensions(settings, dims, 1)
            continue
        check_dimensions(settings, dims, 1)
        torch.manual_seed(0)
        built = build_model(settings, spatial_dims=dims, in_channels=1, target_channels=1, training=True)
        built.log = lambda *_, **__: None
        shape = (2, 1, 32, 32) if dims == 2 else (1, 1, 8, 32, 32)
        batch = {"image": torch.rand(shape), "target": (torch.rand(shape) > 0.5).float()}
        loss = built.training_step(batch, 0)
        loss.backward()
        assert torch.isfinite(loss)
        gradients = [p.grad for p in built.network.parameters() if p.grad is not None]
        assert gradients and all(torch.isfinite(g).all() for g in gradients)
        built.eval()
        with torch.no_grad():
            assert built(batch["image"]).shape == shape


@pytest.mark.parametrize("loss", [entry.component for entry in REGISTRY.components("loss")], ids=lambda loss: loss.name)
@pytest.mark.parametrize("task", TASKS)
def test_a_loss_that_cannot_serve_the_task_is_refused(loss, task: str) -> None:
    flags = {"model": {"name": "fcn", "task": task}, "dataset": {"path": "x"}, "loss": {"name": loss.name}}
    if loss.composite:
        flags["loss"]["parts"] = [{"name": "cross-entropy", "weight": 0.5}]
    elif loss.name == "topological-interaction":
        flags["loss"]["inclusion"] = [[1, 0]]
    serves = loss.tasks if not loss.composite else ("semantic-segmentation",)
    if not serves or task in serves:
        chosen = resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=[]).loss
        assert chosen.name == loss.name
    else:
        with pytest.raises(ConfigError, match=f"model 'fcn' is for {task}"):
            resolve_settings(REGISTRY, preset=None, config=None, flags=flags, sets=[])


@pytest.mark.parametrize(
    ("found", "classes"), [((0, 1), 1), ((0, 255), 1), ((0,), 1), ((0, 1, 2), 3), ((0, 3, 5), 6), ((1, 2), 3)]
)
def test_classes_are_counted(found: tuple[int, ...], classes: int) -> None:
    assert count_classes(DataSurvey(shapes=((8, 8),), classes=found)) == classes


@pytest.mark.parametrize("found", [(), tuple(range(60)), (-1, 0, 1), (0, 85, 170, 255)])
def test_numbers_that_are_no_classes_are_refused(found: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="targets"):
        count_classes(DataSurvey(shapes=((8, 8),), classes=found))


@pytest.mark.parametrize(
    ("found", "classes", "metric"),
    [
        ((0, 1, 2, 255), 3, {"name": "dice", "ignore_index": 255}),
        ((0, 1, 255), 1, {"name": "dice", "ignore_index": 255, "foreground": True}),
    ],
)
@pytest.mark.parametrize("loss", ["loss=cross-entropy", "loss={name: sum, parts: [cross-entropy]}"])
def test_ignored_numbers_are_no_classes(
    found: tuple[int, ...], classes: int, metric: dict[str, object], loss: str
) -> None:
    number = "loss.ignore_index=255" if loss.endswith("y") else "loss.parts.0.ignore_index=255"
    run = settings_for("unet", "fcn", "semantic-segmentation", (loss, number))
    facts = DataFacts(pairs=1, spatial_dims=2, in_channels=1, target_channels=1)
    plan = plan_model(run, facts, lambda: DataSurvey(shapes=((8, 8),), classes=found))
    assert plan["model"] == {"classes": classes}
    assert plan["metrics"] == [metric]


def test_the_plan_fits_memory() -> None:
    large = largest_step((100, 1000, 1000), (1, 1, 1), AutoConfig(memory_gb=24))
    assert large.patch == (96, 128, 128) and large.least_bytes <= 24e9
    patches = [largest_step((512, 512), (1, 1), AutoConfig(memory_gb=gb)) for gb in (0.5, 1, 2, 8)]
    assert [np.prod(plan.patch) for plan in patches] == sorted(np.prod(plan.patch) for plan in patches)
    assert all(plan.least_bytes <= gb * 1e9 for plan, gb in zip(patches[1:], (1, 2, 8), strict=True))
    assert patches[-1].patch == (512, 512)
    least = largest_step((512, 512), (1, 1), AutoConfig(memory_gb=0.001))
    assert max(least.patch) <= 16 and least.batch == 2
    assert plan_step((64, 64), (1, 1), AutoConfig(memory_gb=8)).batch == 16


def test_weights_are_counted_as_the_network_has_them() -> None:
    plan = plan_step((64, 64), (1, 1), AutoConfig(memory_gb=8))
    shape = {"strides": plan.topology.strides, "kernels": plan.topology.kernels, "filters": plan.filters}
    network = dynunet(DynUNetConfig(**shape), spatial_dims=2, in_channels=1, out_channels=1)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert count_weights(plan.filters, 2) == pytest.approx(weights, rel=0.05)


def save(folder: Path, name: str, image: np.ndarray, target: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / f"{name}_IM.tiff", image.astype(np.uint16))
    tifffile.imwrite(folder / f"{name}_GT.tiff", target.astype(np.uint16))


def run(data: Path, out: Path, flags: dict, sets: tuple[str, ...] = (), **more) -> Path:
    quick = ["trainer.max_epochs=1", "trainer.loggers=['csv']", "dataset.cache=memory", "dataset.batch_size=2"]
    layer = {"dataset": {"path": str(data)}, **flags}
    settings = resolve_settings(REGISTRY, preset=None, config=None, flags=layer, sets=[*quick, *sets])
    return run_training(REGISTRY, settings, out, **more)


@pytest.mark.parametrize(
    "shapes",
    [((33, 47), (29, 31), (17, 60)), ((1, 40, 36),) * 3, ((3, 19, 45),) * 3, ((2, 12, 12),) * 3],
    ids=["odd", "one plane", "thin stack", "smaller than the patch"],
)
def test_odd_sizes(shapes: tuple[tuple[int, ...], ...], tmp_path: Path, one_thread) -> None:
    random = np.random.default_rng(0)
    for index, shape in enumerate(shapes):
        image = random.integers(50, 300, shape)
        save(tmp_path / "data", f"s{index}", image, image * 2)
    flags = {"model": {"name": "fcn", "task": "translation"}}
    run_dir = run(tmp_path / "data", tmp_path / "runs", flags, ("dataset.patches_per_image=1",))
    assert run_prediction(REGISTRY, run_dir, str(tmp_path / "data"), tmp_path / "out") == []
    for index, shape in enumerate(shapes):
        result = tifffile.imread(tmp_path / "out" / f"s{index}.tiff")
        assert result.shape == tuple(n for n in shape if n > 1)
        assert result.dtype == np.uint16  # as the targets are


def test_start_points(tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread) -> None:
    random = np.random.default_rng(0)
    for index in range(3):
        image = random.integers(50, 300, (32, 32))
        save(tmp_path / "data", f"s{index}", image, image)
    small = {"model": {"name": "fcn"}, "network": {"name": "unet", "channels": [4, 8], "strides": [2]}}
    wider = {"model": {"name": "fcn"}, "network": {"name": "unet", "channels": [4, 12], "strides": [2]}}
    first = run(tmp_path / "data", tmp_path / "runs", small, ("dataset.patch_size=32",))
    with pytest.raises(BundleError, match=r"of another shape \(first: network\.") as wrong:
        run(tmp_path / "data", tmp_path / "a", wider, ("dataset.patch_size=32",), init_from=first)
    assert "--init-partial" in wrong.value.hint
    run(tmp_path / "data", tmp_path / "b", wider, ("dataset.patch_size=32",), init_from=first, init_partial=True)
    told = capsys.readouterr().out
    assert "not in the bundle: network." in told
    again = run(
        tmp_path / "data",
        tmp_path / "c",
        small,
        ("dataset.patch_size=32", "optimizer.lr=0.0", "optimizer.weight_decay=0.0"),
        init_from=first,
    )
    from safetensors.torch import load_file

    before, after = (load_file(folder / "bundle" / "weights.safetensors") for folder in (first, again))
    assert json.loads((again / "bundle" / "bundle.json").read_text())["training"]["init_from"] == str(first / "bundle")
    weights = [key for key in before if key.endswith("conv.weight")]
    assert weights and all(torch.equal(before[key], after[key]) for key in weights)


def test_a_residual_model_starts_at_the_image_in_its_own_units() -> None:
    sets = ("model.residual=true", "model.target_range=[[100,300]]", "preprocessing=[]")
    settings = settings_for("unet", "fcn", "restoration", sets)
    built = build_model(settings, spatial_dims=2, in_channels=1, target_channels=1, training=False).eval()
    built.network = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.zeros_(built.network.weight)
    torch.nn.init.zeros_(built.network.bias)
    image = torch.rand(1, 1, 16, 16) * 200 + 100
    with torch.no_grad():
        assert torch.allclose(built(image), image, atol=1e-3)


def test_a_residual_model_needs_an_image_that_is_as_on_disk(tmp_path: Path) -> None:
    save(tmp_path / "data", "a", np.ones((32, 32)), np.ones((32, 32)))
    with pytest.raises(ConfigError, match="must stay in the target's units"):
        run(tmp_path / "data", tmp_path / "runs", {"model": {"name": "fcn", "residual": True}})
    assert not (tmp_path / "runs").exists()


def test_objects_as_foreground_are_judged_as_foreground(tmp_path: Path, one_thread) -> None:
    labels = np.zeros((32, 32))
    labels[4:12, 4:12], labels[18:30, 18:30] = 1, 7
    for name in "abc":
        save(tmp_path / "data", name, labels * 30 + 10, labels)
    flags = {"model": {"name": "fcn", "task": "semantic-segmentation", "classes": 1}}
    run_dir = run(tmp_path / "data", tmp_path / "runs", flags, ("dataset.patch_size=32",))
    header = (run_dir / "metrics.csv").read_text().splitlines()[0]
    assert "val_dice" in header and "val_dice_class" not in header
    assert "foreground: true" in (run_dir / "config.yaml").read_text()
    asked = run(tmp_path / "data", tmp_path / "own", flags, ("dataset.patch_size=32", "metrics.0.threshold=0.4"))
    assert "foreground: false" in (asked / "config.yaml").read_text()


@pytest.mark.parametrize("loss", ["ssim", "ms-ssim", "pearson"])
def test_a_number_has_no_structure(loss: str) -> None:
    with pytest.raises(ConfigError, match=f"'{loss}' serves"):
        settings_for("unet", "fcn", "regression", (f"loss.name={loss}",))


def test_the_probabilistic_model_has_no_residual_setting() -> None:
    with pytest.raises(ConfigError, match=r"model\.residual: unknown setting"):
        settings_for("unet", "probabilistic-unet", "restoration", ("model.residual=true",))


@pytest.mark.parametrize("step", ["{name: pad-z, planes: 8}", "{name: pad-to-multiple, multiple: 8}"])
def test_what_changes_the_size_is_no_preprocessing(step: str) -> None:
    with pytest.raises(ConfigError, match="changes the image size; move it to augmentation"):
        settings_for("unet", "fcn", "translation", (f"preprocessing=[{step}]",))


def test_a_file_that_states_every_setting_leaves_open_what_is_null(tmp_path: Path, one_thread) -> None:
    random = np.random.default_rng(0)
    for name in "abc":
        image = random.integers(50, 300, (40, 40))
        save(tmp_path / "data", name, image, 20 * (image > 200))
    base = {
        "dataset": {"path": str(tmp_path / "data")},
        "network": {"name": "unet", "channels": [4, 8], "strides": [2]},
    }
    first = resolve_settings(
        REGISTRY,
        preset="semantic-2d",
        config=None,
        flags=base,
        sets=["dataset.patch_size=null", "trainer.max_epochs=1"],
    )
    (tmp_path / "stated.yaml").write_text(first.to_yaml())
    assert "classes: null" in first.to_yaml() and "patch_size: null" in first.to_yaml()
    settings = resolve_settings(REGISTRY, preset=None, config=tmp_path / "stated.yaml", flags={}, sets=[])
    written = (run_training(REGISTRY, settings, tmp_path / "runs") / "config.yaml").read_text()
    chosen = yaml.safe_load(written)
    assert chosen["model"]["classes"] == 1 and chosen["dataset"]["patch_size"] == [128, 128]


def test_samples_of_the_probabilistic_model_differ_and_follow_the_seed(one_thread) -> None:
    settings = settings_for("unet", "probabilistic-unet", "semantic-segmentation", ("model.classes=3",))
    model = build_model(settings, spatial_dims=2, in_channels=1, target_channels=1, training=False).eval()
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        one, same, other = (model.sampler(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
        assert torch.equal(one(image), one(image)) and torch.equal(one(image), same(image))
        assert not torch.allclose(one(image), other(image))
        # Without spread every draw is the mean of the prior.
        model.prior.head.weight.data[6:], model.prior.head.bias.data[6:] = 0, -100
        assert torch.allclose(model.sampler(torch.Generator().manual_seed(0))(image), model(image), atol=1e-5)
