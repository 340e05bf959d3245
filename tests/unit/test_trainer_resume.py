"""A training that is interrupted, killed or resumed ends as if nothing had happened."""

from __future__ import annotations

import csv
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from im2im_core.builtin.trainer import build_trainer
from im2im_core.builtin.trainer_checkpoint_file import PlainCheckpointIO, plain, read_checkpoint
from im2im_core.builtin.trainer_config import LightningTrainerConfig
from im2im_core.builtin.trainer_resume import random_state, set_random_state
from im2im_core.errors import BundleError, ConfigError, OutputError
from im2im_core.interfaces import TrainingResult

pytestmark = pytest.mark.usefixtures("one_thread")

SCRIPT = Path(__file__).with_name("toy_training.py")
_spec = importlib.util.spec_from_file_location("toy_training", SCRIPT)
assert _spec and _spec.loader
toys = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toys)


def train(
    run_dir: Path,
    *,
    resume: Path | None = None,
    model: Any = None,
    data: Any = None,
    seed: int = 1,
    monitor: tuple[str, bool] | None = None,
    **settings: Any,
) -> TrainingResult:
    pl.seed_everything(seed, verbose=False)
    run_dir.mkdir(exist_ok=True)
    settings = {"accelerator": "cpu", "progress": False, "loggers": ["csv"], "max_epochs": 4, **settings}
    trainer = build_trainer(LightningTrainerConfig(**settings))
    model = model() if model else toys.ToyModel()
    return trainer.fit(model, data or toys.ToyData(), run_dir, resume=resume, monitor=monitor)


def assert_same_weights(first: TrainingResult, second: TrainingResult) -> None:
    expected, found = first.model.state_dict(), second.model.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Interrupted(toys.ToyModel):
    """Gets a signal, or raises, in one training or validation step."""

    def __init__(self, at: tuple[int, int], action: Any, **options: Any) -> None:
        super().__init__(**options)
        self.at, self.action = at, action

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if (self.trainer.current_epoch, batch_idx) == self.at:
            self.action()
        return super().training_step(batch, batch_idx)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def raise_interrupt() -> None:
    raise KeyboardInterrupt


EMA = [{"name": "ema", "decay": 0.9}]
SWA = [{"name": "stochastic-weight-averaging", "learning_rate": 0.01, "start": 2}]


