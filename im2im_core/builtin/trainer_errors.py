"""Errors of Lightning, torch and data-loading workers in the words of im2im."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from im2im_core.errors import BundleError, ConfigError, Im2imError, OutputError

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def for_the_user(run_dir: Path) -> Iterator[None]:
    """Turns the errors that a user can mend into Im2imErrors; others, which are defects, pass.

    Args:
        run_dir: where the training writes.
    """
    try:
        yield
    except Im2imError as error:
        if "Original Traceback" in error.message:  # how a worker passes an error on
            name = f"{type(error).__name__}: "
            raise type(error)(error.message.rsplit(name, 1)[-1].strip()) from error
        raise
    except torch.OutOfMemoryError as error:
        raise Im2imError(
            "the memory of the device is not enough for this training",
            "make batches or patches smaller, or set trainer.precision to '16-mixed'",
        ) from error
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise OutputError(
            f"cannot write to '{run_dir}': {error.strerror}", "check that the folder is writable and the disk not full"
        ) from error
    except (MisconfigurationException, ModuleNotFoundError) as error:
        raise ConfigError(f"the trainer cannot work like this: {error}", "change the `trainer` settings") from error
    except ValueError as error:
        if "val_check_interval" not in str(error):  # which Lightning compares with the data
            raise
        raise ConfigError(f"the trainer cannot work like this: {error}", "change the `trainer` settings") from error
    except RuntimeError as error:
        if "loading state_dict" in str(error):
            reason = " ".join(str(error).split())[:300]
            raise BundleError(
                f"the checkpoint does not belong to this model: {reason}", "resume with the configuration of its run"
            ) from error
        if "Early stopping conditioned on metric" in str(error):
            raise ConfigError(str(error).split("Either")[0], "name a figure that is logged") from error
        raise
