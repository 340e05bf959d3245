"""Prediction on dask workers: what one process gives, whoever dies meanwhile; what is done is not done again."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_whole_road import CPU, PLUGINS, REAL, REGISTRY, tiny_bundle

import im2im_core.distribution as distribution
from im2im_core import DataError, Image
from im2im_core.cli.predict import run_prediction
from im2im_core.cluster import Workers, connected
from im2im_core.demo_images import make_nuclei
from im2im_core.finished import FinishedFiles, put_block
from im2im_core.formats import image_loader, image_writer
from im2im_core.prediction_job import OpenedJob, PredictionJob

pytestmark = pytest.mark.skipif(
    not {"embedseg", "io"} <= PLUGINS, reason="im2im-embedseg and im2im-io are not installed"
)
LOAD = image_loader(REGISTRY)
SIZE, BLOCK = 512, 96


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real nuclei side by side where there are some, generated ones otherwise."""
    if REAL:
        tiles = [LOAD(path).compute() for path in sorted(REAL.glob("holdout/*_IM.*"))[:4]]
        tiles = [np.pad(tile, [(0, max(0, 256 - n)) for n in tile.shape], mode="reflect")[:256, :256] for tile in tiles]
        pixels = np.block([tiles[:2], tiles[2:]])
    else:
        pixels = make_nuclei(np.random.default_rng(0), (SIZE, SIZE), density=12)[0]
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.tiff"
    image_writer(REGISTRY, path).write(path, Image(pixels, "YX", {"Y": 0.5, "X": 0.5}))
    return path


