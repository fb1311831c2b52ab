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
