"""Which of several processes this is that train one model together. Loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_FOLDER = "IM2IM_RUN_FOLDER"
# Set by Lightning, torchrun and SLURM for each process that they start; the first that is there counts.
_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_COUNTS = {"SLURM_PROCID": "SLURM_NTASKS"}


def rank() -> int:
    """Number of this process among those of the training, 0 for the first or only one; only that one writes."""
    for name in _RANKS:
        # A shell inside a SLURM allocation is a process of SLURM's, but one that trains alone.
        alone = name in _COUNTS and os.environ.get(_COUNTS[name], "1") == "1"
        if os.environ.get(name, "").isdecimal() and not alone:
            return int(os.environ[name])
    return 0


def job() -> str | None:
    """What all processes of a cluster's job know it by, which were started without knowing of each other."""
    if os.environ.get("SLURM_NTASKS", "1") != "1" and "SLURM_JOB_ID" in os.environ:
        restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
        return f"slurm-{os.environ['SLURM_JOB_ID']}" + (f"-{restarts}" if restarts != "0" else "")
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        return f"torchrun-{os.environ['TORCHELASTIC_RUN_ID']}"
    return None


@contextmanager
def shared_run_folder(choose: Callable[[], Path]) -> Iterator[Path]:
    """The folder of a run, the same for all its processes: those that the first one starts inherit it.

    Args:
        choose: a name; asked in the first process only, or in each where they share the name of a job.
    """
    inherited = os.environ.get(RUN_FOLDER)
    if rank() > 0 and inherited:
        yield Path(inherited)
        return
    folder = choose()
    before = os.environ.get(RUN_FOLDER)
    os.environ[RUN_FOLDER] = str(folder.absolute())
    try:
        yield folder
    finally:
        if before is None:
            os.environ.pop(RUN_FOLDER, None)
        else:
            os.environ[RUN_FOLDER] = before
