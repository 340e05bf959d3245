"""`im2im predict` on time-lapses, channels and scenes."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_whole_road import CPU, PLUGINS, REGISTRY, tiny_bundle, tiny_run

from im2im_core import DataError, Image, load_bundle
from im2im_core.bundle import open_bundle
from im2im_core.cli import app, main
from im2im_core.cli.predict import run_prediction
from im2im_core.demo_images import make_nuclei, write_demo
from im2im_core.formats import image_loader, image_writer

Predict = Callable[..., int]
pytestmark = pytest.mark.skipif(
    not {"embedseg", "io"} <= PLUGINS, reason="im2im-embedseg and im2im-io are not installed"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def frames() -> list[Any]:
    return [make_nuclei(np.random.default_rng(seed), (96, 80), density=12)[0] for seed in range(3)]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> Predict:
    """`predict(images, out, *options) -> exit code`, of the command in this process."""

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["im2im", "predict", str(bundle), *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("suffix", [".tiff", ".ome.zarr"])
def test_a_time_lapse_comes_out_as_one(predict: Predict, frames: list[Any], tmp_path: Path, suffix: str) -> None:
    movie = Image(np.stack(frames), "TYX", {"Y": 0.5, "X": 0.5})
    image_writer(REGISTRY, Path(f"m{suffix}")).write(tmp_path / f"m{suffix}", movie)
    assert predict(tmp_path / f"m{suffix}", tmp_path / "all", "--suffix", suffix, "--raw") == 0
    found = image_loader(REGISTRY)(tmp_path / "all" / f"m{suffix}")
    assert (found.axes, found.shape, found.dtype) == ("TYX", (3, 96, 80), np.uint16)
    assert found.pixel_size == pytest.approx({"Y": 0.5, "X": 0.5})
    raw = image_loader(REGISTRY)(tmp_path / "all" / "network-output" / f"m{suffix}")
    assert (raw.axes, raw.shape, raw.channel_names[-1]) == ("TCYX", (3, 5, 96, 80), "seed")
    rows = table(tmp_path / "all" / "objects" / "m.csv")
    assert {row["time"] for row in rows} == {"0", "1", "2"}
    for time in range(3):
        out = tmp_path / str(time)
        assert predict(tmp_path / f"m{suffix}", out, "--time", time, "--suffix", suffix) == 0
        one = image_loader(REGISTRY)(out / f"m{suffix}")
        assert one.axes == "YX"
        np.testing.assert_array_equal(one.compute(), found.compute()[time])
        own = [{key: value for key, value in row.items() if key != "time"} for row in rows if row["time"] == str(time)]
        assert own == table(out / "objects" / "m.csv")
        assert len(own) == one.compute().max() > 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        ".im2im",
        f"m{suffix}",
        "network-output",
        "objects",
    ]


def test_one_channel_of_several(predict: Predict, frames: list[Any], tmp_path: Path, capsys: Any) -> None:
    write = image_writer(REGISTRY, Path("a.ome.tiff")).write
    write(tmp_path / "a.ome.tiff", Image(np.stack(frames[:2]), "CYX", {}, ("DAPI", "GFP")))
    write(tmp_path / "b.tiff", Image(frames[1], "YX"))
    assert predict(tmp_path / "a.ome.tiff", tmp_path / "named", "--channel", "gfp") == 0
    assert predict(tmp_path / "a.ome.tiff", tmp_path / "numbered", "--channel", "1") == 0
    assert predict(tmp_path / "b.tiff", tmp_path / "alone") == 0
    results = [
        image_loader(REGISTRY)(next((tmp_path / n).glob("*.tiff"))).compute() for n in ("named", "numbered", "alone")
    ]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[2])
    assert predict(tmp_path / "a.ome.tiff", tmp_path / "none", "--channel", "RFP") == 1
    assert "channels are 0 'DAPI', 1 'GFP'" in capsys.readouterr().err
    assert predict(tmp_path / "a.ome.tiff", tmp_path / "none") == 1
    assert "--channel" in capsys.readouterr().err
    assert predict(tmp_path / "a.ome.tiff", tmp_path / "none", "--channel", "0", "--time", "4") == 1
    assert "time points are 0 to 0" in capsys.readouterr().err
    assert list((tmp_path / "none").glob("*")) == []


def test_a_scene(predict: Predict, frames: list[Any], tmp_path: Path, capsys: Any) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "two.tiff") as file:
        for frame in (frames[0], frames[1][:64, :64]):
            file.write(frame, contiguous=False)
    assert predict(tmp_path / "two.tiff", tmp_path / "out", "--scene", "1") == 0
    assert image_loader(REGISTRY)(tmp_path / "out" / "two.tiff").shape == (64, 64)
    assert predict(tmp_path / "two.tiff", tmp_path / "none", "--scene", "7") == 1
    assert "scene '7'" in capsys.readouterr().err
    np.save(tmp_path / "n.npy", frames[0])
    assert predict(tmp_path / "n.npy", tmp_path / "none", "--scene", "1") == 1
    assert "knows no scenes" in capsys.readouterr().err


@pytest.fixture(scope="module")
def stained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same pairs twice: images of one channel, and with another stain before it."""
    alone, among = (tmp_path_factory.mktemp(name) for name in ("alone", "among"))
    writer = image_writer(REGISTRY, Path("a.tiff"))
    write_demo(alone, 4, 1, 0, writer.write, size=96)
    for path in alone.rglob("*.tiff"):
        image = image_loader(REGISTRY)(path)
        if "_IM" in path.name:
            pixels = image.compute()
            image = Image(np.stack([pixels[::-1], pixels]), "CYX", image.pixel_size, ("GFP", "DAPI"))
        writer.write(among / path.relative_to(alone), image)
    return alone, among


@pytest.mark.parametrize("cache", ["persistent", "lazy"])
def test_learning_from_one_channel_of_several(stained: tuple[Path, Path], tmp_path: Path, cache: str) -> None:
    """As from images that have no other, and prediction takes the same channel by itself."""
    alone, among = stained
    settings = {"dataset.cache": cache, "dataset.patch_size": 32}
    one = tiny_run(alone / "train", tmp_path / "one", **settings).bundle
    two = tiny_run(among / "train", tmp_path / "two", **settings, **{"dataset.channels": "dapi"}).bundle
    first, second = (open_bundle(path, REGISTRY).manifest for path in (one, two))
    assert (second.in_channels, second.channel_names) == (1, ("DAPI",))
    assert second.weights_sha256 == first.weights_sha256
    for bundle, data in ((one, alone), (two, among), (two, alone)):
        out = tmp_path / f"{bundle.parent.name}-{data.name}"
        assert not run_prediction(REGISTRY, bundle, str(data / "test"), out, execution=CPU)
    results = [image_loader(REGISTRY)(path).compute() for path in sorted(tmp_path.glob("*-*/*.tiff"))]
    assert len(results) == 3
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    (file,) = (among / "test").glob("*_IM.tiff")
    np.testing.assert_array_equal(load_bundle(two, device="cpu").predict(file).compute(), results[0])


def test_channels_of_the_command_line(stained: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    common = ["train", "--preset", "nuclei-2d", "--data", str(stained[1] / "train"), "--dry-run"]
    app([*common, "--channel", "DAPI", "--channel", "0"], standalone_mode=False)
    assert "channels: [DAPI, '0']" in capsys.readouterr().out
    with pytest.raises(DataError, match="no channel 'Cy5'"):
        app([*common[:-1], "--channel", "Cy5", "--out", str(tmp_path)], standalone_mode=False)
