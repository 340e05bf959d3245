"""Transforms: stored computations, their generated twins, and what a user may do wrong."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from im2im_core import ConfigError, DataError, Image
from im2im_fcn.transforms.config import Operation, PerturbConfig
from im2im_fcn.transforms.declarations import TRANSFORMS
from im2im_fcn.transforms.macenko import REFERENCE
from im2im_fcn.transforms.perturb import apply_operations

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden"
STORED: dict[Operation, str] = {
    "gauss": "gauss_noise",
    "impulse": "impulse_noise",
    "speckle": "speckle_noise",
    "jitter": "color_jitter",
    "shift": "shift",
    "rotation": "rotation",
    "dropout": "pixel_dropout",
}


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip("the stored computations are not part of the repository")
    cases = json.loads((GOLDEN / "index.json").read_text())["cases"]
    params = next(case.get("params", {}) for case in cases if case["name"] == name)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays), params


def build(name: str, spatial_dims: int, **settings: Any) -> Any:
    declared = next(transform for transform in TRANSFORMS if transform.name == name)
    return declared.factory(declared.config(**settings), spatial_dims=spatial_dims)


def images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def untouched(step: Any, sample: dict[str, Any]) -> dict[str, Any]:
    """What a step makes of a sample, which must not change by it."""
    before = {key: np.asarray(value).copy() for key, value in sample.items()}
    result = step(sample)
    assert sample.keys() == before.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(np.asarray(sample[key]), value)
    return result


# --- normalize-center


@pytest.mark.parametrize("number", range(4))
def test_center_golden(number: int) -> None:
    arrays, params = golden(f"norm_around_center_{number}")
    step = build("normalize-center", 3, center=params["z_center"], min_z=params["min_z"])
    result = untouched(step, {"image": arrays["image"].astype(np.float32)})["image"]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, arrays["out"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("center", "first"), [(None, 4), (0, 0), (19, 14)])
def test_center_window(center: int | None, first: int) -> None:
    image = images((2, 20, 9, 8)) * 100
    result = build("normalize-center", 3, center=center, window=6, per_channel=True)({"image": image})["image"]
    first = 7 if center is None else first
    window = image[:, first : first + 6].astype(np.float64)
    mean, deviation = (getattr(window, f)(axis=(1, 2, 3), keepdims=True) for f in ("mean", "std"))
    np.testing.assert_allclose(result, (image - mean) / deviation, rtol=1e-4, atol=1e-4)
    together = build("normalize-center", 3, center=center, window=6, per_channel=False)({"image": image})["image"]
    np.testing.assert_allclose(together, (image - window.mean()) / window.std(), rtol=1e-4, atol=1e-4)


def test_center_quirk_window_longer_than_the_stack_takes_the_whole_stack() -> None:
    image = images((1, 20, 9, 8))
    result = build("normalize-center", 3)({"image": image})["image"]
    np.testing.assert_allclose(result, (image - image.mean()) / image.std(), rtol=1e-4, atol=1e-4)
    peer = image[:, 20 - 32 : 20]  # a negative start: the last planes only
    assert abs(peer.mean() - image.mean()) > 1e-4
    with pytest.raises(DataError, match=r"'20' planes.*'32'"):
        build("normalize-center", 3, min_z=32)({"image": image})


def test_center_fits_a_lazy_image_and_reads_only_the_window() -> None:
    image = images((40, 1, 12, 10))
    read: list[Any] = []

    class Lazy:
        shape, dtype = image.shape, image.dtype

        def __init__(self, data: np.ndarray) -> None:
            self.data, self.shape = data, data.shape

        def __getitem__(self, key: Any) -> Lazy:
            return Lazy(self.data[key])

        def transpose(self, axes: Any) -> Lazy:
            return Lazy(self.data.transpose(axes))

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            read.append(self.data.shape)
            return self.data

    step = build("normalize-center", 3, window=8)
    fitted = step.fit(Image(Lazy(image), "ZCYX"))
    assert read == [(1, 8, 12, 10)]
    whole = step({"image": image.transpose(1, 0, 2, 3)})["image"]
    windowed = fitted({"image": image.transpose(1, 0, 2, 3)[:, 5:20, 2:9]})["image"]
    np.testing.assert_array_equal(windowed, whole[:, 5:20, 2:9])


def test_center_of_plane_images_constants_and_tensors() -> None:
    image = torch.from_numpy(images((2, 9, 8)))
    result = build("normalize-center", 2)({"image": image})["image"]
    assert isinstance(result, torch.Tensor)
    np.testing.assert_allclose(result.mean(dim=(1, 2)), 0, atol=1e-5)
    constant = build("normalize-center", 2)({"image": np.full((1, 9, 8), 0.1, np.float32)})["image"]
    assert (constant == 0).all()
    with pytest.raises(DataError, match="NaN"):
        build("normalize-center", 2)({"image": np.full((1, 9, 8), np.nan, np.float32)})


# --- macenko


@pytest.mark.parametrize("number", range(2))
def test_macenko_golden(number: int) -> None:
    arrays, params = golden(f"macenko_{number}")
    settings = {"light": params["Io"], "alpha": params["alpha"], "beta": params["beta"]}
    sample = {"image": arrays["rgb"].astype(np.float32)}
    wanted = {
        "normalised": arrays["out"],
        "haematoxylin": arrays["H"].transpose(2, 0, 1),
        "eosin": arrays["E"].transpose(2, 0, 1),
    }
    for output, expected in wanted.items():
        result = untouched(build("macenko", 2, output=output, **settings), sample)["image"]
        assert result.dtype == np.float32 and result.shape == expected.shape
        assert np.abs(result - expected.astype(np.float32)).max() <= 1 + 1e-3


def stained(stains: np.ndarray, shape: tuple[int, int] = (50, 60), seed: int = 0) -> np.ndarray:
    """An RGB image of two stains, most pixels with one of them."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.6, 2, (2, *shape))
    only = rng.random(shape)
    amounts[0][only < 0.3] = 0
    amounts[1][only > 0.7] = 0
    density = np.tensordot(stains, amounts, 1)
    return (240 * np.exp(-density) - 1).clip(0, 255).astype(np.float32)


