"""Where a key of a composed configuration was set: the YAML file and line, or the command line."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from modules.configuration.static_analysis.definitions import ROOT

CONF = ROOT / "conf"
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Layer:
    """One YAML file of a composition and the package its keys lie in, such as `model`; empty for the root."""

    path: Path
    package: str


@dataclass(frozen=True)
class KeyLocations:
    """The files and overrides that a configuration was composed of, in the order they were applied.

    Attributes:
        layers: the files.
        overrides: of the command line.
        phase: whose configuration it is; empty for the recipe's own.
    """

    layers: tuple[Layer, ...]
    overrides: tuple[str, ...] = ()
    phase: str = ""

    def of(self, key: str) -> str:
        """Who set a key, or the nearest key around it that somebody set: `conf/recipe/lenet.yaml:8`."""
        parts = _parts(self.override_of(key))
        for override in reversed(self.overrides):
            if _sets(override, parts):
                return f"{COMMAND_LINE} ({override})"
        for count in range(len(parts), 0, -1):
            for layer in reversed(self.layers):
                line = line_of(layer, parts[:count])
                if line is not None:
                    return f"{shown(layer.path)}:{line}"
            for override in reversed(self.overrides) if count == len(parts) else ():
                if _sets_within(override, parts):
                    return f"{COMMAND_LINE} ({override})"
        return shown(self.layers[-1].path) if self.layers else COMMAND_LINE

    def override_of(self, key: str) -> str:
        """What a key is called on the command line: `phases.layer0.task.layer` where its phase sets it."""
        if not self.phase:
            return key
        own = f"phases.{self.phase}.{key}"
        parts = _parts(own)
        is_set = any(_sets(override, parts) for override in self.overrides) or any(
            line_of(layer, parts) is not None for layer in self.layers
        )
        return own if is_set else key


def _parts(key: str) -> tuple[str, ...]:
    return tuple(key.replace("[", ".").replace("]", "").split("."))


def _sets(override: str, key: tuple[str, ...]) -> bool:
    name, _, value = override.lstrip("+~").partition("=")
    parts = tuple(name.split("."))
    if key[: len(parts)] != parts or (CONF / name).is_dir():
        return False  # another key, or the choice of a file: what lies in that section was set there
    # A mapping is merged into what is there, anything else replaces it.
    return key == parts or not value.startswith("{") or key[len(parts)] in value


def _sets_within(override: str, key: tuple[str, ...]) -> bool:
    """Whether an override makes a mapping of a key that nobody else sets, by setting a key in it."""
    name = tuple(override.lstrip("+").partition("=")[0].split("."))
    return len(name) > len(key) and name[: len(key)] == key


def line_of(layer: Layer, key: tuple[str, ...]) -> int | None:
    """The line on which a file sets a key, or None where it does not."""
    package = tuple(layer.package.split(".")) if layer.package else ()
    if key[: len(package)] != package or len(key) == len(package):
        return None
    node = _tree(layer.path, layer.path.stat().st_mtime_ns)
    line = None
    for part in key[len(package) :]:
        if isinstance(node, yaml.MappingNode):
            entries = {k.value: (k, v) for k, v in node.value}
            if "<<" in entries and isinstance(merged := entries["<<"][1], yaml.MappingNode):
                entries = {k.value: (k, v) for k, v in merged.value} | entries
            if part not in entries:
                return None
            name, node = entries[part]
            line = name.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            return None
    return line


def shown(path: Path) -> str:
    """A path as a user of the repository writes it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


@lru_cache(maxsize=256)
def _tree(path: Path, _mtime_ns: int) -> yaml.Node | None:
    return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)


def layers_of(defaults: Iterable, conf: Path) -> tuple[Layer, ...]:
    """The layers of Hydra's list of defaults, those of Hydra itself left out."""
    found = []
    for default in defaults:
        path = conf / f"{default.config_path}.yaml"
        if default.config_path and path.is_file() and not (default.package or "").startswith("hydra"):
            package = (default.package or "").replace("_global_", "")
            if Layer(path, package) not in found:
                found.append(Layer(path, package))
    return tuple(found)