@pytest.fixture(scope="module")
def alone(bundle: Path, mosaic: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process makes of it."""
    out = tmp_path_factory.mktemp("alone")
    assert not run_prediction(REGISTRY, bundle, str(mosaic), out, block=(BLOCK,), raw=True, batch=1, execution=CPU)
    return contents(out)


def contents(out: Path) -> dict[str, Any]:
    return {
        "labels": LOAD(out / "mosaic.tiff").compute(),
        "raw": LOAD(out / "network-output" / "mosaic.tiff").compute(),
        "objects": (out / "objects" / "mosaic.csv").read_text(),
    }


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert expected["labels"].max() > 5
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    np.testing.assert_allclose(found["raw"], expected["raw"], atol=1e-6)
    here, there = (table(each["objects"]) for each in (found, expected))
    assert [row.keys() for row in here] == [row.keys() for row in there]
    for mine, theirs in zip(here, there, strict=True):
        # Made of the network's output, which is compared up to rounding above.
        assert float(mine.pop("score")) == pytest.approx(float(theirs.pop("score")), abs=2e-6)
        assert mine == theirs


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_a_worker_that_dies_loses_nothing(bundle: Path, mosaic: Path, alone: dict[str, Any], tmp_path: Path) -> None:
    """Two processes of the command; one is killed as soon as a block is done."""
    command = [Path(sys.executable).with_name("im2im"), "predict", bundle, mosaic, tmp_path / "out", "--raw"]
    options = ["--block", BLOCK, "--workers", 2, "--device", "cpu", "--batch", 1]
    running = subprocess.Popen([*map(str, [*command, *options])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        blocks = tmp_path / "out" / ".im2im" / "mosaic.blocks"
        wait_for(lambda: any(blocks.glob("*-*.json")), running)
        workers = [
            each
            for each in psutil.Process(running.pid).children(recursive=True)
            if any("spawn_main" in word for word in each.cmdline())
        ]
        assert len(workers) == 2
        workers[0].kill()
        output, _ = running.communicate(timeout=300)
    finally:
        running.kill()
    assert running.returncode == 0, output.decode()
    assert b"1 of 1 images predicted" in output
    assert_equal(contents(tmp_path / "out"), alone)
    assert not blocks.exists()


def wait_for(condition: Callable[[], bool], running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 240
    while not condition():
        assert running.poll() is None, running.communicate()[0].decode()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_interrupted_work_keeps_what_is_done(bundle: Path, mosaic: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves finished blocks."""
    command = [Path(sys.executable).with_name("im2im"), "predict", bundle, mosaic, tmp_path / "out", "--raw"]
    options = ["--block", BLOCK, "--workers", 1, "--device", "cpu", "--batch", 1]
    running = subprocess.Popen(
        [*map(str, [*command, *options])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=heed_interrupts,
    )
    blocks = tmp_path / "out" / ".im2im" / "mosaic.blocks"
    try:
        wait_for(lambda: any(blocks.glob("*-*.json")), running)
        os.kill(running.pid, signal.SIGINT)
        output, _ = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130, output.decode()
    assert b"Traceback" not in output
    assert any(blocks.glob("*-*.json"))
    assert not (tmp_path / "out" / "mosaic.tiff").exists()


def heed_interrupts() -> None:
    """Tests that a shell has sent to the background ignore Ctrl-C, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def in_this_process() -> Iterator[Any]:
    """A cluster of one thread of this process, so that what it does can be counted."""
    import dask
    import torch
    from distributed import Client, LocalCluster

    threads = torch.get_num_threads()
    distribution._opened.cache_clear()
    distribution._image.cache_clear()
    with (
        dask.config.set(scheduler="synchronous"),
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
    torch.set_num_threads(threads)


def test_only_what_is_missing_or_damaged_is_done_again(
    bundle: Path,
    mosaic: Path,
    alone: dict[str, Any],
    tmp_path: Path,
    in_this_process: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = PredictionJob(bundles=(bundle,), out=tmp_path / "out", block=(BLOCK,), raw=True, batch=1, execution=CPU)
    opened = OpenedJob(job, REGISTRY).load()
    finished = FinishedFiles(job.out, opened.key)
    kept: list[tuple[int, ...]] = []

    def put(folder: Path, result: Any, most: int) -> None:
        if len(kept) == most:
            raise DataError("the disk is full", "make room")
        kept.append(result.block.index)
        put_block(folder, result)

    def run(most: int) -> list[Any]:
        kept.clear()
        monkeypatch.setattr(distribution, "put_block", lambda folder, result: put(folder, result, most))
        shares: list[float] = []
        failed = distribution.Distribution(opened, finished, in_this_process).run([("mosaic", mosaic)], shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)
        return failed

    ((path, error),) = run(most=7)
    assert path == mosaic
    assert "disk is full" in error.message
    done = list(kept)
    assert len(done) == 7
    assert not finished.has("mosaic", mosaic)
    name = "-".join(map(str, done[3]))
    damaged = job.out / ".im2im" / "mosaic.blocks" / f"{name}.found.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")

    assert run(most=1000) == []
    total = (-(-SIZE // BLOCK)) ** 2
    assert len(kept) == len(set(kept)) == total - 6
    assert set(kept) & set(done) == {done[3]}
    assert_equal(contents(job.out), alone)
    assert finished.has("mosaic", mosaic)


def test_finished_files_are_checked(bundle: Path, mosaic: Path, tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "images" / "mosaic.tiff"
    source.parent.mkdir()
    source.write_bytes(mosaic.read_bytes())
    out = tmp_path / "out"

    def predicted(**settings: Any) -> bool:
        """Whether the file was written anew."""
        result = out / "mosaic.tiff"
        before = result.stat().st_mtime_ns if result.exists() else 0
        assert not run_prediction(REGISTRY, bundle, str(source), out, execution=CPU, **settings)
        assert ("finished before" in capsys.readouterr().out) == (result.stat().st_mtime_ns == before)
        return result.stat().st_mtime_ns != before

    assert predicted()
    assert not predicted()
    assert predicted(again=True)
    assert predicted(overlap=0.5)
    assert predicted()
    (out / "mosaic.tiff").write_bytes(b"damaged")
    assert predicted()
    os.utime(source, (1, 1))
    assert predicted()
    (out / "objects" / "mosaic.csv").unlink()
    assert predicted()
    (out / ".im2im" / "mosaic.json").write_text("{")
    assert predicted()
    assert not predicted()


def test_files_on_workers(bundle: Path, mosaic: Path, tmp_path: Path) -> None:
    """Small images go whole; one that cannot be read does not stop the others."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b"):
        (images / f"{name}.tiff").write_bytes(mosaic.read_bytes())
    (images / "c.tiff").write_bytes(mosaic.read_bytes()[:2000])
    workers = Workers(1)
    ((path, error),) = run_prediction(REGISTRY, bundle, str(images), tmp_path / "out", execution=CPU, workers=workers)
    assert path.name == "c.tiff"
    assert "c.tiff" in error.message
    assert not run_prediction(REGISTRY, bundle, str(mosaic), tmp_path / "one", execution=CPU)
    expected = LOAD(tmp_path / "one" / "mosaic.tiff").compute()
    for name in ("a", "b"):
        np.testing.assert_array_equal(LOAD(tmp_path / "out" / f"{name}.tiff").compute(), expected)
    assert sorted(each.name for each in (tmp_path / "out" / ".im2im").iterdir()) == ["a.json", "b.json"]


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import im2im_core.cluster as cluster
    from im2im_core import ConfigError

    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with (
        pytest.raises(ConfigError, match=r"no workers at the scheduler 'tcp://127\.0\.0\.1:9'"),
        connected(Workers(scheduler="tcp://127.0.0.1:9")),
    ):
        pass


def test_a_running_cluster_is_used(bundle: Path, mosaic: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        workers = Workers(scheduler=cluster.scheduler_address)
        assert not run_prediction(REGISTRY, bundle, str(mosaic), tmp_path, execution=CPU, workers=workers)
    assert (tmp_path / "mosaic.tiff").is_file()


def test_workers_of_one_machine_share_its_gpus() -> None:
    job = PredictionJob(bundles=(Path("b"),), out=Path("out"))
    devices = [distribution.on_own_device(job, worker, 2).execution.device for worker in range(3)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    assert distribution.on_own_device(job, 1, 1) is job
    assert distribution.on_own_device(job, "tcp://elsewhere:1", 2) is job
    chosen = PredictionJob(bundles=(Path("b"),), out=Path("out"), execution=CPU)
    assert distribution.on_own_device(chosen, 1, 2) is chosen
