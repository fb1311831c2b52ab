"""The fingerprint of the code that a name reaches: all own modules which it imports, and theirs.

Imports are read from source (those inside functions too, those for type checkers not), so nothing runs. A
module counts by its syntax tree without docstrings: comments, layout and documentation change nothing. Other
files in a package's folder, such as templates, count byte by byte; documents do not count. Trees are
compared as this Python prints them: under another minor version a fingerprint may differ.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import (
    OWN_PACKAGES,
    ROOT,
    Module,
    absolute_name,
    define,
    module_path,
    parse,
)
from modules.configuration.static_analysis.source_facts import source_fact

DOCUMENTS = (".md", ".rst", ".txt")
"""Endings of files that are read by people alone."""


def code_fingerprint(names: list[str], root: Path = ROOT) -> dict[str, Any]:
    """The fingerprint of all code that these modules, classes or functions reach.

    Args:
        names: dotted names; those outside modules and pipelines do not count: constraints.txt pins them.
        root: the folder of the packages modules and pipelines.

    Returns:
        {"fingerprint": sha256, "files": {path below root: sha256}}.

    Raises:
        UserError: a name leads to no source, or a source is no valid Python.
    """
    files = code_files(names, root)
    return {"fingerprint": fingerprint_of(files), "files": files}


def code_files(names: list[str], root: Path = ROOT) -> dict[str, str]:
    """The sha256 of every file that these names reach, by its path below root; see `code_fingerprint`."""
    files = {
        path.relative_to(root).as_posix(): digest
        for name in reached_modules(names, root)
        for path, digest in _digests(name, root)
    }
    return dict(sorted(files.items()))


def fingerprint_of(files: dict[str, str]) -> str:
    """One sha256 over files by their paths and hashes."""
    whole = hashlib.sha256()
    for path, digest in sorted(files.items()):
        whole.update(f"{digest}  {path}\n".encode())
    return whole.hexdigest()


def reached_modules(names: list[str], root: Path = ROOT) -> list[str]:
    """The names of all own modules that these names import, directly or through each other."""
    waiting = [module for name in names if _is_own(name) for module in _modules_of(name, root)]
    reached: set[str] = set()
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        path = module_path(name, root)
        if path is None:
            continue  # what `from a import b` names is no module
        reached.add(name)
        named = {*_parents(name), *_imports(name, path)} - seen
        seen |= named
        waiting.extend(named)
    return sorted(reached)


def _modules_of(name: str, root: Path) -> list[str]:
    if module_path(name, root) is not None:
        return [name]
    definition = define(name, root)
    if definition is None:
        raise UserError(f"{name} leads to no source file")
    # The package that re-exports a class runs as well as the module that defines it.
    module = name
    while module_path(module, root) is None:
        module = module.rpartition(".")[0]
    return [module, definition.module.name]


def _imports(name: str, path: Path) -> list[str]:
    return source_fact("imports", path, lambda: _read_imports(Module(name, path, parse(path))))


def _read_imports(module: Module) -> list[str]:
    found: list[str] = []
    for statement in _statements(module.tree):
        if isinstance(statement, ast.Import):
            found.extend(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            source = absolute_name(module, statement)
            found.append(source)
            found.extend(f"{source}.{alias.name}" for alias in statement.names)
    return sorted({name for name in found if _is_own(name)})


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement at any depth, but not what only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _statements(other)
        else:
            yield child
            yield from _statements(child)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _is_own(name: str) -> bool:
    return name.partition(".")[0] in OWN_PACKAGES


def _digests(name: str, root: Path) -> Iterator[tuple[Path, str]]:
    path = module_path(name, root)
    assert path is not None
    yield path, code_digest(path)
    if path.name == "__init__.py":
        for other in _beside(path.parent):
            yield other, hashlib.sha256(other.read_bytes()).hexdigest()


def _beside(folder: Path) -> Iterator[Path]:
    """The files of a package that are neither Python nor documents, in folders that are no packages too."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir():
            if not (path / "__init__.py").exists():
                yield from _beside(path)
        elif path.suffix not in (".py", ".pyc", *DOCUMENTS):
            yield path


def code_digest(path: Path) -> str:
    """The sha256 of a Python file's syntax tree without docstrings."""
    return source_fact("digest", path, lambda: _code_digest(path))


def _code_digest(path: Path) -> str:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Not only the first: attributes are documented by strings below them.
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
