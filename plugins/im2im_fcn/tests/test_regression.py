"""One number for an image: from a table of numbers over training and prediction to figures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from im2im_core import ConfigError
from im2im_core.cli.evaluate import run_evaluation
from im2im_core.cli.predict import run_prediction
from im2im_core.cli.train import resolve_settings, run_training
from im2im_core.prediction import Predictor
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
QUICK = [
    "network.channels=[4,8]",
    "network.strides=[2]",
    "dataset.patch_size=32",
    "dataset.patches_per_image=4",
    "dataset.batch_size=4",
    "dataset.cache=memory",
    "trainer.loggers=['csv']",
]


def write_table(folder: Path, count: int, seed: int = 0) -> Path:
    """Images covered by bright spots to a share of 5 to 60 percent, which is the target, in percent."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    lines = ["image,target"]
    for index in range(count):
        bright = random.random((48, 44)) < random.uniform(0.05, 0.6)
        image = random.normal(100, 10, bright.shape) + 100 * bright
        tifffile.imwrite(folder / "images" / f"s{index}.tiff", image.clip(0).astype(np.uint16))
        lines.append(f"images/s{index}.tiff,{100 * bright.mean():.3f}")
    table = folder / "pairs.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def train(table: Path, out: Path, epochs: int) -> Path:
    settings = resolve_settings(
        REGISTRY,
        preset="regression-2d",
        config=None,
        flags={"dataset": {"path": str(table)}},
        sets=[*QUICK, f"trainer.max_epochs={epochs}", "optimizer.lr=0.02"],
    )
    return run_training(REGISTRY, settings, out)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regression")
    return train(write_table(folder / "train", 16), folder / "runs", 8)


def test_numbers_are_learned_and_compared(trained: Path, tmp_path: Path, one_thread) -> None:
    table = write_table(tmp_path / "test", 8, seed=1)
    assert run_prediction(REGISTRY, trained, str(table), tmp_path / "out") == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["values.csv"]
    found = rows(tmp_path / "out" / "values.csv")
    assert [row["image"] for row in found] == [f"s{index}.tiff" for index in range(8)]
    figures = run_evaluation(REGISTRY, tmp_path / "out" / "values.csv", str(table), [], tmp_path / "report")
    targets = np.array([float(row["target"]) for row in rows(table)])
    values = np.array([float(row["value"]) for row in found])
    assert figures.mean["mae"] == pytest.approx(np.abs(values - targets).mean())
    assert figures.mean["rmse"] == pytest.approx(np.sqrt(((values - targets) ** 2).mean()))
    assert figures.mean["pearson"] == pytest.approx(np.corrcoef(values, targets)[0, 1])
    # Something was learned: it beats the mean of the targets, which knows more than a model may.
    assert figures.mean["mae"] < np.abs(targets - targets.mean()).mean()
    assert figures.mean["pearson"] > 0.8


def test_uncertainty_of_numbers_is_a_column(trained: Path, tmp_path: Path, one_thread) -> None:
    from im2im_core.uncertainty import Sampling

    table = write_table(tmp_path / "test", 2, seed=1)
    sampling = Sampling(source="test-time-augmentation", count=4)
    assert run_prediction(REGISTRY, trained, str(table), tmp_path / "out", sampling=sampling) == []
    found = rows(tmp_path / "out" / "values.csv")
    assert list(found[0]) == ["image", "value", "variance"]
    assert all(float(row["variance"]) > 0 for row in found)
    assert not (tmp_path / "out" / "uncertainty").exists()


def test_a_broken_image_costs_no_other(trained: Path, tmp_path: Path, one_thread) -> None:
    table = write_table(tmp_path / "test", 3)
    (tmp_path / "test" / "images" / "s1.tiff").write_bytes(b"no image")
    ((path, _),) = run_prediction(REGISTRY, trained, str(table), tmp_path / "out")
    assert path.name == "s1.tiff"
    assert [row["image"] for row in rows(tmp_path / "out" / "values.csv")] == ["s0.tiff", "s2.tiff"]
    figures = run_evaluation(REGISTRY, tmp_path / "out", str(table), ["mae"], tmp_path / "report")
    assert [case.stem for case in figures.cases] == ["s0", "s2"]
    assert [path.name for path in figures.unmatched_targets] == ["s1.tiff"]


def test_an_interrupted_prediction_keeps_what_was_done(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread
) -> None:
    table = write_table(tmp_path / "test", 3)
    predict, done = Predictor.predict, []

    def interrupted(self, image, progress=None):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(image)
        return predict(self, image, progress)

    monkeypatch.setattr(Predictor, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_prediction(REGISTRY, trained, str(table), tmp_path / "out")
    assert [row["image"] for row in rows(tmp_path / "out" / "values.csv")] == ["s0.tiff", "s1.tiff"]
    with pytest.raises(KeyboardInterrupt):  # before the first image: the table stays
        run_prediction(REGISTRY, trained, str(table), tmp_path / "out")
    assert len(rows(tmp_path / "out" / "values.csv")) == 2
    monkeypatch.undo()
    assert run_prediction(REGISTRY, trained, str(tmp_path / "test" / "images" / "s2.tiff"), tmp_path / "out") == []
    assert [row["image"] for row in rows(tmp_path / "out" / "values.csv")] == ["s2.tiff"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["values.csv"]


def test_numbers_are_for_regressions_only(tmp_path: Path) -> None:
    table = write_table(tmp_path / "data", 2)
    settings = resolve_settings(
        REGISTRY, preset="denoise-2d", config=None, flags={"dataset": {"path": str(table)}}, sets=[]
    )
    with pytest.raises(
        ConfigError, match="the targets are numbers, one for an image, and 'fcn' is for restoration"
    ) as e:
        run_training(REGISTRY, settings, tmp_path / "runs")
    assert "--task regression" in e.value.hint
    assert not (tmp_path / "runs").exists()
