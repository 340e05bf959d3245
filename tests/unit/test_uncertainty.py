"""Mean and spread over several predictions, against golden vectors, numpy and what the model really does."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle

from im2im_core import ConfigError, Image
from im2im_core.bundle import open_bundle
from im2im_core.prediction import Predictor
from im2im_core.sampling import check_source, forwards, perturbed, turned
from im2im_core.uncertainty import Sampling, Statistics, check_sampling, entropy, predict_uncertain, probabilities

GOLDEN = next(
    (folder for p in Path(__file__).resolve().parents if (folder := p.parent / "shared" / "golden").is_dir()), None
)
needs_golden = pytest.mark.skipif(GOLDEN is None, reason="the shared golden vectors are not part of the repository")


ENSEMBLE = Sampling(source="ensemble")


def golden(name: str) -> Any:
    assert GOLDEN is not None
    return np.load(GOLDEN / f"{name}.npz", allow_pickle=False)


def counted(samples: Any, *, classes: bool) -> Statistics:
    statistics = Statistics(classes=classes)
    for sample in samples:
        statistics.add(sample)
    return statistics


@needs_golden
@pytest.mark.parametrize("name", ["2d", "3d"])
def test_maps_of_classes_are_the_published_ones(name: str) -> None:
    case = golden("uncertainty_maps")
    samples = case["samples" if name == "2d" else "samples3d"]
    statistics = counted(samples, classes=True)
    maps = statistics.maps()
    close = {"rtol": 1e-3, "atol": 1e-6}
    np.testing.assert_allclose(statistics.variance, case[f"{name}_variance_split"], **close)
    np.testing.assert_allclose(maps["entropy"][0], case[f"{name}_entropy"], **close)
    np.testing.assert_allclose(maps["mutual-information"][0], case[f"{name}_mutual_inf"], **close)
    most = np.log(samples.shape[1])
    np.testing.assert_allclose(maps["entropy"][0] / most, case[f"{name}_entropy_rel"], **close)
    np.testing.assert_allclose(maps["mutual-information"][0] / most, case[f"{name}_mutual_inf_rel"], **close)
    np.testing.assert_allclose(maps["variance"][0], case[f"{name}_variance_split"].mean(0), **close)


@needs_golden
def test_an_uncertain_class_counts_also_where_another_is_certain() -> None:
    case = golden("uncertainty_maps")
    statistics = counted(case["samples"], classes=True)
    # A peer merges the classes by the least variance, which hides that two of three are uncertain: here it is the mean.
    np.testing.assert_allclose(statistics.variance.min(0), case["2d_variance"], rtol=1e-3, atol=1e-6)
    assert (statistics.maps()["variance"][0] > 1.5 * case["2d_variance"]).mean() > 0.5


@needs_golden
def test_no_map_is_stretched_by_what_else_is_in_the_image() -> None:
    case = golden("uncertainty_maps")
    variance = counted(case["samples_sure"], classes=True).variance.min(0)
    # A peer takes the fourth root where most of an image is certain, so that two images cannot be compared.
    # Its float32 probabilities are off by up to 1e-7, of which the fourth root of their squares is larger.
    np.testing.assert_allclose(variance**0.25, case["sure_variance_stab"], rtol=1e-3, atol=1e-4)
    assert variance.max() < 1e-3 < case["sure_variance_stab"].max()


@needs_golden
def test_statistics_of_values_are_the_published_ones() -> None:
    case = golden("multi_pred")
    statistics = counted(case["samples"], classes=False)
    np.testing.assert_allclose(statistics.mean, case["mean"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistics.variance, case["variance"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistics.mean * statistics.count, case["sum"], rtol=1e-4, atol=1e-4)


def test_statistics_are_those_of_all_samples_at_once() -> None:
    samples = np.random.default_rng(0).normal(30000, 2, (7, 2, 9, 11)).astype(np.float32)
    statistics = counted(samples, classes=False)
    np.testing.assert_allclose(statistics.mean, samples.mean(0, dtype=np.float64))
    np.testing.assert_allclose(statistics.variance, samples.astype(np.float64).var(0), rtol=1e-6)
    assert set(statistics.maps()) == {"mean", "variance"}


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_mean_prediction_has_the_mean_probabilities(classes: int) -> None:
    samples = np.random.default_rng(1).normal(0, 3, (5, classes, 6, 7)).astype(np.float32)
    statistics = counted(samples, classes=True)
    expected = np.mean([probabilities(sample) for sample in samples], axis=0)
    np.testing.assert_allclose(probabilities(statistics.prediction()), expected, atol=1e-6)


def test_one_output_is_as_uncertain_as_two_classes() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (4, 1, 5, 5)).astype(np.float32)
    one = counted(logits, classes=True).maps()
    two = counted(np.concatenate([np.zeros_like(logits), logits], 1), classes=True).maps()
    for name in ("variance", "entropy", "mutual-information"):
        np.testing.assert_allclose(one[name], two[name], atol=1e-6)


def test_certain_and_evenly_split_samples_have_the_known_entropies() -> None:
    sure = np.array([50.0, -50.0, -50.0]).reshape(3, 1, 1)
    assert entropy(probabilities(sure)).item() == pytest.approx(0, abs=1e-9)
    split = counted([sure, np.roll(sure, 1, 0)], classes=True).maps()
    assert split["entropy"].item() == pytest.approx(np.log(2), abs=1e-6)
    assert split["mutual-information"].item() == pytest.approx(np.log(2), abs=1e-6)
    unsure = counted(np.zeros((2, 3, 1, 1)), classes=True).maps()
    assert unsure["entropy"].item() == pytest.approx(np.log(3), abs=1e-6)
    assert unsure["mutual-information"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 5, 8), (2, 1, 3, 6, 4)])
def test_turns_are_undone(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    seen = []

    def model(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    for index in range(8):
        assert torch.equal(turned(model, index)(image), image)
    assert len({tuple(x.flatten().tolist()) + tuple(x.shape) for x in seen}) == 8


def test_a_perturbation_follows_its_seed_and_strength() -> None:
    image = torch.rand(1, 1, 40, 40)
    changed = [perturbed(lambda x: x, 0.1, torch.Generator().manual_seed(s))(image) for s in (0, 0, 1)]
    assert torch.equal(changed[0], changed[1]) and not torch.equal(changed[0], changed[2])
    assert torch.equal(perturbed(lambda x: x, 0.0, torch.Generator())(image), image)
    assert 0.01 < (changed[0] - image).std() < 0.1


class Dropping(nn.Module):
    """Dropout beside what must not be as in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.drop(self.norm(image))


