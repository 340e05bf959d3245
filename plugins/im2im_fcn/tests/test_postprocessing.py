"""Post-processing: stored computations, their generated twins, and what a user may do wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from im2im_core import DataError
from im2im_core.registry import Registry
from im2im_fcn.postprocessing.declarations import POSTPROCESSORS

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden"
INSTALLED = Registry.discover(environment={"IM2IM_PLUGINS": "builtin,fcn"}).components("postprocessor")
DECLARED = {entry.component.name: entry.component for entry in INSTALLED}


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip("the stored computations are not part of the repository")
    cases = json.loads((GOLDEN / "index.json").read_text())["cases"]
    params = next(case.get("params", {}) for case in cases if case["name"] == name)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays), params


def apply(name: str, array: np.ndarray, dims: int, pixel_size: dict[str, float] | None = None, **settings: Any) -> Any:
    """The result of a step; the caller's array must not change by it, nor share memory with the result."""
    declared = DECLARED[name]
    available = {"spatial_dims": dims, "pixel_size": pixel_size or {}}
    if name == "cast":
        available = {}
    elif name in ("class-map", "threshold", "connected-components", "open-labels"):
        available.pop("pixel_size")
    step = declared.factory(declared.config(**settings), **available)
    before = array.copy()
    result = step(array)
    np.testing.assert_array_equal(array, before)
    assert not np.shares_memory(result, array)
    return result


def voxel(z: float, y: float, x: float) -> dict[str, float]:
    return {"Z": z, "Y": y, "X": x}


# --- class-map


@pytest.mark.parametrize("dims", [2, 3])
def test_class_map_golden(dims: int) -> None:
    arrays, _ = golden("generate_classmap")
    result = apply("class-map", arrays[f"pred{dims}d"][0], dims)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[None], arrays[f"map{dims}d"])
    if dims == 3:
        np.testing.assert_array_equal(result[None], arrays["map3d_nobatch"])


@pytest.mark.parametrize("shape", [(9, 8), (5, 9, 8)])
def test_class_map_generated(shape: tuple[int, ...]) -> None:
    logits = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    result = apply("class-map", logits, len(shape))
    for place in np.ndindex(shape):
        assert result[place] == max(range(4), key=lambda k: logits[(k, *place)])


def test_class_map_quirk_one_channel_of_a_volume_is_no_batch() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 5, 9, 8)).astype(np.float32)
    result = apply("class-map", logits, 3)
    assert result.shape == (5, 9, 8)
    np.testing.assert_array_equal(result, logits[0] > 0)


# --- threshold


@pytest.mark.parametrize(
    ("suffix", "channel", "cutoff"),
    [("ch1_0.3", 1, 0.3), ("ch0_otsu", 0, "otsu"), ("ch2_none", 2, None), ("ch1_li", 1, "li")],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_threshold_golden(dims: int, suffix: str, channel: int, cutoff: Any) -> None:
    arrays, _ = golden("extract_segmentation")
    prediction = arrays[f"pred{dims}d"][0]
    result = apply("threshold", prediction, dims, channel=channel, cutoff=cutoff, foreground_value=255)
    wanted = arrays[f"seg{dims}d_{suffix}"]
    assert result.dtype == wanted.dtype
    np.testing.assert_array_equal(result, wanted)
    if cutoff == 0.3:
        lower = apply("threshold", prediction, dims, channel=1, cutoff=0.1, foreground_value=255)
        np.testing.assert_array_equal(lower, arrays[f"seg{dims}d_nobatch_ch1_0.1"])


def test_threshold_quirk_foreground_is_1_and_whole_numbers_are_cutoffs() -> None:
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    result = apply("threshold", values, 2, cutoff=5)
    assert set(np.unique(result)) == {0, 1} and result.sum() == 6


METHODS = ["isodata", "li", "local", "mean", "minimum", "niblack", "otsu", "sauvola", "triangle", "yen"]


@pytest.mark.parametrize("method", METHODS)
def test_threshold_methods_separate_two_populations(method: str) -> None:
    rng = np.random.default_rng(0)
    disk = np.hypot(*(np.mgrid[:60, :60] - 30)) < 12
    values = (np.where(disk, 0.8, 0.1) + rng.normal(0, 0.03, disk.shape)).astype(np.float32)
    result = apply("threshold", values[None], 2, cutoff=method, window=41)
    assert (result[disk] == 1).mean() > 0.95
    if method not in ("local", "niblack", "sauvola"):
        assert (result == disk).mean() > 0.95


def test_threshold_activations() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 9, 8)).astype(np.float32) * 3
    sigmoid = apply("threshold", logits, 2, channel=1, cutoff=None, activation="sigmoid")
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-logits[1])), rtol=1e-5)
    softmax = apply("threshold", logits, 2, channel=1, cutoff=None, activation="softmax")
    np.testing.assert_allclose(softmax, np.exp(logits[1]) / np.exp(logits).sum(0), rtol=1e-5)