def test_macenko_finds_the_stains_of_a_generated_image() -> None:
    image = stained(REFERENCE / np.linalg.norm(REFERENCE, axis=0))
    found = build("macenko", 2, alpha=0.5).fit(image).stains
    np.testing.assert_allclose(found, REFERENCE / np.linalg.norm(REFERENCE, axis=0), atol=0.03)


def test_macenko_makes_differently_stained_images_alike() -> None:
    one = stained(np.array([[0.65, 0.30], [0.70, 0.90], [0.29, 0.31]]))
    other = stained(np.array([[0.40, 0.22], [0.55, 0.55], [0.43, 0.55]]))
    before = np.abs(one - other).mean()
    step = build("macenko", 2, alpha=0.5)
    after = np.abs(step({"image": one})["image"] - step({"image": other})["image"]).mean()
    assert after < before / 4


def test_macenko_quirk_sign_of_the_eigenvectors_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    image = stained(REFERENCE)
    step = build("macenko", 2)
    wanted = step({"image": image})["image"]
    eigh = np.linalg.eigh
    for signs in ((1, -1, 1), (1, 1, -1), (-1, -1, -1)):

        def flipped(matrix: np.ndarray, signs: Any = signs) -> Any:
            values, vectors = eigh(matrix)
            return values, vectors * np.array(signs)

        monkeypatch.setattr(np.linalg, "eigh", flipped)
        np.testing.assert_array_equal(step({"image": image})["image"], wanted)


@pytest.mark.parametrize("output", ["normalised", "haematoxylin", "eosin"])
def test_macenko_fit_treats_windows_as_the_whole(output: str) -> None:
    image = stained(REFERENCE).round()
    step = build("macenko", 2, output=output)
    whole = step({"image": image})["image"]
    assert whole.shape == (3, 50, 60)  # the core counts channels before preprocessing
    fitted = step.fit(Image(image.astype(np.uint8).transpose(1, 2, 0), "YXC"))
    windowed = fitted({"image": image[:, 10:30, 5:25]})["image"]
    np.testing.assert_allclose(windowed, whole[:, 10:30, 5:25], atol=1e-3)


def test_macenko_refuses_what_it_cannot_use() -> None:
    with pytest.raises(DataError, match="'2' channel"):
        build("macenko", 2)({"image": np.zeros((2, 9, 9), np.float32)})
    with pytest.raises(DataError, match="only '0' pixels are stained"):
        build("macenko", 2)({"image": np.full((3, 9, 9), 240, np.float32)})
    with pytest.raises(DataError, match="'-1'"):
        build("macenko", 2)({"image": np.full((3, 9, 9), -1, np.float32)})


# --- padding


@pytest.mark.parametrize("number", range(3))
def test_pad_to_multiple_golden(number: int) -> None:
    arrays, params = golden(f"pad_to_multiple_{number}")
    image, wanted = arrays["image"], arrays["out"]  # (C, X, Y, Z); one plane is a 2D image
    base = params["multiple_base"]
    multiple = base if isinstance(base, int) else tuple(reversed(base))
    if image.shape[-1] == 1:
        image, wanted = image[..., 0], wanted[..., 0]
    image, wanted = (array.transpose(0, *range(array.ndim - 1, 0, -1)) for array in (image, wanted))
    step = build("pad-to-multiple", image.ndim - 1, multiple=multiple, pad_value=params["pad_value"])
    np.testing.assert_allclose(untouched(step, {"image": image})["image"], wanted, atol=1e-5)