@pytest.mark.parametrize(
    ("scheduler", "shuffle", "settings"),
    [
        ("step", False, {}),
        ("plateau", True, {}),
        ("cycle", False, {"max_epochs": 100, "max_steps": 22}),
        ("step", True, {"callbacks": EMA}),
        ("step", False, {"callbacks": SWA}),
        ("cycle", True, {"accumulate_grad_batches": 4, "precision": "bf16-mixed"}),
    ],
    ids=["step", "plateau", "max-steps", "ema", "swa", "accumulated"],
)
def test_two_and_two_epochs_equal_four(tmp_path: Path, scheduler: str, shuffle: bool, settings: dict[str, Any]) -> None:
    settings = {"keep_best": False, **settings}
    options = {"model": lambda: toys.ToyModel(scheduler), "data": toys.ToyData(shuffle=shuffle)}
    whole = train(tmp_path / "whole", **options, **settings)
    train(tmp_path / "parts", **options, **{**settings, "max_epochs": 2, "max_steps": -1})
    last = tmp_path / "parts/checkpoints/last.ckpt"
    resumed = train(tmp_path / "parts", resume=last, seed=9, **options, **settings)
    assert (resumed.epochs, resumed.steps) == (whole.epochs, whole.steps)
    assert resumed.model.seen == whole.model.seen[2 * toys.IMAGES // toys.BATCH :]
    assert_same_weights(whole, resumed)
    assert rows(tmp_path / "parts/metrics.csv") == rows(tmp_path / "whole/metrics.csv")


def test_two_trainings_with_one_seed_are_equal_and_another_seed_differs(tmp_path: Path) -> None:
    first, second, other = (train(tmp_path / str(n), seed=n // 2, max_epochs=2) for n in range(3))
    assert_same_weights(first, second)
    with pytest.raises(AssertionError):
        assert_same_weights(first, other)


@pytest.mark.parametrize(
    ("send", "shuffle", "workers"),
    [(ctrl_c, False, 0), (ctrl_c, True, 1), (terminate, True, 0), (terminate, False, 1)],
)
def test_a_signal_keeps_all_steps_and_resuming_is_exact(tmp_path: Path, send: Any, shuffle: bool, workers: int) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    data = toys.ToyData(shuffle=shuffle, workers=workers)
    whole = train(tmp_path / "whole", data=data, keep_best=False, max_epochs=3)
    stopped = train(tmp_path / "parts", data=data, model=lambda: Interrupted((1, 2), send), keep_best=False)
    assert stopped.interrupted
    assert (stopped.epochs, stopped.steps) == (1, 6 + 3)  # the batch that it came in is completed
    assert stopped.checkpoint == tmp_path / "parts/checkpoints/last.ckpt"
    kept = read_checkpoint(stopped.checkpoint)["state_dict"]
    assert all(torch.equal(value, kept[name]) for name, value in stopped.model.state_dict().items())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers

    resumed = train(tmp_path / "parts", data=data, resume=stopped.checkpoint, seed=9, keep_best=False, max_epochs=3)
    assert not resumed.interrupted
    assert resumed.model.seen == whole.model.seen[9:]
    assert_same_weights(whole, resumed)


def test_a_signal_in_the_last_batch_waits_for_the_validation(tmp_path: Path) -> None:
    stopped = train(tmp_path / "run", model=lambda: Interrupted((1, 5), ctrl_c))
    assert stopped.interrupted
    assert (stopped.epochs, stopped.steps) == (2, 12)
    assert rows(tmp_path / "run/metrics.csv")[-1]["train_loss"]
    whole = train(tmp_path / "whole", keep_best=False)
    assert_same_weights(whole, train(tmp_path / "run", resume=stopped.checkpoint, keep_best=False))


def test_a_signal_in_the_last_batch_of_all_is_no_interruption(tmp_path: Path) -> None:
    result = train(tmp_path / "run", model=lambda: Interrupted((1, 5), ctrl_c), max_epochs=2)
    assert not result.interrupted
    assert result.epochs == 2


def test_accumulated_gradients_are_used_before_stopping(tmp_path: Path) -> None:
    model = lambda: Interrupted((1, 0), ctrl_c)  # noqa: E731
    stopped = train(tmp_path / "run", model=model, accumulate_grad_batches=2, keep_best=False)
    assert stopped.steps == 3 + 1
    whole = train(tmp_path / "whole", accumulate_grad_batches=2, keep_best=False)
    resumed = train(tmp_path / "run", resume=stopped.checkpoint, accumulate_grad_batches=2, keep_best=False)
    assert_same_weights(whole, resumed)


def test_a_second_signal_stops_at_once_and_keeps_what_was_done(tmp_path: Path) -> None:
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    stopped = train(tmp_path / "run", model=lambda: Interrupted((1, 2), twice), keep_best=False)
    assert stopped.interrupted
    assert stopped.steps == 6 + 2
    resumed = train(tmp_path / "run", resume=stopped.checkpoint, keep_best=False, max_epochs=2)
    assert (resumed.epochs, resumed.steps) == (2, 12)


def test_an_interrupt_that_is_raised_is_an_interruption_too(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    stopped = train(tmp_path / "run", model=lambda: Interrupted((2, 0), raise_interrupt))
    assert stopped.interrupted
    assert stopped.epochs == 2
    assert stopped.metrics["val_loss"] > 0
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_before_the_first_step_leaves_no_checkpoint(tmp_path: Path) -> None:
    class Slow(toys.ToyData):
        def setup(self, stage: str) -> None:
            ctrl_c()
            time.sleep(0.1)

    stopped = train(tmp_path / "run", data=Slow())
    assert stopped.interrupted
    assert (stopped.epochs, stopped.steps, stopped.checkpoint) == (0, 0, None)


def test_training_works_outside_the_main_thread(tmp_path: Path) -> None:
    results: list[TrainingResult] = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path / "run", max_epochs=1)))
    thread.start()
    thread.join()
    assert results[0].epochs == 1


def start_script(run_dir: Path, epochs: int, *resume: str) -> subprocess.Popen[str]:
    root = SCRIPT.parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(run_dir), str(epochs), *resume]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_killed_training_is_resumed_as_if_nothing_had_happened(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    last = run_dir / "checkpoints/last.ckpt"
    process = start_script(run_dir, 500)
    deadline = time.monotonic() + 60
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL, process.stderr.read() if process.stderr else ""

    done = read_checkpoint(last)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    assert 1 <= done < 490
    resumed = train(run_dir, resume=last, max_epochs=done + 1, keep_best=False)
    whole = train(tmp_path / "whole", max_epochs=done + 1, keep_best=False)
    assert_same_weights(whole, resumed)
    epochs = [int(row["epoch"]) for row in rows(run_dir / "metrics.csv")]
    # Each epoch has its validation and its training row once; only the row that was due when the kill came may miss.
    complete = sorted([*range(done + 1), *range(done + 1)])
    missing = [epoch for epoch in complete if complete.count(epoch) != epochs.count(epoch)]
    assert set(missing) <= {done - 1} and len(epochs) >= len(complete) - 1


def test_a_kill_while_a_checkpoint_is_written_leaves_the_previous_one(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "last.ckpt"
    writer = PlainCheckpointIO()
    writer.save_checkpoint({"state_dict": {}, "loops": {}, "optimizer_states": [], "number": 1}, path)

    def broken(content: Any, target: Path) -> None:
        Path(target).write_bytes(b"half of it")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OutputError, match=r"last\.ckpt") as error:
        writer.save_checkpoint({"number": 2}, path)
    assert "disk" in error.value.hint
    assert read_checkpoint(path)["number"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_has_plain_types_only(tmp_path: Path) -> None:
    class WithHyperparameters(toys.ToyModel):
        def __init__(self, folder: Path, loss: torch.nn.Module, sizes: np.ndarray) -> None:
            super().__init__()
            self.save_hyperparameters()

    arguments = tmp_path, torch.nn.MSELoss(), np.arange(3)
    train(tmp_path / "run", model=lambda: WithHyperparameters(*arguments), max_epochs=1)
    for name in ("last.ckpt", "best.ckpt"):
        content = torch.load(tmp_path / "run/checkpoints" / name, weights_only=True)
        assert content["hyper_parameters"] == {
            "folder": str(tmp_path), "loss": "MSELoss()", "sizes": content["hyper_parameters"]["sizes"],
        }  # fmt: skip
        assert content["hyper_parameters"]["sizes"].tolist() == [0, 1, 2]
        assert content["global_step"] == 6


def test_what_cannot_be_restored_is_not_written() -> None:
    assert plain({"a": (np.float32(0.5), {"b": Path("c")})}) == {"a": (0.5, {"b": "c"})}
    with pytest.raises(OutputError, match=r"'checkpoint\.callbacks\.x' of type 'object'"):
        plain({"callbacks": {"x": object()}})


def test_random_states_survive_plain_types(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    torch.save(random_state(), tmp_path / "state")
    expected = draw()
    assert draw() != expected
    set_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert draw() == expected


def test_resuming_into_another_folder_takes_history_and_best_along(tmp_path: Path) -> None:
    train(tmp_path / "first", max_epochs=2)
    resumed = train(tmp_path / "second", resume=tmp_path / "first/checkpoints/last.ckpt", max_epochs=3)
    assert [int(row["epoch"]) for row in rows(tmp_path / "second/metrics.csv")] == [0, 0, 1, 1, 2, 2]
    assert len(rows(tmp_path / "first/metrics.csv")) == 4
    whole = train(tmp_path / "whole", max_epochs=3)
    assert resumed.metrics == whole.metrics
    assert_same_weights(whole, resumed)


def test_the_best_of_the_first_part_remains_best(tmp_path: Path) -> None:
    """With a figure that falls with every epoch, the first epoch stays the best over a resumption."""

    class Falling(toys.ToyModel):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_score", 1.0 - self.trainer.current_epoch)

    options = {"model": Falling, "monitor": ("val_score", True)}
    first = train(tmp_path / "run", max_epochs=1, **options)
    resumed = train(tmp_path / "run", resume=first.checkpoint, max_epochs=3, **options)
    assert resumed.epochs == 3
    assert resumed.metrics == {"val_score": 1.0}
    assert_same_weights(first, resumed)


def test_a_finished_training_is_returned_as_it_is(tmp_path: Path) -> None:
    first = train(tmp_path / "run", max_epochs=2)
    again = train(tmp_path / "run", resume=first.checkpoint, max_epochs=2)
    assert (again.epochs, again.steps, again.interrupted) == (2, 12, False)
    assert_same_weights(first, again)


def test_resuming_from_something_else_is_an_error(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    last = train(run_dir, max_epochs=2).checkpoint
    assert last is not None
    with pytest.raises(BundleError, match=r"no checkpoint '.*missing\.ckpt'"):
        train(run_dir, resume=tmp_path / "missing.ckpt")
    half = tmp_path / "half.ckpt"
    half.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"half\.ckpt"):
        train(run_dir, resume=half)
    code = tmp_path / "code.ckpt"
    torch.save({"state_dict": {}, "loops": {}, "optimizer_states": [subprocess.Popen]}, code)
    with pytest.raises(BundleError, match=r"damaged or contains code"):
        train(run_dir, resume=code)
    weights = tmp_path / "weights.ckpt"
    torch.save({"a": torch.zeros(1)}, weights)
    with pytest.raises(BundleError, match="not a checkpoint of a training"):
        train(run_dir, resume=weights)
    with pytest.raises(ConfigError, match=r"completed 2 epochs, but trainer\.max_epochs is '1'"):
        train(run_dir, resume=last, max_epochs=1)

    class Other(toys.ToyModel):
        def __init__(self) -> None:
            super().__init__()
            self.more = torch.nn.Linear(2, 2)

    with pytest.raises(BundleError, match="does not belong to this model"):
        train(run_dir, resume=last, model=Other)


def test_a_new_training_does_not_overwrite_an_old_one(tmp_path: Path) -> None:
    last = train(tmp_path / "run", max_epochs=1).checkpoint
    assert last is not None
    before = last.read_bytes()
    with pytest.raises(OutputError, match="already holds the checkpoints") as error:
        train(tmp_path / "run", max_epochs=1)
    assert "resume" in error.value.hint
    assert last.read_bytes() == before
