"""Damaged, missing and contradictory input at the command line.

Each case: exit code 1, `error:` and a hint, no traceback, nothing half-written, and what was there before still there.
"""

from __future__ import annotations

import csv
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.cli import main
from im2im_core.demo_images import make_nuclei
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
HAVE = {(kind, entry.component.name) for kind in ("model", "network", "reader") for entry in REGISTRY.components(kind)}
pytestmark = pytest.mark.skipif(
    not {("model", "embedseg"), ("reader", "tifffile")} <= HAVE, reason="im2im-embedseg and im2im-io are not installed"
)
TINY = ["--model", "embedseg"] + (
    ["--network", "residual-unet", "--set", "network.channels=[4, 8]"] if ("network", "residual-unet") in HAVE else []
)
SETTINGS = {
    "trainer.max_epochs": "1",
    "trainer.accelerator": "cpu",
    "trainer.loggers": "[csv]",
    "dataset.patch_size": "32",
    "dataset.patches_per_image": "1",
    "dataset.batch_size": "2",
    "dataset.val_fraction": "0.25",
}
SHARED = next(
    (parent / "shared" for parent in Path(__file__).resolve().parents if (parent / "shared" / "malformed").is_dir()),
    None,
)


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


Im2im = Callable[..., Answer]


def write(path: Path, pixels: Any) -> Path:
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.asarray(pixels))
    return path


def nuclei(folder: Path, number: int = 4, size: int = 64) -> Path:
    """Pairs `n0_IM.tiff`, `n0_GT.tiff`, ..."""
    for index in range(number):
        image, labels = make_nuclei(np.random.default_rng(index), (size, size), density=12)
        write(folder / f"n{index}_IM.tiff", image)
        write(folder / f"n{index}_GT.tiff", labels)
    return folder


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def with_objects(*stems: str) -> list[str]:
    """Labels, the table of their objects, and a note of both."""
    return sorted(form.format(stem) for form in ("{}.tiff", "objects/{}.csv", ".im2im/{}.json") for stem in stems)


def truncate(path: Path) -> None:
    """Cut the last half off, as an interrupted copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def hidden(folder: Path) -> list[str]:
    """What was left behind half-written; notes on what is finished are no such thing."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".im2im"]


def train_arguments(data: object, *more: object, **settings: str) -> list[str]:
    sets = [f"--set={key}={value}" for key, value in {**SETTINGS, **settings}.items()]
    return ["train", *TINY, "--data", str(data), *sets, *map(str, more)]


