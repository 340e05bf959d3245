"""Generated nuclei: the same for the same seed, plausible, and neither trivial nor hopeless."""

import numpy as np
import pytest
from scipy import ndimage

from im2im_core.baseline import otsu_watershed
from im2im_core.builtin.instance_metrics import average_precision
from im2im_core.demo_images import make_nuclei, write_demo


@pytest.fixture(scope="module")
def fields():
    return [make_nuclei(np.random.default_rng((3, index))) for index in range(10)]


def test_shapes_and_types(fields):
    image, labels = make_nuclei(np.random.default_rng(0), (96, 160))
    assert image.shape == labels.shape == (96, 160)
    assert image.dtype == labels.dtype == np.uint16
    assert all(image.std() > 0 and labels.max() >= 8 for image, labels in fields)


def test_equal_seeds_give_equal_pictures_and_others_do_not():
    first, second, third = (make_nuclei(np.random.default_rng(seed), (128, 128)) for seed in (5, 5, 6))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], third[0])


def test_each_nucleus_is_one_piece_and_numbers_have_no_gaps(fields):
    for _, labels in fields:
        sizes = np.bincount(labels.ravel())[1:]
        assert (sizes >= 40).all()
        assert all(ndimage.label(labels == label)[1] == 1 for label in range(1, len(sizes) + 1))


def test_some_nuclei_touch(fields):
    borders = [(labels[1:] != labels[:-1]) & (labels[1:] > 0) & (labels[:-1] > 0) for _, labels in fields]
    assert sum(map(np.count_nonzero, borders)) > 50


def test_the_light_is_uneven_and_the_brightness_of_nuclei_varies(fields):
    ratios = []
    for image, labels in fields:
        means = ndimage.mean(image.astype(float) - 100, labels, np.arange(1, labels.max() + 1))
        background = np.median(image[labels == 0]) - 100
        assert background > 0
        ratios.append(np.percentile(means, 90) / np.percentile(means, 10))
    assert np.median(ratios) > 2


def test_a_classical_method_finds_many_but_not_all(fields):
    score = np.mean([average_precision(otsu_watershed(image), labels)["ap@0.50"] for image, labels in fields])
    assert 0.5 < score < 0.78


def test_pairs_are_written_for_training_and_for_testing(tmp_path):
    written = {}
    train, test = write_demo(tmp_path, 2, 1, 9, written.__setitem__, size=64)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == [
        "test/nuclei_000_GT.tiff",
        "test/nuclei_000_IM.tiff",
        "train/nuclei_000_GT.tiff",
        "train/nuclei_000_IM.tiff",
        "train/nuclei_001_GT.tiff",
        "train/nuclei_001_IM.tiff",
    ]
    assert train.is_dir() and test.is_dir()
    image = written[train / "nuclei_000_IM.tiff"]
    assert (image.axes, image.pixel_size) == ("YX", {"Y": 0.5, "X": 0.5})
    again = {}
    write_demo(tmp_path, 1, 1, 9, again.__setitem__, size=64)
    for path, repeated in again.items():
        assert np.array_equal(repeated.data, written[path].data)
    assert not np.array_equal(written[train / "nuclei_000_IM.tiff"].data, written[test / "nuclei_000_IM.tiff"].data)
