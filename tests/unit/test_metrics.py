"""Figures of merit against figures worked out by hand, by brute force and by other libraries."""

import subprocess
import sys
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.metrics import peak_signal_noise_ratio

from im2im_core.builtin.class_metrics import dice, iou
from im2im_core.builtin.instance_metrics import average_precision, instance_iou
from im2im_core.builtin.metric_config import AveragePrecisionConfig
from im2im_core.builtin.metric_declarations import METRICS
from im2im_core.builtin.metrics import mae, pearson, psnr, rmse, ssim
from im2im_core.errors import DataError
from im2im_core.object_matching import object_overlaps

ERRORS = ("mae", "rmse")
IMAGE_METRICS = (psnr, ssim, pearson, mae, rmse)


GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "simplified_instance_iou.npz"


def boxes(*spans, length=100):
    """One row of labels; object i covers the i-th span."""
    row = np.zeros((1, length), dtype=np.uint16)
    for label, (start, stop) in enumerate(spans, start=1):
        row[0, start:stop] = label
    return row


def random_labels(rng, shape=(24, 24), objects=9):
    """Rectangles at random places, later ones on top."""
    labels = np.zeros(shape, dtype=np.int32)
    for label in rng.permutation(40)[:objects] + 1:
        y, x = rng.integers(0, shape[0] - 5), rng.integers(0, shape[1] - 5)
        labels[y : y + rng.integers(3, 8), x : x + rng.integers(3, 8)] = label
    return labels


def direct_ious(prediction, target):
    """IoU of each pair by looking at both masks."""
    ids = [[label for label in np.unique(array) if label] for array in (target, prediction)]
    table = np.zeros((len(ids[0]), len(ids[1])))
    for i, one in enumerate(ids[0]):
        for j, other in enumerate(ids[1]):
            a, b = target == one, prediction == other
            table[i, j] = (a & b).sum() / (a | b).sum()
    return table


def most_pairs(table, threshold):
    """The largest one-to-one matching, by trying all."""
    allowed = table >= threshold
    small = allowed if allowed.shape[0] <= allowed.shape[1] else allowed.T
    rows, columns = small.shape
    return max(sum(small[i, j] for i, j in enumerate(choice)) for choice in permutations(range(columns), rows))


def test_average_precision_worked_out_by_hand():
    target = boxes((0, 10), (20, 30), (40, 50), (60, 70))
    prediction = boxes((0, 10), (20, 26), (44, 50), (80, 90), (42, 44))  # IoU 1, 0.6, 0.6, nothing, 0.2
    figures = average_precision(prediction, target, (0.5, 0.6, 0.7))
    assert figures["ap@0.50"] == pytest.approx(3 / (3 + 2 + 1))
    assert figures["ap@0.60"] == pytest.approx(3 / 6)  # an IoU equal to the threshold counts
    assert figures["ap@0.70"] == pytest.approx(1 / (1 + 4 + 3))
    assert figures["mean_ap"] == pytest.approx((0.5 + 0.5 + 0.125) / 3)
    assert figures["precision@0.50"] == pytest.approx(3 / 5)
    assert figures["recall@0.50"] == pytest.approx(3 / 4)
    assert figures["f1@0.50"] == figures["recognition_quality"] == pytest.approx(6 / 9)
    assert figures["segmentation_quality"] == pytest.approx((1 + 0.6 + 0.6) / 3)
    assert figures["panoptic_quality"] == pytest.approx(2.2 / (3 + 0.5 * 2 + 0.5 * 1))
    assert (figures["objects"], figures["predicted_objects"]) == (4, 5)


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3, 0.5, 0.7])
def test_matching_equals_brute_force(threshold):
    rng = np.random.default_rng(3)
    for _ in range(15):
        prediction, target = random_labels(rng, objects=5), random_labels(rng, objects=4)
        prediction = np.where(rng.random(prediction.shape) < 0.8, target, prediction)
        table = direct_ious(prediction, target)
        hits = most_pairs(table, threshold)
        expected = hits / (sum(table.shape) - hits)
        assert average_precision(prediction, target, (threshold,))[f"ap@{threshold:.2f}"] == pytest.approx(expected)