@pytest.fixture
def im2im(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Im2im:
    """Runs a command in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["im2im", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert hidden(tmp_path) == []
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a tiny training."""
    folder = tmp_path_factory.mktemp("trained")
    nuclei(folder / "data")
    before, sys.argv = sys.argv, ["im2im", *train_arguments(folder / "data", "--out", folder / "runs")]
    try:
        main()
    except SystemExit as end:
        assert not end.code
    finally:
        sys.argv = before
    (run,) = (folder / "runs").iterdir()
    assert (run / "bundle" / "bundle.json").is_file()
    assert hidden(folder) == []
    return run


def failed(answer: Answer, *parts: object) -> None:
    assert answer.code == 1, answer
    assert "error: " in answer.err
    assert "hint: " in answer.err
    assert "TypeError" not in answer.err
    assert "run again with --debug" not in answer.err, answer.err
    for part in parts:
        assert str(part) in answer.err


# --- training data


def test_train_on_a_missing_folder_and_a_file(im2im: Im2im, tmp_path: Path) -> None:
    failed(im2im(*train_arguments("nowhere")), "'nowhere'")
    write(tmp_path / "one_IM.tiff", np.zeros((8, 8), np.uint8))
    failed(im2im(*train_arguments("one_IM.tiff")), "one_IM.tiff")
    assert not (tmp_path / "runs").exists()


def test_train_on_an_empty_folder(im2im: Im2im, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    failed(im2im(*train_arguments("empty")), "empty")
    (tmp_path / "empty" / "notes.txt").write_text("no images here")
    failed(im2im(*train_arguments("empty")), "empty")
    assert not (tmp_path / "runs").exists()


def test_image_without_target(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 3)
    (data / "n1_GT.tiff").unlink()
    failed(im2im(*train_arguments(data)), "n1")
    assert not (tmp_path / "runs").exists()


def test_shapes_that_differ(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 3)
    write(data / "n1_GT.tiff", np.ones((64, 60), np.uint16))
    failed(im2im(*train_arguments(data)), "n1_IM.tiff", "n1_GT.tiff", "(64, 60)")


def test_truncated_image_in_the_middle(im2im: Im2im, tmp_path: Path) -> None:
    for name in ("n1_IM.tiff", "n1_GT.tiff"):
        data = nuclei(tmp_path / name.split(".")[0], 3)
        truncate(data / name)
        failed(im2im(*train_arguments(data, **{"dataset.val_fraction": "0"})), name)


def test_not_a_number_in_an_image(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 3)
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    image[40, 40] = np.nan
    write(data / "n1_IM.tiff", image)
    failed(im2im(*train_arguments(data, **{"dataset.val_fraction": "0"})), "n1_IM.tiff", "NaN")


def test_a_target_without_objects_can_be_learnt_from(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 3)
    for index in range(2):
        write(data / f"n{index}_GT.tiff", np.zeros((64, 64), np.uint16))
    answer = im2im(*train_arguments(data, **{"dataset.val_fraction": "0"}))
    assert answer.code == 0, answer.err
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "bundle" / "bundle.json").is_file()
    assert "nan" not in (run / "metrics.csv").read_text().lower()


def test_no_target_with_an_object(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 3)
    for index in range(3):
        write(data / f"n{index}_GT.tiff", np.zeros((64, 64), np.uint16))
    failed(im2im(*train_arguments(data)), "holds an object")


def test_one_pair_alone_can_be_trained_on(im2im: Im2im, tmp_path: Path) -> None:
    answer = im2im(*train_arguments(nuclei(tmp_path / "data", 1)))
    assert answer.code == 0, answer.err
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "bundle" / "bundle.json").is_file()


def test_settings_that_are_wrong(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 2)
    failed(
        im2im(*train_arguments(data, **{"trainer.max_epoch": "3"})), "trainer.max_epoch: unknown setting; did you mean"
    )
    failed(im2im(*train_arguments(data, **{"trainer.max_epochs": "few"})), "trainer.max_epochs: ", "(got 'few')")
    failed(im2im(*train_arguments(data, "--loss", "spatial-embeding")), "unknown loss 'spatial-embeding'; did you mean")
    failed(im2im(*train_arguments(data, "--loss", "mse")), "loss: 'mse' serves")
    assert not (tmp_path / "runs").exists()
    failed(im2im(*train_arguments(data, **{"dataset.patch_size": "[32, 32, 32]"})), "patch_size")


# --- where results go


def test_a_file_in_place_of_the_folder_for_runs(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 2)
    (tmp_path / "runs").write_text("mine")
    failed(im2im(*train_arguments(data)), "cannot write to 'runs/")
    assert (tmp_path / "runs").read_text() == "mine"