@pytest.mark.parametrize("number", range(5))
def test_pad_z_golden(number: int) -> None:
    arrays, params = golden(f"pad_z_{number}")
    step = build("pad-z", 3, planes=params["target_size"], pad_value=params["pad_value"])
    np.testing.assert_allclose(untouched(step, {"image": arrays["image"]})["image"], arrays["out"], atol=1e-5)


@pytest.mark.parametrize("pad_value", [0.5, "mean", "replicate", "reflect", "symmetric", "wrap"])
def test_pad_generated(pad_value: Any) -> None:
    sample = {"image": images((2, 5, 9, 8)), "target": np.ones((1, 5, 9, 8), np.int32)}
    result = untouched(build("pad-to-multiple", 3, multiple=(4, 8, 4), pad_value=pad_value), sample)
    inside = (slice(None), slice(1, 6), slice(3, 12), slice(0, 8))
    for key in ("image", "target"):
        assert result[key].shape[1:] == (8, 16, 8) and result[key].dtype == sample[key].dtype
        np.testing.assert_array_equal(result[key][inside], sample[key])
    assert result["costmap"].shape == (1, 8, 16, 8)
    assert result["costmap"].sum() == result["target"].sum() == 5 * 9 * 8
    corner = {0.5: 0.5, "mean": sample["image"].mean(), "replicate": sample["image"][0, 0, 0, 0]}
    if pad_value in corner:
        assert result["image"][0, 0, 0, 0] == pytest.approx(corner[pad_value], abs=1e-6)
    if pad_value == "reflect":
        np.testing.assert_array_equal(result["image"][:, 0], result["image"][:, 2])


def test_pad_quirk_a_number_is_a_constant_and_tensors_stay_tensors() -> None:
    sample = {
        "image": torch.ones(1, 5, 6),
        "target": torch.ones(1, 5, 6, dtype=torch.int32),
        "costmap": torch.full((1, 5, 6), 0.5),
    }
    result = untouched(build("pad-to-multiple", 2, multiple=8, pad_value=0), sample)
    assert {key: (value.dtype, tuple(value.shape)) for key, value in result.items()} == {
        "image": (torch.float32, (1, 8, 8)),
        "target": (torch.int32, (1, 8, 8)),
        "costmap": (torch.float32, (1, 8, 8)),
    }
    assert result["image"].sum() == 30 and result["costmap"].sum() == 15
    fits = {"image": torch.ones(1, 8, 8)}
    assert build("pad-to-multiple", 2, multiple=8)(fits) is fits


def test_pad_refuses_other_dimensions() -> None:
    with pytest.raises(ConfigError, match="multiple"):
        build("pad-to-multiple", 2, multiple=(2, 2, 2))
    with pytest.raises(ConfigError, match="planes"):
        build("pad-z", 2, planes=8)
    with pytest.raises(ValueError, match="multiple"):
        build("pad-to-multiple", 2, multiple=0)


# --- perturb


@pytest.mark.parametrize("case", range(2))
@pytest.mark.parametrize("name", STORED)
def test_perturb_golden_one_operation(name: Operation, case: int) -> None:
    arrays, params = golden(f"perturb_image_{case}")
    config = PerturbConfig(
        gauss_std=params["gaussian_std"],
        impulse_share=params["sp_prob"],
        speckle_std=params["speckle_std"],
        jitter=params["color_jitter_factor"],
        max_shift=params["max_shift"],
        max_angle=params["max_angle"],
        dropout_share=params["dropout_rate"],
    )
    result = apply_operations(arrays["image"], [name], config, np.random.RandomState(20247))
    np.testing.assert_allclose(result, arrays[STORED[name]], atol=1e-5)


@pytest.mark.parametrize("case", range(2))
@pytest.mark.parametrize("number", range(3))
def test_perturb_golden_several_operations(number: int, case: int) -> None:
    arrays, _ = golden(f"perturb_image_{case}")
    draw = random.Random(20240 + number)
    names = draw.sample(list(STORED), draw.randint(1, len(STORED)))
    result = apply_operations(arrays["image"], names, PerturbConfig(), np.random.RandomState(20240 + number))
    np.testing.assert_allclose(result, arrays[f"all_{number}"], atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 40, 44), (1, 6, 30, 34)])
