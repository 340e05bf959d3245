"""The trainer: settings, files, validation figures, best epoch, callbacks, errors, silence."""

from __future__ import annotations

import csv
import errno
import importlib.util
import inspect
import io
import logging
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image as PillowImage
from pydantic import ValidationError
from rich.console import Console
from torch.utils.data import DataLoader

from im2im_core.builtin import trainer_progress
from im2im_core.builtin.trainer import OWN_SETTINGS, build_trainer
from im2im_core.builtin.trainer_checkpoint_file import PlainCheckpointIO, read_checkpoint
from im2im_core.builtin.trainer_config import LightningTrainerConfig
from im2im_core.builtin.trainer_declarations import TRAINERS
from im2im_core.builtin.trainer_previews import GAP, montage
from im2im_core.builtin.trainer_progress import epoch_line
from im2im_core.errors import ConfigError, DataError, Im2imError, OutputError
from im2im_core.interfaces import TrainingResult

pytestmark = pytest.mark.usefixtures("one_thread")

_spec = importlib.util.spec_from_file_location("toy_training", Path(__file__).with_name("toy_training.py"))
assert _spec and _spec.loader
toys = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toys)


def train(
    run_dir: Path, *, model: Any = None, data: Any = None, validate: Any = None, monitor: Any = None, **settings: Any
) -> TrainingResult:
    pl.seed_everything(1, verbose=False)
    run_dir.mkdir(exist_ok=True)
    settings = {"accelerator": "cpu", "progress": False, "loggers": ["csv"], "max_epochs": 2, **settings}
    model = model() if model else toys.ToyModel()
    trainer = TRAINERS[0].factory(LightningTrainerConfig.model_validate(settings))
    return trainer.fit(model, data or toys.ToyData(), run_dir, validate=validate, monitor=monitor)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# settings

LEFT_OUT = {
    "logger": "objects; `loggers` names them",
    "plugins": "objects; the one for checkpoints is ours",
    "default_root_dir": "the run folder",
    "enable_checkpointing": "a training that keeps nothing could be neither returned nor resumed",
    "enable_progress_bar": "`progress` shows ours",
    "enable_autolog_hparams": "config.yaml has all settings",
    "model_registry": "a service of Lightning AI",
    "barebones": "switches off what the run folder consists of",
    "limit_test_batches": "a trainer does not test; `im2im evaluate` does",
    "limit_predict_batches": "a trainer does not predict; `im2im predict` does",
}


def test_every_setting_of_lightning_can_be_made() -> None:
    arguments = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    fields = set(LightningTrainerConfig.model_fields)
    assert arguments - fields == set(LEFT_OUT)
    assert fields - arguments == OWN_SETTINGS - {"callbacks", "profiler"}


def test_every_setting_is_described_and_has_a_default() -> None:
    LightningTrainerConfig()
    for name, field in LightningTrainerConfig.model_fields.items():
        assert field.description, name