def test_threshold_refuses_what_it_cannot_use() -> None:
    with pytest.raises(DataError, match="channel '3' among 2"):
        apply("threshold", np.zeros((2, 4, 4), np.float32), 2, channel=3)
    with pytest.raises(DataError, match="'minimum' finds no threshold"):
        apply("threshold", np.zeros((1, 4, 4), np.float32), 2, cutoff="minimum")
    with pytest.raises(ValueError, match="cutoff"):
        DECLARED["threshold"].config(cutoff="try_all_threshold")


# --- fill-holes, remove-small


@pytest.mark.parametrize(("key", "size", "pixel_size"), [("a", 30, (1, 1, 1)), ("b", (20, 60), (2, 0.5, 0.5))])
def test_remove_small_golden(key: str, size: Any, pixel_size: tuple[float, ...]) -> None:
    arrays, _ = golden("class_cleanup")
    result = apply("remove-small", arrays["seg"], 3, voxel(*pixel_size), size=size, unit="micrometre")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, arrays[f"remove_{key}"])


@pytest.mark.parametrize(("key", "size", "pixel_size"), [("a", 6, (1, 1, 1)), ("b", (3, 12), (1, 0.5, 0.5))])
def test_fill_holes_golden(key: str, size: Any, pixel_size: tuple[float, ...]) -> None:
    arrays, _ = golden("class_cleanup")
    settings = {"size": size, "unit": "micrometre"}
    result = apply("fill-holes", arrays["seg"], 3, voxel(*pixel_size), overwrite_classes=True, **settings)
    np.testing.assert_array_equal(result, arrays[f"hole_{key}"])
    kept = apply("fill-holes", arrays["seg"], 3, voxel(*pixel_size), **settings)
    differs = kept != result
    assert (arrays["seg"][differs] > 0).all()  # only where a class would have been overwritten
    np.testing.assert_array_equal(kept[arrays["seg"] > 0], arrays["seg"][arrays["seg"] > 0])


def test_fill_holes_quirk_keeps_a_class_that_another_encloses() -> None:
    classes = np.zeros((12, 12), np.uint8)
    classes[1:11, 1:11] = 1
    classes[3:6, 3:6] = 2
    classes[8, 8] = 0
    kept = apply("fill-holes", classes, 2, size=10)
    assert kept[8, 8] == 1 and (kept[3:6, 3:6] == 2).all()
    assert (apply("fill-holes", classes, 2, size=10, overwrite_classes=True)[3:6, 3:6] == 1).all()


def test_fill_holes_by_plane_or_in_the_volume() -> None:
    classes = np.ones((4, 9, 9), np.uint8)
    classes[:, 4, 4] = 0
    assert (apply("fill-holes", classes, 3, size=1) == 1).all()
    np.testing.assert_array_equal(apply("fill-holes", classes, 3, size=3, by_plane=False), classes)
    assert (apply("fill-holes", classes, 3, size=4, by_plane=False) == 1).all()


def test_cleanup_quirk_a_plane_image_is_one_plane_and_the_size_itself_counts() -> None:
    classes = np.zeros((20, 20), np.uint8)
    classes[1:3, 1:3] = 1  # 4 pixels
    classes[5:10, 5:10] = 1  # 25 pixels, with a hole of 2
    classes[7, 6:8] = 0
    classes[12, 12:17] = 2  # 5 pixels
    result = apply("remove-small", classes, 2, size=4)
    assert not result[1:3, 1:3].any() and (result[12, 12:17] == 2).all()
    assert (apply("remove-small", classes, 2, size=3) == classes).all()
    assert not (apply("remove-small", classes, 2, size=(0, 5)) == 2).any()
    assert (apply("fill-holes", classes, 2, size=2)[5:10, 5:10] == 1).all()
    assert (apply("fill-holes", classes, 2, size=1) == classes).all()
    with pytest.raises(DataError, match="class '2'"):
        apply("remove-small", classes, 2, size=(3,))


