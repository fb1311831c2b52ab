"""What planning has found before, for as long as none of what it was found from has changed.

An item (a recipe, a dataset, a space) is planned from files: those of conf/ that it is composed of, the code
that it reaches, and the code that plans. The cache keeps the hash of each of them, and of each file that was
written. Where all are as they were there is nothing to do, and neither Hydra nor torch is imported. A Python
file counts by its syntax tree, as in `modules.configuration.static_analysis.code_fingerprint`; a file whose
time and size have not changed is not read again.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.static_analysis.code_fingerprint import code_digest
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import write_if_changed

PLANNING = ("modules/configuration", "modules/shapes", "modules/planning", "modules/weights")
"""The code that plans; a change of it plans everything again."""
VOLATILE = "oc.env"
"""A configuration that reads the environment is composed every time."""


@dataclass(frozen=True)
class Planned:
    """What came of an item.

    Attributes:
        files: text of each file to be written, by its path below build/plan.
        inputs: the files that it was planned from.
        facts: what the catalogue says of it.
    """

    files: dict[str, str]
    inputs: Iterable[Path]
    facts: dict[str, Any] = field(default_factory=dict)


class PlanCache:
    """
    Args:
        path: of the file that keeps it.
        out: the folder of plans.
    """

    def __init__(self, path: Path, out: Path) -> None:
        self._path = path
        self._out = out
        known = _read(path)
        known = known if known.get("made_by") == _made_by() else {}
        self._known: dict[str, Any] = known.get("items", {})
        self._stats: dict[str, list[Any]] = known.get("stats", {})
        self._now: dict[str, Any] = {}
        self._digests: dict[str, str] = {}
        self._planning = [path for folder in PLANNING for path in sorted((ROOT / folder).rglob("*.py"))]
        self._planning += [ROOT / "pipelines" / "plan.py", ROOT / "constraints.txt"]

    def plan(self, item: str, compute: Callable[[], Planned]) -> tuple[dict[str, str | None], dict[str, Any]]:
        """Plans an item, or finds that there is nothing to do.

        Args:
            item: its name, such as "recipe lenet".
            compute: plans it.

        Returns:
            The text of each file of the item, None where the file is right as it lies; and its facts.
        """
        known = self._known.get(item)
        if known is not None and self._holds(known):
            self._now[item] = known
            return dict.fromkeys(known["files"]), known["facts"]
        found = compute()
        inputs = dict.fromkeys([*found.inputs, *self._planning])
        self._now[item] = {
            "inputs": {str(_shown(path)): self._digest(path) for path in inputs},
            "files": {name: _sha256(text.encode()) for name, text in found.files.items()},
            "facts": found.facts,
        }
        if any(VOLATILE in path.read_text(encoding="utf-8") for path in inputs if path.suffix == ".yaml"):
            del self._now[item]
        return dict(found.files), found.facts

    def save(self) -> None:
        """Keeps what is known now."""
        content = {"made_by": _made_by(), "items": self._now, "stats": self._stats}
        write_if_changed(self._path, json.dumps(content, sort_keys=True) + "\n")

    def _holds(self, known: Mapping[str, Any]) -> bool:
        inputs = known["inputs"].items()
        return all(self._digest(ROOT / path) == digest for path, digest in inputs) and all(
            self._is_written(name, digest) for name, digest in known["files"].items()
        )

    def _is_written(self, name: str, digest: str) -> bool:
        try:
            return _sha256((self._out / name).read_bytes()) == digest
        except OSError:
            return False

    def _digest(self, path: Path) -> str:
        """The hash of a file; "" where it is gone."""
        name = str(_shown(path))
        if name not in self._digests:
            self._digests[name] = self._read_digest(path, name)
        return self._digests[name]

    def _read_digest(self, path: Path, name: str) -> str:
        try:
            status = path.stat()
        except OSError:
            return ""
        stamp = [status.st_mtime_ns, status.st_size]
        known = self._stats.get(name)
        if known is None or known[:2] != stamp:
            digest = code_digest(path) if path.suffix == ".py" else _sha256(path.read_bytes())
            self._stats[name] = known = [*stamp, digest]
        return known[2]


def _made_by() -> str:
    return f"Python {platform.python_version()}"


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """What was kept; nothing where there is nothing, or nothing whole."""
    try:
        content = json.loads(read_regular_text(path))
    except (OSError, ValueError, UserError):
        return {}
    return content if isinstance(content, dict) else {}