def test_settings_survive_yaml_and_json() -> None:
    config = LightningTrainerConfig.model_validate(
        {
            "limit_train_batches": 1.0,
            "limit_val_batches": 1,
            "devices": [0],
            "max_time": "00:00:10:00",
            "callbacks": [{"name": "gradient-accumulation-scheduler", "scheduling": {2: 4}}, {"name": "ema"}],
        }
    )
    assert isinstance(config.limit_train_batches, float)
    assert isinstance(config.limit_val_batches, int)
    assert LightningTrainerConfig.model_validate(config.model_dump()) == config
    assert LightningTrainerConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"max_epoch": 3}, ("max_epoch",)),
        ({"precision": "half"}, ("precision",)),
        ({"max_time": "10 minutes"}, ("max_time",)),
        ({"callbacks": [{"name": "os.system"}]}, ("callbacks", 0)),
        ({"callbacks": [{"name": "ema", "decai": 0.9}]}, ("callbacks", 0, "ema", "decai")),
        ({"callbacks": [{"name": "timer"}]}, ("callbacks", 0, "timer", "duration")),
        ({"loggers": ["wandb"]}, ("loggers", 0)),
    ],
)
def test_wrong_settings_are_found_before_training(settings: dict[str, Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as error:
        LightningTrainerConfig.model_validate(settings)
    assert error.value.errors()[0]["loc"] == place


def test_declaration_loads_no_torch() -> None:
    code = (
        "import sys; from im2im_core.builtin.trainer_declarations import TRAINERS; TRAINERS[0].config();"
        "sys.exit(bool({'torch', 'pytorch_lightning', 'numpy.ma'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
    assert TRAINERS[0].name == "lightning"


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 12),
        ({"max_steps": 3}, 3),
        ({"limit_train_batches": 2}, 4),
        ({"limit_train_batches": 0.5}, 6),
        ({"accumulate_grad_batches": 3}, 4),
        ({"fast_dev_run": 2}, 2),
        ({"max_epochs": -1, "max_time": "00:00:00:00"}, 6),
        ({"callbacks": [{"name": "timer", "duration": "00:00:00:00"}]}, 6),
        ({"callbacks": [{"name": "gradient-accumulation-scheduler", "scheduling": {1: 3}}]}, 6 + 2),
        ({"limit_val_batches": 0}, 12),
        ({"val_check_interval": 4, "check_val_every_n_epoch": None, "num_sanity_val_steps": 1}, 12),
        ({"reload_dataloaders_every_n_epochs": 1, "deterministic": True, "gradient_clip_val": 0.1}, 12),
        ({"inference_mode": False, "detect_anomaly": True, "sync_batchnorm": True, "benchmark": True}, 12),
    ],
)
def test_settings_reach_lightning(tmp_path: Path, settings: dict[str, Any], steps: int) -> None:
    switches = torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(), torch.backends.cudnn.benchmark
    result = train(tmp_path / "run", validate=lambda prediction, target: {"figure": 1.0}, **settings)
    if "00:00:00:00" in str(settings):  # the clock is looked at before the first batch or after it
        assert result.steps <= steps
    else:
        assert result.steps == steps
    after = torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(), torch.backends.cudnn.benchmark
    assert after == switches


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "bf16-true", "64-true"])
def test_the_model_comes_back_as_float32(tmp_path: Path, precision: str) -> None:
    result = train(tmp_path / "run", precision=precision, validate=lambda p, t: {"kind": float(p.dtype == np.float32)})
    assert result.metrics["val_kind"] == 1.0
    assert {parameter.dtype for parameter in result.model.parameters()} == {torch.float32}
    with torch.no_grad():
        assert result.model(torch.zeros(1, 1, 8, 8)).dtype is torch.float32


def test_channels_last_is_undone(tmp_path: Path) -> None:
    formats = []

    class WithoutDropout(toys.ToyModel):  # whose random numbers are dealt out in the order of the memory
        def __init__(self) -> None:
            super().__init__()
            self.network[3].p = 0.0

    class Look(WithoutDropout):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            formats.append(self.network[4].weight.is_contiguous(memory_format=torch.channels_last))
            return super().training_step(batch, batch_idx)

    result = train(tmp_path / "run", model=Look, channels_last=True)
    assert all(formats)
    assert all(parameter.is_contiguous() for parameter in result.model.parameters())
    plain = train(tmp_path / "plain", model=WithoutDropout)
    assert result.metrics["val_loss"] == pytest.approx(plain.metrics["val_loss"], rel=1e-3)


def test_networks_are_compiled_in_place_and_come_back_ordinary(tmp_path: Path, monkeypatch: Any) -> None:
    calls = []

    def compile_in_place(network: torch.nn.Module, **options: Any) -> None:
        """Does what torch's does but for the slow translation."""

        def call(*arguments: Any) -> Any:
            calls.append(network)
            return network._call_impl(*arguments)

        network._compiled_call_impl = call

    monkeypatch.setattr(torch.nn.Module, "compile", compile_in_place)
    result = train(tmp_path / "run", compile=True)
    assert set(calls) == {result.model.network}
    assert result.model.network._compiled_call_impl is None
    plain = train(tmp_path / "plain")
    assert result.model.state_dict().keys() == plain.model.state_dict().keys()
    assert torch.equal(weights(result.model), weights(plain.model))


def test_a_profile_is_written_into_the_run_folder(tmp_path: Path) -> None:
    train(tmp_path / "run", profiler="simple", max_epochs=1)
    assert "run_training_batch" in (tmp_path / "run/fit-profile.txt").read_text()