@pytest.mark.parametrize("name", ["fill-holes", "remove-small", "thickness", "prune-labels", "seeded-watershed"])
def test_micrometres_need_a_pixel_size(name: str) -> None:
    with pytest.raises(DataError, match="pixel size along 'X'") as caught:
        apply(name, np.zeros((8, 8), np.uint8), 2, {"Y": 0.5}, unit="micrometre")
    assert "unit: pixel" in caught.value.hint


@pytest.mark.parametrize("name", ["fill-holes", "remove-small", "thickness", "prune-labels", "connected-components"])
def test_a_prediction_is_no_class_map(name: str) -> None:
    for array in (np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8), np.float32)):
        with pytest.raises(DataError, match="class map or labels") as caught:
            apply(name, array, 2)
        assert "class-map" in caught.value.hint
    assert apply(name, np.zeros((1, 8, 8), np.uint8), 2).shape == (8, 8)


# --- thickness


def test_thickness_golden() -> None:
    arrays, params = golden("thickness_correction")
    settings = {"size": tuple(params["min_thickness"]), "unit": "micrometre", "erode_in_volume": True}
    result = apply("thickness", arrays["seg"], 3, voxel(*params["voxel"]), **settings)
    assert (result == arrays["out"]).mean() >= 0.99
    changed = arrays["out"] != arrays["seg"]
    assert (result == arrays["out"])[changed].mean() > 0.8
    # The medial axis decides at random: no pixel may differ whatever it decides.
    others = [apply("thickness", arrays["seg"], 3, voxel(*params["voxel"]), seed=n, **settings) for n in range(8)]
    assert not np.all([other != arrays["out"] for other in others], axis=0).any()
    again = apply("thickness", arrays["seg"], 3, voxel(*params["voxel"]), **settings)
    np.testing.assert_array_equal(result, again)


def test_thickness_takes_a_layer_off_what_is_thick_only() -> None:
    classes = np.zeros((30, 60), np.uint8)
    classes[3:14, 5:55] = 1  # 11 thick
    classes[20:23, 5:55] = 1  # 3 thick
    result = apply("thickness", classes, 2, size=3)
    assert not result[3, 20:40].any() and not result[13, 20:40].any() and (result[4:13, 20:40] == 1).all()
    np.testing.assert_array_equal(result[20:23], classes[20:23])


def test_thickness_quirk_the_layer_is_that_of_the_plane() -> None:
    classes = np.zeros((5, 30, 40), np.uint8)
    classes[1:4, 5:25, 5:35] = 1
    plane = apply("thickness", classes[1], 2, size=3)
    result = apply("thickness", classes, 3, size=3)
    np.testing.assert_array_equal(result, np.stack([classes[0], plane, plane, plane, classes[4]]))
    peer = apply("thickness", classes, 3, size=3, erode_in_volume=True)
    assert peer[1].sum() < 0.7 * result[1].sum() and (peer[2] == result[2]).all()


# --- labels


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Labels of many sizes with gaps in their numbers."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.0)
    labels, _ = ndimage.label(noise > np.quantile(noise, 0.75))
    return (labels * 3).astype(np.int32)


@pytest.mark.parametrize("number", range(2))
def test_label_cleanup_golden(number: int) -> None:
    arrays, params = golden(f"label_cleanup_{number}")
    labels = arrays["labels"]
    pruned = apply("prune-labels", labels, labels.ndim, size=params["min_size"])
    assert pruned.dtype == labels.dtype
    np.testing.assert_array_equal(pruned, arrays["pruned"])
    np.testing.assert_array_equal(apply("open-labels", labels, labels.ndim), arrays["opened"])


