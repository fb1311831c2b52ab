"""How Hydra reads a file of conf/: looked at before Hydra acts on anything in it.

A recipe may come from someone else. What lies under `hydra` is no setting of a training: Hydra builds the
callbacks and log handlers named there, whatever callable they are, before a configuration is whole. So no
file but conf/config.yaml sets anything there; others may choose one of the yard's launchers and sweepers,
whose files in conf/hydra/ name plugins alone. What the command line sets is the user's own.
"""

import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource as HydrasFileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf

from modules.configuration.bounded_yaml import read_bounded
from modules.configuration.composition.key_locations import shown
from modules.configuration.errors import UserError

CHOICES = ("hydra/launcher", "hydra/sweeper")
"""What a recipe may choose of Hydra's own; and the folders of conf/ for it."""
_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
_ROOT = "config.yaml"
_LOADED: dict[tuple[str, str, str], tuple[tuple[int, ...], bytes]] = {}


class FileConfigSource(HydrasFileConfigSource):
    """Files of conf/, each refused before Hydra reads it if it is hostile in size or reaches for Hydra.

    It bears the name of Hydra's own, which Hydra asks before it takes one for the other. A file that has not
    changed since is not parsed again, which would be a third of the time of a composition.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        name = os.path.normpath(self._normalize_file_name(config_path))
        path = Path(self.path, name)
        try:
            found = path.stat()
        except OSError:
            return self._load(config_path, name, path)
        state = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        key = self.path, self.provider, config_path
        known = _LOADED.get(key)
        if known is not None and known[0] == state:
            return pickle.loads(known[1])  # noqa: S301 - packed by this very process
        result = self._load(config_path, name, path)
        _LOADED[key] = state, pickle.dumps(result)
        return result

    def _load(self, config_path: str, name: str, path: Path) -> ConfigResult:
        if path.exists() or path.is_symlink():
            read_bounded(path)
        result = super().load_config(config_path)
        if name != _ROOT:
            content = OmegaConf.to_container(result.config, resolve=False)
            package = (result.header or {}).get("package") or ""
            if reason := _reaches_for_hydra(name, package, content):
                hint = "Take it out; on the command line it is your own choice"
                raise UserError(f"{shown(path)}: {reason}", hint)
        return result


def use_checked_files() -> None:
    """Makes every composition of this process, Hydra's own included, read files as above."""
    Plugins.instance()
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource


def _reaches_for_hydra(name: str, package: str, content: Any) -> str:
    """Why a file may not be read, or nothing."""
    content = content if isinstance(content, dict) else {}
    if name.startswith("hydra/"):
        return _no_choice(name, package, content)
    if name.startswith(".."):
        return "a file outside conf/ is named"
    if "hydra" in _parts(package):
        return f"sets {package}, which a file of conf/ may not"
    for key in content:
        if str(key).partition(".")[0] == "hydra":
            inner = content[key]
            keys = [f"{key}.{one}" for one in inner] if isinstance(inner, dict) else [str(key)]
            return f"sets {keys[0] if keys else key}, which a file of conf/ may not"
    for key, value in _defaults(content):
        group = key.removeprefix("optional ").removeprefix("override ").strip()
        is_choice = group.removeprefix("/") in CHOICES
        if is_choice and isinstance(value, str) and re.fullmatch(r"\w+", value):
            continue
        if "hydra" in _parts(group) or ".." in f"{group}/{value}" or (value is None and "$" in group):
            return f"its defaults choose {group}, which a file of conf/ may not"
    return ""


def _no_choice(name: str, package: str, content: dict) -> str:
    if name.rpartition("/")[0] not in CHOICES or package:
        return f"a file of conf/hydra/ is one of {' and '.join(CHOICES)}"
    targets = [value for key, value in _everything(content) if key == "_target_"]
    if targets != [content.get("_target_")] or not str(targets[0]).startswith(_PLUGINS):
        return f"builds {', '.join(map(str, targets)) or 'nothing'}, where one of Hydra's plugins is expected"
    return "has defaults, which it may not" if "defaults" in content else ""


def _defaults(content: dict) -> Iterator[tuple[str, Any]]:
    entries = content.get("defaults")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            yield from ((str(key), value) for key, value in entry.items())
        else:
            yield str(entry), None


def _parts(name: str) -> list[str]:
    return re.split(r"[./@ ]", name)


def _everything(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield key, item
        if isinstance(item, dict | list):
            yield from _everything(item)