def test_overlaps_equal_looking_at_each_pair():
    rng = np.random.default_rng(4)
    prediction, target = random_labels(rng), random_labels(rng)
    found = object_overlaps(prediction, target)
    table = np.zeros((len(found.target_ids), len(found.prediction_ids)))
    table[found.target_index, found.prediction_index] = found.iou
    np.testing.assert_allclose(table, direct_ious(prediction, target), rtol=1e-12)


def test_below_one_half_the_matching_is_one_to_one_and_not_greedy():
    # The prediction in the middle overlaps both targets; taking its better partner would leave the other alone.
    target = boxes((0, 30), (30, 60))
    prediction = boxes((14, 44), (44, 60), (0, 1))
    table = direct_ious(prediction, target)
    assert table[0, 0] > 0.3 and table[1, 1] > 0.3
    assert average_precision(prediction, target, (0.3,))["ap@0.30"] == pytest.approx(2 / 3)


def test_figures_do_not_depend_on_how_objects_are_numbered():
    rng = np.random.default_rng(5)
    prediction, target = random_labels(rng), random_labels(rng)
    prediction = np.where(rng.random(prediction.shape) < 0.75, target, prediction)
    renumber = np.concatenate([[0], rng.permutation(np.arange(1, 60))])
    far = np.concatenate([[0], rng.permutation(np.arange(1, 60)) * 10_000_000])
    thresholds = (0.5, 0.7, 0.9)
    expected = average_precision(prediction, target, thresholds)
    assert 0 < expected["mean_ap"] < 1
    assert average_precision(renumber[prediction], far[target], thresholds) == pytest.approx(expected)


def test_a_perfect_prediction_of_a_volume_with_a_channel_axis():
    labels = np.zeros((6, 20, 20), dtype=np.uint16)
    labels[1:4, 2:9, 2:9] = 3
    labels[2:5, 11:18, 4:9] = 8
    figures = average_precision(labels.astype(np.int32)[None], labels, (0.5, 0.9))
    assert {v for k, v in figures.items() if "objects" not in k} == {1.0}
    assert figures["objects"] == 2


@pytest.mark.parametrize(("predicted", "present", "expected"), [(0, 0, 1.0), (0, 2, 0.0), (2, 0, 0.0)])
def test_empty_label_images(predicted, present, expected):
    spans = ((0, 10), (20, 30))
    figures = average_precision(boxes(*spans[:predicted]), boxes(*spans[:present]), (0.5, 0.75))
    assert {value for name, value in figures.items() if "objects" not in name} == {expected}


@pytest.mark.parametrize("bad", [np.array([[0.0, 1.5]]), np.array([[0.0, np.nan]]), np.array([[0, -1]])])
def test_what_is_no_label_image_is_refused(bad):
    with pytest.raises(DataError, match="prediction"):
        average_precision(bad, np.array([[0, 1]]))


def test_whole_numbers_stored_as_float_are_labels():
    target = boxes((0, 10), (20, 30))
    assert average_precision(target.astype(np.float32), target)["ap@0.50"] == 1.0


def test_cost_grows_with_pixels_and_not_with_objects():
    grid = np.kron(np.arange(1, 90_001).reshape(300, 300), np.ones((4, 4), dtype=np.int64))
    figures = average_precision(np.roll(grid, 1, axis=1), grid, (0.5, 0.9))  # a loop over 90,000 masks takes hours
    assert figures["objects"] == 90_000
    assert figures["ap@0.50"] == pytest.approx(1.0)  # 12 of 20 pixels shared
    assert figures["ap@0.90"] == 0.0


@pytest.mark.parametrize("metric", [*IMAGE_METRICS, dice, iou, average_precision])
def test_shapes_that_differ_are_refused(metric):
    with pytest.raises(DataError, match=r"'\(12, 13\)'"):
        metric(np.zeros((12, 13), dtype=np.uint8), np.zeros((12, 12), dtype=np.uint8))


@pytest.mark.parametrize("metric", [*IMAGE_METRICS, dice, iou])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(metric, value):
    image = np.ones((12, 12), dtype=np.float32)
    image[3, 3] = value
    with pytest.raises(DataError, match="'1' pixels"):
        metric(image, np.ones((12, 12), dtype=np.float32))


