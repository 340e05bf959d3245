"""Which process this is, and which folder all of them use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from im2im_core.processes import RUN_FOLDER, job, rank, shared_run_folder

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID",
             "SLURM_RESTART_COUNT", "TORCHELASTIC_RUN_ID", RUN_FOLDER)  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "number", "name"),
    [
        ({}, 0, None),
        ({"LOCAL_RANK": "1"}, 1, None),
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "7"}, 3, "torchrun-7"),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "99"}, 2, "slurm-99"),
        (
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "99", "SLURM_RESTART_COUNT": "1"},
            0,
            "slurm-99-1",
        ),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_JOB_ID": "99"}, 0, None),
        ({"SLURM_PROCID": "5", "SLURM_JOB_ID": "99"}, 0, None),
    ],
)
def test_rank_and_job(
    variables: dict[str, str], number: int, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert (rank(), job()) == (number, name)


def test_processes_that_the_first_one_starts_use_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with shared_run_folder(lambda: tmp_path / "first") as first:
        assert first == tmp_path / "first"
        monkeypatch.setenv("LOCAL_RANK", "1")
        with shared_run_folder(lambda: tmp_path / "another") as second:
            assert second == first
        monkeypatch.delenv("LOCAL_RANK")
    assert RUN_FOLDER not in os.environ, "the next training of this process has a folder of its own"
    with shared_run_folder(lambda: tmp_path / "next") as following:
        assert following == tmp_path / "next"
