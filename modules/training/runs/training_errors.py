"""What a machine runs out of, said in one line with the hint."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from modules.configuration.errors import UserError, disk_error
from modules.training.micro_batches import is_out_of_memory

_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file has reached the size that is allowed",
    errno.EACCES: "there is no permission to write",
    errno.EROFS: "the disk can only be read",
}


@contextmanager
def explained(batch_size: int) -> Iterator[None]:
    """Turns what a full disk or memory raises inside into the one line for it.

    Args:
        batch_size: samples in one optimiser step.

    Raises:
        UserError: the disk or the memory is full.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if found := _explain(error, batch_size):
            raise found from error
        raise


def _explain(error: BaseException, batch_size: int) -> UserError | None:
    """Looks through the errors that led here as well: torch and Lightning raise others on top."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK:
            where = f" while writing {cause.filename}" if cause.filename else ""
            hint = "The last good checkpoint is kept; make room and run the same command again to go on"
            return disk_error(cause.errno, f"{_DISK[cause.errno]}{where}", hint)
        if is_out_of_memory(cause):
            return UserError(
                f"out of memory with batches of {batch_size} samples",
                f"Lower trainer.batch_size, for example to {max(1, batch_size // 2)}, or the model's size, or"
                " set trainer.micro_batches=auto",
            )
        cause = cause.__cause__ or cause.__context__
    return None
