"""Metrics of whole sets: equal sets are nearest, spoilt ones further; names, numbers and sizes may differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg, ndimage
from typer.testing import CliRunner

from im2im_core.builtin.set_features import set_features, tile_features
from im2im_core.builtin.set_metrics import frechet_distance, histogram_distance, kernel_distance
from im2im_core.cli import app
from im2im_core.config import resolve
from im2im_core.errors import ConfigError, DataError
from im2im_core.evaluation_record import Evaluation
from im2im_core.registry import Registry

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
METRICS = {
    "frechet_distance": frechet_distance,
    "kernel_distance": kernel_distance,
    "histogram_distance": histogram_distance,
}


def cells(seed: int, shape=(128, 144)) -> np.ndarray:
    """Bright spots on a noisy ground, (1, Y, X), as a microscope sees them."""
    rng = np.random.default_rng(seed)
    points = np.zeros(shape)
    count = shape[0] * shape[1] // 450
    points[tuple(rng.integers(0, n, count) for n in shape)] = rng.uniform(500, 900, count)
    image = ndimage.gaussian_filter(points, 4) * 10 + 20 + rng.normal(0, 2, shape)
    return image.astype(np.float32)[None]


TARGETS = [cells(seed) for seed in range(8)]
OTHERS = [cells(seed, (150, 100)) for seed in range(100, 105)]
SPOILT = {
    "blurred": [ndimage.gaussian_filter(image, (0, 1.5, 1.5)) for image in OTHERS],
    "contrast": [20 + 1.6 * (image - 20) for image in OTHERS],
    "brighter": [image + 15 for image in OTHERS],
    "noisier": [image + np.random.default_rng(n).normal(0, 6, image.shape) for n, image in enumerate(OTHERS)],
    "empty": [image * 0 + 20 for image in OTHERS],
}


@pytest.mark.parametrize("name", METRICS)
def test_equal_sets_are_nearest(name):
    equal = METRICS[name](TARGETS, TARGETS[::-1])[name]
    assert equal == pytest.approx(0, abs=1e-5) if name != "kernel_distance" else equal < 0
    assert equal < METRICS[name](OTHERS, TARGETS)[name]


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", METRICS)
def test_spoilt_images_are_further_away(name, how):
    sound, spoilt = METRICS[name](OTHERS, TARGETS)[name], METRICS[name](SPOILT[how], TARGETS)[name]
    if (name, how) == ("histogram_distance", "blurred"):
        assert spoilt > sound  # of a blur the histogram shows little
    else:
        assert spoilt > 3 * max(sound, 0.05)


def test_more_blur_is_worse():
    for metric in (frechet_distance, kernel_distance):
        blurred = ([ndimage.gaussian_filter(image, (0, s, s)) for image in OTHERS] for s in (0.5, 1, 2, 4))
        values = [next(iter(metric(images, TARGETS).values())) for images in blurred]
        assert values == sorted(values)


def test_shuffled_pixels_have_the_histogram_but_not_the_texture():
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(image.ravel()).reshape(image.shape) for image in TARGETS]
    assert histogram_distance(shuffled, TARGETS)["histogram_distance"] < 1e-5
    assert frechet_distance(shuffled, TARGETS)["frechet_distance"] > 5


def scaled(images, reference):
    ours, theirs = set_features(images, 64, "image"), set_features(reference, 64, "image")
    return tuple(np.arcsinh((x - theirs.mean(0)) / theirs.std(0)) for x in (ours, theirs))


def test_frechet_distance_by_hand():
    a, b = scaled(OTHERS, TARGETS)
    one, two = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(one @ two).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + two - 2 * root)
    assert frechet_distance(OTHERS, TARGETS)["frechet_distance"] == pytest.approx(expected, rel=1e-3)


def test_kernel_distance_by_hand():
    others = [cells(seed) for seed in range(50, 58)]  # as many tiles: no subsets are drawn
    a, b = scaled(others, TARGETS)
    n = len(a)
    xx, yy, xy = (((x @ y.T) / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    expected = ((xx.sum() - np.trace(xx)) + (yy.sum() - np.trace(yy))) / (n * (n - 1)) - 2 * xy.mean()
    assert kernel_distance(others, TARGETS)["kernel_distance"] == pytest.approx(expected, rel=1e-4)


def test_kernel_distance_is_the_same_each_time_and_leaves_the_generator_alone():
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    first = kernel_distance(OTHERS, TARGETS)
    drawn = float(torch.rand(1))
    assert kernel_distance(OTHERS, TARGETS) == first
    torch.manual_seed(5)
    assert float(torch.rand(1)) == drawn


def test_histogram_distance_is_in_units_of_the_target():
    rng = np.random.default_rng(0)
    targets = [rng.integers(0, 100, (2, 300, 200)).astype(np.uint16) for _ in range(3)]
    moved = [np.stack([image[0] + 7, image[1] + 1]) for image in targets[:2]]
    found = histogram_distance(moved, targets)
    assert found["histogram_distance_channel_1"] == pytest.approx(7, abs=0.3)
    assert found["histogram_distance_channel_2"] == pytest.approx(1, abs=0.3)
    assert found["histogram_distance"] == pytest.approx(4, abs=0.3)


def test_images_of_all_sizes_count_by_their_pixels():
    small, large = np.zeros((1, 20, 20), np.uint8), np.full((1, 200, 200), 10, np.uint8)
    share = 40_000 / 40_400
    assert histogram_distance([small, large], [small])["histogram_distance"] == pytest.approx(10 * share)


@pytest.mark.parametrize(("shape", "tiles"), [((1, 128, 200), 2 * 3), ((3, 40, 50), 1), ((1, 5, 70, 130), 5 * 1 * 2)])
def test_tiles(shape, tiles):
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert tile_features(array, 64, "image").shape == (tiles, 18 * shape[0])


def test_of_a_deep_stack_some_planes_are_looked_at():
    assert len(tile_features(np.random.default_rng(0).random((1, 40, 64, 64), dtype=np.float32), 64, "image")) == 16


def test_first_features_are_mean_and_deviation():
    image = cells(3)
    found = tile_features(image, 64, "image")
    tile = image[0, :64, :72]
    assert found[0, :2] == pytest.approx([tile.mean(), tile.std()], rel=1e-5)


@pytest.mark.parametrize("metric", METRICS.values())
def test_what_cannot_be_compared(metric):
    with pytest.raises(DataError, match="different numbers of channels"):
        metric([np.ones((3, 128, 128))], TARGETS)
    with pytest.raises(DataError, match="prediction has '1' pixels that are NaN"):
        wrong = TARGETS[0].copy()
        wrong[0, 3, 3] = np.nan
        metric([wrong, *TARGETS], TARGETS)
    with pytest.raises(DataError, match="prediction"):
        metric([], TARGETS)


def test_a_single_tile_is_too_few():
    with pytest.raises(DataError, match="fewer than two tiles of 64 pixels"):
        frechet_distance([np.ones((1, 30, 30))], TARGETS)
    assert frechet_distance([TARGETS[0][:, :30, :30]], TARGETS, tile=15)["frechet_distance"] > 0


def test_equal_constant_images():
    assert frechet_distance([np.zeros((1, 128, 128))] * 2, [np.zeros((1, 128, 128))] * 3)["frechet_distance"] == 0


@pytest.mark.parametrize("name", ["frechet-distance", "kernel-distance", "histogram-distance"])
def test_a_training_cannot_be_judged_by_sets(name):
    fcn = pytest.importorskip("im2im_fcn", reason="needs a plug-in with a model of images")
    with pytest.raises(ConfigError, match=f"metrics.1: '{name}' compares sets of images"):
        layer = {"model": {"name": fcn.__name__.removeprefix("im2im_")}, "metrics": ["psnr", name]}
        resolve(Registry.discover(), flags={**layer, "dataset": {"path": "x"}})


def write(folder: Path, images, stem: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        np.save(folder / f"{stem}{number}.npy", image[0])
    return folder


@pytest.fixture
def evaluated(tmp_path):
    pytest.importorskip("im2im_io", reason="needs a plug-in that reads images")

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--out", str(tmp_path / "out")])
        assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
        return done.output, Evaluation.from_json((tmp_path / "out/evaluation.json").read_text())

    return run


def test_evaluate_needs_no_equal_names(tmp_path, evaluated):
    ours, theirs = write(tmp_path / "p", OTHERS, "a"), write(tmp_path / "t", TARGETS, "b")
    metrics = [word for name in ("frechet-distance", "histogram-distance") for word in ("--metric", name)]
    output, result = evaluated(ours, theirs, *metrics)
    assert "5 predictions against 8 targets, not in pairs" in output
    assert "frechet_distance" in output
    assert result.mean == pytest.approx({**frechet_distance(OTHERS, TARGETS), **histogram_distance(OTHERS, TARGETS)})
    assert (result.sets, result.cases, result.complete) == ((5, 8), (), True)
    assert (result.primary, result.higher_is_better) == ("frechet_distance", False)
    page = (tmp_path / "out/report.html").read_text()
    assert "Frechet distance of texture" in page
    assert "figures of 5 predictions against 8 targets" in page
    assert "No image could be judged" not in page
    stored = json.loads((tmp_path / "out/evaluation.json").read_text())
    del stored["sets"]  # as written before there were sets
    assert Evaluation.from_json(json.dumps(stored)).sets is None


def test_sets_and_pairs_in_one_evaluation(tmp_path, evaluated):
    ours, theirs = write(tmp_path / "p", SPOILT["brighter"], "a"), write(tmp_path / "t", OTHERS, "a")
    output, result = evaluated(ours, theirs, "--metric", "histogram-distance", "--metric", "mae")
    assert result.mean["mae"] == pytest.approx(15, rel=1e-4)
    assert result.mean["histogram_distance"] == pytest.approx(15, rel=1e-4)
    assert len(result.cases) == 5
    assert result.sets == (5, 5)
    assert result.primary == "mae"
    assert "averaged over images" in output
    assert "against all 5 targets" in result.note


def test_settings_and_unreadable_files(tmp_path, evaluated):
    ours, theirs = write(tmp_path / "p", OTHERS, "a"), write(tmp_path / "t", TARGETS, "b")
    (ours / "a2.npy").write_bytes(b"no image")
    output, result = evaluated(ours, theirs, "--metric", "kernel-distance", "--set", "kernel-distance.tile=32", code=1)
    assert "a2.npy" in output
    assert result.sets == (4, 8)
    assert len(result.errors) == 1
    left = [image for number, image in enumerate(OTHERS) if number != 2]
    assert result.mean == pytest.approx(kernel_distance(left, TARGETS, tile=32))
    assert "kernel-distance.tile=32" in result.note


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared images are not part of the repository")
def test_real_fluorescence_is_nearer_to_its_like_than_when_blurred_and_than_masks():
    tifffile = pytest.importorskip("tifffile")
    folder = SHARED / "data/unpaired_mask2fluo"

    def read(part):
        return [tifffile.imread(path)[None].astype(np.float32) for path in sorted((folder / part).iterdir())]

    targets, held, masks = read("train/B")[::2], read("holdout/B"), read("holdout/A")
    blurred = [ndimage.gaussian_filter(image, (0, 3, 3)) for image in held]
    for metric in (frechet_distance, kernel_distance):
        near, worse, far = (next(iter(metric(images, targets).values())) for images in (held, blurred, masks))
        assert near < worse < far
