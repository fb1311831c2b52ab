"""What a user can fix, said in one line."""

import errno
from collections.abc import Sequence


class UserError(Exception):
    """A fault in what the user gave: shown as one line, never as a traceback.

    Attributes:
        problem: what is wrong, naming the file, key or value.
        hint: what to do about it.
        others: faults that were found with it, each a line of its own.
    """

    def __init__(self, problem: str, hint: str = "", others: "Sequence[UserError]" = ()) -> None:
        super().__init__(f"{problem}. {hint}" if hint else problem)
        self.problem = problem
        self.hint = hint
        self.others = others


DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Of the system's errors those that are the machine's fault."""


class MachineError(UserError):
    """A fault of the machine, such as a full disk: once that is put right, the same again succeeds."""


def disk_error(number: int | None, problem: str, hint: str) -> UserError:
    """What the system refused to write, as the machine's fault where it is.

    Args:
        number: the system's, of `errno`.
        problem: what is wrong.
        hint: what to do about it.
    """
    return (MachineError if number in DISK_FULL else UserError)(problem, hint)


class ConfigError(UserError):
    """A fault of one configuration key, found where it is not known which file set the key.

    Attributes:
        key: the key from the root, dots between its parts: "model.num_filters".
        found: what is wrong with it.
    """

    def __init__(self, key: str, found: str, hint: str = "") -> None:
        shown = key if key.isprintable() else repr(key)[1:-1]
        super().__init__(f"{shown}: {found}" if key else found, hint)
        self.key = key
        self.found = found

    def at(self, origin: str) -> UserError:
        """The same fault with the place that set the key."""
        return UserError(f"{origin}: {self.problem}", self.hint, self.others)