def test_dropout_alone_is_as_in_training_and_the_model_is_left_as_it_was() -> None:
    model = Dropping().eval()
    before = torch.random.get_rng_state()
    outputs = []
    for forward in forwards("dropout", model, 3, seed=5, strength=0):
        assert model.drop.training and not model.norm.training
        outputs.append(forward(torch.ones(1, 1, 8, 8)))
    assert not model.drop.training
    assert not torch.equal(outputs[0], outputs[1])
    again = [forward(torch.ones(1, 1, 8, 8)) for forward in forwards("dropout", model, 3, seed=5, strength=0)]
    assert all(torch.equal(a, b) for a, b in zip(outputs, again, strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("source", "hint"), [("dropout", "network.dropout"), ("samples", "probabilistic-unet")])
def test_a_model_that_has_no_such_samples_is_refused(source: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_source(source, nn.Conv2d(1, 1, 1))
    assert hint in (caught.value.hint or "")


def predictors(tmp_path: Path, *seeds: int, **options: Any) -> list[Predictor]:
    opened = []
    for seed in seeds:
        registry = toy_bundle(tmp_path / str(seed), seed=seed)
        opened.append(Predictor(open_bundle(tmp_path / str(seed), registry), device="cpu", **options))
    return opened


def test_an_ensemble_predicts_the_mean_of_its_bundles(tmp_path: Path) -> None:
    models = predictors(tmp_path, 0, 1, 2)
    image = Image(np.random.default_rng(0).random((40, 50), np.float32), "YX", {"Y": 0.5, "X": 0.5}, ())
    result, maps = predict_uncertain(models, image, ENSEMBLE)
    alone = np.stack([np.asarray(model.predict(image).data) for model in models])
    np.testing.assert_allclose(result.data, alone.mean(0), atol=1e-6)
    np.testing.assert_allclose(maps["variance"].data, alone.var(0), atol=1e-6)
    assert result.axes == maps["mean"].axes == "CYX" and maps["variance"].pixel_size == {"Y": 0.5, "X": 0.5}


def test_flips_and_turns_are_averaged(tmp_path: Path) -> None:
    [model] = predictors(tmp_path, 3, window=(45, 70))
    image = Image(np.random.default_rng(0).random((45, 70), np.float32), "YX")
    shares: list[float] = []
    sampling = Sampling(source="test-time-augmentation", count=4)
    result, maps = predict_uncertain([model], image, sampling, shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    with torch.inference_mode():
        tensor = torch.from_numpy(np.asarray(image.data))[None, None]
        expected = np.stack([turned(model.model, index)(tensor)[0].numpy() for index in range(4)])
    np.testing.assert_allclose(result.data, expected.mean(0), atol=1e-5)
    np.testing.assert_allclose(maps["variance"].data, expected.var(0), atol=1e-5)


def test_bundles_of_different_data_are_no_ensemble(tmp_path: Path) -> None:
    [one] = predictors(tmp_path, 0)
    registry = toy_bundle(tmp_path / "two", channels=(2, 1))
    with pytest.raises(ConfigError, match=r"in_channels '1' and '2'"):
        check_sampling([one, Predictor(open_bundle(tmp_path / "two", registry), device="cpu")], ENSEMBLE)


def test_directions_are_turned_back_by_the_model() -> None:
    class Slope(nn.Module):
        """How an image rises along X and Y."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.gradient(image, dim=axis)[0] for axis in (-1, -2)], dim=1)

        def undo(self, prediction: torch.Tensor, *, turns: int, flip: bool) -> torch.Tensor:
            x, y = prediction.split(1, dim=1)
            for _ in range(turns):
                x, y = -y, x
            return torch.cat([-x if flip else x, y], dim=1)

    model, image = Slope(), torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(0))
    for index in range(8):
        torch.testing.assert_close(turned(model, index)(image), model(image))


def test_objects_have_a_mean_only_where_the_model_undoes_turns(tmp_path: Path) -> None:
    registry = toy_bundle(tmp_path / "bundle")
    predictor = Predictor(open_bundle(tmp_path / "bundle", registry), device="cpu")
    manifest = predictor.bundle.manifest.model_copy(update={"task": "instance-segmentation"})
    predictor.bundle = replace(predictor.bundle, manifest=manifest)
    turning = Sampling(source="test-time-augmentation", count=8)
    with pytest.raises(ConfigError, match="has no mean"):
        check_sampling([predictor], turning)
    predictor.model.undo = lambda prediction, *, turns, flip: prediction
    check_sampling([predictor], turning)
    labels, maps = predict_uncertain([predictor], Image(np.ones((20, 20), np.float32), "YX"), turning)
    assert labels.shape[-2:] == (20, 20) and set(maps) == {"mean", "variance"}
    with pytest.raises(ConfigError, match="has no mean"):
        check_sampling([predictor, predictor], ENSEMBLE)