@pytest.mark.parametrize("name", STORED)
def test_perturb_statistics(name: Operation, shape: tuple[int, ...]) -> None:
    smooth = ndimage.gaussian_filter(images(shape), (0, *(2,) * (len(shape) - 1)))
    image = (0.3 + 0.4 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    result = apply_operations(image, [name], PerturbConfig(), np.random.RandomState(3))
    assert result.shape == image.shape and result.dtype == np.float32
    change = result - image
    if name == "gauss":
        assert change.std() == pytest.approx(0.01, rel=0.1)
    elif name == "impulse":
        assert (result == 1).sum() == pytest.approx(image.size * 0.005, rel=0.1)
        assert (result == 0).sum() == pytest.approx(image.size * 0.005, rel=0.1)
        assert (change != 0).mean() < 0.011
    elif name == "speckle":
        assert (change / image).std() == pytest.approx(0.1, rel=0.1)
    elif name == "jitter":
        slope = np.polyfit(image.ravel(), result.ravel(), 1)
        assert abs(slope[0] - 1) <= 0.1 and abs(slope[1]) <= 0.02
        np.testing.assert_allclose(result, image * slope[0] + slope[1], atol=1e-5)
    elif name == "dropout":
        assert (result == 0).mean() == pytest.approx(0.02, rel=0.3)
    else:
        assert 0 < np.abs(change).max() < 0.4


def test_perturb_is_reproducible_and_leaves_target_and_costmap() -> None:
    sample = {"image": torch.rand(1, 20, 20), "target": torch.ones(1, 20, 20), "costmap": torch.ones(1, 20, 20)}
    step = build("perturb", 2)
    assert step.set_random_state(state=np.random.RandomState(5)) is step
    first, second = untouched(step, sample), step(sample)
    again = build("perturb", 2).set_random_state(seed=5)(sample)
    assert torch.equal(first["image"], again["image"]) and not torch.equal(first["image"], second["image"])
    assert isinstance(first["image"], torch.Tensor) and first["image"].dtype == torch.float32
    assert first["target"] is sample["target"] and first["costmap"] is sample["costmap"]


def test_perturb_moves_nothing_by_default_and_obeys_probability_and_limits() -> None:
    assert not {"shift", "rotation"} & set(PerturbConfig().operations)
    sample = {"image": images((1, 30, 30)) * 1000}
    never = build("perturb", 2, probability=0.0).set_random_state(seed=0)
    assert never(sample)["image"] is sample["image"]
    step = build("perturb", 2, operations=("impulse",), limits=(-5.0, 2000.0)).set_random_state(seed=0)
    result = step(sample)["image"]
    assert result.max() == 2000 and result.min() == -5
    free = build("perturb", 2, operations=("gauss",), clip=False).set_random_state(seed=0)(sample)["image"]
    np.testing.assert_allclose(free, sample["image"], atol=0.1)


@pytest.mark.parametrize("declared", TRANSFORMS, ids=lambda declared: declared.name)
def test_steps_can_be_sent_to_worker_processes(declared: Any) -> None:
    settings = {"pad-z": {"planes": 8}, "pad-to-multiple": {"multiple": 4}}.get(declared.name, {})
    dims = 2 if declared.name == "macenko" else 3
    step = build(declared.name, dims, **settings)
    sample = {"image": stained(REFERENCE) if dims == 2 else images((1, 5, 8, 8))}
    sent = pickle.loads(pickle.dumps(step))  # noqa: S301
    for one in (step, sent):
        if hasattr(one, "set_random_state"):
            one.set_random_state(seed=1)
    np.testing.assert_array_equal(sent(sample)["image"], step(sample)["image"])


def test_images_of_whole_numbers_become_fractions() -> None:
    image = torch.arange(72, dtype=torch.int32).reshape(1, 9, 8)
    for name in ("normalize-center", "perturb"):
        result = build(name, 2)({"image": image})["image"]
        assert result.dtype == torch.float32 and image.dtype == torch.int32


def test_declarations_load_nothing_heavy_and_describe_every_setting() -> None:
    code = (
        "import sys, im2im_fcn.transforms.declarations\n"
        "assert not {'torch', 'monai', 'skimage', 'scipy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for transform in TRANSFORMS:
        assert all(field.description for field in transform.config.model_fields.values())
    assert [transform.name for transform in TRANSFORMS if transform.random] == ["perturb"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [("normalize-center", {}), ("macenko", {}), ("perturb", {"probability": 1.0}), ("pad-to-multiple", {})],
)
def test_a_target_alone_is_padded_or_passed_over(name, settings):
    """Unpaired data give image and target apart."""
    target = np.random.default_rng(0).integers(0, 3, (1, 20, 22)).astype(np.int32)
    result = untouched(build(name, 2, **settings), {"target": target})
    if name == "pad-to-multiple":
        assert result["target"].shape == result["costmap"].shape == (1, 32, 32)
        assert result["costmap"].sum() == target.size
    else:
        assert result.keys() == {"target"}
        np.testing.assert_array_equal(result["target"], target)
