"""Constructor signatures read from source, and the check of arguments against them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from im2im_core.arguments import Parameter, Signature
from im2im_core.errors import ComponentError
from im2im_core.signatures import REFUSED, check_arguments, monai_transforms, torch_class


def test_nothing_heavy_is_imported_and_it_is_quick():
    code = """
import sys, time
import im2im_core.errors
started = time.process_time()
from im2im_core.optim import check_optimizer, check_scheduler
from im2im_core.signatures import check_arguments, monai_transforms
table = monai_transforms()
for name in ("RandFlipd", "RandAffined", "RandGaussianNoised"):
    assert check_arguments(name, table[name], {"prob": 0.5}) == []
assert check_optimizer("adamw", {"lr": 0.001}) == []
assert check_scheduler("cosine", {}) == []
took = time.process_time() - started
print(took, *[m for m in ("torch", "monai", "numpy") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, *heavy = done.stdout.split()
    assert "torch" not in heavy
    assert "monai" not in heavy
    assert float(took) < 0.15


def test_signature_equals_that_of_the_imported_class():
    import inspect

    import monai.transforms

    table = monai_transforms()
    for name in table:
        actual = list(inspect.signature(getattr(monai.transforms, name).__init__).parameters.values())[1:]
        named = [p.name for p in actual if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        assert list(table[name].names) == named, name
        assert table[name].open == any(p.kind is p.VAR_KEYWORD for p in actual), name
        assert issubclass(getattr(monai.transforms, name), monai.transforms.MapTransform), name
        random = issubclass(getattr(monai.transforms, name), monai.transforms.Randomizable)
        assert table[name].random == random, name


def test_common_transforms_and_their_aliases_are_offered():
    table = monai_transforms()
    assert {"RandFlipd", "RandFlipD", "RandFlipDict", "RandZoomd", "Spacingd", "RandAdjustContrastd"} <= set(table)
    assert table.canonical("RandFlipDict") == "RandFlipd"
    assert table["RandFlipDict"] == table["RandFlipd"]
    assert "RandFlip" not in table
    with pytest.raises(KeyError):
        table["RandFlip"]


def test_what_could_run_code_is_not_offered():
    table = monai_transforms()
    assert not set(REFUSED) & set(table)
    assert not {"LoadImaged", "SaveImaged", "Lambdad", "LambdaDict", "TorchVisiond", "InvertD", "MapTransform"} & set(
        table
    )


def test_defaults_of_keys():
    table = monai_transforms()
    assert table["RandFlipd"].get("keys").default == ("image", "target", "costmap")
    assert table["RandGaussianNoised"].get("keys").default == ("image",)
    assert table["RandFlipd"].get("prob") == Parameter("prob", False, 0.1, "float")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"prop": 0.5}, "'RandFlipd' has no setting 'prop'; did you mean prob?"),
        ({"zzz": 0.5}, "'RandFlipd' has no setting 'zzz'; it has keys, prob, spatial_axis, allow_missing_keys, lazy"),
        ({"prob": "often"}, "'prob' of 'RandFlipd' must be a number, not 'often'"),
        ({"prob": True}, "'prob' of 'RandFlipd' must be a number, not 'True'"),
        ({"spatial_axis": "x"}, "'spatial_axis' of 'RandFlipd' must be a whole number or a list or null, not 'x'"),
        ({"allow_missing_keys": 1}, "'allow_missing_keys' of 'RandFlipd' must be true or false, not '1'"),
    ],
)
def test_problems(arguments, problem):
    assert check_arguments("RandFlipd", monai_transforms()["RandFlipd"], arguments) == [problem]


def test_all_problems_are_told_at_once():
    problems = check_arguments("Spacingd", monai_transforms()["Spacingd"], {"pixdm": 1, "diagonal": "no"})
    assert [p.split("'")[1] for p in problems] == ["Spacingd", "diagonal", "Spacingd"]
    assert problems[2] == "'Spacingd' needs a value for 'pixdim'"


@pytest.mark.parametrize("arguments", [{}, {"prob": 1}, {"prob": 0.5, "spatial_axis": [0, 1]}, {"spatial_axis": None}])
def test_right_arguments(arguments):
    assert check_arguments("RandFlipd", monai_transforms()["RandFlipd"], arguments) == []


def test_an_open_signature_takes_any_name():
    assert check_arguments("f", Signature((), open=True), {"anything": 1}) == []


def test_missing_class_and_missing_package(monkeypatch):
    with pytest.raises(ComponentError, match="no 'AdamZ'"):
        torch_class("optim/adam.py", "AdamZ")
    with pytest.raises(ComponentError, match="no 'Adam'"):
        torch_class("optim/nowhere.py", "Adam")
    monkeypatch.setattr("im2im_core.signatures.find_spec", lambda name: None)
    with pytest.raises(ComponentError, match="'torch' is not installed"):
        torch_class("optim/other.py", "Adam")
