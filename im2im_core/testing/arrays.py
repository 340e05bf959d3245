"""Checks of what works on arrays: transforms, post-processors, metrics."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from im2im_core.build import build_model, build_postprocessing
from im2im_core.components import Component
from im2im_core.config import resolve
from im2im_core.errors import Im2imError
from im2im_core.interfaces import NumpyArray
from im2im_core.testing.checks import CheckFailed, Subject, in_each, require
from im2im_core.testing.toy_data import disc_image, target_for

SIZE = {2: (64, 72), 3: (16, 40, 48)}
SEEDS = range(3)


def of_component(component: Component) -> list[Callable[[Subject], None]]:
    """Those of its kind."""
    if component.kind == "transform":
        return [check_sample, check_alignment]
    if component.kind == "postprocessor":
        return [check_halo, check_result, check_empty_prediction]
    if component.kind == "metric":
        return [check_figures, check_perfect_is_best, check_empty_images]
    return []


def check_sample(subject: Subject) -> None:
    """From a sample dict comes a sample dict, with finite float images and as many pixels as it says."""
    for dims, before, after in _transformed(subject):
        require(isinstance(after, dict) and {"image", "target"} <= set(after), f"in {dims}D keys are missing")
        image, target = np.asarray(after["image"]), np.asarray(after["target"])
        require(image.dtype.kind == "f", f"in {dims}D the image is {image.dtype}")
        require(np.isfinite(image).all(), f"in {dims}D the image is not finite")
        require(image.shape[1:] == target.shape[1:], f"in {dims}D image {image.shape}, but target {target.shape}")
        if subject.component.keeps_size:
            require(image.shape[1:] == before["image"].shape[1:], f"in {dims}D the size becomes {image.shape}")


def check_alignment(subject: Subject) -> None:
    """What moves pixels of the image moves those of target and cost map alike."""
    for dims, _, after in _transformed(subject):
        counting = np.asarray(after.get("costmap", np.ones_like(after["target"])))[0] > 0
        image, target = np.asarray(after["image"]).mean(axis=0)[counting], np.asarray(after["target"])[0][counting] > 0
        if image.std() == 0 or target.all() or not target.any():
            continue
        likeness = abs(np.corrcoef(image, target)[0, 1])
        require(likeness > 0.5, f"in {dims}D image and target are apart: correlation {likeness:.2f}")


def check_halo(subject: Subject) -> None:
    """The halo is a number of pixels, or None for the whole image."""
    halo = subject.component.halo(subject.config)
    require(halo is None or (isinstance(halo, int) and halo >= 0), f"halo is '{halo}'")


def check_result(subject: Subject) -> None:
    """The result has the pixels of the prediction; objects are whole numbers, and have a score each, if any."""
    for dims, step, prediction in _processed(subject):
        result = step(prediction.copy())
        require(isinstance(result, np.ndarray), f"in {dims}D '{type(result).__name__}' comes out")
        require(result.shape[-dims:] == prediction.shape[-dims:], f"in {dims}D the size becomes {result.shape}")
        if subject.component.merges == "labels":
            require(result.dtype.kind in "iu", f"in {dims}D labels are {result.dtype}")
        if hasattr(step, "objects"):
            labels, scores = step.objects(prediction.copy())
            require(np.array_equal(labels, result), f"in {dims}D `objects` gives other labels")
            count = int(labels.max(initial=0))
            require(scores is None or len(scores) == count, f"in {dims}D {len(scores)} scores for {count} labels")


def check_empty_prediction(subject: Subject) -> None:
    """Of a prediction without anything comes a result."""
    for _, step, prediction in _processed(subject):
        step(np.zeros_like(prediction))


def check_figures(subject: Subject) -> None:
    """Of a pair come named numbers, the primary one among them."""
    for case in _scored(subject):
        figures = case.score(case.worse)
        require(isinstance(figures, dict) and figures, f"{case.task}: '{figures}' is no dict of figures")
        for name, value in figures.items():
            require(isinstance(value, float), f"{case.task}: '{name}' is {type(value).__name__}, not float")
        primary = subject.component.primary
        require(not primary or primary in figures, f"{case.task}: '{primary}' is not among {sorted(figures)}")


def check_perfect_is_best(subject: Subject) -> None:
    """A perfect prediction scores better than another."""
    for case in _scored(subject):
        perfect, worse = case.score(case.target), case.score(case.worse)
        name = subject.component.primary or next(iter(perfect))
        better = perfect[name] > worse[name] if subject.component.higher_is_better else perfect[name] < worse[name]
        require(better, f"{case.task}: '{name}' is {perfect[name]:.4g} at the target, {worse[name]:.4g} away from it")


def check_empty_images(subject: Subject) -> None:
    """Images without anything in them do not raise."""
    for case in _scored(subject):
        nothing = np.zeros_like(case.target)
        for prediction, target in ((nothing, nothing), (case.target, nothing), (nothing, case.target)):
            figures = case.score(prediction, target)
            require(all(not math.isinf(value) for value in figures.values()), f"{case.task}: '{figures}' is infinite")


def _transformed(subject: Subject) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Dimensions, sample before, sample after."""
    for dims, step in in_each(lambda dims: subject.build(spatial_dims=dims)):
        for seed in SEEDS if subject.component.random else SEEDS[:1]:
            for channels in (1, 3):
                sample = _sample(dims, seed, channels)
                before = {key: value.copy() for key, value in sample.items()}
                try:
                    with _seeded(step, seed):
                        after = step(sample)
                except Im2imError as error:
                    if channels == 3:
                        raise CheckFailed(f"in {dims}D neither grey nor coloured images will do: {error}") from error
                    continue
                yield dims, before, after
                break


