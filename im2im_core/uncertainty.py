"""How sure a model is: mean and spread over several predictions of one image, by `Statistics` one after the other.

Entropy and mutual information are in nats (Houlsby et al. 2011; Kendall & Gal, NeurIPS 2017): the entropy of the mean
probability is all uncertainty; mutual information is that share of it on which the samples disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from im2im_core.errors import ConfigError
from im2im_core.image import Image
from im2im_core.prediction import IMAGE_TASKS, NumpyArray, Predictor

SOURCES = ("test-time-augmentation", "perturbation", "dropout", "samples", "ensemble")
MOST_TURNS = 8
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Where several predictions come from.

    Attributes:
        source: one of SOURCES.
        count: samples per image; an ensemble has as many as it has bundles.
        strength: of a perturbation, in shares of the image's contrast.
        maps: how far the samples differ is wanted too, not only their mean.
    """

    source: str
    count: int = 8
    strength: float = 0.1
    maps: bool = True


class Statistics:
    """Mean and variance over samples, and for classes entropy; memory does not grow with their number.

    Args:
        classes: the samples are logits of classes, (K, [Z,] Y, X), whose probabilities are counted; K = 1: of
            foreground. Otherwise values, which are counted as they are.
    """

    def __init__(self, *, classes: bool) -> None:
        self.classes = classes
        self.count = 0
        self.mean: NumpyArray = np.zeros(0)
        self._squares: NumpyArray = np.zeros(0)
        self._entropy: NumpyArray = np.zeros(0)

    def add(self, sample: NumpyArray) -> None:
        """Count one more prediction, (K, [Z,] Y, X)."""
        values = probabilities(sample) if self.classes else sample.astype(np.float64)
        if self.count == 0:
            self.mean, self._squares = np.zeros_like(values), np.zeros_like(values)
            self._entropy = np.zeros(values.shape[1:])
        self.count += 1
        # Welford's update: sums of squares would lose the small differences of large intensities.
        change = values - self.mean
        self.mean += change / self.count
        self._squares += change * (values - self.mean)
        if self.classes:
            self._entropy += entropy(values)

    @property
    def variance(self) -> NumpyArray:
        """Of each channel over the samples, as of a whole population, (K, [Z,] Y, X)."""
        variance: NumpyArray = self._squares / self.count
        return variance

    def maps(self) -> dict[str, NumpyArray]:
        """What there is to show, by name, float32.

        Of values: `mean` and `variance`, (K, [Z,] Y, X), the variance in squared units. Of classes: `mean`, the
        probabilities; `variance`, the mean of the classes' variances, `entropy` and `mutual-information`, each
        (1, [Z,] Y, X).
        """
        found = {"mean": self.mean, "variance": self.variance}
        if self.classes:
            total = entropy(self.mean)[None]
            # Rounding may make it fall below zero by a trifle.
            information = (total - self._entropy[None] / self.count).clip(min=0)
            found["variance"] = self.variance.mean(0, keepdims=True)
            found |= {"entropy": total, "mutual-information": information}
        return {name: values.astype(np.float32) for name, values in found.items()}

    def prediction(self) -> NumpyArray:
        """The mean in the form of one prediction: logits of the mean probabilities, or values; float32."""
        if not self.classes:
            return self.mean.astype(np.float32)
        logits = np.log(self.mean.clip(_TINY))
        if len(self.mean) == 1:
            logits -= np.log((1 - self.mean).clip(_TINY))
        prediction: NumpyArray = logits.astype(np.float32)
        return prediction


def probabilities(logits: NumpyArray) -> NumpyArray:
    """Softmax over the classes (K, [Z,] Y, X), or the sigmoid of a single one; float64."""
    from scipy.special import expit, softmax

    logits = logits.astype(np.float64)
    found: NumpyArray = expit(logits) if len(logits) == 1 else softmax(logits, axis=0)
    return found


def entropy(probability: NumpyArray) -> NumpyArray:
    """In nats, of probabilities (K, [Z,] Y, X); a single class is foreground against background."""
    if len(probability) == 1:
        probability = np.concatenate([probability, 1 - probability])
    found: NumpyArray = -(probability * np.log(probability.clip(_TINY))).sum(0)
    return found


def check_sampling(predictors: Sequence[Predictor], sampling: Sampling) -> None:
    """Refuse what cannot be before an image is opened.

    Raises:
        ConfigError: the prediction is no image, class, number or spatial embedding; the bundles differ in what they
            predict; or the model cannot give such samples.
    """
    from im2im_core.sampling import check_source

    first = predictors[0].bundle
    # Of objects only what is predicted before they are told apart has a mean; another bundle may mean other lengths.
    embedded = hasattr(predictors[0].model, "undo") and len(predictors) == 1
    if not embedded and first.manifest.task not in (*IMAGE_TASKS, "semantic-segmentation", "regression"):
        raise ConfigError(
            f"task '{first.manifest.task}' has no mean of several predictions",
            "--uncertainty and --ensemble are for images, classes and numbers, --uncertainty also for 'embedseg'",
        )
    for other in predictors[1:]:
        for what in ("task", "spatial_dims", "in_channels", "target_channels"):
            mine, theirs = getattr(first.manifest, what), getattr(other.bundle.manifest, what)
            if mine != theirs:
                raise ConfigError(
                    f"'{first.path}' and '{other.bundle.path}' are no ensemble: {what} '{mine}' and '{theirs}'",
                    "name bundles that were trained for the same",
                )
    check_source(sampling.source, predictors[0].model)


def predict_uncertain(
    predictors: Sequence[Predictor], image: Image, sampling: Sampling, progress: Callable[[float], None] | None = None
) -> tuple[Image, dict[str, Image]]:
    """The result of the mean prediction, and maps of how far the samples differ.

    Args:
        predictors: one, or those of an ensemble; the first one's post-processing makes the result.
        image: what to predict from.
        sampling: where the samples come from.
        progress: told the share of samples done.

    Raises:
        ConfigError: see `check_sampling`.
        DataError: as `Predictor.predict`.
    """
    check_sampling(predictors, sampling)
    first = predictors[0]
    statistics = Statistics(classes=first.bundle.manifest.task == "semantic-segmentation")
    total = len(predictors) if sampling.source == "ensemble" else sampling.count
    for sample in _samples(predictors, image, sampling):
        if statistics.count and sample.shape != statistics.mean.shape:
            raise ConfigError("the bundles of the ensemble differ in their classes", "name bundles of one training set")
        statistics.add(sample)
        if progress:
            progress(statistics.count / total)
    maps = statistics.maps() if sampling.maps else {}
    return first.finish(statistics.prediction(), image), {
        name: first.as_image(values, image) for name, values in maps.items()
    }


def _samples(predictors: Sequence[Predictor], image: Image, sampling: Sampling) -> Iterator[NumpyArray]:
    if sampling.source == "ensemble":
        for predictor in predictors:
            yield predictor.raw(image)
        return
    from im2im_core.sampling import forwards

    predictor = predictors[0]
    seed = predictor.bundle.config.seed
    for forward in forwards(sampling.source, predictor.model, sampling.count, seed=seed, strength=sampling.strength):
        yield predictor.raw(image, forward=forward)
