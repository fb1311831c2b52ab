"""Brings a source: downloads it into data/cache, verifies its sha256 and unpacks it into data/raw/<source>/.

python -m pipelines.fetch source=fashion_mnist
python -m pipelines.fetch --licences
python -m pipelines.fetch plan=build/plan/sources/pets.yaml look=build/look/pets.yaml

A source is a file of conf/source/. What is in the cache with the right sha256 is not downloaded again, and a
file that is put there by hand serves where there is no network.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.configuration.command import arguments, run
from modules.configuration.errors import ConfigError, UserError

_RECORDED = ("package", "version", "url")
_RECORDED_OF_PARTS = ("name", *_RECORDED, "sha256", "licence")
_BESIDES = ("code", "listing")
"""What a plan holds besides the source: the fingerprint of the code, and what files were seen."""
_LICENCE_NAMES = ("copyright", "licence", "license", "copying")


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        source: the name of a file in conf/source/.
        plan: the source's plan, build/plan/sources/<source>.yaml, instead of its name.
        look: write here the plan with the names, sizes and times of the source's files, and fetch nothing.
        licences: show all sources with their licences, and where the texts lie.
        data: folder of the fetched sources.
        cache: folder of the downloaded files.
        conf: folder of the configuration.
    """

    source: str | None = None
    plan: str | None = None
    look: str | None = None
    licences: bool = False
    data: str = "data/raw"
    cache: str = "data/cache"
    conf: str = "conf"


def main(argv: list[str]) -> None:
    """Fetches one source, or lists all."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    if chosen.licences:
        _show_licences(Path(chosen.conf) / "source", Path(chosen.data))
        return
    if (chosen.source is None) == (chosen.plan is None):
        raise UserError("say what to fetch", "Give one of source=<name> and plan=<file>, or --licences")
    node = _read_source(
        Path(chosen.plan) if chosen.plan else _find(Path(chosen.conf) / "source", chosen.source or "")
    )
    if chosen.look is not None:
        _look(node, Path(chosen.look))
        return
    with _busy(f"Fetching {node['name']}"):
        found = fetch(node, Path(chosen.data), Path(chosen.cache))
    print(f"{node['name']}: {len(found['files'])} files, sha256 verified, licence {found['licence']}")


def fetch(node: dict[str, Any], data: Path, cache: Path) -> dict[str, Any]:
    """Fetch a source into the folder of its name under `data`, which is replaced in one step.

    Args:
        node: the source's `_target_` and keywords.
        data: folder of the fetched sources.
        cache: folder of the downloaded files.

    Returns:
        What source.json records: where it came from, licence, and the sha256 of each file.

    Raises:
        UserError: if it can't be had, or isn't what its sha256 says.
    """
    from modules.configuration.static_analysis.targets import build
    from modules.sources.cache import sha256_of
    from modules.sources.replacement import replaced_folder

    source = build(node)
    with replaced_folder(data / source.name) as folder:
        source.fetch(cache, folder)
        files = {
            path.relative_to(folder).as_posix(): sha256_of(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        # A folder has no hash of its own: all of its files' hashes stand for it.
        listing = "".join(f"{digest}  {name}\n" for name, digest in files.items())
        found = {
            "name": source.name,
            **{key: node[key] for key in _RECORDED if key in node},
            **({"parts": [_record(part) for part in node["parts"]]} if "parts" in node else {}),
            "sha256": node.get(
                "sha256", hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
            ),
            "licence": source.licence,
            "files": files,
        }
        (folder / "source.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def _record(part: dict[str, Any]) -> dict[str, Any]:
    return {key: part[key] for key in _RECORDED_OF_PARTS if key in part}


def _look(node: dict[str, Any], out: Path) -> None:
    from modules.configuration.static_analysis.targets import build
    from modules.configuration.yaml_files import to_yaml, write_if_changed

    source = build(node)
    if not source.changes:
        raise UserError(f"{node['name']} is pinned: there is nothing to look at", "Leave look= out")
    listing = source.listing()
    write_if_changed(out, to_yaml(node | {"listing": listing}))
    print(f"{node['name']}: looked at {len(listing)} files")


def _find(folder: Path, name: str) -> Path:
    from modules.configuration.names import check_name, suggest

    path = folder / f"{check_name('source', name)}.yaml"
    if not path.is_file():
        raise UserError(
            f"there is no source {name!r}", suggest(name, [path.stem for path in folder.glob("*.yaml")])
        )
    return path


def _read_source(path: Path) -> dict[str, Any]:
    from modules.configuration.static_analysis.kinds import KINDS, check_kind
    from modules.configuration.static_analysis.node_check import check_node
    from modules.configuration.yaml_files import read_yaml

    node = read_yaml(path)
    for key in _BESIDES:
        node.pop(key, None)
    if "_target_" not in node:
        raise UserError(f"{path} is no source: it has no _target_", "Name a class of modules.sources")
    try:
        check_node("", node)
        check_kind("", node, KINDS["source"])
        for number, part in enumerate(node.get("parts", [])):
            check_kind(f"parts[{number}]", part, KINDS["source"])
    except ConfigError as fault:
        raise fault.at(str(path)) from None
    return node


def _show_licences(conf: Path, data: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "package", "version", "licence", "text", box=box.SIMPLE_HEAD)
    for path in sorted(conf.glob("*.yaml")):
        node = _read_source(path)
        rows = [(node, node["name"], data / node["name"])]
        if "parts" in node:
            rows = [(part, f"{node['name']}/{part['name']}", data / node["name"] / part["name"])
                    for part in node["parts"]]  # fmt: skip
        fetched = (data / node["name"] / "source.json").is_file()
        for one, name, folder in rows:
            origin = one.get("package") or one.get("url") or one.get("path") or ""
            texts = _licence_texts(folder) if fetched else ["not fetched yet"]
            table.add_row(name, origin, one.get("version", ""), one["licence"], "\n".join(texts))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)


def _licence_texts(folder: Path) -> list[str]:
    """The files of a fetched source that hold its licence."""
    names = (path for path in sorted(folder.rglob("*")) if path.is_file())
    texts = [str(path) for path in names if path.name.lower().startswith(_LICENCE_NAMES)]
    return texts or ["none in the package"]


@contextmanager
def _busy(message: str) -> Iterator[None]:
    """Something that moves, for whoever waits at a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


if __name__ == "__main__":
    run(main)
