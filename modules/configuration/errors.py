"""What a user can mend, said in one line."""


class UserError(Exception):
    """A fault in what the user gave: shown as one line, never as a traceback.

    Attributes:
        problem: what is wrong, naming the file, key or value.
        mend: what to do about it.
    """

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(f"{problem}. {mend}" if mend else problem)
        self.problem = problem
        self.mend = mend


class KeyFault(UserError):
    """A fault of one configuration key, found where it is not known which file set the key.

    Attributes:
        key: the key from the root, dots between its parts: "model.num_filters".
        found: what is wrong with it.
    """

    def __init__(self, key: str, found: str, mend: str = "") -> None:
        super().__init__(f"{key}: {found}" if key else found, mend)
        self.key = key
        self.found = found

    def at(self, origin: str) -> UserError:
        """The same fault with the place that set the key."""
        return UserError(f"{origin}: {self.problem}", self.mend)
