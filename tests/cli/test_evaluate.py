"""`im2im evaluate` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from im2im_core.cli import main
from im2im_core.errors import ComponentError, ConfigError
from im2im_core.metric_choice import choose_metrics, settings_in_words
from im2im_core.registry import Registry

REGISTRY = Registry.discover()


@pytest.fixture
def im2im(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs a command in this process, in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["im2im", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Two bright squares, numbered 1 and 2 in the target, and 2 and 1 in the prediction."""
    image = np.random.default_rng(0).normal(20, 2, (40, 40)).astype(np.float32)
    target = np.zeros((40, 40), np.uint16)
    target[4:16, 4:16], target[22:36, 20:34] = 1, 2
    image[target > 0] += 100
    (tmp_path / "truth").mkdir()
    (tmp_path / "out").mkdir()
    tifffile.imwrite(tmp_path / "truth" / "a_IM.tiff", image)
    tifffile.imwrite(tmp_path / "truth" / "a_GT.tiff", target)
    tifffile.imwrite(tmp_path / "out" / "a.tiff", np.array([0, 2, 1], np.uint16)[target])
    return tmp_path


def stored(folder: Path, name: str = "evaluation") -> dict:
    return json.loads((folder / "out-evaluation" / f"{name}.json").read_text())


# --- settings of metrics


def test_settings_reach_the_metric_and_the_baseline(im2im, objects: Path) -> None:
    assert im2im("evaluate", "out", "truth", "--metric", "dice")[0] == 0
    assert stored(objects)["mean"]["dice"] == 0
    code, out, _ = im2im("evaluate", "out", "truth", "--metric", "dice", "--set", "dice.foreground=true")
    assert code == 0
    assert stored(objects)["mean"]["dice"] == 1
    # Otsu is compared by the same metric: by object number it would reach half of this.
    baseline = stored(objects, "baseline")
    assert baseline["method"] == "Otsu, bright"
    assert baseline["mean"]["dice"] > 0.9
    assert "dice_class_2" not in baseline["mean"]
    assert "dice.foreground=true" in stored(objects)["note"]
    assert "dice.foreground=true" in (objects / "out-evaluation" / "report.md").read_text()
    assert out.count("1.0000") >= 1


def test_a_list_as_value(im2im, objects: Path) -> None:
    assert im2im("evaluate", "out", "truth", "--set", "average-precision.thresholds=[0.3]")[0] == 0
    assert "ap@0.30" in stored(objects)["mean"]
    assert "ap@0.55" not in stored(objects)["mean"]


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["dice.forground=true"], ["dice.forground: unknown setting; did you mean foreground?"]),
        (["dice.threshold=high"], ["dice.threshold: ", "(got 'high')"]),
        (["dcie.foreground=true"], ["dcie: unknown metric; did you mean dice?"]),
        (["ssim.data_range=2"], ["ssim: not among the metrics that are computed (dice); add --metric ssim"]),
        (["dice=true"], ["dice: a setting of it is needed, as dice.SETTING=value (got 'True')"]),
        (["dice.foreground"], ["'--set dice.foreground' is not of the form a.b=value"]),
        (["dice.a=1", "iou.foreground=1"], ["dice.a: unknown setting", "iou: not among"]),
    ],
)
def test_wrong_settings_are_told_before_any_file_is_looked_at(im2im, sets: list[str], words: list[str]) -> None:
    arguments = [part for text in sets for part in ("--set", text)]
    code, _, err = im2im("evaluate", "nowhere", "neither", "--metric", "dice", *arguments)
    assert code == 1
    for word in words:
        assert word in err
    assert "hint: " in err


def test_settings_of_a_metric_that_the_data_did_not_choose(im2im, objects: Path) -> None:
    code, _, err = im2im("evaluate", "out", "truth", "--set", "dice.foreground=true")
    assert code == 1
    assert "add --metric dice" in err
    assert not (objects / "out-evaluation" / "evaluation.json").exists()


def test_qualified_names() -> None:
    (choice,) = choose_metrics(REGISTRY, ["builtin/dice"], ["dice.foreground=true"])
    assert choice.config.model_dump()["foreground"] is True
    assert settings_in_words([choice]) == " Settings: builtin/dice.foreground=true."
    assert settings_in_words(choose_metrics(REGISTRY, ["dice", "psnr"])) == ""
    with pytest.raises(ComponentError, match="unknown metric 'dicee'"):
        choose_metrics(REGISTRY, ["dicee"])
    with pytest.raises(ConfigError, match=r"builtin/dice\.foregroun: unknown setting; did you mean foreground"):
        choose_metrics(REGISTRY, ["builtin/dice"], ["dice.foregroun=1"])


# --- numbers


def test_numbers_against_numbers(im2im, tmp_path: Path) -> None:
    for stem in "abc":
        tifffile.imwrite(tmp_path / f"{stem}.tiff", np.zeros((8, 8), np.uint8))
    (tmp_path / "pairs.csv").write_text("image,target\na.tiff,1\nb.tiff,2\nc.tiff,6\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "values.csv").write_text("image,value\na.tiff,1\nb.tiff,3\nc.tiff,7\n")
    code, out, err = im2im("evaluate", "out/values.csv", "pairs.csv", "--metric", "mae")
    assert (code, err) == (0, "")
    assert "3 images, figures over all of them" in out
    assert out.splitlines()[1].split() == ["metric", "prediction", "mean", "of", "these", "targets"]
    assert "mae     0.6667      2.0000" in out
    folder = tmp_path / "out" / "values-evaluation"
    assert json.loads((folder / "baseline.json").read_text())["mean"] == {"mae": 2.0}
    page = (folder / "report.md").read_text()
    assert "over all 3 images" in page
    assert "averaged over" not in page
    code, out, _ = im2im("evaluate", "out", "pairs.csv", "--no-baseline")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["mae", "rmse", "pearson"]
    assert not (tmp_path / "out-evaluation" / "baseline.json").exists()


def test_images_against_numbers(im2im, objects: Path) -> None:
    (objects / "pairs.csv").write_text("image,target\ntruth/a_IM.tiff,1\n")
    code, _, err = im2im("evaluate", "out", "pairs.csv")
    assert code == 1
    assert "are numbers, not images" in err