# files and result


def test_the_run_folder_and_the_model(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    result = train(run_dir, loggers=["csv", "tensorboard"], log_every_n_steps=2)
    assert sorted(path.name for path in run_dir.iterdir()) == ["checkpoints", "metrics.csv", "tensorboard"]
    assert sorted(path.name for path in (run_dir / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert list((run_dir / "tensorboard").glob("events.out.tfevents.*"))
    table = rows(run_dir / "metrics.csv")
    assert list(table[0])[:2] == ["epoch", "step"]
    assert [row["epoch"] for row in table if row["val_loss"]] == ["0", "1"]
    assert [row["step"] for row in table if row["train_loss"]] == ["5", "11"]
    assert (result.epochs, result.steps, result.interrupted) == (2, 12, False)
    assert result.checkpoint == run_dir / "checkpoints/last.ckpt"
    assert not result.model.training
    assert {parameter.device.type for parameter in result.model.parameters()} == {"cpu"}
    with pytest.raises(RuntimeError, match="not attached"):
        _ = result.model.trainer


def test_a_column_that_appears_later_gets_its_place(tmp_path: Path) -> None:
    class Later(toys.ToyModel):
        def on_train_epoch_end(self) -> None:
            if self.trainer.current_epoch == 1:
                self.log("late", 5.0)

    train(tmp_path / "run", model=Later)
    table = rows(tmp_path / "run/metrics.csv")
    assert [row["late"] for row in table] == ["", "", "", "5.0"]
    assert table[0]["val_loss"]


def test_loggers_can_be_left_out(tmp_path: Path) -> None:
    train(tmp_path / "run", loggers=[], max_epochs=1)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoints"]


def test_last_is_kept_every_n_epochs_and_at_the_end(tmp_path: Path) -> None:
    kept: list[str] = []

    class Look(toys.ToyModel):
        def on_train_epoch_start(self) -> None:
            last = tmp_path / "run/checkpoints/last.ckpt"
            kept.append(str(read_checkpoint(last)["global_step"]) if last.exists() else "")

    train(tmp_path / "run", model=Look, save_every_n_epochs=2, max_epochs=5)
    assert kept == ["", "", "12", "12", "24"]
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 30


# validation figures and the best epoch


def test_figures_are_means_over_the_images(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    def validate(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
        seen.append((type(prediction), prediction.shape, prediction.dtype, target.shape))
        number = len(seen) - 1
        return {"ap@0.50": float(number), "rare": 4.0 if number == 1 else float("nan"), "never": float("nan")}

    result = train(tmp_path / "run", validate=validate, max_epochs=1, monitor=("val_ap@0.50", True))
    assert seen == [(np.ndarray, (1, 8, 8), np.float32, (1, 8, 8))] * 3
    assert result.metrics["val_ap@0.50"] == 1.0
    assert result.metrics["val_rare"] == 4.0
    assert np.isnan(result.metrics["val_never"])
    assert float(rows(tmp_path / "run/metrics.csv")[0]["val_ap@0.50"]) == 1.0


def test_figures_come_from_the_network_as_it_is(tmp_path: Path) -> None:
    result = train(tmp_path / "run", validate=lambda p, t: {"mse": float(((p - t) ** 2).mean())})
    assert result.metrics["val_mse"] == pytest.approx(result.metrics["val_loss"], rel=1e-4)


def test_the_prediction_of_the_validation_step_is_used(tmp_path: Path) -> None:
    class Returns(toys.ToyModel):
        def validation_step(self, batch: Any, batch_idx: int) -> dict[str, torch.Tensor]:
            super().validation_step(batch, batch_idx)
            return {"prediction": torch.full((1, 2, 8, 8), 3.0, dtype=torch.bfloat16)}

    result = train(tmp_path / "run", model=Returns, validate=lambda p, t: {"mean": p.mean(), "channels": len(p)})
    assert (result.metrics["val_mean"], result.metrics["val_channels"]) == (3.0, 2.0)


class Recorder(toys.ToyModel):
    """Scores each epoch as told, and remembers the weights."""

    scores = (0.2, 0.9, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.of_epoch: list[torch.Tensor] = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_score", self.scores[self.trainer.current_epoch])

    def on_validation_end(self) -> None:
        self.of_epoch.append(weights(self).clone())


@pytest.mark.parametrize(("higher_is_better", "best"), [(True, 1), (False, 0)])
def test_the_weights_of_the_best_epoch_are_returned(tmp_path: Path, higher_is_better: bool, best: int) -> None:
    result = train(tmp_path / "run", model=Recorder, max_epochs=3, monitor=("val_score", higher_is_better))
    assert torch.equal(weights(result.model), result.model.of_epoch[best])
    assert result.metrics["val_score"] == pytest.approx(Recorder.scores[best])
    assert not torch.equal(weights(result.model), result.model.of_epoch[2])


def test_the_last_weights_are_returned_if_that_is_wanted(tmp_path: Path) -> None:
    result = train(tmp_path / "run", model=Recorder, max_epochs=3, monitor=("val_score", True), keep_best=False)
    assert torch.equal(weights(result.model), result.model.of_epoch[2])
    assert not (tmp_path / "run/checkpoints/best.ckpt").exists()


def test_the_best_within_an_epoch_is_kept(tmp_path: Path) -> None:
    class Twice(Recorder):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_score", (0.1, 0.9, 0.2, 0.8)[len(self.of_epoch)])

    class Falls(Twice):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_score", (0.9, 0.1, 0.2, 0.8)[len(self.of_epoch)])

    for model, best in ((Twice, 1), (Falls, 0)):
        result = train(tmp_path / model.__name__, model=model, monitor=("val_score", True), val_check_interval=0.5)
        assert torch.equal(weights(result.model), result.model.of_epoch[best])


def test_nan_is_never_best(tmp_path: Path) -> None:
    class Undefined(Recorder):
        scores = (float("nan"), 0.1, float("nan"))

    result = train(tmp_path / "run", model=Undefined, max_epochs=3, monitor=("val_score", True))
    assert torch.equal(weights(result.model), result.model.of_epoch[1])


def test_a_figure_that_is_never_produced_is_replaced_by_the_loss(tmp_path: Path, caplog: Any) -> None:
    result = train(tmp_path / "run", monitor=("val_ap@0.50", True))
    assert "no figure 'val_ap@0.50' (there are: 'val_loss')" in caplog.text
    assert caplog.text.count("no figure") == 1
    assert result.metrics["val_loss"] == min(float(row["val_loss"] or 9) for row in rows(tmp_path / "run/metrics.csv"))


def test_without_validation_the_last_epoch_is_returned(tmp_path: Path, caplog: Any) -> None:
    result = train(tmp_path / "run", data=toys.ToyData(validation=False))
    assert "nothing was validated" in caplog.text
    assert result.metrics == {}
    last = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["state_dict"]
    assert all(torch.equal(value, last[name]) for name, value in result.model.state_dict().items())


# callbacks


def test_early_stopping_watches_what_decides_on_the_best_epoch(tmp_path: Path) -> None:
    stopper = [{"name": "early-stopping", "patience": 1}]
    result = train(tmp_path / "run", model=Recorder, max_epochs=3, monitor=("val_score", False), callbacks=stopper)
    assert result.epochs == 2
    result = train(tmp_path / "up", model=Recorder, max_epochs=3, monitor=("val_score", True), callbacks=stopper)
    assert result.epochs == 3


def test_early_stopping_on_another_figure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not told which way is good"):
        train(tmp_path / "a", callbacks=[{"name": "early-stopping", "monitor": "train_loss"}])
    other = {"name": "early-stopping", "monitor": "val_los", "higher_is_better": False}
    with pytest.raises(ConfigError, match="`val_los` which is not available"):
        train(tmp_path / "b", callbacks=[other])
    settings = {**other, "monitor": "train_loss", "stopping_threshold": 100.0}
    assert train(tmp_path / "c", callbacks=[settings]).epochs == 1


def test_the_moving_average_is_validated_and_returned(tmp_path: Path) -> None:
    seen: dict[str, torch.Tensor] = {}

    class Look(Recorder):
        scores = (0.1, 0.2, 0.3)

        def on_validation_start(self) -> None:
            seen["trained"] = weights(self).clone()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            super().validation_step(batch, batch_idx)
            seen["validated"] = weights(self).clone()

    settings = {"max_epochs": 3, "monitor": ("val_score", True), "callbacks": [{"name": "ema", "decay": 0.5}]}
    result = train(tmp_path / "run", model=Look, **settings)
    assert torch.equal(weights(result.model), seen["validated"])
    assert not torch.equal(seen["trained"], seen["validated"])


def test_warm_up_makes_the_average_follow_a_short_training(tmp_path: Path) -> None:
    class Start(toys.ToyModel):
        def on_fit_start(self) -> None:
            self.start = weights(self).clone()

    def way(name: str, **ema: Any) -> float:
        result = train(tmp_path / name, model=Start, keep_best=False, **ema)
        return float((weights(result.model) - result.model.start).norm())

    trained = way("plain")
    slow = way("slow", callbacks=[{"name": "ema", "warmup": False}])
    warm = way("warm", callbacks=[{"name": "ema"}])
    assert slow < 0.3 * trained < warm


def test_stochastic_weight_averaging_returns_the_average(tmp_path: Path) -> None:
    averaging = [{"name": "stochastic-weight-averaging", "learning_rate": 0.01, "start": 2}]
    models: list[torch.Tensor] = []

    class Look(toys.ToyModel):
        def on_train_epoch_start(self) -> None:
            models.append(weights(self).clone())

    result = train(tmp_path / "run", model=Look, max_epochs=4, callbacks=averaging)
    assert result.epochs == 4
    # averaged are the weights at the start of each epoch from the second on
    assert torch.allclose(weights(result.model), torch.stack(models[1:4]).mean(0), atol=1e-6)


def test_monitors_write_columns(tmp_path: Path) -> None:
    pytest.importorskip("psutil", reason="device statistics of the CPU need psutil")
    callbacks = [{"name": "learning-rate-monitor"}, {"name": "device-stats"}]
    train(tmp_path / "run", callbacks=callbacks, log_every_n_steps=3)
    table = rows(tmp_path / "run/metrics.csv")
    assert [float(row["lr-AdamW"]) for row in table if row["lr-AdamW"]] == [0.01, 0.005]
    assert any("cpu_percent" in name for name in table[0])


# errors


class BecomesNan(toys.ToyModel):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * float("nan") if self.trainer.current_epoch == 1 and batch_idx == 3 else loss


class TwoOptimizers(toys.ToyModel):
    """As adversarial training does it: manual optimization, nothing returned."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.factor = factor

    def training_step(self, batch: Any, batch_idx: int) -> None:
        factor = self.factor if self.trainer.current_epoch == 1 else 1.0
        for optimizer in self.optimizers():
            loss = factor * torch.nn.functional.mse_loss(self(batch["image"]), batch["target"])
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log("train_generator_loss", loss, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(self.parameters()), torch.optim.SGD(self.parameters(), 1e-3)]


@pytest.mark.parametrize("model", [BecomesNan, lambda: TwoOptimizers(float("nan"))], ids=["automatic", "manual"])
def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path, model: Any) -> None:
    with pytest.raises(Im2imError, match=r"the loss became NaN in epoch 2; .*last\.ckpt") as error:
        train(tmp_path / "run", model=model, max_epochs=4)
    assert "learning rate" in error.value.hint
    for name in ("last.ckpt", "best.ckpt"):
        state = read_checkpoint(tmp_path / "run/checkpoints" / name)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_two_optimizers(tmp_path: Path) -> None:
    result = train(tmp_path / "run", model=TwoOptimizers)
    assert result.steps == 24
    with pytest.raises(ConfigError, match=r"trainer.gradient_clip_val is '1.0', but the model steps"):
        train(tmp_path / "clipped", model=TwoOptimizers, gradient_clip_val=1.0)


def test_a_model_that_steps_itself_is_told_how(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    class Told(TwoOptimizers):
        def configure_steps(self, **settings: Any) -> None:
            told.update(settings)

    train(tmp_path / "run", model=Told, gradient_clip_val=2.0, accumulate_grad_batches=3)
    assert told == {"gradient_clip_val": 2.0, "gradient_clip_algorithm": None, "accumulate_grad_batches": 3}


class Predicting(toys.ToyModel):
    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        super().validation_step(batch, batch_idx)
        return {"loss": torch.tensor(0.0), "prediction": self(batch["image"])}


def test_previews_are_drawn_every_n_epochs(tmp_path: Path) -> None:
    train(tmp_path / "run", model=Predicting, max_epochs=5, preview_every_n_epochs=2, loggers=["csv", "tensorboard"])
    names = sorted(path.name for path in (tmp_path / "run" / "previews").iterdir())
    assert names == ["epoch-0001.png", "epoch-0003.png", "epoch-0005.png"]
    picture = np.asarray(PillowImage.open(tmp_path / "run" / "previews" / "epoch-0005.png"))
    panel = (picture.shape[1] - 2 * GAP) // 3
    image, prediction, target = (picture[:, start : start + panel] for start in range(0, picture.shape[1], panel + GAP))
    assert all(part.std() > 5 for part in (image, prediction, target))
    assert not np.array_equal(prediction, target)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((tmp_path / "run" / "tensorboard").glob("**/events*"))))
    events.Reload()
    assert len(events.Images("preview")) == 3


@pytest.mark.parametrize(
    ("settings", "validation", "names"),
    [
        ({"max_epochs": 3}, False, ["epoch-0001.png", "epoch-0003.png"]),
        ({"max_epochs": 3, "check_val_every_n_epoch": 5}, True, ["epoch-0003.png"]),
        ({"max_epochs": 4, "check_val_every_n_epoch": 3}, True, ["epoch-0003.png"]),
    ],
    ids=["never validated", "ends before", "validated"],
)
def test_a_training_patch_is_shown_where_nothing_is_validated(
    tmp_path: Path, settings: dict[str, Any], validation: bool, names: list[str]
) -> None:
    data = toys.ToyData(validation=validation)
    result = train(tmp_path / "run", model=Predicting, data=data, preview_every_n_epochs=2, **settings)
    assert sorted(path.name for path in (tmp_path / "run" / "previews").iterdir()) == names
    without = train(tmp_path / "without", model=Predicting, data=data, **settings)
    assert torch.equal(weights(result.model), weights(without.model))


def test_a_wrong_brightness_can_be_seen_in_a_preview() -> None:
    target = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (1, 50, 1))
    half = target / 2
    picture = montage([target * 300, half, target])
    width = (picture.shape[1] - 2 * GAP) // 3
    means = [picture[:, start : start + width].mean() for start in range(0, picture.shape[1], width + GAP)]
    assert means[0] == pytest.approx(means[2], abs=1)
    assert means[1] < 0.8 * means[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "nonsense"},
        {"devices": "x"},
        {"val_check_interval": 100},
        {"loggers": [], "callbacks": [{"name": "learning-rate-monitor"}]},
        {"callbacks": [{"name": "ema"}, {"name": "ema"}]},
    ],
)
def test_settings_that_do_not_fit_are_errors_of_the_configuration(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the trainer cannot work like this"):
        train(tmp_path / "run", **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gpu"):
        train(tmp_path / "run", accelerator="gpu")


class Fails(toys.Blobs):
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        raise DataError("'cell_7.tif' is truncated", "copy it again")


class FailingData(toys.ToyData):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(Fails(4), 2, num_workers=self.workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_the_data_keeps_its_words(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError) as error:
        train(tmp_path / "run", data=FailingData(workers=workers))
    assert error.value.message.startswith("'cell_7.tif' is truncated")
    assert "Traceback" not in str(error.value)


def test_no_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not one training batch"):
        train(tmp_path / "run", limit_train_batches=0)


def test_too_little_memory_is_an_error_with_advice(tmp_path: Path) -> None:
    class Big(toys.ToyModel):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(Im2imError, match="memory") as error:
        train(tmp_path / "run", model=Big)
    assert "smaller" in error.value.hint


def test_a_defect_of_a_model_is_not_disguised(tmp_path: Path) -> None:
    class Defect(toys.ToyModel):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return batch["nothing"]

    with pytest.raises(KeyError, match="nothing"):
        train(tmp_path / "run", model=Defect)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoints").write_text("a file where a folder has to be")
    with pytest.raises(OutputError, match="checkpoints"):
        train(tmp_path / "run")


def test_a_full_disk(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PlainCheckpointIO, "save_checkpoint", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train(tmp_path / "run")


# progress and silence


def test_one_line_per_epoch_where_nothing_can_be_redrawn(tmp_path: Path, capsys: Any) -> None:
    train(tmp_path / "run", progress=True, validate=lambda p, t: {"ap@0.50": 0.5}, monitor=("val_ap@0.50", True))
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert output.out == ""
    assert len(lines) == 2, lines
    assert lines[0].startswith("epoch 1/2   train_loss 0.")
    assert "val_loss 0." in lines[0]
    assert "val_ap@0.50 0.5000 (best)" in lines[0]
    assert "val_ap@0.50 0.5000   " in lines[1]


def test_a_terminal_shows_the_batches_a_few_times_a_second(tmp_path: Path, monkeypatch: Any) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, soft_wrap=True)
    monkeypatch.setattr(trainer_progress, "Console", lambda **options: terminal)
    train(tmp_path / "run", progress=True, val_check_interval=0.5)
    shown = screen.getvalue()
    assert "0/6" in shown  # batches of the epoch
    assert "0/3" in shown  # images of the validation
    assert shown.count("validation") < 3 * 4
    lines = [line for line in shown.splitlines() if "train_loss" in line]
    assert len(lines) == 2


def test_a_terminal_comes_back_clean_after_an_error(tmp_path: Path, monkeypatch: Any) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(trainer_progress, "Console", lambda **options: terminal)
    with pytest.raises(Im2imError, match="NaN"):
        train(tmp_path / "run", model=BecomesNan, progress=True)
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")  # the cursor is shown again


def test_nothing_is_said_without_progress(tmp_path: Path, capfd: Any) -> None:
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels, filters = [logger.level for logger in loggers], list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # what is silenced is put before the filters that the test sets
        train(tmp_path / "run", data=toys.ToyData(workers=0), loggers=["csv", "tensorboard"])
    assert [str(warning.message) for warning in caught] == []
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
    assert [logger.level for logger in loggers] == levels
    assert warnings.filters == filters


def test_the_line() -> None:
    metrics = {"train_loss": 0.5, "val_b_loss": 0.25, "x": 9.0, "train_loss_step": 7.0}
    line = epoch_line(3, 100, metrics, "val_f1", best=True, seconds=1.25, left=3900)
    assert line == "epoch   3/100   train_loss 0.5000   val_b_loss 0.2500   1.2 s   1 h 5 min left"
    assert epoch_line(3, -1, {"f": 1.0}, "f", best=False, seconds=61, left=None) == "epoch 3   f 1.0000   61.0 s"
    assert epoch_line(2, 2, {}, "f", best=False, seconds=1, left=95).endswith("1 min 35 s left")


def test_the_factory_of_the_declaration_builds_the_trainer() -> None:
    config = LightningTrainerConfig(max_epochs=3)
    assert build_trainer(config).config is config


class EpochLog(toys.ToyModel):
    """Notes of every batch which epoch its loss was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told = torch.nn.Identity()
        self.told.set_epoch = self.note
        self.epoch, self.epochs = -1, []

    def note(self, epoch: int) -> None:
        self.epoch = epoch

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.epochs.append((self.current_epoch, self.epoch))
        return super().training_step(batch, batch_idx)


class StopsWithinAnEpoch(EpochLog):
    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if (self.current_epoch, batch_idx) == (1, 1):
            signal.raise_signal(signal.SIGINT)
        return super().training_step(batch, batch_idx)


def test_losses_are_told_the_epoch_also_when_a_training_goes_on_within_one(tmp_path: Path) -> None:
    first = StopsWithinAnEpoch()
    result = train(tmp_path / "run", model=lambda: first, max_epochs=3)
    assert result.interrupted and first.epochs[-1] == (1, 1)
    second = EpochLog()
    trainer = TRAINERS[0].factory(
        LightningTrainerConfig.model_validate({"accelerator": "cpu", "progress": False, "max_epochs": 3})
    )
    trainer.fit(second, toys.ToyData(), tmp_path / "run", resume=result.checkpoint)
    assert second.epochs[0] == (1, 1) and second.epochs[-1] == (2, 2)
    assert all(current == told for current, told in first.epochs + second.epochs)