class _seeded:
    """Everything random depends on a number."""

    def __init__(self, step: Any, seed: int) -> None:
        self._step, self._seed = step, seed

    def __enter__(self) -> None:
        import torch

        random.seed(self._seed)
        np.random.seed(self._seed)
        torch.manual_seed(self._seed)
        if hasattr(self._step, "set_random_state"):
            self._step.set_random_state(seed=self._seed)

    def __exit__(self, *error: Any) -> None:
        return None


def _sample(dims: int, seed: int, channels: int) -> dict[str, Any]:
    """Image and target show the same balls, so whether they are moved alike can be seen."""
    image, labels = disc_image(dims, seed, SIZE[dims])
    image = image.clip(0, 1)
    # Fluorescence, or stained tissue.
    pixels = image[None] if channels == 1 else np.stack([200 - 120 * image, 200 - 180 * image, 200 - 120 * image])
    return {
        "image": pixels.astype(np.float32),
        "target": (labels > 0).astype(np.int32)[None],
        "costmap": np.ones((1, *labels.shape), np.float32),
    }


def _processed(subject: Subject) -> Iterator[tuple[int, Any, NumpyArray]]:
    """Dimensions, the post-processor and a prediction: of a model that uses it, or of as many channels as it takes."""

    def make(dims: int) -> tuple[Any, NumpyArray | None]:
        return _of_a_model(subject, dims) or (subject.build(spatial_dims=dims, model=None, pixel_size={}), None)

    for dims, (step, of_a_model) in in_each(make):
        if of_a_model is not None:
            yield dims, step, of_a_model
            continue
        image, labels = disc_image(dims, 0, SIZE[dims])
        foreground = np.where(labels > 0, 4.0, -4.0).astype(np.float32) + 0.5 * image
        problem: Exception | None = None
        logits = [np.stack([-foreground] * (n > 1) + [foreground] * max(1, n - 1)) for n in (1, 2, 3)]
        candidates: list[NumpyArray] = [*logits, (labels > 0).astype(np.uint8), labels]
        for prediction in candidates:
            try:
                step(prediction.copy())
            except Exception as error:
                problem = error
                continue
            yield dims, step, prediction
            break
        else:
            message = f"in {dims}D outputs of 1, 2 and 3 channels, class maps and labels end in {problem!r}"
            raise CheckFailed(message) from problem


def _of_a_model(subject: Subject, dims: int) -> tuple[Any, NumpyArray] | None:
    """The post-processor as the model that uses it by default has it, and that model's prediction, untrained."""
    import torch

    for entry in subject.registry.components("model"):
        model: Any = entry.component
        steps = [s if isinstance(s, str) else s.get("name") for s in model.defaults.get("postprocessing", [])]
        if steps != [subject.component.name] or dims not in model.spatial_dims:
            continue
        flags = {"model": {"name": entry.qualified}, "dataset": {"path": "x", "spatial_dims": dims}}
        config = resolve(subject.registry, flags=flags)
        torch.manual_seed(0)
        built = build_model(config, spatial_dims=dims, in_channels=1, target_channels=1, training=False).eval()
        image, _ = disc_image(dims, 0, SIZE[dims])
        with torch.inference_mode():
            prediction = built(torch.from_numpy(image)[None, None])[0].numpy()
        return build_postprocessing(config, dims).steps[0], prediction
    return None


def _scored(subject: Subject) -> Iterator[Any]:
    """A metric with target and another prediction, for every sort of target that it takes."""
    tasks = subject.component.tasks or ("restoration",)
    sorts = {task if task.endswith("segmentation") else "restoration": task for task in tasks}
    for sort in sorts:
        metric = subject.build()
        rng = np.random.default_rng(0)
        image, labels = disc_image(2, 0, (96, 96))
        target = target_for(sort, image, labels)
        if sort == "restoration":
            worse = (target + rng.normal(0, 0.3, target.shape)).astype(np.float32)
        else:
            worse = np.where(labels % 2 == 1, target, 0).astype(target.dtype)

        def score(prediction: NumpyArray, reference: NumpyArray = target, metric: Any = metric) -> Any:
            if not subject.component.of_sets:
                return metric(prediction, reference)
            turns = range(4)
            return metric(
                [np.rot90(prediction, turn)[None] for turn in turns],
                [np.rot90(reference, turn)[None] for turn in turns],
            )

        yield SimpleNamespace(task=sort, score=score, target=target, worse=worse)
