"""YAML files of plain values: checked when read; written whole or not at all, and only where they differ."""

import os
import secrets
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

from modules.configuration.bounded_yaml import read_bounded
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.static_analysis.targets import check_targets


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of plain values whose targets, if any, may be built.

    Raises:
        UserError: the file is not there, is no mapping, or names a target that is not allowed.
    """
    return checked(parse_yaml(path), path)


def parse_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of plain values; what its targets name is not looked at.

    Raises:
        UserError: the file is not there or is no mapping.
    """
    try:
        content = yaml.load(read_bounded(path), Loader=_Loader)
    except FileNotFoundError:
        raise UserError(f"{path} is not there", "Write it: python -m pipelines.plan --all") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no mapping")
    return content


def checked(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a file, if all its targets may be built.

    Raises:
        UserError: one may not.
    """
    try:
        check_targets("", content)
    except ConfigError as fault:
        raise fault.at(str(path)) from None
    return content


def to_yaml(content: dict[str, Any]) -> str:
    """Plain values as YAML, in their own order, without anchors."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    if any(character in text for character in "\x85\u2028\u2029"):
        # PyYAML writes these as they are, and reads them as ends of a line.
        text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=110)
    return text


class _Loader(yaml.SafeLoader):
    """Refuses anchors: with them a file can hold itself, or grow without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "aliases are not allowed", self.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_if_changed(path: Path, content: str) -> bool:
    """Writes a text file unless it holds that text already; a kill leaves the old file or the new one.

    Returns:
        Whether it was written.
    """
    if path.is_file() and read_regular_text(path, links=True) == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # With the rights that the umask leaves, which tempfile does not give; not by the process's number, which
    # another node has as well.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return True
