"""Processes by what their command says: those that end while they are looked at are not among them."""

import psutil


def started_by(pid: int, word: str, recursive: bool = False) -> list[psutil.Process]:
    """Living processes that a process started.

    Args:
        pid: of the process.
        word: part of their command.
        recursive: whether those count that they started themselves.
    """
    return [child for child in psutil.Process(pid).children(recursive) if word in command(child)]


def command(process: psutil.Process) -> str:
    """A process's command; empty where it has ended, waited for or not."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one of these
        return ""
