"""The classical baseline: what it finds, and that it is as strong as it should be on real nuclei."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from im2im_core.baseline import blur, inverted, otsu_mask, otsu_watershed
from im2im_core.builtin.instance_metrics import average_precision
from im2im_core.demo_images import make_nuclei
from im2im_core.errors import DataError

NUCLEI = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuclei2d" / "holdout"


def disks(*centres, shape=(80, 80), radius=11):
    y, x = np.indices(shape)
    image = np.full(shape, 100.0)
    for cy, cx in centres:
        image[np.hypot(y - cy, x - cx) < radius] = 900
    return image


def test_touching_disks_are_split_and_a_single_one_is_not():
    labels = otsu_watershed(disks((25, 20), (25, 40), (60, 60)).astype(np.uint16))
    assert labels.dtype == np.int32
    assert labels.max() == 3
    assert len({labels[25, 20], labels[25, 40], labels[60, 60]}) == 3


def test_specks_are_dropped_and_holes_filled():
    image = disks((40, 40))
    image[5, 5] = image[38:41, 38:41] = 0
    image[5, 5] = 900
    labels = otsu_watershed(image, smoothing=0)
    assert labels.max() == 1
    assert labels[40, 40] == 1 and labels[5, 5] == 0


def test_volumes_are_labelled_too():
    z, y, x = np.indices((20, 40, 60))
    image = np.zeros(z.shape)
    for centre in (14, 32):
        image[np.sqrt((z - 10) ** 2 + (y - 20) ** 2 + (x - centre) ** 2) < 10] = 100
    assert otsu_watershed(image).max() == 2


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_has_no_objects(value):
    assert not otsu_watershed(np.full((32, 32), value, dtype=np.uint8)).any()


def test_what_cannot_be_labelled_is_refused():
    with pytest.raises(DataError, match="shape"):
        otsu_watershed(np.zeros((1, 1, 8, 8)))
    with pytest.raises(DataError, match="NaN"):
        otsu_watershed(np.array([[0.0, np.nan]]))


def test_it_beats_thresholding_alone_on_generated_nuclei():
    gain = []
    for seed in range(6):
        image, truth = make_nuclei(np.random.default_rng((seed, 77)))
        labels = otsu_watershed(image)
        parts, _ = ndimage.label(labels > 0)
        gain.append(average_precision(labels, truth)["ap@0.50"] - average_precision(parts, truth)["ap@0.50"])
    assert np.mean(gain) > 0.05


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="the shared images are not part of the repository")
def test_strength_on_real_nuclei():
    scores = []
    for path in sorted(NUCLEI.glob("*_IM.tiff")):
        truth = tifffile.imread(path.with_name(path.name.replace("_IM", "_GT")))
        scores.append(average_precision(otsu_watershed(tifffile.imread(path)), truth)["ap@0.50"])
    assert len(scores) == 24
    assert 0.81 < np.mean(scores) < 0.86  # a weak baseline would flatter every model


def test_otsu_finds_bright_or_dark_pixels() -> None:
    image = np.zeros((32, 32))
    image[8:24, 8:24] = 100
    bright, dark = otsu_mask(image), otsu_mask(image, bright=False)
    assert bright[16, 16] == 1 and bright[0, 0] == 0
    assert (bright + dark == 1).all()
    assert otsu_mask(np.ones((8, 8))).sum() == 0


def test_blur_keeps_the_mean_and_takes_the_noise() -> None:
    noise = np.random.default_rng(0).normal(100, 10, (64, 64))
    assert np.array_equal(blur(noise, sigma=0), noise.astype(np.float32))
    blurred = blur(noise, sigma=2)
    assert blurred.mean() == pytest.approx(noise.mean(), rel=1e-3) and blurred.std() < 0.3 * noise.std()


def test_inverting_keeps_the_range_and_turns_the_order() -> None:
    ramp = np.tile(np.arange(50.0), (20, 1))
    turned = inverted(ramp, sigma=0)
    assert (turned.min(), turned.max()) == (0, 49)
    assert np.array_equal(turned, ramp[:, ::-1])
