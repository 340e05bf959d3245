"""A large mosaic clustered block by block gives the objects of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.blocks import cut_blocks
from im2im_core.demo_images import make_nuclei
from im2im_core.label_merging import LabelMerger
from im2im_embedseg.clustering import cluster_objects
from im2im_embedseg.config import ClusteringConfig

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nuclei2d" / "train"
SIDE, PIECE = 4096, 256
GRID: dict[str, Any] = {"grid": (1024, 1024), "pixel": (1.0, 1.0), "n_sigma": 2}
# tanh reaches over one image of the grid, whose pixels are so far apart.
STEP = 1 / 1023


def real_pieces() -> list[Any]:
    if not REAL.is_dir():
        pytest.skip("the shared images are not part of the repository")
    tifffile = pytest.importorskip("tifffile")
    return [tifffile.imread(path)[:PIECE, :PIECE] for path in sorted(REAL.glob("*_GT.tif*"))[:40]]


def generated_pieces() -> list[Any]:
    return [make_nuclei(np.random.default_rng(seed), (PIECE, PIECE), density=8)[1] for seed in range(12)]


def mosaic(pieces: list[Any]) -> Any:
    """Labels side by side, numbered 1, 2, ..., with gaps filled where a piece is small."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    number = 0
    for index, (top, left) in enumerate(np.ndindex(SIDE // PIECE, SIDE // PIECE)):
        piece = pieces[index % len(pieces)].astype(np.int32)
        place = labels[top * PIECE :, left * PIECE :][: piece.shape[0], : piece.shape[1]]
        place[...] = np.where(piece > 0, piece + number, 0)
        number += int(piece.max())
    return np.unique(labels, return_inverse=True)[1].reshape(SIDE, SIDE)


def as_a_network_predicts(labels: Any, rng: np.random.Generator) -> Any:
    """Offsets to the centroids with noise, bandwidths of the objects' size, seeds that fall from the centre."""
    places = np.nonzero(labels)
    own = labels[places]
    pixels = np.maximum(np.bincount(own), 1)
    offsets = [np.bincount(own, place)[own] / pixels[own] - place for place in places]
    noisy = [np.clip((offset + rng.normal(0, 1.5, offset.shape)) * STEP, -0.99, 0.99) for offset in offsets]
    prediction = np.zeros((5, *labels.shape), np.float32)
    prediction[(0, *places)], prediction[(1, *places)] = np.arctanh(noisy[1]), np.arctanh(noisy[0])
    radius = 0.8 * np.sqrt(pixels[own] / np.pi)
    for channel in (2, 3):
        prediction[(channel, *places)] = np.log(np.log(2) / (radius * STEP) ** 2) / 10
    distance = np.hypot(*offsets)
    prediction[4] = -5
    prediction[(4, *places)] = 4 - 3 * distance / distance.max() + rng.normal(0, 0.3, distance.shape)
    return prediction


def identical(whole: Any, found: Any) -> int:
    """Objects of the whole that another labelling has with the same pixels."""
    pairs, common = np.unique(
        whole.ravel().astype(np.int64) * (int(found.max()) + 1) + found.ravel(), return_counts=True
    )
    one, other = np.divmod(pairs, int(found.max()) + 1)
    same = (common == np.bincount(whole.ravel())[one]) & (common == np.bincount(found.ravel())[other])
    return int((same & (one > 0) & (other > 0)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [real_pieces, generated_pieces], ids=["real", "generated"])
def test_mosaic_in_blocks_is_the_mosaic_at_once(pieces: Any, tmp_path: Path) -> None:
    prediction = as_a_network_predicts(mosaic(pieces()), np.random.default_rng(0))
    whole, _ = cluster_objects(prediction, **GRID)
    merger = LabelMerger(tmp_path)
    # Borders of blocks that are no borders of the mosaic's pieces, so that they cut objects.
    for block in cut_blocks((SIDE, SIDE), (700, 900), ClusteringConfig().halo):
        merger.add(block, *cluster_objects(prediction[(slice(None), *block.read)], **GRID))
    scores = merger.finish()
    found = np.zeros((SIDE, SIDE), np.uint32)
    cut = 0
    for block, labels in merger.cores():
        found[block.core] = labels
        cut += len(np.intersect1d(labels[:, -1], labels[labels > 0]))
    objects = int(whole.max())
    assert objects > 2000
    assert cut > 100, "hardly an object lies over a border: nothing was tested"
    assert merger.count == len(scores) == pytest.approx(objects, rel=0.005)
    assert identical(whole, found) >= 0.995 * objects
