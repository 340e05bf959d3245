"""Worker processes by dask: some on this machine, or those of a cluster that runs already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from im2im_core.errors import ConfigError

# Seconds to wait for a scheduler and its first worker.
PATIENCE = 30


@dataclass(frozen=True, slots=True)
class Workers:
    """Where work is done.

    Attributes:
        count: worker processes to start on this machine.
        scheduler: address of a running dask scheduler, as tcp://host:8786; then none are started.
    """

    count: int = 0
    scheduler: str | None = None

    def __bool__(self) -> bool:
        return bool(self.count or self.scheduler)

    @property
    def threads(self) -> int | None:
        """Threads of each for the network: the cores shared among them; None: as the cluster's workers say."""
        return None if self.scheduler else max(1, _cores() // self.count)


@contextmanager
def connected(workers: Workers) -> Iterator[Any]:
    """A `distributed.Client`; processes that were started are stopped at the end, and so is what is still running.

    It does not become the one that dask computes lazy images with: those are read where they are needed.

    Raises:
        ConfigError: dask.distributed is not installed, or the scheduler does not answer or has no workers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError("workers need dask.distributed", 'pip install "im2im-core[cluster]"') from error
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if workers.scheduler:
        with _client_of(Client, workers.scheduler) as client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers.count, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _client_of(client_class: Any, scheduler: str) -> Any:
    client = None
    try:
        client = client_class(scheduler, timeout=PATIENCE, set_as_default=False)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        if client is not None:
            client.close()
        raise ConfigError(
            f"no workers at the scheduler '{scheduler}': {str(error) or type(error).__name__}",
            "start them with: dask worker ADDRESS",
        ) from error
    return client


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
