"""`im2im inspect` as a user meets it: objects, classes, and files that lack their partner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from im2im_core.cli import app
from im2im_core.data.target_counts import TargetCounts, counted
from im2im_core.errors import DataError
from im2im_core.incomplete import find_complete
from im2im_core.registry import Registry

PLANNED = bool([entry for entry in Registry.discover().components("network") if entry.component.name == "auto"])


def write(folder: Path, stem: str, target: np.ndarray | None, image: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    shape = (40, 50) if target is None else target.shape
    # 0.5 micrometres in a pixel, as ImageJ stores it.
    settings = {"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "um", "axes": "ZYX"[-len(shape) :]}}
    if len(shape) == 3:
        settings["metadata"]["spacing"] = 2.0
    if image:
        tifffile.imwrite(
            folder / f"{stem}_IM.tiff", np.arange(np.prod(shape)).reshape(shape).astype(np.uint16), **settings
        )
    if target is not None:
        tifffile.imwrite(folder / f"{stem}_GT.tiff", target.astype(np.uint16), **settings)


def labels(*sides: int) -> np.ndarray:
    """Squares with these sides, numbered."""
    target = np.zeros((40, 50), np.uint16)
    for number, side in enumerate(sides, 1):
        target[2 : 2 + side, 12 * (number - 1) : 12 * (number - 1) + side] = number
    return target


def inspected(folder: Path) -> tuple[dict[str, str], str, int]:
    """Rows by name, what went to the error stream, exit code."""
    done = CliRunner().invoke(app, ["inspect", str(folder)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return {line[:18].strip(): line[18:] for line in done.stdout.splitlines()}, done.stderr, done.exit_code


def test_sizes_of_objects_in_pixels_and_micrometres(tmp_path: Path) -> None:
    write(tmp_path, "a", labels(4, 6, 8, 10))
    write(tmp_path, "b", labels(4, 6, 8))
    rows, errors, code = inspected(tmp_path)
    assert (code, errors) == (0, "")
    assert rows["objects"] == "7 in 2 targets"
    sizes = np.array([16, 36, 64, 100, 16, 36, 64])
    low, median, high = np.percentile(sizes, (5, 50, 95))
    assert rows["object size"] == (
        f"median {median:.4g} pixels, 5-95 % {low:.4g} to {high:.4g}; "
        f"median {median / 4:.4g} um2, 5-95 % {low / 4:.4g} to {high / 4:.4g}"
    )
    diameter = 2 * np.sqrt(36 / np.pi)
    assert f"median {diameter:.4g} pixels" in rows["object diameter"]
    assert f"median {diameter / 2:.4g} um" in rows["object diameter"]
    assert rows["class balance"].startswith("0 91.70 %, 1 0.80 %")


def test_objects_in_volumes(tmp_path: Path) -> None:
    target = np.zeros((6, 20, 30), np.uint16)
    target[1:3, 2:12, 2:12], target[1:5, 2:12, 16:26] = 1, 2
    write(tmp_path, "a", target)
    rows, _, _ = inspected(tmp_path)
    assert rows["objects"] == "2 in 1 target"
    # A voxel is 0.5 x 0.5 x 2 micrometres.
    assert rows["object size"].startswith("median 300 voxels, 5-95 % 210 to 390; median 150 um3")
    assert f"median {np.mean([(6 * v / np.pi) ** (1 / 3) for v in (100, 200)]):.4g} um" in rows["object diameter"]


def test_classes_have_a_balance_and_no_sizes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, (40, 50))
    write(tmp_path, "a", classes)
    rows, _, _ = inspected(tmp_path)
    shares = [f"{number} {100 * float(np.mean(classes == number)):.2f} %" for number in range(3)]
    assert rows["class balance"] == ", ".join(shares)
    assert "objects" not in rows
    write(tmp_path, "a", (classes > 1) * 255)
    assert inspected(tmp_path)[0]["class balance"].endswith(f"255 {100 * float(np.mean(classes > 1)):.2f} %")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint64, bool])
def test_counting_without_sorting_is_counting(dtype: type) -> None:
    array = np.random.default_rng(0).integers(0, 2 if dtype is bool else 99, (3, 40, 50)).astype(dtype)
    for number, pixels in zip(*counted(array), strict=True):
        assert pixels == np.count_nonzero(array == number)
    assert counted(array)[1].sum() == array.size


def test_counting_far_and_negative_numbers() -> None:
    numbers, pixels = counted(np.array([[-3, 2**40, 2**40]]))
    assert (numbers.tolist(), pixels.tolist()) == ([-3, 2**40], [1, 2])
    counts = TargetCounts()
    counts.add(np.zeros((1, 4, 4), np.uint8))
    counts.add(np.full((1, 4, 4), 0.5))
    assert counts.classes() == {}


# --- files without partner


def test_pairs_that_exist_are_described_and_the_others_named(tmp_path: Path) -> None:
    write(tmp_path, "a", labels(4, 6))
    for number in range(11):
        write(tmp_path, f"x{number:02}", None)
    write(tmp_path, "only_target", labels(4), image=False)
    rows, errors, code = inspected(tmp_path)
    assert code == 0
    assert rows["pairs"] == "1"
    assert rows["objects"] == "2 in 1 target"
    assert errors.startswith("warning: 12 files have no partner: 'x00_IM.tiff', 'x01_IM.tiff'")
    assert "'x09_IM.tiff' and 2 more" in errors
    assert rows["without partner"] in errors
    if PLANNED:
        assert "planned by --netwo" in " ".join(rows)


def test_nothing_complete_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a", None)
    with pytest.raises(DataError, match=r"1 of 1 images in .* have no target"):
        inspected(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        inspected(tmp_path / "nowhere")


def test_layouts_with_gaps(tmp_path: Path) -> None:
    for name in (
        "train/IM/a.tiff",
        "train/GT/a.tiff",
        "train/IM/b.tiff",
        "val/c_IM.tiff",
        "val/c_GT.tiff",
        "val/d_CM.tiff",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for source in (tmp_path, {"train": tmp_path / "train", "val": str(tmp_path / "val")}):
        subjects, alone = find_complete(source)
        assert [subject.stem for subject in subjects] == ["a", "c"]
        assert [path.name for path in alone] == ["b.tiff", "d_CM.tiff"]


def test_tables_with_gaps(tmp_path: Path) -> None:
    for name in ("a.tiff", "b.tiff", "a_GT.tiff"):
        (tmp_path / name).touch()
    table = tmp_path / "t.csv"
    table.write_text("image,target\na.tiff,a_GT.tiff\nb.tiff,\nc.tiff,a_GT.tiff\n")
    subjects, alone = find_complete(table)
    assert [subject.stem for subject in subjects] == ["a"]
    assert [path.name for path in alone] == ["b.tiff", "c.tiff"]
