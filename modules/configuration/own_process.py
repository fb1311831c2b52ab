"""Processes of the yard's own beside this one: what may not be loaded here runs there."""

import os
import sys

from modules.configuration.static_analysis.definitions import ROOT


def own_python(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment that run a module of the yard, whatever folder this process is in."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return [sys.executable, "-m", module, *arguments], os.environ | {"PYTHONPATH": path}
