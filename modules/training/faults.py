"""What a machine runs out of, said in one line with the mend."""

import errno

import torch

from modules.configuration.errors import UserError

_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file is too large",
}
_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def explain(error: BaseException, batch_size: int) -> UserError | None:
    """Finds the one line for an error of disk or memory, also where another error was raised from it.

    Args:
        error: what ended the training.
        batch_size: samples in one optimiser step.

    Returns:
        The error to show instead, or None if this one is of another kind.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK:
            where = f" while writing {cause.filename}" if cause.filename else ""
            mend = "The last good checkpoint is kept; make room and run the same command again to go on"
            return UserError(f"{_DISK[cause.errno]}{where}", mend)
        if isinstance(cause, MemoryError | torch.OutOfMemoryError) or any(
            text in str(cause) for text in _MEMORY
        ):
            return UserError(
                f"out of memory with batches of {batch_size} samples",
                f"Lower trainer.batch_size, for example to {max(1, batch_size // 2)}, or the model's size",
            )
        cause = cause.__cause__ or cause.__context__
    return None
