"""Blocks of an image, and labels joined over their borders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.measure import label as connected

from im2im_core.blocks import Block, blocks_of_pieces, columns, cut_blocks
from im2im_core.label_merging import LabelMerger, label_type


@pytest.mark.parametrize(
    ("shape", "size", "halo"), [((50, 70), (16, 20), 5), ((10, 10), (20, 20), 3), ((9, 20, 21), (4, 8, 8), 2)]
)
def test_cores_tile_the_image(shape: tuple[int, ...], size: tuple[int, ...], halo: int) -> None:
    covered = np.zeros(shape, int)
    positions = np.arange(covered.size).reshape(shape)
    for block in cut_blocks(shape, size, halo):
        covered[block.core] += 1
        np.testing.assert_array_equal(positions[block.read][block.inner], positions[block.core])
        assert all(0 <= r.start <= c.start and c.stop <= r.stop for c, r in zip(block.core, block.read, strict=True))
    assert (covered == 1).all()


def test_columns_keep_to_the_memory() -> None:
    blocks = cut_blocks((40, 400, 300), (20, 50, 50), 4)
    groups = columns(blocks, math.prod, limit=120 * 120)
    assert len(groups) > 1
    assert sorted(b.index for group in groups for b in group) == sorted(b.index for b in blocks)
    for group in groups:
        height = max(b.read[1].stop for b in group) - min(b.read[1].start for b in group)
        width = max(b.read[2].stop for b in group) - min(b.read[2].start for b in group)
        assert height * width <= 120 * 120
    assert len(columns(blocks, math.prod)) == 1


def test_blocks_are_gathered_from_pieces() -> None:
    image = np.random.default_rng(0).random((2, 61, 40))
    blocks = cut_blocks((61, 40), (16, 16), 6)
    regions = [(slice(y, min(y + 7, 61)), slice(x, min(x + 9, 40))) for y in range(0, 61, 7) for x in range(0, 40, 9)]
    asked = 0

    def pieces() -> Any:
        nonlocal asked
        for region in regions:
            asked += 1
            yield region, image[(slice(None), *region)]

    given = []
    for block, piece in blocks_of_pieces(pieces(), blocks):
        np.testing.assert_array_equal(piece, image[(slice(None), *block.read)])
        given.append((block.index, asked))
    assert sorted(index for index, _ in given) == sorted(block.index for block in blocks)
    # The first block comes with the piece that completes it, not with the last one.
    assert given[0] == ((0, 0), next(n for n, r in enumerate(regions, 1) if r[0].stop >= 22 and r[1].stop >= 22))


def discs(shape: tuple[int, ...], number: int, seed: int) -> Any:
    """Round objects that do not touch."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape)
    mask = np.zeros(shape, bool)
    for _ in range(number):
        middle, radius = rng.uniform(0, shape), rng.uniform(2, 7)
        disc = sum((axis - m) ** 2 for axis, m in zip(grid, middle, strict=True)) < radius**2
        if not (mask & (sum((axis - m) ** 2 for axis, m in zip(grid, middle, strict=True)) < (radius + 2) ** 2)).any():
            mask |= disc
    return mask


def merged(mask: Any, size: tuple[int, ...], halo: int, folder: Path) -> tuple[Any, LabelMerger]:
    merger = LabelMerger(folder)
    for block in cut_blocks(mask.shape, size, halo):
        merger.add(block, connected(mask[block.read]))
    merger.finish()
    result = np.zeros(mask.shape, np.uint32)
    for block, labels in merger.cores():
        assert labels.dtype == np.uint16
        result[block.core] = labels
    return result, merger


@pytest.mark.parametrize(("shape", "size"), [((120, 150), (30, 40)), ((40, 60, 50), (20, 30, 25))])
def test_objects_are_those_of_the_whole_image(shape: tuple[int, ...], size: tuple[int, ...], tmp_path: Path) -> None:
    mask = discs(shape, 60, 1)
    found, merger = merged(mask, size, 15, tmp_path)
    whole = connected(mask)
    assert merger.count == whole.max() > 15
    pairs = np.unique(np.stack([whole.ravel(), found.ravel()]), axis=1)
    # One number for one object: as many pairs as objects, and background.
    assert pairs.shape[1] == whole.max() + 1
    assert set(np.unique(found)) == set(range(merger.count + 1))


def test_an_object_over_many_blocks_has_one_label(tmp_path: Path) -> None:
    mask = np.zeros((90, 90), bool)
    mask[10:80, 10:80] = True
    mask[20:70, 20:70] = False
    found, merger = merged(mask, (30, 30), 8, tmp_path)
    assert merger.count == 1
    np.testing.assert_array_equal(found, mask)


def test_neighbours_stay_apart(tmp_path: Path) -> None:
    """Two objects that touch at the border of two blocks, each found by both blocks."""
    truth = np.zeros((20, 40), int)
    truth[5:15, 12:20], truth[5:15, 20:28] = 1, 2
    merger = LabelMerger(tmp_path)
    for block in cut_blocks(truth.shape, (20, 20), 10):
        merger.add(block, truth[block.read], np.array([0.25, 0.75]))
    scores = merger.finish()
    assert merger.count == 2
    np.testing.assert_allclose(scores, [0.25, 0.75])
    left, right = (labels for _, labels in merger.cores())
    assert set(np.unique(left)) == {0, 1}
    assert set(np.unique(right)) == {0, 2}


def test_an_object_that_only_a_halo_sees_gets_no_number(tmp_path: Path) -> None:
    merger = LabelMerger(tmp_path)
    first, second = cut_blocks((10, 20), (10, 10), 4)
    seen = np.zeros((10, 14), int)
    seen[3:6, 11:13] = 1
    merger.add(first, seen)
    merger.add(second, np.zeros((10, 14), int))
    assert len(merger.finish()) == merger.count == 0
    assert all(not labels.any() for _, labels in merger.cores())


def test_no_block_and_many_objects(tmp_path: Path) -> None:
    empty = LabelMerger(tmp_path)
    assert len(empty.finish()) == 0
    assert label_type(65535) is np.uint16
    assert label_type(65536) is np.uint32
    many = LabelMerger(tmp_path)
    whole = Block((0, 0), (slice(0, 300), slice(0, 300)), (slice(0, 300), slice(0, 300)))
    many.add(whole, np.arange(90000).reshape(300, 300))
    many.finish()
    (labels,) = (labels for _, labels in many.cores())
    assert labels.dtype == np.uint32
    assert labels.max() == many.count == 89999