def full(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_at_the_start_of_a_training(im2im: Im2im, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = nuclei(tmp_path / "data", 2)
    monkeypatch.setattr(Path, "write_text", full)
    failed(im2im(*train_arguments(data)), "No space left on device", "runs/")


def test_full_disk_while_a_checkpoint_is_written(im2im: Im2im, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    data = nuclei(tmp_path / "data", 2)
    monkeypatch.setattr(torch, "save", full)
    failed(im2im(*train_arguments(data)), "No space left on device", "runs/")
    (run,) = (tmp_path / "runs").iterdir()
    assert list(run.rglob("*.ckpt")) == []
    assert not (run / "bundle").exists()


def test_full_disk_while_the_bundle_is_written(im2im: Im2im, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    data = nuclei(tmp_path / "data", 2)
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        failed(im2im(*train_arguments(data)), "No space left on device", "bundle")
    (run,) = (tmp_path / "runs").iterdir()
    assert not (run / "bundle").exists()
    # What was trained is not lost.
    assert (run / "checkpoints" / "last.ckpt").is_file()
    answer = im2im("train", "--resume", run)
    assert answer.code == 0, answer.err
    assert (run / "bundle" / "weights.safetensors").is_file()


def test_resume_from_what_is_no_run(im2im: Im2im, tmp_path: Path, trained: Path) -> None:
    failed(im2im("train", "--resume", "nowhere"), "'nowhere' is not the folder of a run")
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained / "config.yaml", run)
    failed(im2im("train", "--resume", run), "no checkpoint to resume from")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.ckpt").write_bytes((trained / "checkpoints" / "last.ckpt").read_bytes()[:1000])
    failed(im2im("train", "--resume", run), "last.ckpt")


# --- prediction


def test_predict_with_what_is_no_bundle_or_no_images(im2im: Im2im, tmp_path: Path, trained: Path) -> None:
    bundle = trained / "bundle"
    images = nuclei(tmp_path / "images", 1)
    failed(im2im("predict", "nowhere", images, "out"), "'nowhere' does not exist")
    failed(im2im("predict", images, images, "out"), "holds no bundle.json")
    failed(im2im("predict", bundle, "nowhere", "out"), "nowhere")
    failed(im2im("predict", bundle, "nowhere/*.tiff", "out"), "nowhere")
    (tmp_path / "empty").mkdir()
    failed(im2im("predict", bundle, "empty", "out"), "empty")
    failed(im2im("predict", bundle, images, "out", "--suffix", ".xyz"), ".xyz", "suffixes that can be written")
    failed(im2im("predict", bundle, images, "out", "--device", "gpuu"), "device 'gpuu'")
    assert not list((tmp_path / "out").rglob("*"))


def test_predict_with_a_damaged_bundle(im2im: Im2im, tmp_path: Path, trained: Path) -> None:
    images = nuclei(tmp_path / "images", 1)
    bundle = tmp_path / "bundle"
    shutil.copytree(trained / "bundle", bundle)
    weights = bytearray((bundle / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (bundle / "weights.safetensors").write_bytes(weights)
    failed(im2im("predict", bundle, images, "out"), "checksum")
    (bundle / "weights.safetensors").write_bytes(b"\x80\x04K\x01.")
    failed(im2im("predict", bundle, images, "out"), "is a pickle")
    (bundle / "bundle.json").write_text("{")
    failed(im2im("predict", bundle, images, "out"), "is damaged")


def test_predict_without_the_plugin_of_the_bundle(
    im2im: Im2im, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IM2IM_DISABLE_PLUGINS", "embedseg")
    images = nuclei(tmp_path / "images", 1)
    failed(
        im2im("predict", trained / "bundle", images, "out"), "needs plug-in 'embedseg'", "pip install im2im-embedseg"
    )


def test_predict_finishes_the_rest_and_reports_the_bad_ones_at_the_end(
    im2im: Im2im, tmp_path: Path, trained: Path
) -> None:
    images = tmp_path / "images"
    good = make_nuclei(np.random.default_rng(0), (64, 64), density=12)[0]
    with_nan = good.astype(np.float32)
    with_nan[3, 3] = np.nan
    for name in ("a", "e", "z"):
        write(images / f"{name}.tiff", good)
    truncate(write(images / "b.tiff", good))
    write(images / "c.tiff", with_nan)
    write(images / "d.tiff", np.stack([good, good, good]))
    (images / "f.tiff").write_bytes(b"")
    (images / "g.tiff").write_text("no image at all")
    answer = im2im("predict", trained / "bundle", images, "out")
    failed(answer, *(f"{name}.tiff" for name in "bcdfg"), "NaN")
    assert written(tmp_path / "out") == with_objects("a", "e", "z")
    assert answer.err.count("error: ") == 5
    assert "3 of 8 images predicted" in answer.out


def test_predict_goes_on_after_an_unforeseen_failure(
    im2im: Im2im, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from im2im_core.prediction import Predictor

    images = nuclei(tmp_path / "images", 3)
    raw, calls = Predictor.raw, []

    def fail_once(self: Any, image: Any, *more: Any) -> Any:
        calls.append(image)
        if len(calls) == 2:
            raise MemoryError("the second image is too large")
        return raw(self, image, *more)

    monkeypatch.setattr(Predictor, "raw", fail_once)
    failed(im2im("predict", trained / "bundle", images, "out"), "n1_IM.tiff", "MemoryError", "--window")
    assert written(tmp_path / "out") == with_objects("n0", "n2")


def test_predict_where_nothing_can_be_written(
    im2im: Im2im, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = nuclei(tmp_path / "images", 2)
    (tmp_path / "out").write_text("mine")
    failed(im2im("predict", trained / "bundle", images, "out"), "cannot write to 'out'")
    failed(im2im("predict", trained / "bundle", images, "out/below"), "cannot write to 'out/below'")
    assert (tmp_path / "out").read_text() == "mine"
    old = write(tmp_path / "labels" / "n0.tiff", np.full((4, 4), 7, np.uint8)).read_bytes()
    replace = Path.replace

    def full_disk(self: Path, target: Any) -> Any:
        return full() if Path(target).suffix == ".tiff" else replace(self, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    failed(im2im("predict", trained / "bundle", images, "labels"), "No space left on device", "labels/n0.tiff")
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["n0.tiff"]
    assert (tmp_path / "labels" / "n0.tiff").read_bytes() == old


@pytest.mark.skipif(SHARED is None, reason="the shared images are not part of the repository")
def test_predict_a_folder_of_damaged_files(im2im: Im2im, tmp_path: Path, trained: Path) -> None:
    assert SHARED is not None
    names = [
        "constant.tiff", "corrupt_deflate.tiff", "empty.tiff", "header_only.tiff", "nan_inside.tiff",
        "text_named.tiff", "truncated_half.tiff",
    ]  # fmt: skip
    (tmp_path / "images").mkdir()
    for name in names:
        shutil.copy(SHARED / "malformed" / name, tmp_path / "images")
    answer = im2im("predict", trained / "bundle", "images", "out")
    bad = ("corrupt_deflate", "empty", "header_only", "nan_inside", "text_named", "truncated_half")
    failed(answer, *(f"{name}.tiff" for name in bad))
    assert written(tmp_path / "out") == with_objects("constant")


# --- evaluation


def test_evaluate_what_is_not_there(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 2)
    failed(im2im("evaluate", "nowhere", data), "nowhere")
    failed(im2im("evaluate", data, "nowhere"), "nowhere")
    (tmp_path / "empty").mkdir()
    failed(im2im("evaluate", "empty", data), "empty")
    failed(im2im("evaluate", data, "empty"), "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "empty"]


def test_evaluate_finishes_the_rest_and_reports_the_bad_ones_at_the_end(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 5)
    for index in range(5):
        shutil.copyfile(data / f"n{index}_GT.tiff", write(tmp_path / "labels" / f"n{index}.tiff", [[0]]))
    truncate(tmp_path / "labels" / "n1.tiff")
    write(tmp_path / "labels" / "n2.tiff", np.ones((60, 64), np.uint16))
    (tmp_path / "labels" / "n3.tiff").unlink()
    answer = im2im("evaluate", "labels", data, "--no-baseline")
    assert answer.code == 1
    assert answer.err.count("error: ") == 2
    for part in ("n1.tiff", "n2.tiff", "'60' along Y", "hint: ", "no prediction for target", "n3_GT.tiff"):
        assert part in answer.err
    assert "2 images, figures averaged over images" in answer.out
    assert next(line.split()[1] for line in answer.out.splitlines() if line.startswith("ap@0.50")) == "1.0000"
    assert (tmp_path / "labels-evaluation" / "report.html").is_file()


def test_evaluate_when_nothing_can_be_read(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 2)
    for index in range(2):
        truncate(write(tmp_path / "labels" / f"n{index}.tiff", np.ones((64, 64), np.uint16)))
    answer = im2im("evaluate", "labels", data)
    assert answer.code == 1
    assert answer.err.count("error: ") >= 1
    assert "n0.tiff" in answer.err
    assert "run again with --debug" not in answer.err


def test_evaluate_where_nothing_can_be_written(im2im: Im2im, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = nuclei(tmp_path / "data", 2)
    (tmp_path / "out").write_text("mine")
    predictions = tmp_path / "labels"
    for index in range(2):
        shutil.copyfile(data / f"n{index}_GT.tiff", write(predictions / f"n{index}.tiff", [[0]]))
    failed(im2im("evaluate", predictions, data, "--out", "out"), "cannot write to 'out'")
    assert (tmp_path / "out").read_text() == "mine"
    monkeypatch.setattr(Path, "write_text", full)
    failed(im2im("evaluate", predictions, data, "--out", "report"), "No space left on device")
    assert not (tmp_path / "report" / "report.html").exists()


def test_unknown_metric(im2im: Im2im, tmp_path: Path) -> None:
    data = nuclei(tmp_path / "data", 1)
    failed(im2im("evaluate", data, data, "--metric", "dise"), "unknown metric 'dise'", "did you mean dice")


# --- interruption


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    code = "from im2im_core.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_epochs(folder: Path, process: subprocess.Popen[str], epochs: int) -> Path:
    """The run folder, once so many epochs are on disk."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        for checkpoint in folder.glob("runs/*/checkpoints/last.ckpt"):
            if len(set(epochs_logged(checkpoint.parents[1]))) > epochs:
                return checkpoint.parents[1]
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no {epochs} epochs were trained: {process.communicate()}")


def epochs_logged(run: Path) -> list[int]:
    """The epoch of each row of the metrics."""
    with (run / "metrics.csv").open(newline="") as stream:
        return [int(row["epoch"]) for row in csv.DictReader(stream) if row["epoch"]]


def epochs_done(run: Path) -> int:
    """The epoch of the checkpoint, whole enough to be opened."""
    import torch

    return int(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]) + 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_interrupted_training_goes_on_with_resume(im2im: Im2im, tmp_path: Path, number: signal.Signals) -> None:
    data = nuclei(tmp_path / "data", 3)
    process = start(tmp_path, *train_arguments(data, **{"trainer.max_epochs": "100000"}))
    run = wait_for_epochs(tmp_path, process, 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in out + err
    if number == signal.SIGINT:
        assert process.returncode in (0, 130)
        assert f"im2im train --resume runs/{run.name}" in out
        assert (run / "bundle" / "bundle.json").is_file()
        assert hidden(tmp_path) == []
    else:
        assert process.returncode == -signal.SIGKILL
        assert not (run / "bundle").exists()
        for leftover in tmp_path.rglob(".*"):  # nobody could tidy up; but no file has its final name
            leftover.unlink()
    done = epochs_done(run)
    assert done >= 2
    answer = im2im("train", "--resume", run, "--set", f"trainer.max_epochs={done + 1}")
    assert answer.code == 0, answer.err
    assert f"trained {done + 1} epochs" in answer.out
    assert epochs_done(run) == done + 1
    assert (run / "bundle" / "bundle.json").is_file()
    logged = epochs_logged(run)
    assert sorted(set(logged)) == list(range(done + 1))
    assert len({logged.count(epoch) for epoch in logged}) == 1, "an epoch was logged more than once"