@pytest.mark.parametrize("figure", [dice, iou])
def test_ignored_pixels_are_as_if_cut_off(figure):
    rng = np.random.default_rng(0)
    prediction, target = rng.integers(0, 3, (12, 12)), rng.integers(0, 3, (12, 12))
    expected = figure(prediction[:, :8], target[:, :8])
    target[:, 8:] = 255
    assert figure(prediction, target, ignore_index=255) == expected
    assert figure(prediction, target) != expected
    assert figure(prediction, np.full_like(target, 255), ignore_index=255) == {figure.__name__: 1.0}


def test_dice_and_iou_worked_out_by_hand():
    target = np.array([[0, 1, 1, 1, 2, 2]])
    prediction = np.array([[0, 1, 1, 2, 2, 2]])
    assert dice(prediction, target) == pytest.approx({"dice": 0.8, "dice_class_1": 4 / 5, "dice_class_2": 4 / 5})
    assert iou(prediction, target)["iou"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert dice(prediction, target, include_background=True)["dice"] == pytest.approx((1 + 0.8 + 0.8) / 3)
    assert iou(prediction, target, foreground=True) == {"iou": 1.0}


def test_masks_may_be_stored_in_several_ways():
    target = np.array([[0, 255, 255, 0]], dtype=np.uint8)
    for row in ([0, 1, 1, 1], [False, True, True, True], [0.1, 0.9, 0.7, 0.6]):
        assert dice(np.array([row]), target)["dice"] == pytest.approx(4 / 5)


def test_classes_that_occur_nowhere_do_not_count():
    empty, full = np.zeros((4, 4), dtype=np.uint8), np.ones((4, 4), dtype=np.uint8)
    assert (dice(empty, empty), iou(empty, empty)) == ({"dice": 1.0}, {"iou": 1.0})
    assert dice(full, empty)["dice"] == dice(empty, full)["dice"] == 0.0
    assert set(dice(full * 3, full * 3)) == {"dice"}


def test_image_metrics_agree_with_other_libraries():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import pearson_corrcoef
    from torchmetrics.functional.image import structural_similarity_index_measure

    rng = np.random.default_rng(0)
    target = rng.random((40, 40)) * 3 + 5
    prediction = target + rng.normal(0, 0.2, target.shape)
    span = np.ptp(target)
    other = peak_signal_noise_ratio(target, prediction, data_range=span)
    assert psnr(prediction, target)["psnr"] == pytest.approx(other)
    tensors = [torch.from_numpy(array) for array in (prediction, target)]
    assert pearson(prediction, target)["pearson"] == pytest.approx(float(pearson_corrcoef(*map(torch.ravel, tensors))))
    other = structural_similarity_index_measure(*(t[None, None] for t in tensors), data_range=span)
    assert ssim(prediction, target)["ssim"] == pytest.approx(float(other), abs=2e-3)  # borders are cut differently
    assert mae(prediction, target)["mae"] == pytest.approx(np.abs(prediction - target).mean())


def test_unsigned_integers_do_not_wrap_around():
    target, prediction = np.full((12, 12), 10, dtype=np.uint8), np.full((12, 12), 13, dtype=np.uint8)
    assert mae(target, prediction)["mae"] == mae(prediction, target)["mae"] == 3.0


def test_ssim_is_averaged_over_planes():
    rng = np.random.default_rng(1)
    target = rng.random((2, 3, 20, 20))
    prediction = target + rng.normal(0, 0.1, target.shape)
    planes = [ssim(prediction[i, j], target[i, j], data_range=1.0)["ssim"] for i in range(2) for j in range(3)]
    assert ssim(prediction, target, data_range=1.0)["ssim"] == pytest.approx(np.mean(planes))
    with pytest.raises(DataError, match="too small"):
        ssim(prediction[..., :8], target[..., :8])


def test_constant_images_have_defined_figures():
    flat, other = np.full((16, 16), 2.0), np.full((16, 16), 3.0)
    noisy = np.random.default_rng(0).random((16, 16))
    assert [metric(flat, flat)[metric.__name__] for metric in IMAGE_METRICS] == [100.0, 1.0, 1.0, 0.0, 0.0]
    assert pearson(noisy, flat) == pearson(flat, noisy) == pearson(flat, other) == {"pearson": 0.0}
    for one, two in combinations((flat, other, noisy), 2):
        for metric in IMAGE_METRICS:
            assert all(np.isfinite(value) for pair in ((one, two), (two, one)) for value in metric(*pair).values())
    assert psnr(other, flat)["psnr"] == pytest.approx(0.0)  # as wrong as the range of both images allows


def test_pearson_survives_tiny_and_huge_intensities():
    image = np.random.default_rng(0).random((16, 16))
    for scale in (1e-200, 1e200):
        assert pearson(image * scale, image)["pearson"] == pytest.approx(1.0)


def test_every_declared_metric_builds_and_yields_its_primary_figure():
    image = np.zeros((24, 24), dtype=np.uint8)
    image[6:13, 8:13] = 1
    pairwise = [metric for metric in METRICS if not metric.of_sets]
    for metric in pairwise:
        figures = metric.factory(metric.config())(image, image)
        assert metric.primary in figures
        assert figures[metric.primary] == (100.0 if metric.name == "psnr" else 0.0 if metric.name in ERRORS else 1.0)
        assert metric.higher_is_better == (metric.name not in ERRORS)
    names = {"average-precision", "instance-iou", "dice", "iou", "psnr", "ssim", "pearson", *ERRORS}
    assert {metric.name for metric in pairwise} == names


def test_thresholds_are_checked_and_do_not_move_the_primary_figure():
    assert AveragePrecisionConfig(thresholds=(0.9, 0.7)).thresholds == (0.7, 0.9)
    for bad in ((), (0.0, 0.5), (0.5, 1.1), (0.5, 0.5), (0.501,)):
        with pytest.raises(ValidationError):
            AveragePrecisionConfig(thresholds=bad)
    figures = average_precision(boxes((0, 10), (20, 30)), boxes((0, 6)), (0.7,))
    assert (figures["ap@0.50"], figures["mean_ap"]) == (0.5, 0.0)


def test_declarations_load_nothing_heavy():
    code = (
        "import sys, im2im_core.builtin.metric_declarations;"
        "bad = {'torch', 'scipy', 'skimage', 'matplotlib', 'monai'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the shared golden vectors are not part of the repository")
@pytest.mark.parametrize("case", [0, 1, 2])
def test_instance_iou_is_the_published_one_but_for_missed_objects(case):
    with np.load(GOLDEN, allow_pickle=False) as stored:
        target, prediction, value = (stored[f"{name}_{case}"] for name in ("gt", "pred", "value"))
        if case == 1:
            kept = stored["exclusion_1"] == 0
            target, prediction = target * kept, prediction * kept
    figures = instance_iou(prediction, target, count_missed=False)
    assert figures["instance_iou"] == pytest.approx(float(value), abs=1e-5)
    # The reference leaves out what was not found, so that one good object is enough for a good score.
    alone = np.where(prediction == np.bincount(prediction[prediction > 0]).argmax(), prediction, 0)
    assert instance_iou(alone, target)["instance_iou"] < 0.3


def test_instance_iou_worked_out_by_hand():
    target = np.zeros((30, 40), int)
    target[10:20, 10:20], target[10:20, 25:35], target[0:3, 0:3] = 7, 900, 5  # the last one touches the border
    prediction = np.zeros_like(target)
    prediction[10:20, 10:14], prediction[10:20, 14:24] = 1, 2  # two pieces, the second 40 pixels too large
    # 100 of 140 pixels, and an object that was missed
    assert instance_iou(prediction, target)["instance_iou"] == pytest.approx((100 / 140 + 0) / 2)
    assert instance_iou(prediction, target, count_missed=False)["instance_iou"] == pytest.approx(100 / 140)
    assert instance_iou(prediction, target, inside=0.7, count_missed=False)["instance_iou"] == pytest.approx(0.4)
    assert instance_iou(target, target)["instance_iou"] == 1
    assert np.isnan(instance_iou(target, np.zeros_like(target))["instance_iou"])