def test_label_cleanup_quirk_the_callers_array_stays() -> None:
    arrays, params = golden("label_cleanup_0")
    assert (arrays["input_after_prune"] != arrays["labels"]).any()  # the reference changed it; `apply` checks ours
    apply("prune-labels", arrays["labels"], 2, size=params["min_size"])


@pytest.mark.parametrize("shape", [(50, 60), (10, 24, 26)])
def test_label_cleanup_object_by_object(shape: tuple[int, ...]) -> None:
    labels = blobs(shape)
    cross = ndimage.generate_binary_structure(len(shape), 1)
    pruned, opened = np.zeros_like(labels), np.zeros_like(labels)
    for number in np.unique(labels)[1:]:
        mask = labels == number
        if mask.sum() >= 12:
            pruned[mask] = pruned.max() + 1
        core = ndimage.binary_dilation(ndimage.binary_erosion(mask, cross, border_value=1), cross)
        if core.any():
            opened[core] = opened.max() + 1
    assert 0 < pruned.max() < len(np.unique(labels)) - 1 and opened.max() > 0
    np.testing.assert_array_equal(apply("prune-labels", labels, len(shape), size=12), pruned)
    np.testing.assert_array_equal(apply("open-labels", labels, len(shape)), opened)


def test_prune_labels_in_micrometres() -> None:
    labels = np.zeros((3, 10, 10), np.uint16)
    labels[:, :2, :2] = 5  # 12 voxels, 0.36 µm³
    labels[0, 5:8, 5:8] = 9  # 9 voxels, 0.27 µm³
    pixel_size = voxel(0.3, 0.1, 1.0)
    for size, left in ((0.27, 2), (0.3, 1), (0.36, 1), (0.37, 0)):
        assert apply("prune-labels", labels, 3, pixel_size, size=size, unit="micrometre").max() == left


def test_connected_components() -> None:
    classes = np.zeros((9, 9), np.uint8)
    classes[1:3, 1:3] = 1
    classes[3:5, 3:5] = 1  # touches by a corner
    classes[1:3, 3:5] = 2  # touches by a side
    labels = apply("connected-components", classes, 2)
    assert labels.dtype == np.int32 and labels.max() == 3
    assert len({labels[1, 1], labels[3, 3], labels[1, 3]}) == 3
    corners = apply("connected-components", classes, 2, connectivity="full")
    assert corners.max() == 2 and corners[1, 1] == corners[3, 3]
    only = apply("connected-components", classes, 2, classes=(2,))
    np.testing.assert_array_equal(only > 0, classes == 2)


@pytest.mark.parametrize("shape", [(50, 60), (10, 24, 26)])
def test_connected_components_agree_with_scipy(shape: tuple[int, ...]) -> None:
    mask = (blobs(shape, 4) > 0).astype(np.uint8)
    labels, wanted = apply("connected-components", mask, len(shape)), ndimage.label(mask)[0]
    pairs = np.unique(np.stack([labels.ravel(), wanted.ravel()]), axis=1)
    assert pairs.shape[1] == wanted.max() + 1 == labels.max() + 1


def disks() -> np.ndarray:
    """Two touching disks and a lone pixel."""
    grid = np.mgrid[:40, :60]
    centres = ((20, 18), (20, 36))
    mask = np.any([np.hypot(grid[0] - y, grid[1] - x) <= 10 for y, x in centres], axis=0)
    mask[2, 57] = True
    return mask


def test_seeded_watershed_separates_touching_disks() -> None:
    mask = disks()
    labels = apply("seeded-watershed", mask.astype(np.uint8), 2, size=6)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, mask)
    assert len(np.unique(labels)) == 4 and len({labels[20, 18], labels[20, 36], labels[2, 57]}) == 3
    assert (labels[10:31, 8:26][mask[10:31, 8:26]] == labels[20, 18]).all()
    logits = np.stack([np.zeros(mask.shape), np.where(mask, 4.0, -4.0)]).astype(np.float32)
    settings = {"channel": 1, "activation": "sigmoid"}
    np.testing.assert_array_equal(apply("seeded-watershed", logits, 2, size=6, **settings), labels)
    assert apply("seeded-watershed", np.zeros((1, 9, 9), np.float32), 2).max() == 0


