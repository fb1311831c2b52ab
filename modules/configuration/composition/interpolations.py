"""What `${...}` may do in a configuration from someone else: a bounded amount, and no reading of secrets.

Forty lines, each holding the one before twice, stand for a text that fills all memory; so interpolations are
counted while they are resolved. An environment variable becomes a plain value of the configuration, and so a
part of plans, reports and tracked runs: only those are read that `allowed_environment` in conf/config.yaml
names, as being no secret. A secret reaches the libraries that need it by the environment itself: MLflow's
client reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD where it connects.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.base import Container
from omegaconf.errors import InterpolationResolutionError

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.targets import root_list

MAX_INTERPOLATIONS = 2_000
MAX_CHARACTERS = 4_000_000
_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|(^|_)(KEY|PWD|AUTH)(_|$)", re.IGNORECASE)
_NONE_GIVEN = object()
_resolve = Container.resolve_parse_tree


class _Budget:
    """What is left to the composition under way."""

    interpolations = MAX_INTERPOLATIONS
    characters = MAX_CHARACTERS


def begin() -> None:
    """Lets a composition that begins now resolve as much as any may."""
    _Budget.interpolations, _Budget.characters = MAX_INTERPOLATIONS, MAX_CHARACTERS


def _counted(self: Container, *args: Any, **keywords: Any) -> Any:
    _Budget.interpolations -= 1
    if _Budget.interpolations >= 0 <= _Budget.characters:
        value = _resolve(self, *args, **keywords)
        if isinstance(value, str):
            _Budget.characters -= len(value)
        if _Budget.characters >= 0:
            return value
    raise InterpolationResolutionError("its interpolations ${...} grow without end")


def length(entries: Any) -> int:
    """The resolver `${length:${data.fields.label.classes}}`: the number of entries of a list."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ValueError(f"length of {entries!r}, which is no list")
    return len(entries)


def environment(name: str, default: Any = _NONE_GIVEN) -> str | None:
    """The resolver `${oc.env:NAME,default}`: a variable that conf/config.yaml names as no secret."""
    for allowed in root_list("allowed_environment"):
        if not isinstance(allowed, str) or not allowed.isidentifier() or _SECRET.search(allowed):
            place = "conf/config.yaml: allowed_environment"
            raise UserError(f"{place}: {allowed!r} is no name that may be written down", "Take it out")
    if name not in root_list("allowed_environment"):
        raise ValueError(
            f"the environment variable {name} may not be read: its value would be written down with every "
            "plan and run; if it is no secret, name it in allowed_environment of conf/config.yaml"
        )
    found = os.environ.get(name, default)
    if found is _NONE_GIVEN:
        raise KeyError(f"Environment variable '{name}' not found")
    return None if found is None else str(found)


def register() -> None:
    """Puts all of it into effect, for every composition of this process."""
    Container.resolve_parse_tree = _counted
    OmegaConf.register_new_resolver("length", length, replace=True)
    OmegaConf.register_new_resolver("oc.env", environment, replace=True)