def test_seeded_watershed_from_probable_centres() -> None:
    mask = disks()
    centres = np.zeros(mask.shape, np.float32)
    centres[18:23, 16:21] = centres[18:23, 34:39] = 0.9
    prediction = np.stack([mask.astype(np.float32), centres])
    labels = apply("seeded-watershed", prediction, 2, seeds="probability", seed_channel=1)
    np.testing.assert_array_equal(labels > 0, mask)  # the pixel without a seed is kept, too
    assert len(np.unique(labels)) == 4 and labels[20, 18] != labels[20, 36]


def test_seeded_watershed_in_a_volume_with_flat_voxels() -> None:
    grid = np.mgrid[:9, :30, :44].astype(float)
    balls = [np.sqrt(((grid[0] - 4) * 2.5) ** 2 + (grid[1] - 15) ** 2 + (grid[2] - x) ** 2) <= 8 for x in (14, 29)]
    mask = np.any(balls, axis=0).astype(np.uint8)
    labels = apply("seeded-watershed", mask, 3, voxel(2.5, 1, 1), size=6, unit="micrometre")
    assert labels.max() == 2 and labels[4, 15, 14] != labels[4, 15, 29]


# --- cast


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        ("uint8", [0, 0, 2, 255, 255]),
        ("int16", [-300, 0, 2, 300, 32767]),
        ("uint16", [0, 0, 2, 300, 65535]),
        ("int32", [-300, 0, 2, 300, 2147483647]),
    ],
)
def test_cast_rounds_and_cuts_off(dtype: str, wanted: list[int]) -> None:
    values = np.array([[-300, 0.4, 1.6, 300, 1e20]], np.float32)
    result = apply("cast", values, 2, dtype=dtype)
    assert result.dtype == dtype and result[0].tolist() == wanted


def test_cast_of_whole_numbers_and_floats() -> None:
    assert apply("cast", np.array([-5, 70000], np.int32), 2, dtype="uint16").tolist() == [0, 65535]
    assert apply("cast", np.array([3, 255], np.uint8), 2, dtype="int32").tolist() == [3, 255]
    assert apply("cast", np.array([1.5], np.float64), 2, dtype="float32").dtype == np.float32
    with pytest.raises(DataError, match="NaN"):
        apply("cast", np.array([np.nan], np.float32), 2, dtype="uint8")


# --- declarations


@pytest.mark.parametrize(
    ("name", "settings", "halo"),
    [
        ("class-map", {}, 0),
        ("threshold", {"cutoff": 0.5}, 0),
        ("threshold", {"cutoff": "otsu"}, None),
        ("threshold", {"cutoff": "sauvola", "window": 21}, 21),
        ("remove-small", {"size": (5, 20)}, 21),
        ("remove-small", {"unit": "micrometre"}, None),
        ("fill-holes", {"overwrite_classes": True}, None),
        ("connected-components", {}, None),
        ("open-labels", {}, 2),
    ],
)
def test_halo(name: str, settings: dict[str, Any], halo: int | None) -> None:
    assert DECLARED[name].halo(DECLARED[name].config(**settings)) == halo


@pytest.mark.parametrize("name", ["remove-small", "fill-holes", "open-labels"])
def test_the_halo_suffices(name: str) -> None:
    classes = (blobs((60, 64), 2) > 0).astype(np.uint8)
    settings: dict[str, Any] = {} if name == "open-labels" else {"size": 9}
    halo = DECLARED[name].halo(DECLARED[name].config(**settings))
    assert halo is not None
    whole = apply(name, classes, 2, **settings)
    part = apply(name, classes[20 - halo : 40 + halo, 20 - halo : 40 + halo], 2, **settings)
    inner = part[halo : halo + 20, halo : halo + 20]
    np.testing.assert_array_equal(inner > 0, whole[20:40, 20:40] > 0)
    assert (whole != classes).any()


def test_declarations_load_nothing_heavy_and_describe_every_setting() -> None:
    code = (
        "import sys, im2im_fcn.postprocessing.declarations\n"
        "assert not {'torch', 'monai', 'skimage', 'scipy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for declared in POSTPROCESSORS:
        assert all(field.description for field in declared.config.model_fields.values())
    makers = {"connected-components", "seeded-watershed", "prune-labels", "open-labels"}
    assert {declared.name for declared in POSTPROCESSORS if declared.merges == "labels"} == makers
